"""When a campaign is tried again, after how long, and who waits with it. Time and chance are held by the tests."""

import asyncio
from contextlib import suppress
from email.utils import formatdate

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve

from api.calling import NUMBERS, FakeTime, calling, create, failure_of, submit
from rawserver import Peer, Request, Script, answer_all, free_port, raw_server
from smspop_async import APIConnectionError, Delivery, RateLimitError, RetryPolicy, SmsPop
from smspop_async.api.submit import Attempt
from smspop_async.events import CampaignRetried, CampaignSettled, CampaignSubmitted

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:{port}/api"


def throttle(*headers: str) -> Script:
    async def script(peer: Peer, request: Request) -> None:
        await peer.json(429, '{"message": "Too Many Attempts."}', *headers)

    return script


def turned_away(times: int, *headers: str) -> Script:
    """429 so many times, and good replies after it."""
    left = times

    async def script(peer: Peer, request: Request) -> None:
        nonlocal left
        left -= 1
        await (throttle(*headers) if left >= 0 else answer_all)(peer, request)

    return script


@pytest.mark.parametrize(("draw", "waits"), [(0.0, [0, 0]), (0.5, [0.25, 0.5]), (1.0, [0.5, 1.0])])
async def test_unsent_is_tried_three_times_with_full_jitter(draw: float, waits: list[float]) -> None:
    """Three attempts; between them a random part of 0.5 s, then of 1 s."""
    async with calling(NOWHERE.format(port=free_port())) as sms:
        time = FakeTime(draw)
        time.rule(sms)
        error = await failure_of(create(sms))
        assert isinstance(error, APIConnectionError)
        assert time.slept == waits


async def test_jitter_never_exceeds_its_ceiling() -> None:
    """The doubling ends at ``max_backoff``."""
    policy = RetryPolicy(attempts=8, initial_backoff=1, max_backoff=5)
    async with calling(NOWHERE.format(port=free_port()), retry=policy) as sms:
        time = FakeTime(1.0)
        time.rule(sms)
        await failure_of(create(sms))
        assert time.slept == [1, 2, 4, 5, 5, 5, 5]


async def test_unsent_campaign_is_sent_once_the_server_is_there() -> None:
    """A server that comes up between the attempts gets the campaign once."""
    async with raw_server(answer_all) as server, calling(NOWHERE.format(port=free_port())) as sms:

        async def sleep(seconds: float) -> None:
            object.__setattr__(sms.submitter, "url", sms.submitter.url.with_port(server.port))

        sms._submitter = evolve(sms.submitter, clock=evolve(sms.submitter.clock, sleep=sleep))
        attempt = Attempt()
        await submit(sms, attempt)
        assert attempt.count == 2
        assert len(server.posts) == 1


async def test_one_attempt_means_one() -> None:
    """``attempts=1`` turns the retries off."""
    async with calling(NOWHERE.format(port=free_port()), retry=RetryPolicy(attempts=1)) as sms:
        time = FakeTime()
        time.rule(sms)
        await failure_of(create(sms))
        assert time.slept == []
    async with raw_server(throttle()) as server:
        async with calling(server.base_url, retry=RetryPolicy(attempts=1)) as sms:
            await failure_of(create(sms))
            assert len(server.posts) == 1


RETRY_AFTER = [
    ((), 0.25),
    (("Retry-After: 7",), 7),
    (("Retry-After: 0",), 0),
    (("Retry-After: 1.5",), 1.5),
    (("Retry-After: " + formatdate(1_030, usegmt=True),), 30),
    (("Retry-After: " + formatdate(900, usegmt=True),), 0),
    (("Retry-After: soon",), 0.25),
    (("Retry-After: -5",), 0.25),
    (("Retry-After: ",), 0.25),
    (("Retry-After: 999999999",), 120),
    (("Retry-After: " + "9" * 400,), 0.25),
    (("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",), 120),
    (("Retry-After: inf",), 0.25),
    (("Retry-After: 1e3",), 0.25),
]


@pytest.mark.parametrize(("headers", "wait"), RETRY_AFTER, ids=lambda value: str(value)[:40])
async def test_retry_after_is_waited_out(headers: tuple[str, ...], wait: float) -> None:
    """429 is tried again after ``Retry-After``: seconds or a date, capped; garbage counts as absent."""
    async with raw_server(turned_away(1, *headers)) as server, calling(server.base_url) as sms:
        time = FakeTime()
        time.rule(sms)
        assert (await create(sms)).success
        assert sum(time.slept) == pytest.approx(wait)
        assert len(server.posts) == 2


async def test_lasting_rate_limit_is_raised_after_the_attempts() -> None:
    """A 429 that stays is a refusal: REJECTED, with the seconds that the server asked for."""
    async with raw_server(throttle("Retry-After: 300")) as server, calling(server.base_url) as sms:
        time = FakeTime()
        time.rule(sms)
        error = await failure_of(create(sms))
        assert isinstance(error, RateLimitError)
        assert error.delivery is Delivery.REJECTED
        assert error.retry_after == 300
        assert len(server.posts) == 3
        assert time.slept == [120, 120]
        assert sms.submitter.gate.wait_left == 120, "who calls next waits too"


async def test_attempts_are_counted_over_both_kinds_of_failure() -> None:
    """Refusals by rate and failed connections share the attempts of one campaign."""
    async with raw_server(turned_away(1)) as server, calling(server.base_url) as sms:
        attempt = Attempt()
        await submit(sms, attempt)
        assert (attempt.count, attempt.throttled) == (2, 1)
        assert not attempt.may_have_left or attempt.reply is not None


@pytest.mark.parametrize("copied", [False, True], ids=["same-client", "copy"])
async def test_gate_is_shared(copied: bool) -> None:
    """While one campaign waits for ``Retry-After``, no other leaves, of this client or of a copy."""
    async with raw_server(turned_away(1, "Retry-After: 60")) as server, calling(server.base_url) as sms:
        time, opened = FakeTime(), asyncio.Event()
        time.rule(sms)

        async def sleep(seconds: float) -> None:
            time.slept.append(seconds)
            await opened.wait()
            time.now = 1_060.0

        sms._submitter = evolve(sms.submitter, clock=evolve(sms.submitter.clock, sleep=sleep))
        other = sms.with_options(timeout=20) if copied else sms
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(create, sms)
            while not time.slept:
                await anyio.lowlevel.checkpoint()
            for number in NUMBERS:
                tasks.start_soon(create, other, [number])
            while len(time.slept) < 4:
                await anyio.lowlevel.checkpoint()
            assert len(server.posts) == 1
            opened.set()
        assert len(server.posts) == 5


async def test_gate_that_closes_again_meanwhile_is_waited_out() -> None:
    """Whoever wakes up finds out whether the gate was closed again."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        time = FakeTime()
        time.rule(sms)
        gate = sms.submitter.gate
        gate.hold(5)
        gate.hold(2)
        assert gate.wait_left == 5

        async def sleep(seconds: float) -> None:
            if not time.slept:
                gate.hold(9)
            await time.sleep(seconds)

        sms._submitter = evolve(sms.submitter, clock=evolve(sms.submitter.clock, sleep=sleep))
        await create(sms)
        assert time.slept == [5, 4]


async def test_run_that_stops_dispatches_nothing_more() -> None:
    """An abandoned submission ends before its next attempt, and before a closed gate."""
    async with raw_server(throttle()) as server, calling(server.base_url) as sms:
        stopped = False

        def abandoned() -> bool:
            return stopped

        async def sleep(seconds: float) -> None:
            nonlocal stopped
            stopped = True

        from smspop_async.api.campaigns import prepare

        submission = await prepare(sms, name="n", message="m", sender_id="DEMO", contacts=NUMBERS)
        verdict = await sms.submitter.submit(submission, Attempt(), sleep=sleep, abandoned=abandoned)
        assert verdict.error.delivery is Delivery.NOT_SENT
        assert len(server.posts) == 1


async def test_observer_hears_of_every_request_and_every_retry() -> None:
    """Events name campaigns and counts: each request, and each retry with its wait and reason."""
    events: list[object] = []
    async with raw_server(turned_away(1, "Retry-After: 4")) as server:
        async with calling(server.base_url, on_event=events.append) as sms:
            await create(sms)
    assert events == [
        CampaignSubmitted(name="Parcels", contacts=3, server="127.0.0.1"),
        CampaignRetried(name="Parcels", attempt=1, delay=4, reason="RateLimitError"),
        CampaignSubmitted(name="Parcels", contacts=3, server="127.0.0.1"),
        CampaignSettled(name="Parcels", contacts=3, outcome="accepted", statuses={"sent": 3}),
    ]


async def test_server_that_speaks_first_is_not_stormed() -> None:
    """A fresh connection on which the server speaks costs an attempt: three connections, not one after another."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"220 mail.example ESMTP\r\n")
        with suppress(ConnectionError):  # a client that turns away with unread bytes resets the connection
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener, calling(NOWHERE.format(port=listener.sockets[0].getsockname()[1])) as sms:
        error = await failure_of(create(sms))
        assert isinstance(error, APIConnectionError)
        await sms.aclose()
        for _ in range(10):
            await asyncio.sleep(0)
    assert connections <= 3


async def test_default_clock_is_the_real_one() -> None:
    """A client that nobody tampered with waits for real, and draws below 1."""
    async with SmsPop("1|fake", base_url="http://127.0.0.1:1/api") as sms:
        clock = sms.submitter.clock
        assert 0 <= clock.draw() < 1
        assert clock.monotonic() <= clock.monotonic()
        assert clock.wall() > 1.7e9
        assert clock.sleep is anyio.sleep
