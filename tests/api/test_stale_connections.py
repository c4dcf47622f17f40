"""Connections that the server closes while we keep them: found out before the write, or told as UNKNOWN."""

import asyncio
import gc
import socket
import ssl
import threading
from collections import Counter

import anyio
import pytest

from api.calling import (
    NUMBERS,
    after,
    any_loop,
    assert_says,
    calling,
    create,
    failure_of,
    submit,
)
from rawserver import (
    Peer,
    RawServer,
    Request,
    answer_all,
    fake_number,
    fake_numbers,
    good_reply,
    raw_server,
    sent_numbers,
)
from smspop_async import APIConnectionError, CampaignResult, Delivery, SmsPop, SmsPopError, Timeouts
from smspop_async.api.reply import NoReplyError
from smspop_async.api.sendflag import Connections, FlaggedPayload, Outgoing, SendFlag, look_at
from smspop_async.api.submit import Attempt
from smspop_async.api.transport import STALE_LIMIT

pytestmark = pytest.mark.anyio

both_sessions = pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
with_or_without_tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def answer_and_hang_up(peer: Peer, request: Request) -> None:
    """Promise keep-alive, and close."""
    await peer.json(200, good_reply(sent_numbers(request)), "Connection: keep-alive")
    peer.close()


def url_of(server: RawServer, *, tls: bool) -> str:
    return f"http{'s' * tls}://127.0.0.1:{server.port}/api"


async def outcome_of(sms: SmsPop, number: str) -> str:
    """What a call for one number ended with; anything that is not proven is ambiguous."""
    try:
        result = await create(sms, [number])
    except SmsPopError as error:
        return "ambiguous" if error.delivery is Delivery.UNKNOWN else "lost"
    assert [contact.phone_number for contact in result.contacts] == [number]
    return "sent"


def assert_nobody_twice(server: RawServer) -> None:
    texted = Counter(number for post in server.posts for number in sent_numbers(post))
    assert max(texted.values()) == 1


@any_loop
@both_sessions
@with_or_without_tls
async def test_one_by_one_against_a_server_that_always_hangs_up(
    owned: bool, tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Of 200 campaigns in a row at most 4 are ambiguous, none is lost, and nobody is texted twice."""
    async with raw_server(answer_and_hang_up, server_tls if tls else None) as server:
        async with calling(url_of(server, tls=tls), owned=owned, ssl=client_tls) as sms:
            outcomes = Counter([await outcome_of(sms, fake_number(n)) for n in range(1, 201)])
        assert outcomes["ambiguous"] <= 4
        assert outcomes["sent"] == 200 - outcomes["ambiguous"]
        assert_nobody_twice(server)
        if sms.submitter.transport.distrusts_pool:
            assert server.posts[-1].headers["Connection"] == "close"


@any_loop
@both_sessions
@with_or_without_tls
async def test_eight_at_once_against_a_server_that_always_hangs_up(
    owned: bool, tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Of 200 campaigns, 8 at once, at most 12 are ambiguous, none is lost, and nobody is texted twice."""
    async with raw_server(answer_and_hang_up, server_tls if tls else None) as server:
        async with calling(url_of(server, tls=tls), owned=owned, ssl=client_tls, max_connections=8) as sms:
            outcomes: Counter[str] = Counter()
            numbers = iter(fake_numbers(200))

            async def work() -> None:
                for number in numbers:
                    outcomes[await outcome_of(sms, number)] += 1

            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(work)
        assert outcomes["ambiguous"] <= 12
        assert outcomes.total() == 200
        assert_nobody_twice(server)


@any_loop
@with_or_without_tls
async def test_pool_is_distrusted_after_the_second_stale_reuse(
    tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Two lost replies on re-used connections, and every further request asks for ``Connection: close``."""

    async def script(peer: Peer, request: Request) -> None:
        if peer.served == 2:
            peer.close()  # in the middle of a re-use: the race that no client can see through
        elif request.headers.get("Connection") == "close":
            await answer_and_hang_up(peer, request)  # as RFC 9112 (9.6) wants it
        else:
            await answer_all(peer, request)

    async with raw_server(script, server_tls if tls else None) as server:
        async with calling(url_of(server, tls=tls), ssl=client_tls) as sms:
            for _ in range(STALE_LIMIT):
                assert (await create(sms)).success
                error = await failure_of(create(sms))
                assert_says(error, APIConnectionError, Delivery.UNKNOWN)
            assert all(post.headers.get("Connection") != "close" for post in server.posts)
            before = server.connections
            for _ in range(3):
                assert (await create(sms)).success
            assert [post.headers.get("Connection") for post in server.posts[-3:]] == ["close"] * 3
            assert server.connections == before + 3


@any_loop
@both_sessions
@with_or_without_tls
async def test_connection_that_works_is_used_again(
    owned: bool, tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Fifty campaigns travel over one connection; the session tickets of TLS 1.3 do not count as stale."""
    async with raw_server(answer_all, server_tls if tls else None) as server:
        async with calling(url_of(server, tls=tls), owned=owned, ssl=client_tls) as sms:
            flags = []
            for _ in range(50):
                attempt = Attempt()
                await submit(sms, attempt)
                flags.append(attempt.outgoing.reused)
                assert attempt.outgoing.flag is SendFlag.UP
            assert server.connections == 1
            assert len(server.posts) == 50
            assert flags == [False] + [True] * 49
            known = sms.submitter.transport._connections._looks
            assert len(known) == 1
        gc.collect()
        assert len(known) == 0, "a connection that is gone is forgotten"


@any_loop
@both_sessions
@with_or_without_tls
async def test_connection_closed_while_idle_is_replaced_at_once(
    owned: bool, tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """A pooled connection that was closed meanwhile costs a new one and nothing else: no error, no attempt."""
    async with raw_server(answer_and_hang_up, server_tls if tls else None) as server:
        async with calling(url_of(server, tls=tls), owned=owned, ssl=client_tls) as sms:
            await create(sms)
            await server.drained()
            attempt = Attempt()
            verdict = await submit(sms, attempt)
            assert verdict.settlement.summary.sent == len(NUMBERS)
            assert attempt.count == 1
            assert len(server.posts) == 2


class BlockingServer(threading.Thread):
    """Answers in a thread of its own, so that it can close a connection while the client's loop stands still."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.tls = tls
        self.requests: list[bytes] = []
        self.close_first, self.closed = threading.Event(), threading.Event()

    def run(self) -> None:
        for turn in range(2):
            connection, _ = self.listener.accept()
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.requests.append(self.read(connection))
            body = good_reply(NUMBERS).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if turn == 0:
                self.close_first.wait(30)
            connection.close()
            self.closed.set()
        self.listener.close()

    def read(self, connection: socket.socket) -> bytes:
        raw = b""
        while not raw.endswith(b'"}'):
            raw += connection.recv(2**16)
        return raw


@any_loop
@both_sessions
@with_or_without_tls
async def test_close_that_the_loop_has_not_heard_of_is_seen_before_the_write(
    owned: bool, tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """The socket itself is asked right before the write: a closed connection costs neither doubt nor attempt."""
    server = BlockingServer(server_tls if tls else None)
    server.start()
    async with calling(f"http{'s' * tls}://127.0.0.1:{server.port}/api", owned=owned, ssl=client_tls) as sms:
        await create(sms)
        server.close_first.set()
        assert server.closed.wait(30)  # blocks the loop on purpose: it cannot hear of the close
        attempt = Attempt()
        verdict = await submit(sms, attempt)
        server.join()
        assert verdict.settlement.summary.sent == len(NUMBERS)
        assert attempt.count == 1
        assert len(server.requests) == 2
        assert sms.submitter.transport._stale <= 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_stale_connection_is_told_from_a_lost_reply(
    tls: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """On asyncio's loop the write comes before the next look at the sockets, so it is the poll that finds out."""
    server = BlockingServer(server_tls if tls else None)
    server.start()
    async with calling(f"http{'s' * tls}://127.0.0.1:{server.port}/api", ssl=client_tls) as sms:
        await create(sms)
        server.close_first.set()
        assert server.closed.wait(30)
        outgoing = sms.submitter.transport.outgoing(b"{}")
        headers = await sms.submitter.headers()
        with pytest.raises(NoReplyError):
            await sms.submitter.transport.post(sms.submitter.url, outgoing, headers, Timeouts())
        assert outgoing.flag is SendFlag.STALE
        assert outgoing.reused
        assert sms.submitter.transport._stale == 1
        await create(sms)
    server.join()


@any_loop
async def test_late_second_reply_is_not_the_answer_to_the_next_campaign() -> None:
    """What a server says on an idle connection is never read as the reply to a campaign it has not seen."""
    peers: list[Peer] = []

    async def script(peer: Peer, request: Request) -> None:
        peers.append(peer)
        await answer_all(peer, request)

    async with raw_server(script) as server, calling(server.base_url) as sms:
        await create(sms)
        await peers[0].json(200, good_reply(NUMBERS, frozenset(NUMBERS)))
        for _ in range(10):
            await asyncio.sleep(0)  # the client's loop reads the stray reply into the idle connection
        attempt = Attempt()
        verdict = await submit(sms, attempt)
        assert verdict.settlement.summary.sent == len(NUMBERS)
        assert len(server.posts) == 2
        assert server.connections == 2


class _Writer:
    """As much of aiohttp's writer as the payload looks at."""

    def __init__(self, protocol: object, transport: object) -> None:
        self.protocol, self.transport = protocol, transport
        self.written: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.written.append(data)


class _Spoilt:
    """A connection on which something unasked for has arrived already."""

    should_close = True


class _Open:
    """A transport that looks healthy."""

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


@pytest.mark.parametrize("method", ["write", "write_with_length"])
async def test_payload_refuses_a_connection_that_holds_a_stray_reply(method: str) -> None:
    """Where aiohttp writes before it reads (eager tasks), the payload itself keeps off a spoilt connection."""
    outgoing, writer = Outgoing(b"{}", Connections()), _Writer(_Spoilt(), _Open())
    payload = FlaggedPayload(outgoing)
    with pytest.raises(ConnectionResetError):
        await (payload.write(writer) if method == "write" else payload.write_with_length(writer, 2))
    assert outgoing.flag is SendFlag.STALE
    assert writer.written == []


@pytest.mark.parametrize("method", ["write", "write_with_length"])
async def test_payload_raises_the_flag_before_it_writes(method: str) -> None:
    """Both ways in which aiohttp may ask for the body raise the flag."""
    outgoing, writer = Outgoing(b"{}", Connections()), _Writer(Connections(), _Open())
    payload = FlaggedPayload(outgoing)
    await (payload.write(writer) if method == "write" else payload.write_with_length(writer, 2))
    assert outgoing.flag is SendFlag.UP
    assert writer.written == [b"{}"]


async def test_lost_transport_is_stale() -> None:
    """A connection without a transport is gone."""
    outgoing, writer = Outgoing(b"{}", Connections()), _Writer(_Open(), None)
    payload = FlaggedPayload(outgoing)
    with pytest.raises(ConnectionResetError):
        await payload.write(writer)
    assert outgoing.flag is SendFlag.STALE
    assert writer.written == []


def test_transport_without_a_socket_is_judged_by_what_it_says() -> None:
    """Where there is no socket to look at, only the closing transport counts."""
    assert not look_at(_Open())()


@any_loop
@both_sessions
async def test_stale_get_connection_is_replaced_too(owned: bool) -> None:
    """A connection that carried a list and was closed does not make the next campaign ambiguous."""

    async def script(peer: Peer, request: Request) -> None:
        await answer_all(peer, request)
        if request.method == "GET":
            peer.close()

    async with raw_server(script) as server, calling(server.base_url, owned=owned) as sms:
        for _ in range(10):
            assert [campaign async for campaign in sms.campaigns.list()] == []
            await server.drained()
            assert isinstance(await create(sms), CampaignResult)
        assert len(server.posts) == 10


async def test_aiohttp_sends_a_get_again_and_a_post_never() -> None:
    """Aiohttp repeats a GET on a dropped keep-alive connection by itself, and never a POST (why: the flag)."""

    async def script(peer: Peer, request: Request) -> None:
        peer.close()

    async with raw_server(after(1, script)) as server, calling(server.base_url) as sms:
        await create(sms)
        reply = await failure_of(anext(sms.with_options(retry=None).campaigns.list()))
        assert reply.delivery is Delivery.NOT_SENT
    gets = [request for request in server.requests if request.method == "GET"]
    assert len(gets) > 1
    assert len(server.posts) == 1
