"""What brings events to an observer: in order, in the end, and without holding anybody up."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smspop_async import courier as module
from smspop_async.courier import Courier, close, flush
from smspop_async.events import CampaignSubmitted, Event, RunFinished, RunStarted, RunStopped

LIMIT = 10
"""Seconds after which a test that waits for what must happen gives up."""


def event(n: int) -> CampaignSubmitted:
    return CampaignSubmitted(name=f"Campaign {n}", contacts=n)


def sizes(events: list[Event]) -> list[int]:
    return [event.contacts for event in events if isinstance(event, CampaignSubmitted)]


class Slow:
    """An async observer that hears an event when it is let go on."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.begun = anyio.Event()
        self.go_on = anyio.Event()

    async def __call__(self, event: Event) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.heard.append(event)


pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(LIMIT):
        while not condition():
            await anyio.lowlevel.checkpoint()


# A plain observer.


async def test_a_plain_observer_is_told_on_the_spot() -> None:
    """It hears an event where it happens: in order, in the same task, before the run goes on."""
    heard: list[tuple[Event, object]] = []
    courier = Courier(lambda event: heard.append((event, asyncio.current_task())))
    for n in range(3):
        courier(event(n))
    assert heard == [(event(n), asyncio.current_task()) for n in range(3)]
    assert courier._task is None


def test_a_plain_observer_needs_no_event_loop() -> None:
    """Nor does it need one to be closed."""
    heard: list[Event] = []
    courier = Courier(heard.append)
    courier(event(1))
    assert heard == [event(1)]


@pytest.mark.parametrize("error", [ValueError("+263772345678"), asyncio.CancelledError("+263772345678")])
async def test_what_a_plain_observer_raises_is_logged_by_its_type(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes no further, is a warning once for each kind, and its words are not told."""

    def broken(event: Event) -> None:
        raise error

    courier = Courier(broken)
    for n in range(3):
        courier(event(n))
    courier(RunStopped(run="r", reason="crash"))
    assert [record.message for record in caplog.records] == [
        f"The on_event observer raised {type(error).__name__} on CampaignSubmitted",
        f"The on_event observer raised {type(error).__name__} on RunStopped",
    ]


class Holds:
    """A plain observer that takes so many seconds for each event, by the clock that it is judged by."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.now = 0.0
        self.heard: list[tuple[Event, threading.Thread]] = []
        self.raises: type[Exception] | None = None

    def clock(self) -> float:
        return self.now

    def __call__(self, event: Event) -> None:
        self.now += self.seconds.pop(0) if self.seconds else 0.0
        self.heard.append((event, threading.current_thread()))
        if self.raises is not None:
            raise self.raises

    def threads(self) -> list[bool]:
        """Whether it was called in the loop's thread."""
        return [thread is threading.current_thread() for _, thread in self.heard]


async def tell(observer: Holds, count: int) -> Courier:
    courier = Courier(observer, clock=observer.clock)
    for n in range(count):
        courier(event(n))
    await courier.aclose()
    return courier


async def test_a_plain_observer_that_holds_the_loop_is_called_in_a_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After three slow calls in a row it is called in a thread, in order, and the log says so."""
    observer = Holds(0.03, 0.03, 0.05)
    await tell(observer, 8)
    assert sizes([event for event, _ in observer.heard]) == list(range(8))
    assert observer.threads() == [True] * 3 + [False] * 5
    assert [record.message for record in caplog.records] == [
        "The on_event observer held the event loop for 50 ms: it is called in a thread from now on"
    ]


async def test_a_single_hiccup_of_the_machine_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """A slow call now and then leaves the observer where it is: it may rely on being called in the loop."""
    observer = Holds(0.5, 0.5, 0.0, 0.5, 0.5, 0.0, 2**-6, 2**-6, 2**-6)
    await tell(observer, 10)
    assert observer.threads() == [True] * 10
    assert caplog.records == []


async def test_one_call_that_is_very_slow_is_enough() -> None:
    """An observer that waits for another machine shall not do so three times."""
    observer = Holds(1.5)
    await tell(observer, 2)
    assert observer.threads() == [True, False]


async def test_an_observer_that_is_slow_and_raises_is_both(caplog: pytest.LogCaptureFixture) -> None:
    """Raising is no way around the judgement, and in the thread it is logged as before."""
    observer = Holds(1.5)
    observer.raises = ValueError
    courier = Courier(observer, clock=observer.clock)
    courier(event(1))
    courier(RunStopped(run="r", reason="crash"))
    await courier.flush()
    assert observer.threads() == [True, False]
    assert [record.message.partition("raised ")[2] for record in caplog.records] == [
        "ValueError on CampaignSubmitted",
        "",
        "ValueError on RunStopped",
    ]


async def test_in_a_thread_it_finds_the_context_of_the_event() -> None:
    """Context variables, such as those of a logger or a tracer, are those of the moment of the event."""
    observer, found = Holds(1.5), []
    variable: ContextVar[int] = ContextVar("variable")

    def look(event: Event) -> None:
        observer(event)
        found.append(variable.get(None))

    courier = Courier(look, clock=observer.clock)
    for n in range(4):
        variable.set(n)
        courier(event(n))
    await courier.aclose()
    assert found == [0, 1, 2, 3]


async def test_what_it_returns_in_a_thread_is_awaited() -> None:
    """A plain function that returns an awaitable may be slow all the same."""
    observer, heard = Holds(1.5), []

    def call(event: Event) -> Awaitable[None]:
        async def hear() -> None:
            heard.append((event, threading.current_thread()))

        observer(event)
        return hear()

    courier = Courier(call, clock=observer.clock)
    for n in range(3):
        courier(event(n))
    await courier.aclose()
    assert heard == [(event(n), threading.current_thread()) for n in range(3)]
    assert observer.threads() == [True, False, False]


# An async observer.


async def test_an_async_observer_hears_in_order_and_one_after_another() -> None:
    """Events are delivered in the order in which they happened, and never two at once."""
    heard: list[Event] = []
    under_way = 0

    async def observer(event: Event) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        for _ in range(event.contacts % 3):
            await anyio.lowlevel.checkpoint()
        heard.append(event)
        under_way -= 1

    courier = Courier(observer)
    for n in range(50):
        courier(event(n))
        if n % 7 == 0:
            await anyio.lowlevel.checkpoint()
    await flush(courier)
    assert sizes(heard) == list(range(50))
    await close(courier)
    assert courier.left_out == 0


async def test_any_awaitable_will_do() -> None:
    """A future or a task that an observer returns is waited for."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(anyio.lowlevel.checkpoint())
    answers: list[Any] = [future, task]
    courier = Courier(lambda _: answers.pop(0))
    courier(event(1))
    courier(event(2))
    future.set_result(None)
    await courier.flush()
    assert task.done()


async def test_a_slow_observer_holds_nobody_up() -> None:
    """Telling returns at once, however long the observer takes."""
    observer = Slow()
    courier = Courier(observer)
    for n in range(100):
        courier(event(n))
    await observer.begun.wait()
    assert observer.heard == []
    observer.go_on.set()
    await courier.flush()
    assert sizes(observer.heard) == list(range(100))


async def test_each_event_finds_its_own_context() -> None:
    """An async observer finds the context variables of the moment of the event, and its own do not spread."""
    variable: ContextVar[int] = ContextVar("variable")
    found = []

    async def observer(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        found.append(variable.get())
        variable.set(-1)

    courier = Courier(observer)
    for n in range(4):
        variable.set(n)
        courier(event(n))
    await courier.flush()
    assert found == [0, 1, 2, 3]


async def test_an_async_observer_that_raises_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged by its type, and it hears the next event."""
    heard = []

    async def broken(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        heard.append(event)
        raise ValueError("+263772345678")

    courier = Courier(broken)
    for n in range(3):
        courier(event(n))
    await courier.flush()
    assert len(heard) == 3
    assert [record.message for record in caplog.records] == [
        "The on_event observer raised ValueError on CampaignSubmitted"
    ]


async def cancels_its_own_task(event: Event) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await anyio.lowlevel.checkpoint()


async def raises_a_cancellation(event: Event) -> None:
    raise asyncio.CancelledError


async def waits_for_what_was_cancelled(event: Event) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def returns_what_was_cancelled(event: Event) -> Awaitable[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


@pytest.mark.parametrize(
    "does",
    [
        cancels_its_own_task,
        raises_a_cancellation,
        waits_for_what_was_cancelled,
        returns_what_was_cancelled,
    ],
)
async def test_an_observer_that_is_cancelled_hears_the_next_event(
    does: Callable[[Event], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    """A cancellation of its own making ends what it did for one event, and nothing else."""
    heard: list[Event] = []

    def observer(event: Event) -> Awaitable[None]:
        heard.append(event)
        return does(event)

    courier = Courier(observer)
    for n in range(3):
        courier(event(n))
    await courier.flush()
    assert sizes(heard) == [0, 1, 2]
    assert courier._delivered == 3
    assert caplog.text.count("CancelledError") == 1


# Too many events.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 3)


@pytest.mark.usefixtures("small")
async def test_what_is_beyond_the_bound_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded: the events that do not fit are left out, which the log says once, and at the end how many."""
    observer = Slow()
    courier = Courier(observer)
    courier(event(0))
    await observer.begun.wait()
    for n in range(1, 9):
        courier(event(n))
    assert courier.left_out == 5
    observer.go_on.set()
    await courier.flush()
    courier(event(9))
    await courier.aclose()
    assert sizes(observer.heard) == [0, 1, 2, 3, 9]
    assert [record.message for record in caplog.records] == [
        "The on_event observer is too slow: events are left out",
        "The on_event observer was too slow to hear 5 events",
    ]
    await courier.aclose()
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("small")
async def test_the_beginning_and_the_end_of_a_run_are_left_out_last() -> None:
    """Somebody may wait for the end of a run: there is more room for those few events, and not without bound."""
    observer = Slow()
    courier = Courier(observer)
    courier(event(0))
    await observer.begun.wait()
    for n in range(1, 9):
        courier(event(n))
    finished = RunFinished(run="r", total=1, statuses={}, elapsed=1.0, stopped=False)
    of_runs = [RunStarted(run="r", name="x"), RunStopped(run="r", reason="cancelled"), finished]
    for each in of_runs:
        courier(each)
    assert courier.left_out == 5
    courier(finished)
    assert courier.left_out == 6
    observer.go_on.set()
    await courier.flush()
    assert observer.heard[4:] == of_runs


# The end.


async def test_a_hanging_observer_is_let_go_of() -> None:
    """The end of a client waits for an observer for a bounded time, and then cancels it."""
    observer = Slow()
    cancelled = []

    async def hang(event: Event) -> None:
        try:
            await observer(event)
        except asyncio.CancelledError:
            cancelled.append(event)
            raise

    courier = Courier(hang, parting=0.0)
    for n in range(3):
        courier(event(n))
    await observer.begun.wait()
    await courier.aclose()
    assert cancelled == [event(0)]
    assert courier._task is not None
    assert courier._task.done()
    assert not courier._waiting


async def test_an_observer_that_refuses_to_be_cancelled_is_let_go_of() -> None:
    """So is one that swallows its cancellation: nobody waits for it for ever."""
    observer = Slow()

    async def stubborn(event: Event) -> None:
        while not observer.go_on.is_set():
            try:
                await observer(event)
            except asyncio.CancelledError:
                continue

    courier = Courier(stubborn, parting=0.0)
    courier(event(1))
    await observer.begun.wait()
    with anyio.fail_after(LIMIT):
        await courier.aclose()
    observer.go_on.set()
    await until(lambda: courier._task is not None and courier._task.done())
    assert observer.heard == [event(1)]


async def test_a_thread_that_hangs_is_let_go_of() -> None:
    """A plain observer that hangs in its thread cannot be stopped, but nobody waits for it."""
    begun, go_on = threading.Event(), threading.Event()
    observer = Holds(1.5)

    def hang(event: Event) -> None:
        observer(event)
        if len(observer.heard) > 1:
            begun.set()
            go_on.wait(LIMIT)

    courier = Courier(hang, clock=observer.clock, parting=0.0)
    courier(event(1))
    courier(event(2))
    courier(event(3))
    try:
        await until(begun.is_set)
        with anyio.fail_after(LIMIT):
            await courier.aclose()
        assert not courier._waiting
    finally:
        go_on.set()


async def test_the_end_of_a_run_waits_for_a_hanging_observer_once() -> None:
    """Until it has moved on, the ends of other runs are not held up by an observer that hangs."""
    observer = Slow()
    courier = Courier(observer, parting=0.0)
    courier(event(1))
    await observer.begun.wait()
    await courier.flush()
    assert observer.heard == []
    courier._parting = 1e9
    with anyio.fail_after(LIMIT):
        await courier.flush()
    courier(event(2))
    with anyio.fail_after(LIMIT):
        await courier.flush()
    observer.go_on.set()
    await until(lambda: courier._delivered)
    courier(event(3))
    await courier.flush()
    assert sizes(observer.heard) == [1, 2, 3]


async def test_waiting_for_an_observer_can_be_cancelled() -> None:
    """The cancellation of who waits at the end is not swallowed, and the observer goes on."""
    observer = Slow()
    courier = Courier(observer, parting=1e9)
    courier(event(1))
    closing = asyncio.create_task(courier.aclose())
    await observer.begun.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    observer.go_on.set()
    await courier.flush()
    assert observer.heard == [event(1)]


async def test_flush_and_close_of_other_observers_do_nothing() -> None:
    """Whoever submits may have no observer at all."""
    for observer in (None, lambda event: None):
        await flush(observer)
        await close(observer)
    courier = Courier(lambda event: None)
    await courier.flush()
    await courier.aclose()
    await courier.aclose()


# Event loops.


async def ignore(event: Event) -> None:
    pass


def test_an_async_observer_without_a_loop_is_left_out() -> None:
    """Where no loop runs, as when the collector of garbage ends a call, nobody can await it, and it is no error."""
    courier = Courier(ignore)
    courier(event(1))
    assert courier.left_out == 1
    assert not courier._waiting


def test_a_loop_that_ends_takes_its_delivery_with_it() -> None:
    """`asyncio.run` cancels what is not delivered: nothing is left unawaited, and another loop can go on."""
    heard: list[Event] = []
    held = Slow()

    async def observer(event: Event) -> None:
        if event.contacts == 0:
            await held(event)
        heard.append(event)

    courier = Courier(observer)

    async def first() -> None:
        for n in range(3):
            courier(event(n))
        await held.begun.wait()

    async def second() -> None:
        courier(event(3))
        await courier.aclose()

    asyncio.run(first())
    assert not courier._waiting
    asyncio.run(second())
    assert sizes(heard) == [3]


def lose_a_loop(courier: Courier) -> None:
    """Close a loop over a delivery, without cancelling it."""
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        courier(event(0))
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    loop.run_until_complete(begin())
    left = asyncio.all_tasks(loop)
    assert courier._task in left
    for task in left:
        task._log_destroy_pending = False
    loop.close()


def test_a_loop_that_was_closed_is_not_waited_for() -> None:
    """In the next loop the observer hears what is told there, and the end is no error."""
    heard: list[Event] = []

    async def observer(event: Event) -> None:
        if event.contacts == 0:
            await asyncio.get_running_loop().create_future()
        heard.append(event)

    courier = Courier(observer, parting=0.0)
    lose_a_loop(courier)

    async def close_only() -> None:
        await courier.flush()
        await courier.aclose()

    asyncio.run(close_only())

    async def go_on() -> None:
        courier(event(1))
        courier._parting = LIMIT
        await courier.aclose()

    asyncio.run(go_on())
    assert heard == [event(1)]


def test_a_delivery_of_another_loop_is_not_waited_for() -> None:
    """Nor is one of a loop that stands still: what it waits for may never come."""
    held = Slow()
    courier = Courier(held, parting=1e9)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        courier(event(0))
        await held.begun.wait()

    async def close() -> None:
        with anyio.fail_after(LIMIT):
            await courier.flush()
            await courier.aclose()

    async def finish() -> None:
        held.go_on.set()
        await courier.flush()

    try:
        loop.run_until_complete(begin())
        asyncio.run(close())
        loop.run_until_complete(finish())
    finally:
        loop.close()
    assert held.heard == [event(0)]


# What is logged.


def test_the_bounds_of_the_module_are_what_the_documentation_says() -> None:
    """The page on observers quotes these."""
    assert (module._PATIENCE, module._STRIKES, module._OUTRAGE) == (0.02, 3, 1.0)
    assert (module._WAITING, module._PARTING) == (10_000, 2.0)
    assert logging.getLogger("smspop_async.events") is module._log
