"""The one place with a socket: a pooled aiohttp session that never does anything behind our back.

aiohttp is friendly by default, and each of these kindnesses can text people twice or leak the token, so every
request switches them off: redirects (a 301 turns the POST into a GET, a 307 re-sends numbers to another
origin), cookies, proxies and ``.netrc`` from the environment, middlewares that retry, ``raise_for_status``. A
session that is handed in lends its *connector* (pool, TLS, resolver) and its trace configurations; our
requests run in a session of our own on top of it, because a session's cookie jar and default headers cannot
be switched off request by request. The lender stays the owner: neither session nor connector is ever closed
here.

Waiting happens before the clock starts: a slot is taken first, and there are as many slots as the pool has
connections, so that a time limit is never spent on waiting for a free connection.

Replies are read in pieces under a cap, decompressed: a few kilobytes of gzip may not become gigabytes.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from ssl import SSLError
from threading import get_ident
from typing import TypedDict

import aiohttp
from aiohttp.http import HttpProcessingError
from attrs import frozen
from yarl import URL

from smspop_async.api.deadlines import SILENCE, TOTAL, Deadline, Deadlines
from smspop_async.api.exchange import Exchange, Trust, connecting, fits
from smspop_async.api.reply import READ_BUFFER, NoReplyError, Reply, read_capped
from smspop_async.api.sendflag import Connections, FlaggedPayload, Outgoing, SendFlag
from smspop_async.api.slots import Slots
from smspop_async.config import Timeouts
from smspop_async.errors import ConfigurationError

STALE_LIMIT = 2
"""Stale connections met before connections are no longer re-used."""

Ssl = Trust | None


class _PerRequest(TypedDict):
    """What is said with every request, because aiohttp has it per request only."""

    allow_redirects: bool
    proxy: str | None
    ssl: Trust


@frozen(kw_only=True)
class TransportSettings:
    """What a transport is made of."""

    max_connections: int = 16
    session: aiohttp.ClientSession | None = None
    ssl: Ssl = None
    proxy: str | None = None


class Transport:
    """Owns the session, the slots and the memory of stale connections; bound to one event loop.

    Args:
        settings: The pool's size, TLS, proxy, and the session whose connector is borrowed, if any.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._slots: Slots | None = None
        self._deadlines: Deadlines | None = None
        self._exchange: Exchange | None = None
        self._connections = Connections()
        self._stale = 0
        self._per_request: _PerRequest = {
            "allow_redirects": False,
            "proxy": settings.proxy,
            "ssl": True if settings.ssl is None else settings.ssl,
        }
        self._closed = False
        self._closing: asyncio.Future[None] | None = None

    @property
    def slots(self) -> int:
        """How many requests may be under way at once."""
        connector = self._settings.session.connector if self._settings.session else None
        limits = [connector.limit, connector.limit_per_host] if connector else []
        return min([self._settings.max_connections, *(limit for limit in limits if limit)])

    @property
    def distrusts_pool(self) -> bool:
        """Whether connections are no longer re-used, after too many of them turned out stale."""
        return self._stale >= STALE_LIMIT

    def slot(self) -> Slots:
        """Return the places of the requests under way: take one before the clock of a request starts.

        Raises:
            ConfigurationError: the transport is closed or belongs to another event loop.
        """
        self._open()
        assert self._slots is not None  # noqa: S101 - _open made it
        return self._slots

    async def post(
        self, url: URL, outgoing: Outgoing, headers: Mapping[str, str], timeouts: Timeouts
    ) -> Reply:
        """Send `outgoing` once, in a slot. Afterwards its flag says whether it may have left.

        Raises:
            NoReplyError: no whole reply came, or one came that cannot be an answer to this request.
            ConfigurationError: the transport or the lender's session was closed; nothing has left.
        """
        session = self._session or self._open()
        deadlines, exchange = self._deadlines, self._exchange
        assert deadlines is not None  # noqa: S101 - _open made it
        outgoing.deadline = deadline = deadlines.begin(timeouts)
        try:
            if exchange is not None and not self.distrusts_pool and exchange.is_private():
                return await exchange.post(url, outgoing, headers, timeouts)
            return await self._post_layered(session, url, outgoing, headers, connecting(timeouts))
        except Exception as error:  # noqa: BLE001 - whatever it is, the flag alone decides what it means
            if session.closed and outgoing.flag is SendFlag.DOWN:
                raise ConfigurationError(_CLOSED if self._closed else _LENDER_CLOSED) from None
            failure = _no_reply(error, deadline)
            if outgoing.reused and not failure.timeout:
                self._stale += 1
            raise failure from None
        finally:
            deadline.end()

    async def _post_layered(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        outgoing: Outgoing,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> Reply:
        """Send through all that a session does with a request."""
        if self.distrusts_pool:
            headers = {**headers, "Connection": "close"}
        payload = FlaggedPayload(outgoing)
        response = await session.post(url, data=payload, headers=headers, timeout=limits, **self._per_request)
        assert outgoing.deadline is not None  # noqa: S101 - `post` gave it one
        return await _read(response, outgoing, outgoing.deadline)

    def outgoing(self, body: bytes) -> Outgoing:
        """Wrap `body` so that it can be told whether it left."""
        return Outgoing(body, self._connections)

    async def get(self, url: URL, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """Fetch `url`. aiohttp itself repeats a GET once on a dropped keep-alive connection.

        Raises:
            NoReplyError: no whole reply came.
            ConfigurationError: the transport is closed or belongs to another event loop.
        """
        session = self._open()
        if self._exchange is not None:
            self._exchange.let_go()  # the pool has a connection for this, then
        try:
            async with session.get(
                url, headers=headers, timeout=_limits(timeouts), **self._per_request
            ) as response:
                return Reply(
                    status=response.status,
                    headers=response.headers,
                    body=await read_capped(response.content),
                )
        except Exception as error:  # noqa: BLE001 - as above
            raise _no_reply(error) from None

    def _open(self) -> aiohttp.ClientSession:
        session, loop = self._session, self._loop
        # A thread runs one loop at a time: where ours runs in this thread, it is the one that we are in.
        if session is not None and loop is not None and self._thread == get_ident() and loop.is_running():
            if session.closed:
                raise ConfigurationError(_LENDER_CLOSED)
            return session
        return self._open_first()

    def _open_first(self) -> aiohttp.ClientSession:
        """Open what is not open yet; asking for the loop is a system call on some versions of Python."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ConfigurationError(_CLOSED)
        if self._session is None:
            self._session = self._make_session()
            self._loop, self._thread, self._deadlines = loop, get_ident(), Deadlines(loop)
            self._slots = Slots(self.slots)
            if self._settings.proxy is None and fits():
                keeps = self._settings.session is None
                self._exchange = Exchange(self._session, self._per_request["ssl"], keeps=keeps)
        if self._loop is not loop:
            raise ConfigurationError(_SECOND_LOOP)
        if self._session.closed:
            raise ConfigurationError(_LENDER_CLOSED)
        return self._session

    def _make_session(self) -> aiohttp.ClientSession:
        borrowed = self._settings.session
        if borrowed is None:
            return _session(aiohttp.TCPConnector(limit=self._settings.max_connections), owned=True)
        if borrowed.closed or borrowed.connector is None:
            raise ConfigurationError(_LENDER_CLOSED)
        # aiohttp has no public name for the loop of a session that does not warn.
        if getattr(borrowed, "_loop", None) not in (None, asyncio.get_running_loop()):
            raise ConfigurationError(_SECOND_LOOP)
        return _session(borrowed.connector, owned=False, traces=borrowed.trace_configs)

    async def aclose(self) -> None:
        """Close what was opened here. Safe to call twice, and in a loop other than the session's."""
        self._closed = True
        session, self._session = self._session, None
        if session is None or self._loop is None:
            return
        if self._loop is asyncio.get_running_loop() or self._loop.is_closed():
            self._stop_watching()
            await session.close()
            return
        # Sockets may be touched by their own loop alone; it gets to it when it runs (again).
        with suppress(RuntimeError):  # it was closed meanwhile
            self._loop.call_soon_threadsafe(self._close_later, session)

    def _close_later(self, session: aiohttp.ClientSession) -> None:
        self._stop_watching()
        self._closing = asyncio.ensure_future(session.close())

    def _stop_watching(self) -> None:
        if self._deadlines is not None:
            self._deadlines.close()
        if self._exchange is not None and self._loop is not None and not self._loop.is_closed():
            self._exchange.let_go()


_CLOSED = "This SmsPop client is closed; make a new one."
_LENDER_CLOSED = "The aiohttp session handed to SmsPop is closed. Keep it open while SmsPop is in use."
_SECOND_LOOP = (
    "This SmsPop client belongs to another event loop. Make one client per loop: create it inside the "
    "coroutine that asyncio.run() runs, and close it there (async with SmsPop() as sms: …)."
)


def _session(
    connector: aiohttp.BaseConnector, *, owned: bool, traces: list[aiohttp.TraceConfig] | None = None
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=owned,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        trace_configs=traces,
        read_bufsize=READ_BUFFER,
    )


@lru_cache(maxsize=16)
def _limits(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """All limits, kept by aiohttp: for GET, which is rare."""
    return aiohttp.ClientTimeout(
        total=timeouts.total,
        connect=timeouts.connect,
        sock_connect=timeouts.connect,
        sock_read=timeouts.read,
    )


async def _read(response: aiohttp.ClientResponse, outgoing: Outgoing, deadline: Deadline) -> Reply:
    """Read an answer to `outgoing`; whatever goes wrong, the connection is not used again."""
    if outgoing.flag is not SendFlag.UP:
        # Somebody else's answer, or a goodbye to an idle connection: our request is still here.
        response.close()
        raise NoReplyError("the server spoke before the request was written")
    deadline.hear()
    try:
        body = await read_capped(response.content, deadline)
    except BaseException:
        response.close()
        raise
    return Reply(status=response.status, headers=response.headers, body=body)


def _no_reply(error: Exception, deadline: Deadline | None = None) -> NoReplyError:
    """What an exception means for a request, in words that hold no secret."""
    if deadline is not None and deadline.expired:
        return NoReplyError(deadline.expired, timeout=True)
    if isinstance(error, NoReplyError):
        return error
    return NoReplyError(describe(error), timeout=isinstance(error, TimeoutError))


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    # The more particular first. None of these quotes the exception: its text may hold a token or a password.
    (aiohttp.ConnectionTimeoutError, "connecting took too long"),
    (aiohttp.SocketTimeoutError, SILENCE),
    (TimeoutError, TOTAL),
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve"),
    (aiohttp.ClientConnectorCertificateError, "the server's TLS certificate is not trusted"),
    (aiohttp.ClientConnectorSSLError, "the TLS handshake failed"),
    (aiohttp.ClientProxyConnectionError, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, "the proxy refused to connect"),
    (aiohttp.ServerFingerprintMismatch, "the server's TLS fingerprint is not the expected one"),
    (aiohttp.ClientConnectorError, "the server cannot be reached"),
    (aiohttp.ServerDisconnectedError, "the server hung up without a reply"),
    (aiohttp.ClientPayloadError, "the reply broke off"),
    (aiohttp.ClientResponseError, "the reply is not HTTP"),
    (HttpProcessingError, "the reply is not HTTP"),
    (aiohttp.InvalidURL, "the URL is not usable"),
    (aiohttp.ClientConnectionResetError, "the connection was closed"),
    (OSError, "the connection broke"),
)


def describe(error: BaseException) -> str:
    """Say in plain words what went wrong, from the type of the exception and its errno alone."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            reason = getattr(error, "os_error", error)
            errno = getattr(reason, "errno", None)
            # The "errno" of a TLS error and of the resolver is none of the system's numbers.
            if isinstance(reason, SSLError) or not isinstance(errno, int) or errno <= 0:
                return words
            return f"{words} ({os.strerror(errno).lower()})"
    return f"the request could not be made ({type(error).__name__})"
