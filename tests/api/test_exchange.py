"""The short way over a connection and the layered one: which is taken, and that the wire cannot tell them apart."""

import asyncio
import functools
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector

from api.calling import NUMBERS, TOKEN, any_loop, calling, create, failure_of
from rawserver import Peer, Request, answer_all, fake_numbers, good_reply, raw_server
from smspop_async import Delivery, SmsPop, Timeouts
from smspop_async.api import exchange as exchanging
from smspop_async.api.exchange import Exchange
from smspop_async.api.reply import NoReplyError, Reply
from smspop_async.api.sendflag import SendFlag

pytestmark = pytest.mark.anyio


@contextmanager
def counting() -> Iterator[list[bytes]]:
    """Note the body of each request that takes the short way."""
    seen: list[bytes] = []
    post = Exchange.post

    async def counted(exchange: Exchange, url: Any, outgoing: Any, *args: Any) -> Reply:
        seen.append(outgoing.body)
        return await post(exchange, url, outgoing, *args)

    with patch.object(Exchange, "post", counted):
        yield seen


async def test_both_ways_write_the_same_bytes() -> None:
    """What the server reads does not depend on the way: request line, headers in their order, and body."""
    async with raw_server(answer_all) as server:
        for owned in (True, False):
            async with calling(server.base_url, owned=owned) as sms:
                await create(sms)
        async with (
            aiohttp.ClientSession() as session,
            SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
        ):
            with counting() as short:
                await create(sms)
    assert len(short) == 1
    assert len(server.posts) == 3
    assert len({request.raw for request in server.posts}) == 1
    head, body = server.posts[0].raw.split(b"\r\n\r\n", 1)
    assert head.split(b"\r\n")[0] == b"POST /api/campaigns HTTP/1.1"
    assert f"Content-Length: {len(body)}".encode() in head


def _post_replaced(call: Callable[..., Any]) -> Any:
    return patch.object(aiohttp.ClientSession, "post", call)


def _request_replaced(call: Callable[..., Any]) -> Any:
    return patch.object(aiohttp.ClientSession, "_request", call)


@pytest.mark.parametrize("replaced", [_post_replaced, _request_replaced], ids=["post", "_request"])
async def test_whoever_answers_in_the_networks_place_still_does(replaced: Callable[..., Any]) -> None:
    """A library for tests that replaces the session's methods keeps every campaign from the network."""

    async def answered(*_: Any, **__: Any) -> Any:
        raise aiohttp.ClientConnectionError

    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        await create(sms)
        with replaced(answered), counting() as short:
            error = await failure_of(create(sms))
        assert error.delivery is Delivery.NOT_SENT
        assert short == []
        assert len(server.posts) == 1
        await create(sms)  # and afterwards the short way is open again
    assert len(server.posts) == 2


async def test_a_session_of_another_class_is_not_passed_by() -> None:
    """Where the name itself was replaced while the client was opened, its stand-in gets the requests."""
    with pytest.warns(DeprecationWarning, match="Inheritance"):
        stand_in = type("StandIn", (aiohttp.ClientSession,), {})
    async with raw_server(answer_all) as server:
        with patch.object(aiohttp, "ClientSession", stand_in), counting() as short:
            async with calling(server.base_url) as sms:
                await create(sms)
    assert short == []
    assert len(server.posts) == 1


async def test_who_traces_a_borrowed_session_sees_every_request() -> None:
    """A trace is told of each campaign: the short way, on which it would hear nothing, is not taken."""
    seen: list[str] = []

    async def started(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    async with (
        raw_server(answer_all) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        with counting() as short:
            await create(sms)
    assert seen == ["POST"]
    assert short == []


async def test_a_proxy_gets_the_request() -> None:
    """Through a proxy the layered way is taken, and the proxy is asked for the whole address."""
    async with raw_server(answer_all) as proxy:
        options = {"proxy": f"http://127.0.0.1:{proxy.port}"}
        async with calling("http://localhost:9/api", **options) as sms:
            with counting() as short:
                await create(sms)
    assert short == []
    assert [request.target for request in proxy.posts] == ["http://localhost:9/api/campaigns"]


@any_loop
async def test_connections_are_used_again() -> None:
    """Campaigns one after another share a connection, and as many as go at once have one each."""
    async with raw_server(answer_all) as server, calling(server.base_url, max_connections=4) as sms:
        with counting() as short:
            for _ in range(3):
                await create(sms)
            assert server.connections == 1
            await asyncio.gather(*(create(sms, [number]) for number in fake_numbers(12)))
        assert len(short) == 15
        assert server.connections <= 4


@any_loop
async def test_an_answer_before_the_request_is_out_ends_the_connection() -> None:
    """A server that answers while the body is still written may close: what is left spoils no other campaign."""
    arrived = asyncio.Event()
    done = asyncio.Event()

    async def hasty(peer: Peer) -> None:
        if not arrived.is_set():
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.writer.transport.pause_reading()
            arrived.set()
            await peer.json(413, '{"message": "Too large."}')
            await done.wait()

    async with raw_server(answer_all, greeting=hasty) as server, calling(server.base_url) as sms:
        transport = sms.submitter.transport
        outgoing = transport.outgoing(b"x" * 32 * 2**20)
        reply = await transport.post(sms.submitter.url, outgoing, await sms.submitter.headers(), Timeouts())
        assert reply.status == 413
        assert outgoing.flag is SendFlag.UP
        await create(sms)
        done.set()
    assert server.connections == 2
    assert len(server.posts) == 1


@any_loop
@pytest.mark.parametrize("owned", [True, False], ids=["short", "layered"])
async def test_interim_replies_are_passed_over(owned: bool) -> None:
    """100 and 103 announce a reply, and are none."""

    async def interim(peer: Peer, request: Request) -> None:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await peer.json(200, good_reply(NUMBERS))

    async with raw_server(interim) as server, calling(server.base_url, owned=owned) as sms:
        for _ in range(2):
            assert (await create(sms)).summary.sent == len(NUMBERS)
        assert server.connections == 1


async def test_a_closed_lender_is_not_sent_with() -> None:
    """A connector that went away meanwhile is told as NOT_SENT."""
    async with raw_server(answer_all) as server:
        session = aiohttp.ClientSession()
        async with SmsPop(TOKEN, base_url=server.base_url, session=session) as sms:
            await create(sms)
            await session.close()
            assert (await failure_of(create(sms))).delivery is Delivery.NOT_SENT
    assert len(server.posts) == 1


async def test_no_header_is_smuggled_in() -> None:
    """A line break in a header is refused with the flag down, on either way."""
    async with raw_server(answer_all) as server:
        for owned in (True, False):
            async with calling(server.base_url, owned=owned) as sms:
                transport = sms.submitter.transport
                outgoing = transport.outgoing(b"{}")
                headers = {"Authorization": "Bearer x\r\nX-Smuggled: yes"}
                with pytest.raises(NoReplyError):
                    await transport.post(sms.submitter.url, outgoing, headers, Timeouts())
                assert outgoing.flag is SendFlag.DOWN
    assert server.posts == []


async def test_compressed_replies_are_read() -> None:
    """Aiohttp's parser decompresses on the short way too."""

    async def compressed(request: web.Request) -> web.Response:
        response = web.json_response(text=good_reply(NUMBERS))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    app = web.Application()
    app.router.add_post("/api/campaigns", compressed)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with calling(f"http://127.0.0.1:{port}/api") as sms:
            with counting() as short:
                assert (await create(sms)).summary.sent == len(NUMBERS)
        assert len(short) == 1
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["post", "_request"])
def test_a_method_replaced_before_the_import_is_nobodys(name: str) -> None:
    """Where somebody stood in the network's place first, the short way is never open."""
    own = getattr(aiohttp.ClientSession, name)

    @functools.wraps(own)
    def wrapped(*_: object) -> None: ...

    assert exchanging._aiohttps_own(name) is own
    for other in (wrapped, lambda *_: None):
        with patch.object(aiohttp.ClientSession, name, other):
            assert exchanging._aiohttps_own(name) is exchanging._NOBODY


@pytest.mark.parametrize(
    "changed",
    [
        (BaseConnector, "connect", lambda self, request: None),
        (ResponseHandler, "set_response_params", lambda self, *, read_until_eof: None),
        (aiohttp.ClientRequest, "__init__", lambda self, method, url: None),
    ],
    ids=["connect", "set_response_params", "ClientRequest"],
)
async def test_an_aiohttp_that_has_changed_is_used_in_the_layered_way(changed: tuple[type, str, Any]) -> None:
    """What is called on the short way is looked at once, and where it differs nothing is called."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        with patch.object(*changed):
            assert not exchanging.fits()
            transport = sms.submitter.transport
            transport._open()
        with counting() as short:
            await create(sms)
    assert exchanging.fits()
    assert short == []
    assert len(server.posts) == 1


async def test_a_connection_is_asked_for_once_a_turn() -> None:
    """Whoever posts again in the same turn of the loop has the same connection at hand; the pool is not asked."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        with patch.object(
            BaseConnector, "connect", autospec=True, side_effect=BaseConnector.connect
        ) as asked:
            for _ in range(5):
                await create(sms)
    assert asked.call_count == 1
    assert len(server.posts) == 5


async def test_a_connection_is_back_in_the_pool_after_a_turn() -> None:
    """The lender, whose pool has one connection, can use it as soon as the reply is read."""
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        raw_server(answer_all) as server,
        aiohttp.ClientSession(connector=connector) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        with counting() as short:
            await create(sms)
        contacts, soon = {"manual_contacts": ", ".join(NUMBERS)}, aiohttp.ClientTimeout(5)
        async with session.post(f"{server.base_url}/campaigns", json=contacts, timeout=soon):
            pass
        await create(sms)
    assert len(short) == 1
    assert len(server.posts) == 3
    assert server.connections == 1


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
async def test_a_list_uses_the_connection_of_the_campaign_before_it(owned: bool) -> None:
    """What is kept for the next campaign is given back for a list, which goes through the pool."""
    async with raw_server(answer_all) as server, calling(server.base_url, owned=owned) as sms:
        for _ in range(3):
            await create(sms)
            assert [campaign async for campaign in sms.campaigns.list()] == []
    assert server.connections == 1


async def test_a_pool_of_our_own_is_given_back_what_was_kept_after_a_moment() -> None:
    """A connection is kept beyond the turn, for a worker who waits for a journal, and not for an idle one."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        with patch.object(
            BaseConnector, "connect", autospec=True, side_effect=BaseConnector.connect
        ) as asked:
            await create(sms)
            for _ in range(3):
                await asyncio.sleep(0)
            await create(sms)
            assert asked.call_count == 1
        exchange = sms.submitter.transport._exchange
        assert exchange is not None
        assert exchange._kept
        assert isinstance(exchange._ends, asyncio.TimerHandle)
        over = asyncio.Event()
        asyncio.get_running_loop().call_at(exchange._ends.when() + 0.001, over.set)
        await over.wait()
        assert not exchange._kept
        assert exchange._ends is None
    assert server.connections == 1


async def test_a_connection_that_closed_within_the_turn_is_replaced() -> None:
    """It is no sign of a server that closes behind its replies, and costs no attempt."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        await create(sms)
        transport = sms.submitter.transport
        assert transport._exchange is not None
        (kept,) = transport._exchange._kept
        assert kept.transport is not None
        kept.transport.abort()
        await create(sms)
        assert transport._stale == 0
    assert len(server.posts) == 2


@pytest.mark.parametrize(
    ("tls", "contacts", "connections"), [(True, 2_000, 2), (True, 10, 1), (False, 2_000, 1)], ids=str
)
async def test_a_connection_whose_request_may_not_be_out_is_not_used_again(
    tls: bool, contacts: int, connections: int, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Who refuses before having read everything may never read the rest, and TLS does not tell what still waits."""

    async def refuse_many(peer: Peer, request: Request) -> None:
        await peer.json(400, "{}")

    numbers = fake_numbers(contacts)
    async with raw_server(refuse_many, server_tls if tls else None) as server:
        url = f"http{'s' * tls}://127.0.0.1:{server.port}/api"
        async with calling(url, ssl=client_tls if tls else None) as sms:
            for some in (numbers, numbers[:1]):
                await failure_of(sms.campaigns.create(name="n", message="m", sender_id="s", contacts=some))
        assert len(server.posts) == 2
        assert server.connections == connections
