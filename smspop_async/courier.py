"""Brings events to an observer that may be slow, and keeps it from holding anybody up.

A plain function is called where the event happens, which is cheap and in order. What it may return to be awaited (an
async observer does) is awaited by a task apart, one after another. A plain function that is found to hold the event
loop is from then on called in a worker thread. Either way the run goes on: what waits is bounded, and what is
beyond the bound is counted and left out.

A function that is called in a thread can no longer touch what belongs to the loop, so that is not decided on a single
hiccup of the machine: it takes three calls in a row that were slow, or one that was very slow.

What is awaited, or called in a thread, finds the context variables of the moment in which the event happened. It is
awaited in a task of its own, so that an observer that cancels "the current task" cancels itself and nothing else.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from inspect import isawaitable, iscoroutine
from typing import Final, cast

import anyio
import anyio.to_thread
from attrs import field, frozen

from smspop_async.cancellation import is_own
from smspop_async.events import Event, Observer, RunFinished, RunStarted, RunStopped, complain

_log = logging.getLogger("smspop_async.events")

_PATIENCE: Final = 0.02
"""Seconds that a plain observer may hold the loop."""
_STRIKES: Final = 3
"""How often in a row it may do so."""
_OUTRAGE: Final = 1.0
"""Seconds that it may not hold the loop even once."""
_WAITING: Final = 10_000
"""Events that may wait; those of whole runs, which are few and which somebody may be waiting for, twice that."""
_PARTING: Final = 2.0
"""Seconds that are waited for an observer at the end of a run or of a client."""
_OF_RUNS: Final = (RunStarted, RunStopped, RunFinished)


@frozen(kw_only=True, eq=False)
class _Letter:
    """An event that an observer has yet to hear, or what it returned on it and what is yet to be awaited."""

    event: Event
    answer: Awaitable[object] | None = None
    context: Context = field(factory=copy_context)


class Courier:
    """One observer, and what it has yet to hear. Call it with an event; it never raises.

    Args:
        observer: As the user gave it.
        clock: Seconds from any beginning, never going back.
        parting: Seconds that are waited for the observer at the end of a run or of a client.
    """

    def __init__(
        self,
        observer: Observer,
        *,
        clock: Callable[[], float] = time.perf_counter,
        parting: float = _PARTING,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._parting = parting
        self._strikes = 0
        self._apart = False
        self._complaints: set[str] = set()
        self._waiting: deque[_Letter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._delivered = 0
        self._given_up_at = -1
        self.left_out: int = 0
        """Events that the observer did not hear, because it was too slow."""

    def __call__(self, event: Event) -> None:
        """Tell the observer, now or in its turn."""
        if self._apart:
            self._queue(_Letter(event=event))
            return
        since = self._clock()
        try:
            answer = self._observer(event)
        # Nobody can be cancelled in a call that does not wait: a CancelledError is one that the observer came by.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - an observer must not hurt the run
            complain(error, event, self._complaints)
        else:
            if isawaitable(answer):
                self._queue(_Letter(event=event, answer=cast("Awaitable[object]", answer)))
        self._judge(self._clock() - since)

    def _judge(self, held: float) -> None:
        self._strikes = self._strikes + 1 if held > _PATIENCE else 0
        if self._strikes >= _STRIKES or held > _OUTRAGE:
            self._apart = True
            _log.warning(
                "The on_event observer held the event loop for %.0f ms: it is called in a thread from now on",
                held * 1e3,
            )

    def _queue(self, letter: _Letter) -> None:
        room = 2 * _WAITING if isinstance(letter.event, _OF_RUNS) else _WAITING
        self._waiting.append(letter)
        if len(self._waiting) > room or not self._set_out():
            self._leave_out(self._waiting.pop())

    def _set_out(self) -> bool:
        """Have a task deliver what waits; False where no loop runs that it could be a task of."""
        if self._task is not None and not self._task.done() and not self._task.get_loop().is_closed():
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._task = loop.create_task(self._deliver())
        return True

    def _leave_out(self, letter: _Letter) -> None:
        if iscoroutine(letter.answer):
            letter.answer.close()
        self.left_out += 1
        if self.left_out == 1:
            _log.warning("The on_event observer is too slow: events are left out")

    def _let_go(self) -> None:
        while self._waiting:
            self._leave_out(self._waiting.popleft())

    async def _deliver(self) -> None:
        while self._waiting:
            letter = self._waiting.popleft()
            try:
                await self._hand_over(letter)
            except (Exception, asyncio.CancelledError) as error:
                if is_own(error):
                    self._let_go()  # the loop is being shut down, or `aclose` has waited long enough
                    raise
                complain(error, letter.event, self._complaints)
            self._delivered += 1

    async def _hand_over(self, letter: _Letter) -> None:
        def call() -> object:
            return letter.context.run(self._observer, letter.event)

        answer: object = letter.answer
        if answer is None:
            answer = await anyio.to_thread.run_sync(call)
        if iscoroutine(answer):
            answer = asyncio.get_running_loop().create_task(answer, context=letter.context)
        if isawaitable(answer):
            await answer

    @property
    def _is_behind(self) -> bool:
        """Whether there is something to wait for in the loop that runs now."""
        task = self._task
        if task is None or (task.done() and not self._waiting):
            return False
        return task.get_loop() is asyncio.get_running_loop()

    async def flush(self) -> None:
        """Wait a little until the observer has heard what waits.

        An observer that hangs is waited for once: until it has moved on, the ends of other runs are not held up by it.
        """
        if self._given_up_at == self._delivered:
            return
        with anyio.move_on_after(self._parting):
            while self._is_behind and self._set_out() and self._task is not None:
                await asyncio.wait([self._task])
        if self._is_behind:
            self._given_up_at = self._delivered

    async def aclose(self) -> None:
        """Wait a little, and then let go of what the observer has not heard."""
        await self.flush()
        self._let_go()
        task = self._task
        if task is not None and self._is_behind:
            task.cancel()
            await asyncio.wait([task], timeout=self._parting)  # it may refuse to be cancelled
        if self.left_out:
            _log.warning("The on_event observer was too slow to hear %d events", self.left_out)
            self.left_out = 0


async def flush(observer: Observer | None) -> None:
    """Wait a little until an observer has heard what waits for it."""
    if isinstance(observer, Courier):
        await observer.flush()


async def close(observer: Observer | None) -> None:
    """End the telling of an observer."""
    if isinstance(observer, Courier):
        await observer.aclose()
