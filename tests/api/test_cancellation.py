"""Cancelling a call at any moment: the cancellation comes through, and the send flag never lies low (law 3)."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import anyio
import pytest
from attrs import evolve

from api.calling import (
    NUMBERS,
    after,
    any_loop,
    calling,
    create,
    every_way,
    failure_of,
    submit,
)
from rawserver import Peer, RawServer, Request, answer_all, raw_server
from smspop_async import Delivery, SmsPop, Timeouts
from smspop_async.api.classify import Accepted
from smspop_async.api.submit import Attempt

pytestmark = pytest.mark.anyio

TICKS = range(48)


async def after_ticks(ticks: int, act: Callable[[], object]) -> None:
    """Do `act` after so many rounds of the event loop."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tick(left: int) -> None:
        if left:
            loop.call_soon(tick, left - 1)
            return
        act()
        done.set()

    tick(ticks)
    await done.wait()


async def hold(peer: Peer, request: Request) -> None:
    """Never answer."""
    await peer.reader.read()


async def cut(sms: SmsPop, ticks: int) -> bool:
    """Cancel a submission after so many ticks, and return whether its flag is up."""
    attempt = Attempt()
    call = asyncio.create_task(submit(sms, attempt))
    await after_ticks(ticks, call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call
    return attempt.may_have_left


async def arrived(server: RawServer, *, reused: bool) -> bool:
    """Whether the campaign arrived, known once every connection has been read to its end."""
    await server.drained()
    return len(server.posts) > reused


@any_loop
@every_way
async def test_flag_is_up_whenever_a_cancelled_campaign_arrived(reused: bool, owned: bool) -> None:
    """Cancelled at each of 48 ticks: never has the server a campaign of which the flag denies the leaving."""
    outcomes = []
    for ticks in TICKS:
        async with raw_server(after(reused, hold)) as server:
            async with calling(server.base_url, owned=owned) as sms:
                if reused:
                    await create(sms)
                up = await cut(sms, ticks)
            outcomes.append((up, await arrived(server, reused=reused)))
    assert (False, True) not in outcomes
    assert (False, False) in outcomes, "the first ticks come before the write"
    assert (True, True) in outcomes, "the last ticks come after it"


@any_loop
async def test_flag_is_up_whenever_a_cancelled_campaign_arrived_over_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """The same over TLS, on a connection that carried a reply."""
    outcomes = []
    for ticks in TICKS:
        async with raw_server(after(1, hold), server_tls) as server:
            async with calling(f"https://127.0.0.1:{server.port}/api", ssl=client_tls) as sms:
                await create(sms)
                up = await cut(sms, ticks)
            outcomes.append((up, await arrived(server, reused=True)))
    assert (False, True) not in outcomes
    assert (False, False) in outcomes
    assert (True, True) in outcomes


@any_loop
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_anyio_scope_cancels_at_any_tick(reused: bool) -> None:
    """A cancel scope ends the call at once, swallows nothing, and the flag tells the same truth."""
    outcomes = []
    for ticks in TICKS:
        async with raw_server(after(reused, hold)) as server:
            async with calling(server.base_url) as sms:
                if reused:
                    await create(sms)
                attempt = Attempt()
                async with anyio.create_task_group() as tasks:
                    with anyio.CancelScope() as scope:
                        tasks.start_soon(after_ticks, ticks, scope.cancel)
                        await submit(sms, attempt)
                    assert scope.cancelled_caught
            outcomes.append((attempt.may_have_left, await arrived(server, reused=reused)))
    assert (False, True) not in outcomes
    assert (True, True) in outcomes


async def with_move_on_after(call: Awaitable[object]) -> None:
    with anyio.move_on_after(0.05) as scope:
        await call
    assert scope.cancelled_caught


async def with_asyncio_timeout(call: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call


async def with_wait_for(call: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.05)


@any_loop
@pytest.mark.parametrize("limit", [with_move_on_after, with_asyncio_timeout, with_wait_for])
async def test_limits_of_the_caller_come_through(
    limit: Callable[[Awaitable[object]], Awaitable[None]],
) -> None:
    """A caller's own time limit is the caller's: the SDK neither swallows nor translates it."""
    async with raw_server(hold) as server, calling(server.base_url) as sms:
        attempt = Attempt()
        await limit(submit(sms, attempt))
        assert attempt.may_have_left
        assert len(server.posts) == 1


async def test_cancelled_call_frees_its_slot() -> None:
    """A client with one connection works on after a cancelled call."""
    async with raw_server(after(0, hold)) as server:
        async with calling(server.base_url, max_connections=1) as sms:
            await with_move_on_after(create(sms))
            server.script = answer_all
            assert (await create(sms)).success


async def test_cancelled_while_it_waits_for_a_connection() -> None:
    """A call that is cancelled in our own queue was never sent, and leaves the queue in order."""
    async with raw_server(hold) as server, calling(server.base_url, max_connections=1) as sms:
        first = asyncio.create_task(create(sms))
        await server.arrived.wait()
        attempt = Attempt()
        await with_move_on_after(submit(sms, attempt))
        assert not attempt.may_have_left
        assert len(server.posts) == 1
        first.cancel()
        await asyncio.wait([first])
        server.script = answer_all
        assert (await create(sms)).success


async def test_cancelled_in_the_token_provider() -> None:
    """A cancellation while the token is fetched is re-raised, with the flag down."""
    asked = asyncio.Event()

    async def provide() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with raw_server(hold) as server, calling(server.base_url, token=provide) as sms:
        attempt = Attempt()
        call = asyncio.create_task(submit(sms, attempt))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not attempt.may_have_left
        assert server.requests == []


async def too_many(peer: Peer, request: Request) -> None:
    await peer.reply(429, b"{}", "Retry-After: 60")


async def hang_up(peer: Peer, request: Request) -> None:
    peer.close()


async def test_cancelled_between_attempts_after_a_refusal() -> None:
    """Turned away by 429 and cancelled while waiting: the refusal is proven, so nothing may have left."""
    async with raw_server(too_many) as server, calling(server.base_url) as sms:
        waiting = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        sms._submitter = evolve(sms.submitter, clock=evolve(sms.submitter.clock, sleep=sleep))
        attempt = Attempt()
        call = asyncio.create_task(submit(sms, attempt))
        await waiting.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert attempt.throttled == 1
        assert not attempt.may_have_left
        assert len(server.posts) == 1


async def test_cancellation_that_meets_a_reply_is_not_lost() -> None:
    """Cancelled in the very ticks around the reply: either the result or the cancellation, never an error."""
    results = []
    for ticks in range(120):
        async with raw_server(answer_all) as server, calling(server.base_url) as sms:
            call = asyncio.create_task(submit(sms, Attempt()))
            await after_ticks(ticks, call.cancel)
            await asyncio.wait([call])
            results.append("cancelled" if call.cancelled() else type(call.result()))
    assert set(results) <= {"cancelled", Accepted}
    assert "cancelled" in results


@pytest.mark.parametrize("stage", ["connect", "read", "total"])
async def test_time_limit_at_each_stage_says_whether_it_left(stage: str) -> None:
    """Our own limits become errors whose delivery is that of the stage: before the write or after it."""
    limits = Timeouts(**({"connect": None, "read": None, "total": None} | {stage: 0.05}))

    async def greeting(peer: Peer) -> None:
        await peer.reader.read()

    if stage == "connect":
        async with raw_server(hold, greeting=greeting) as server:
            async with calling(f"https://127.0.0.1:{server.port}/api", timeout=limits) as sms:
                assert (await failure_of(create(sms))).delivery is Delivery.NOT_SENT
        return
    async with raw_server(hold) as server, calling(server.base_url, timeout=limits) as sms:
        assert (await failure_of(create(sms))).delivery is Delivery.UNKNOWN
        assert [request.body.count(NUMBERS[0].encode()) for request in server.posts] == [1]
