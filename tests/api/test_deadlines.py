"""One timer for the time limits of all requests: by a clock of the tests' own, and on real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import aiohttp
import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.calling import (
    MESSAGE,
    NUMBERS,
    TOKEN,
    any_loop,
    assert_says,
    calling,
    create,
    every_way,
    failure_of,
    submit,
)
from rawserver import Peer, RawServer, Request, answer_all, fake_numbers, good_reply, raw_server, sent_numbers
from smspop_async import APITimeoutError, CampaignResult, Delivery, SmsPop, SmsPopError, Timeouts
from smspop_async.api import transport as transporting
from smspop_async.api.deadlines import SILENCE, TOTAL, Deadline, Deadlines
from smspop_async.api.reply import NoReplyError
from smspop_async.api.sendflag import Connections, FlaggedPayload, Outgoing, SendFlag
from smspop_async.api.submit import Attempt

pytestmark = pytest.mark.anyio


class FakeTimer:
    def __init__(self, when: float, look: Callable[[], None]) -> None:
        self._when, self.look, self.cancelled = when, look, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """A clock that is moved by hand, and timers that fire on the way."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[FakeTimer] = []
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def is_closed(self) -> bool:
        return False

    def call_at(self, when: float, look: Callable[[], None]) -> FakeTimer:
        assert when < inf
        self.timers.append(FakeTimer(when, look))
        return self.timers[-1]

    def call_soon(self, act: Callable[[], None]) -> None:
        self.soon.append(act)

    def turn(self, turns: int = 5) -> None:
        """Let the loop turn, and nothing else happen."""
        for _ in range(turns):
            acts, self.soon = self.soon, []
            for act in acts:
                act()

    @property
    def armed(self) -> list[float]:
        """When which timers will fire."""
        return [timer.when() for timer in self.timers if not timer.cancelled]

    def run_to(self, moment: float) -> None:
        """Let the time pass, a timer after another."""
        while self.armed and min(self.armed) <= moment:
            timer = next(t for t in self.timers if not t.cancelled and t.when() == min(self.armed))
            timer.cancelled = True
            self.now = max(self.now, timer.when())
            timer.look()
            self.turn()
            assert len(self.armed) <= 1
        self.now = max(self.now, moment)


class FakeTransport:
    def __init__(self) -> None:
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


class Watch:
    """The watch over requests on a loop of the test's own; times count from its beginning."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.deadlines = Deadlines(self.loop)  # type: ignore[arg-type]

    def begin(self, *, read: float | None = None, total: float | None = None) -> Deadline:
        return self.deadlines.begin(Timeouts(connect=None, read=read, total=total))

    def request(
        self, *, read: float | None = None, total: float | None = None
    ) -> tuple[Deadline, FakeTransport]:
        deadline, transport = self.begin(read=read, total=total), FakeTransport()
        assert deadline.arm(transport)
        return deadline, transport

    def pass_to(self, moment: float) -> None:
        self.loop.run_to(1_000 + moment)

    @property
    def armed(self) -> list[float]:
        return [when - 1_000 for when in self.loop.armed]


# By a clock of our own.


def test_timer_is_set_to_the_earliest() -> None:
    """One timer, at the first moment at which any request can be late."""
    watch = Watch()
    watch.request(total=50)
    assert watch.armed == [50]
    watch.request(read=80, total=90)
    assert watch.armed == [50], "the later one waits for the look at the earlier"
    watch.request(read=20, total=100)
    assert watch.armed == [20], "an earlier one takes the timer forward"
    assert len(watch.loop.timers) == 2


def test_silence_is_counted_from_what_was_heard_last() -> None:
    """A request that heard something is looked at again later, and is late that long after its last word."""
    watch = Watch()
    deadline, transport = watch.request(read=10, total=100)
    for moment in (9, 18, 27):
        watch.pass_to(moment)
        deadline.hear()
    assert (transport.aborted, deadline.expired) == (0, "")
    watch.pass_to(36.9)
    assert transport.aborted == 0
    watch.pass_to(37)
    assert (transport.aborted, deadline.expired) == (1, SILENCE)


def test_silence_is_counted_from_the_write() -> None:
    """The time before the write, in which a connection was made, counts for the total and is no silence."""
    watch = Watch()
    deadline, transport = watch.begin(read=10, total=30), FakeTransport()
    watch.pass_to(15)
    assert deadline.arm(transport)
    watch.pass_to(24)
    assert transport.aborted == 0
    deadline.hear()
    watch.pass_to(29.9)
    assert transport.aborted == 0
    watch.pass_to(30)
    assert (transport.aborted, deadline.expired) == (1, TOTAL)


@pytest.mark.parametrize(
    ("read", "total", "words"),
    [(10, 20, SILENCE), (20, 10, TOTAL), (10, 10, TOTAL), (10, None, SILENCE), (None, 10, TOTAL)],
)
def test_words_say_which_limit_passed(read: float | None, total: float | None, words: str) -> None:
    """The limit that passed is named; the total wins where both did."""
    watch = Watch()
    deadline, transport = watch.request(read=read, total=total)
    watch.pass_to(9.9)
    assert (transport.aborted, deadline.expired) == (0, "")
    watch.pass_to(10)
    assert (transport.aborted, deadline.expired) == (1, words)


def test_total_is_named_where_the_look_came_late() -> None:
    """A loop that stood still until both limits passed tells of the total one."""
    watch = Watch()
    deadline, transport = watch.request(read=10, total=20)
    watch.loop.now += 60
    watch.loop.timers[0].look()
    watch.loop.turn()
    assert (transport.aborted, deadline.expired) == (1, TOTAL)


def test_what_is_heard_between_the_look_and_the_act_counts() -> None:
    """A loop that stood still gets to read what had come meanwhile, and nobody is late who was not left in silence."""
    watch = Watch()
    heard, first = watch.request(read=10)
    ended, second = watch.request(read=10)
    silent, third = watch.request(read=10)
    watch.loop.now += 60
    watch.loop.timers[0].cancel()
    watch.loop.timers[0].look()
    heard.hear()
    ended.end()
    watch.loop.turn()
    assert (first.aborted, second.aborted, third.aborted) == (0, 0, 1)
    assert (heard.expired, ended.expired, silent.expired) == ("", "", SILENCE)
    assert watch.armed == [70]


def test_closing_between_the_look_and_the_act_aborts_once() -> None:
    """Closing is closing, whatever was about to be done."""
    watch = Watch()
    _, transport = watch.request(read=10)
    watch.loop.now += 60
    watch.loop.timers[0].cancel()
    watch.loop.timers[0].look()
    watch.deadlines.close()
    watch.loop.turn()
    assert transport.aborted == 1
    assert watch.armed == []


def test_connection_is_watched_for_the_latest_request_on_it() -> None:
    """The limit of a request that has not ended yet does not abort the next one on the same connection."""
    watch = Watch()
    first, transport = watch.request(read=10)
    second = watch.begin(read=40)
    watch.pass_to(5)
    assert second.arm(transport)
    watch.pass_to(20)
    assert transport.aborted == 0
    first.end()
    watch.pass_to(44.9)
    assert transport.aborted == 0
    watch.pass_to(45)
    assert (transport.aborted, first.expired, second.expired) == (1, "", SILENCE)


def test_hearing_does_not_stretch_the_total() -> None:
    """A request that is spoken to without end is over when its time is."""
    watch = Watch()
    deadline, transport = watch.request(read=2, total=20)
    for moment in range(1, 20):
        watch.pass_to(moment)
        deadline.hear()
    assert transport.aborted == 0
    watch.pass_to(20)
    assert (transport.aborted, deadline.expired) == (1, TOTAL)


def test_late_request_is_aborted_once() -> None:
    """Once is enough, whatever is heard afterwards, and the words stay."""
    watch = Watch()
    deadline, transport = watch.request(read=10, total=20)
    _, other = watch.request(total=200)
    watch.pass_to(10)
    deadline.hear()
    watch.pass_to(100)
    assert (transport.aborted, deadline.expired) == (1, SILENCE)
    assert other.aborted == 0
    assert watch.armed == [200], "and nobody looks for it any more"
    deadline.end()
    watch.pass_to(200)
    assert (transport.aborted, other.aborted) == (1, 1)


def test_request_that_ended_is_forgotten() -> None:
    """Nothing is aborted under a request that is over; the timer finds nobody and goes."""
    watch = Watch()
    deadline, transport = watch.request(read=10)
    deadline.end()
    deadline.end()
    assert watch.armed == [10]
    watch.pass_to(1_000)
    assert (transport.aborted, deadline.expired) == (0, "")
    assert watch.armed == []
    watch.request(read=5)
    assert watch.armed == [1_005]


def test_request_that_never_wrote_is_none_to_watch() -> None:
    """Before the write there is nothing to abort, and ending it is harmless."""
    watch = Watch()
    watch.begin(read=1, total=1).end()
    watch.begin(read=1, total=1)
    assert watch.loop.timers == []


def test_closing_takes_the_timer_down() -> None:
    """A closed watch leaves nothing on the loop, and no request without a watch; closing twice is harmless."""
    watch = Watch()
    deadline, transport = watch.request(read=10)
    ended, other = watch.request(read=10)
    ended.end()
    watch.deadlines.close()
    assert watch.armed == []
    watch.deadlines.close()
    watch.pass_to(100)
    assert (transport.aborted, other.aborted) == (1, 0)
    assert not deadline.expired
    deadline.end()
    assert not watch.begin(read=10).arm(FakeTransport())
    Watch().deadlines.close()


@pytest.mark.parametrize("passed", [20, 20.1, 1_000])
def test_request_that_is_late_already_may_not_write(passed: float) -> None:
    """A total that passed before the write refuses it, says so, and has nothing to watch."""
    watch = Watch()
    deadline, transport = watch.begin(read=10, total=20), FakeTransport()
    watch.pass_to(passed)
    assert not deadline.arm(transport)
    assert deadline.expired == TOTAL
    assert watch.loop.timers == []
    watch.pass_to(5_000)
    assert transport.aborted == 0
    in_time = watch.begin(read=10, total=20)
    watch.pass_to(5_019.9)
    assert in_time.arm(FakeTransport())


def test_no_limits_need_no_timer() -> None:
    """Without limits nobody looks; one with a limit among them is watched alone."""
    watch = Watch()
    deadline, transport = watch.request()
    assert deadline.due == inf
    assert watch.loop.timers == []
    _, limited = watch.request(read=5)
    watch.pass_to(10**6)
    assert (transport.aborted, limited.aborted) == (0, 1)
    assert watch.armed == []


def test_a_thousand_quick_requests_need_one_timer() -> None:
    """A request that is answered in time costs the loop nothing, one after another or all at once."""
    watch = Watch()
    for count in range(1_000):
        deadline, _ = watch.request(read=140, total=150)
        watch.pass_to(count * 0.01)
        deadline.hear()
        deadline.end()
    assert len(watch.loop.timers) == 1
    requests = [watch.request(read=140, total=150) for _ in range(1_000)]
    for deadline, _ in requests:
        deadline.hear()
        deadline.end()
    assert len(watch.loop.timers) == 1
    watch.pass_to(10_000)
    assert len(watch.loop.timers) <= 2
    assert watch.armed == []


def test_looks_are_few_in_a_long_run() -> None:
    """Requests of ten seconds for an hour under a limit of 140: a look a limit, not one a request."""
    watch = Watch()
    for start in range(0, 3_600, 10):
        deadline, transport = watch.request(read=140, total=150)
        watch.pass_to(start + 10)
        deadline.hear()
        deadline.end()
        assert transport.aborted == 0
    assert len(watch.loop.timers) <= 3_600 / 130 + 2


moments = st.lists(st.integers(1, 60), max_size=6)
limits = st.none() | st.integers(1, 40)


@given(
    plans=st.lists(
        st.tuples(st.integers(0, 40), limits, limits, moments, st.none() | st.integers(0, 60)), max_size=8
    )
)
def test_every_request_is_late_when_its_own_limits_say(plans: list[tuple[Any, ...]]) -> None:
    """Among any others, a request is aborted at its very moment, unless it ended before."""
    watch, ends, lates = Watch(), {}, {}
    deadlines: dict[int, tuple[Deadline, FakeTransport]] = {}
    acts: list[tuple[int, int, str]] = []
    for at, (start, _, _, heard, end) in enumerate(plans):
        acts.append((start, at, "begin"))
        acts += [(start + gap, at, "hear") for gap in heard]
        if end is not None:
            acts.append((start + end, at, "end"))
    for moment, at, act in sorted(acts, key=lambda act: (act[0], act[1], "beginhearend".index(act[2]))):
        watch.pass_to(moment)
        if act == "begin":
            deadlines[at] = watch.request(read=plans[at][1], total=plans[at][2])
        elif act == "hear":
            deadlines[at][0].hear()
        else:
            deadlines[at][0].end()
            ends[at] = moment
    watch.pass_to(500)
    for at, (start, read, total, heard, _) in enumerate(plans):
        lates[at] = model_of(start, read, total, [start + gap for gap in heard])
        late = lates[at] < ends.get(at, 500) or (lates[at] == ends.get(at) and lates[at] < 500)
        assert deadlines[at][1].aborted == late
        if late:
            until = inf if total is None else start + total
            assert deadlines[at][0].expired == (TOTAL if lates[at] >= until else SILENCE)
    assert watch.armed == []


def model_of(start: int, read: int | None, total: int | None, heard: list[int]) -> float:
    """When a request is late, told in the plainest words: a look comes before what is heard at the same moment."""
    last: float = start
    for moment in sorted(heard):
        if read is not None and moment >= last + read:
            break
        last = moment
    return min(last + (inf if read is None else read), inf if total is None else start + total)


# On real sockets. Silence before and in a reply, and a trickle of known length, are played in test_table_no_reply.py.


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = good_reply(NUMBERS).encode()
SOON = 0.08
"""Seconds: a limit that is meant to pass."""


async def stand_still(peer: Peer) -> None:
    """Wait until the other side is gone."""
    await peer.reader.read()


@any_loop
@every_way
@pytest.mark.parametrize("sent", ["nothing", "some", "all"])
async def test_body_that_ends_with_its_connection_does_not_end_with_our_abort(
    sent: str, reused: bool, owned: bool
) -> None:
    """A reply of no stated length ends when the server closes; cut off by us it is none, however whole it looks."""

    async def script(peer: Peer, request: Request) -> None:
        if len(server.posts) <= reused:
            await answer_all(peer, request)
            return
        body = {"nothing": b"", "some": GOOD[:60], "all": GOOD}[sent]
        await peer.send(HEAD + b"Connection: close\r\n\r\n" + body)
        await stand_still(peer)

    async with raw_server(script) as server:
        async with calling(server.base_url, owned=owned, timeout=None) as sms:
            if reused:
                await create(sms)
            limited = sms.with_options(timeout=Timeouts(connect=None, read=SOON, total=None))
            error = await failure_of(create(limited))
            assert_says(error, APITimeoutError, Delivery.UNKNOWN)
            assert str(error).startswith("The server stayed silent for too long.")
            await server.drained()
        assert len(server.posts) == reused + 1


@any_loop
async def test_body_that_ends_with_its_connection_is_read() -> None:
    """Closed by the server within the limits, such a reply is whole."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(HEAD + b"\r\n" + GOOD)
        peer.close()

    async with raw_server(script) as server, calling(server.base_url) as sms:
        assert (await create(sms)).summary.sent == len(NUMBERS)


@any_loop
@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
@pytest.mark.parametrize("framing", ["close-delimited", "chunked", "head"])
async def test_drip_ends_with_the_total_limit(framing: str, owned: bool) -> None:
    """A server that says a little now and then for ever outlives the silence, not the total."""

    async def script(peer: Peer, request: Request) -> None:
        begin, drop = {
            "close-delimited": (HEAD + b"\r\n", b" "),
            "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
            "head": (HEAD, b"X-Drop: 1\r\n"),
        }[framing]
        await peer.send(begin)
        while not peer.reader.at_eof():
            await peer.send(drop)
            await anyio.sleep(0.01)

    limits = Timeouts(connect=None, read=5, total=0.12)
    async with raw_server(script) as server, calling(server.base_url, owned=owned, timeout=limits) as sms:
        error = await failure_of(create(sms))
        assert_says(error, APITimeoutError, Delivery.UNKNOWN)
        assert str(error).startswith("The time limit of the request passed.")
        await server.drained()
        assert len(server.posts) == 1


@any_loop
@pytest.mark.parametrize("part", ["head", "body"])
async def test_slow_reply_is_no_silent_one(part: str) -> None:
    """A server that speaks within the limit each time is heard, though it takes longer than the limit in all.

    What it says first is the head: that, too, is an end of the silence.
    """
    cut = {"head": 0, "body": len(GOOD) // 2}[part]
    first, second = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer, request: Request) -> None:
        if len(server.posts) == 1:
            await answer_all(peer, request)
            return
        await first.wait()
        await peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:cut])
        await second.wait()
        await peer.send(GOOD[cut:])

    limits = Timeouts(connect=None, read=10, total=None)
    async with raw_server(script) as server, calling(server.base_url, timeout=limits) as sms:
        await create(sms)
        watch = Watch()
        sms.submitter.transport._deadlines = watch.deadlines
        server.arrived.clear()
        call = asyncio.ensure_future(create(sms))
        try:
            await server.arrived.wait()
            (deadline,) = watch.deadlines.watched.values()
            watch.pass_to(8)
            first.set()
            with anyio.fail_after(2):
                while deadline.due < 1_018:  # noqa: ASYNC110 - nobody tells what the client has read
                    await asyncio.sleep(0.001)
            watch.pass_to(16)
            second.set()
            assert (await call).summary.sent == len(NUMBERS)
        finally:
            call.cancel()


@any_loop
@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
@pytest.mark.parametrize("limit", ["read", "total"])
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_server_that_never_reads_a_large_campaign(limit: str, owned: bool) -> None:
    """A body larger than all buffers that nobody reads is given up in time, and may have been received."""
    accepted: list[Peer] = []
    released = asyncio.Event()

    async def unread(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # the kernel's buffers fill, and nobody empties them
        accepted.append(peer)
        await released.wait()

    limits = Timeouts(connect=None, **{"read": None, "total": None, limit: 0.15})
    async with raw_server(answer_all, greeting=unread) as server:
        async with calling(server.base_url, owned=owned, timeout=limits) as sms:
            transport = sms.submitter.transport
            outgoing = transport.outgoing(b"x" * 32 * 2**20)
            with pytest.raises(NoReplyError) as caught:
                await transport.post(sms.submitter.url, outgoing, await sms.submitter.headers(), limits)
            assert caught.value.timeout
            assert caught.value.words == {"read": SILENCE, "total": TOTAL}[limit]
            assert outgoing.flag is SendFlag.UP
            assert transport._deadlines is not None
            assert not transport._deadlines.watched
        released.set()
        assert len(accepted) == 1
        assert server.posts == []


@any_loop
@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
async def test_one_late_request_among_many_is_ended_alone(owned: bool) -> None:
    """Of twelve campaigns at once one is never answered: the others come through, and so do those after them."""
    numbers = fake_numbers(12)
    late = numbers[5]
    answered = 0
    rest = asyncio.Event()

    async def script(peer: Peer, request: Request) -> None:
        nonlocal answered
        if sent_numbers(request) == [late]:
            rest.set()
            await stand_still(peer)
            return
        await rest.wait()
        await answer_all(peer, request)
        answered += 1

    outcomes: dict[str, object] = {}

    async def post(sms: SmsPop, number: str) -> None:
        try:
            outcomes[number] = (await create(sms, [number])).summary.sent
        except APITimeoutError as error:
            outcomes[number] = error

    limits = Timeouts(connect=None, read=0.2, total=None)
    async with raw_server(script) as server:
        async with calling(server.base_url, owned=owned, timeout=limits, max_connections=12) as sms:
            for _ in range(2):
                outcomes.clear()
                async with anyio.create_task_group() as tasks:
                    for number in numbers:
                        tasks.start_soon(post, sms, number)
                error = outcomes.pop(late)
                assert_says(error, APITimeoutError, Delivery.UNKNOWN)
                assert outcomes == dict.fromkeys([number for number in numbers if number != late], 1)
            assert answered == 22
            assert len(server.posts) == 24, "and none of them was posted twice"
            await post(sms, numbers[0])
            assert outcomes[numbers[0]] == 1
            assert not sms.submitter.transport.distrusts_pool, "a late server is no stale connection"


async def test_many_campaigns_on_real_sockets_set_few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred campaigns in time: a timer is no more than set once, and not once a campaign.

    The one that gives kept connections back is set when the one before it is over, 20 milliseconds later.
    """
    async with raw_server(answer_all) as server, calling(server.base_url, timeout=30) as sms:
        await create(sms)
        loop = asyncio.get_running_loop()
        call_at, asked = loop.call_at, []

        def counting(when: float, callback: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            asked.append(callback)
            return call_at(when, callback, *args, **kwargs)

        monkeypatch.setattr(loop, "call_at", counting)
        since = loop.time()
        for _ in range(200):
            await create(sms)
        took = loop.time() - since
        monkeypatch.undo()
    exchange = sms.submitter.transport._exchange
    assert exchange is not None
    giving_back = asked.count(exchange.let_go)
    assert giving_back <= took / 0.02 + 1
    assert len(asked) - giving_back <= 5, (
        "the keep-alive of aiohttp's pool may set some of its own, now and then"
    )


async def test_closed_client_leaves_no_timer() -> None:
    """Closing takes the timer down, so that a loop does not hold on to the client for minutes."""
    async with raw_server(answer_all) as server:
        async with calling(server.base_url) as sms:
            await create(sms)
            deadlines = sms.submitter.transport._deadlines
            assert deadlines is not None
            timer = deadlines._timer
            assert timer is not None
        assert timer.cancelled()
        assert deadlines._timer is None


def test_closing_from_another_thread_leaves_the_timer_to_its_loop() -> None:
    """Timers, like sockets, may be touched by their own loop alone: uvloop's are not made for other threads."""
    touched: list[int] = []

    async def main() -> None:
        async with raw_server(answer_all) as server:
            sms = SmsPop(token=TOKEN, base_url=server.base_url)
            await create(sms)
            deadlines = sms.submitter.transport._deadlines
            assert deadlines is not None
            close = deadlines.close

            def closing() -> None:
                touched.append(threading.get_ident())
                close()

            deadlines.close = closing  # type: ignore[method-assign]
            await asyncio.to_thread(asyncio.run, sms.aclose())
            for _ in range(3):
                await asyncio.sleep(0)  # what was handed to this loop is done now
            assert deadlines._timer is None
            assert sms.submitter.transport._closing is not None
            await sms.submitter.transport._closing

    asyncio.run(main())
    assert touched == [threading.get_ident()]


@asynccontextmanager
async def traced(server: RawServer, trace: aiohttp.TraceConfig) -> AsyncIterator[SmsPop]:
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with SmsPop(token=TOKEN, base_url=server.base_url, session=session) as sms:
            yield sms


async def test_late_request_does_not_end_the_next_one_on_its_connection() -> None:
    """Once a reply is whole its connection may carry another campaign, which the first one's limit is not to end.

    The first is held up, with its reply in hand, by a trace of the lender that takes its time.
    """
    held, first_heard, second_arrived, second_may = (asyncio.Event() for _ in range(4))

    async def hold(*_: object) -> None:
        if not first_heard.is_set():
            first_heard.set()
            await held.wait()

    async def script(peer: Peer, request: Request) -> None:
        if len(server.posts) == 2:
            second_arrived.set()
            await second_may.wait()
        await answer_all(peer, request)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(hold)
    results: dict[str, object] = {}

    async def post(sms: SmsPop, name: str) -> None:
        try:
            results[name] = await sms.campaigns.create(
                name=name, message=MESSAGE, sender_id="DEMO", contacts=NUMBERS
            )
        except SmsPopError as error:
            results[name] = error

    async with raw_server(script) as server, traced(server, trace) as sms:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                post, sms.with_options(timeout=Timeouts(connect=None, read=SOON, total=None)), "1"
            )
            await first_heard.wait()
            tasks.start_soon(post, sms.with_options(timeout=None), "2")
            await second_arrived.wait()
            assert server.connections == 1, "the second travels on the connection of the first"
            await anyio.sleep(2 * SOON)  # the limit of the first passes
            second_may.set()
            held.set()
    assert isinstance(results["2"], CampaignResult)


@any_loop
async def test_reply_that_came_while_the_loop_stood_still_is_not_thrown_away() -> None:
    """A loop that is blocked for longer than the limit, and then finds the whole reply, was not left in silence."""
    arrived = threading.Event()
    body = GOOD

    def serve(listener: Any) -> None:
        connection, _ = listener.accept()
        with connection:
            for _ in range(2):
                raw = b""
                while not raw.endswith(b'"}'):
                    raw += connection.recv(2**16)
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                arrived.set()
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        limits = Timeouts(connect=None, read=SOON, total=None)
        async with calling(url, timeout=limits) as sms:
            await create(sms)
            arrived.clear()
            second = asyncio.ensure_future(create(sms))
            transport = sms.submitter.transport
            assert transport._deadlines is not None
            while not transport._deadlines.watched:  # noqa: ASYNC110 - nobody tells of the write
                await asyncio.sleep(0)
            assert arrived.wait(10)  # blocks the loop on purpose
            time.sleep(2 * SOON)  # noqa: ASYNC251 - the same
            assert (await second).summary.sent == len(NUMBERS)
        server.join()


class _Open:
    """A transport that looks healthy."""

    should_close = False

    def __init__(self) -> None:
        self.aborted = 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def abort(self) -> None:
        self.aborted += 1


class _Writer:
    def __init__(self) -> None:
        self.protocol = self.transport = _Open()
        self.written: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.written.append(data)


async def test_payload_whose_time_is_over_does_not_write() -> None:
    """A request that is late before its write keeps the flag down: not one byte is handed over."""
    watch, writer = Watch(), _Writer()
    outgoing = Outgoing(b"{}", Connections())
    outgoing.deadline = watch.begin(total=5)
    watch.pass_to(5)
    with pytest.raises(ConnectionResetError):
        await FlaggedPayload(outgoing).write(writer)  # type: ignore[arg-type]
    assert outgoing.flag is SendFlag.DOWN
    assert writer.written == []
    assert outgoing.deadline.expired == TOTAL


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
async def test_campaign_whose_time_is_over_before_its_write_is_not_sent(
    owned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where connecting used up the total, nothing is written, and the error says that nothing was sent."""
    begin = Deadlines.begin

    def late(self: Deadlines, limits: Timeouts) -> Deadline:
        deadline = begin(self, limits)
        deadline._until = self.now()
        return deadline

    monkeypatch.setattr(transporting.Deadlines, "begin", late)
    async with raw_server(answer_all) as server, calling(server.base_url, owned=owned) as sms:
        attempt = Attempt()
        verdict = await submit(sms, attempt)
        assert not attempt.may_have_left
        assert_says(verdict.error, APITimeoutError, Delivery.NOT_SENT)
        assert server.posts == []
