"""The table: what failed before a byte of the campaign left is NOT_SENT, is tried again, and texts nobody."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from api.calling import (
    NUMBERS,
    SECRETS,
    TOKEN,
    FakeTime,
    any_loop,
    assert_discreet,
    assert_says,
    calling,
    create,
    failure_of,
    submit,
)
from rawserver import Peer, Request, answer_all, free_port, good_reply, raw_server, sent_numbers
from smspop_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Delivery,
    RetryPolicy,
    SmsPop,
    SmsPopError,
    Timeouts,
)
from smspop_async.api.submit import Attempt

pytestmark = pytest.mark.anyio

both_sessions = pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
SOON = Timeouts(connect=0.05, read=None, total=None)


async def nobody(peer: Peer, request: Request) -> None:
    raise AssertionError("nothing should have arrived")


async def assert_not_sent(
    base_url: str, *, owned: bool, kind: type[SmsPopError] = APIConnectionError, **options: object
) -> SmsPopError:
    """The call is tried as often as the policy says, and ends as NOT_SENT with the flag down."""
    async with calling(base_url, owned=owned, **options) as sms:
        attempt = Attempt()
        verdict = await submit(sms, attempt)
        assert attempt.count == RetryPolicy().attempts
        assert not attempt.may_have_left
        error = await failure_of(create(sms))
    assert_says(verdict.error, kind, Delivery.NOT_SENT)
    assert_says(error, kind, Delivery.NOT_SENT)
    return error


@any_loop
@both_sessions
async def test_refused(owned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens: NOT_SENT."""
    caplog.set_level(logging.DEBUG)
    error = await assert_not_sent(f"http://127.0.0.1:{free_port()}/api", owned=owned)
    assert "connection refused" in str(error)
    for secret in SECRETS:
        assert secret not in caplog.text


@any_loop
@both_sessions
async def test_unknown_host(owned: bool) -> None:
    """The name does not resolve: NOT_SENT, and the error says that it is the name."""
    error = await assert_not_sent("https://nowhere.invalid/api", owned=owned)
    assert "host name does not resolve" in str(error)


@any_loop
@both_sessions
async def test_untrusted_certificate(owned: bool, server_tls: ssl.SSLContext) -> None:
    """A certificate that nobody vouches for: NOT_SENT, and the token is not shown to its owner."""
    # In debug mode asyncio reports the refused handshake of the *server* as an unhandled error.
    asyncio.get_running_loop().set_debug(False)
    async with raw_server(nobody, server_tls) as server:
        error = await assert_not_sent(f"https://127.0.0.1:{server.port}/api", owned=owned)
        assert server.requests == []
    assert "certificate is not trusted" in str(error)


@any_loop
@both_sessions
async def test_tls_with_a_server_that_speaks_plain_http(owned: bool) -> None:
    """The handshake fails: NOT_SENT, in words that do not blame permissions."""

    async def greeting(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.close()

    async with raw_server(nobody, greeting=greeting) as server:
        error = await assert_not_sent(f"https://127.0.0.1:{server.port}/api", owned=owned)
    assert "TLS handshake failed" in str(error)
    assert "permitted" not in str(error)


@any_loop
@both_sessions
async def test_wrong_fingerprint(owned: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """A certificate other than the pinned one: NOT_SENT."""
    async with raw_server(nobody, server_tls) as server:
        await assert_not_sent(
            f"https://127.0.0.1:{server.port}/api", owned=owned, ssl=aiohttp.Fingerprint(bytes(32))
        )
        assert server.requests == []


@any_loop
@both_sessions
async def test_hang_up_during_the_handshake(owned: bool) -> None:
    """A TLS connection that is dropped before it stands: NOT_SENT."""

    async def greeting(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with raw_server(nobody, greeting=greeting) as server:
        await assert_not_sent(f"https://127.0.0.1:{server.port}/api", owned=owned)
        assert server.connections == 2 * RetryPolicy().attempts


@any_loop
@both_sessions
async def test_handshake_that_never_answers(owned: bool) -> None:
    """The connect limit covers the TLS handshake: NOT_SENT, as a time-out."""

    async def greeting(peer: Peer) -> None:
        await peer.reader.read()

    async with raw_server(nobody, greeting=greeting) as server:
        await assert_not_sent(
            f"https://127.0.0.1:{server.port}/api", owned=owned, kind=APITimeoutError, timeout=SOON
        )


@any_loop
@both_sessions
@pytest.mark.parametrize(
    "limits", [SOON, Timeouts(connect=None, read=None, total=0.05)], ids=["connect", "total"]
)
async def test_host_that_never_accepts(owned: bool, limits: Timeouts) -> None:
    """A full queue of connections: NOT_SENT, as a time-out, by whichever limit is shorter."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = [socket.socket() for _ in range(4)]
        try:
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(listener.getsockname())
            port = listener.getsockname()[1]
            await assert_not_sent(
                f"http://127.0.0.1:{port}/api", owned=owned, kind=APITimeoutError, timeout=limits
            )
        finally:
            for caller in callers:
                caller.close()


PASSWORD = "pr0xy-pass-word"


def proxied(port: int) -> str:
    return f"http://proxy-user:{PASSWORD}@127.0.0.1:{port}"


@any_loop
@both_sessions
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_cannot_be_reached(owned: bool, scheme: str) -> None:
    """No proxy there: NOT_SENT, without the proxy's password."""
    error = await assert_not_sent(
        f"{scheme}://127.0.0.1:{free_port()}/api", owned=owned, proxy=proxied(free_port())
    )
    assert_discreet(error, PASSWORD)
    assert "proxy" in str(error)


def connect_answered_with(data: bytes):
    async def script(peer: Peer, request: Request) -> None:
        assert request.method == "CONNECT"
        await peer.send(data)
        peer.close()

    return script


@any_loop
@both_sessions
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 X\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["dropped", "407", "502", "dropped-behind-200", "nonsense"],
)
async def test_proxy_that_does_not_connect(
    owned: bool, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A CONNECT that fails is never the API's answer: NOT_SENT, without the proxy's password."""
    caplog.set_level(logging.DEBUG)
    async with raw_server(connect_answered_with(answer)) as proxy:
        error = await assert_not_sent("https://api.example/api", owned=owned, proxy=proxied(proxy.port))
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        assert all(TOKEN.encode() not in request.raw for request in proxy.requests)
    assert_discreet(error, PASSWORD)
    assert PASSWORD not in caplog.text


@both_sessions
async def test_forwarding_proxy_that_wants_credentials(owned: bool) -> None:
    """A plain-http request that the proxy itself answers with 407 was refused: REJECTED, once."""

    async def script(peer: Peer, request: Request) -> None:
        assert request.target.startswith("http://")
        await peer.reply(407)

    async with (
        raw_server(script) as proxy,
        calling(f"http://127.0.0.1:{free_port()}/api", owned=owned, proxy=proxied(proxy.port)) as sms,
    ):
        error = await failure_of(create(sms))
        assert_says(error, APIStatusError, Delivery.REJECTED)
        assert_discreet(error, PASSWORD)
        assert len(proxy.posts) == 1


async def test_campaign_goes_through_a_tunnel(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """Behind a proxy that does connect, the campaign is sent once, and the proxy never sees the token."""
    async with raw_server(answer_all, server_tls) as server:

        async def tunnel(peer: Peer, request: Request) -> None:
            host, _, port = request.target.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            await peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(pipe(peer.reader, writer), pipe(reader, peer.writer))

        async with (
            raw_server(tunnel) as proxy,
            calling(f"https://127.0.0.1:{server.port}/api", proxy=proxied(proxy.port), ssl=client_tls) as sms,
        ):
            assert (await create(sms)).summary.sent == len(NUMBERS)
            assert len(server.posts) == 1
            assert TOKEN.encode() not in proxy.requests[0].raw


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
    writer.close()


async def test_wait_for_a_free_connection_costs_nothing_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a request starts when it leaves our own queue, however long it stood there."""
    answered, loop = asyncio.Event(), asyncio.get_running_loop()

    async def script(peer: Peer, request: Request) -> None:
        if len(server.posts) == 1:
            await answered.wait()
        await peer.json(200, good_reply(sent_numbers(request)))

    async with (
        raw_server(script) as server,
        SmsPop(TOKEN, base_url=server.base_url, max_connections=1) as sms,
    ):
        slow = asyncio.create_task(create(sms.with_options(timeout=aiohttp.ClientTimeout())))
        await server.arrived.wait()
        hasty = asyncio.create_task(create(sms.with_options(timeout=10, retry=RetryPolicy(attempts=1))))
        await asyncio.sleep(0)
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + 1_000)  # whatever timer runs now has run out
        for _ in range(20):
            await asyncio.sleep(0)
        assert not hasty.done()
        assert len(server.posts) == 1
        answered.set()
        assert (await slow).success
        assert (await hasty).success
        assert len(server.posts) == 2


async def test_lenders_exhausted_pool_is_not_sent() -> None:
    """Where the borrowed pool is busy with the lender's own requests, the wait ends NOT_SENT."""
    held = asyncio.Event()

    async def script(peer: Peer, request: Request) -> None:
        await held.wait()

    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session, timeout=SOON) as sms,
    ):
        FakeTime().rule(sms)
        lender = asyncio.create_task(session.get(server.base_url))
        await server.arrived.wait()
        error = await failure_of(create(sms))
        assert_says(error, APITimeoutError, Delivery.NOT_SENT)
        assert server.posts == []
        lender.cancel()
        await asyncio.wait([lender])


@asynccontextmanager
async def server_that_speaks_first(data: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Sends `data` on every new connection and collects what comes."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        with suppress(ConnectionError):  # a client that turns away with unread bytes resets the connection
            received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], received


@any_loop
@both_sessions
@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["another-protocol", "busy", "ok"],
)
async def test_greeting_is_no_answer(owned: bool, data: bytes) -> None:
    """What a server says before it can have the request is never taken for the answer to it.

    Whether the greeting is there before the first byte leaves is the kernel's choice; where the whole
    request did arrive, the campaign may not be called unsent.
    """
    async with (
        server_that_speaks_first(data) as (port, received),
        calling(f"http://127.0.0.1:{port}/api", owned=owned) as sms,
    ):
        attempt = Attempt()
        verdict = await submit(sms, attempt)
        await sms.aclose()
        arrived = any(MESSAGE_END in raw for raw in received)
        assert arrived <= (verdict.error.delivery is not Delivery.NOT_SENT)


MESSAGE_END = NUMBERS[-1].encode() + b'"}'


async def test_early_refusal_while_the_body_travels() -> None:
    """A server that refuses after the head alone is heard, though the body is still on its way: REJECTED."""

    async def greeting(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.reply(413)
        await peer.reader.read()

    many = [f"26377{n:07}" for n in range(1, 60_001)]
    async with raw_server(nobody, greeting=greeting) as server, calling(server.base_url) as sms:
        error = await failure_of(create(sms, many))
        assert_says(error, APIStatusError, Delivery.REJECTED)
        assert error.status == 413
        assert server.connections == 1
