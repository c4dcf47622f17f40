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
from ssl import SSLContext, SSLError

import aiohttp
import anyio
from attrs import field, frozen
from yarl import URL

from smspop_async.api.sendflag import Connections, FlaggedPayload, SendFlag
from smspop_async.config import Timeouts
from smspop_async.errors import ConfigurationError

REPLY_CAP = 16 * 1024 * 1024
"""Bytes of a reply, decompressed, that are read at most."""
STALE_LIMIT = 2
"""Stale connections met before connections are no longer re-used."""

Ssl = SSLContext | bool | aiohttp.Fingerprint | None


@frozen(kw_only=True)
class Reply:
    """What the server answered, untouched."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")


class NoReplyError(Exception):
    """No whole reply came. The text says why, in words that hold no secret."""

    def __init__(self, words: str, *, timeout: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.timeout = timeout


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
        self._slots: anyio.Semaphore | None = None
        self._connections = Connections()
        self._stale = 0
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

    def slot(self) -> anyio.Semaphore:
        """Return the places of the requests under way: enter one before the clock of a request starts.

        Raises:
            ConfigurationError: the transport is closed or belongs to another event loop.
        """
        self._open()
        assert self._slots is not None  # noqa: S101 - _open made it
        return self._slots

    async def post(
        self, url: URL, payload: FlaggedPayload, headers: Mapping[str, str], timeouts: Timeouts
    ) -> Reply:
        """Send `payload` once. Afterwards ``payload.flag`` says whether it may have left.

        Raises:
            NoReplyError: no whole reply came, or one came that cannot be an answer to this request.
            ConfigurationError: the transport is closed or belongs to another event loop.
        """
        if self.distrusts_pool:
            headers = {**headers, "Connection": "close"}
        try:
            return await self._exchange("POST", url, headers, timeouts, payload)
        except NoReplyError as failure:
            if payload.reused and not failure.timeout:
                self._stale += 1
            raise

    def payload(self, body: bytes) -> FlaggedPayload:
        """Wrap `body` so that it can be told whether it left."""
        return FlaggedPayload(body, self._connections)

    async def get(self, url: URL, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """Fetch `url`. aiohttp itself repeats a GET once on a dropped keep-alive connection.

        Raises:
            NoReplyError: no whole reply came.
            ConfigurationError: the transport is closed or belongs to another event loop.
        """
        return await self._exchange("GET", url, headers, timeouts, None)

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        payload: FlaggedPayload | None,
    ) -> Reply:
        session = self._open()
        try:
            async with session.request(
                method,
                url,
                data=payload,
                headers=headers,
                timeout=_client_timeout(timeouts),
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(),
                proxy=self._settings.proxy,
                ssl=True if self._settings.ssl is None else self._settings.ssl,
            ) as response:
                return await _read(response, payload)
        except NoReplyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the flag alone decides what it means
            raise NoReplyError(describe(error), timeout=isinstance(error, TimeoutError)) from None

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ConfigurationError("This SmsPop client is closed; make a new one.")
        if self._session is None:
            self._session = self._make_session()
            self._loop, self._slots = loop, anyio.Semaphore(self.slots, fast_acquire=True)
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
            await session.close()
            return
        # Sockets may be touched by their own loop alone; it gets to it when it runs (again).
        with suppress(RuntimeError):  # it was closed meanwhile
            self._loop.call_soon_threadsafe(self._close_later, session)

    def _close_later(self, session: aiohttp.ClientSession) -> None:
        self._closing = asyncio.ensure_future(session.close())


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
        # Whole replies of some hundred contacts arrive in one or two reads.
        read_bufsize=2**18,
    )


def _client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=timeouts.total,
        connect=timeouts.connect,
        sock_connect=timeouts.connect,
        sock_read=timeouts.read,
    )


async def _read(response: aiohttp.ClientResponse, payload: FlaggedPayload | None) -> Reply:
    if payload is not None and payload.flag is not SendFlag.UP:
        # Somebody else's answer, or a goodbye to an idle connection: our request is still here.
        response.close()
        raise NoReplyError("the server spoke before the request was written")
    return Reply(status=response.status, headers=response.headers, body=await _read_capped(response))


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    """Read the body piece by piece, and give up where it grows beyond `REPLY_CAP`."""
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        size += len(piece)
        if size > REPLY_CAP:
            response.close()
            raise NoReplyError(f"the reply is larger than {REPLY_CAP // 2**20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    # The more particular first. None of these quotes the exception: its text may hold a token or a password.
    (aiohttp.ConnectionTimeoutError, "connecting took too long"),
    (aiohttp.SocketTimeoutError, "the server stayed silent for too long"),
    (TimeoutError, "the time limit of the request passed"),
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
