"""One request and its reply on a pooled connection, without the layers of a session around them.

What a `ClientSession` does for a request is meant for every request there is: it merges headers, looks up cookies
and credentials, makes a request and a response object, a coroutine for the redirects, a task for a slow
body. For ours, which are all alike, that is more work than all the rest of HTTP (measured: 105 to 137 microseconds
through a session, 52 without its layers). So a request of ours takes a connection from the session's connector,
writes one text that was made ready once, and reads the reply from the connection's parser. What makes an HTTP client
worth having stays aiohttp's: the pool, names, TLS, the parser of replies, decompression and its bounds.

The layered way is the plain twin, and the tests of the wire run on both. It is taken

- where somebody looks on: trace configurations of a borrowed session, or a `ClientSession._request` that is not
  aiohttp's own, as under a library that answers requests in tests or records them. What such a library keeps from the
  network must not reach it here;
- through a proxy;
- where connections are not to be used again;
- with an aiohttp that has changed what is called here.

The send flag is the same in both: `Outgoing.leave` looks at the connection, raises the flag, and the write follows
with no await between. A connection goes back to the pool when the reply is whole and the request is out;
a server that answers before it has read everything may still close.

It does not go back at once. A busy worker reads its reply and has the next campaign ready in the same step, or as soon
as a journal has written it down; to hand the connection to the pool and ask for it again would cost half as much as
writing the request. A pool of our own is given back what was kept every 20 milliseconds, so that none is kept by one
who is idle; a pool that somebody else uses, too, at the end of the turn of the loop.
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from inspect import signature
from ssl import SSLContext
from typing import Final, TypeAlias

import aiohttp
from aiohttp import hdrs
from aiohttp.client import ClientSession  # the name in the package is the one that is replaced
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection
from aiohttp.payload import BytesPayload
from attrs import frozen
from yarl import URL

from smspop_async.api.reply import READ_BUFFER, Reply, read_capped, read_whole
from smspop_async.api.sendflag import Outgoing
from smspop_async.config import Timeouts

Trust: TypeAlias = SSLContext | bool | aiohttp.Fingerprint
"""How TLS is checked, as a request takes it."""

_NOBODY: Final = object()


def _aiohttps_own(name: str) -> object:
    """A method between a caller and the network, unless somebody has put another in its place before."""
    method = vars(ClientSession).get(name)
    is_own = getattr(method, "__module__", "") == ClientSession.__module__ and not hasattr(
        method, "__wrapped__"
    )
    return method if is_own else _NOBODY


_POST: Final = _aiohttps_own("post")
_REQUEST: Final = _aiohttps_own("_request")
_SWITCHING: Final = 101
_SUCCESS: Final = range(200, 300)
_WRITTEN_AT_ONCE: Final = 2**14
"""Bytes of a body that a socket takes in one go, whatever its buffers."""
_KEPT_FOR: Final = 0.02
"""Seconds after which a pool of our own is given back what was kept meanwhile."""
_LENGTH: Final = "\0"
"""Stands where the length of the body is to be written: no header may hold one."""


def fits() -> bool:
    """Tell whether this aiohttp has what is called here, which its document does not promise in full."""
    try:
        signature(BaseConnector.connect).bind(None, None, [], None)
        signature(ResponseHandler.set_response_params).bind(
            None, read_until_eof=True, read_bufsize=READ_BUFFER
        )
        signature(aiohttp.ClientRequest.__init__).bind(
            None, "", None, headers=None, data=None, loop=None, session=None, ssl=None
        )
    except (AttributeError, TypeError):
        return False
    return True


@lru_cache(maxsize=16)
def connecting(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """The limits up to the write; from there on `smspop_async.api.deadlines` watches."""
    limits = [limit for limit in (timeouts.connect, timeouts.total) if limit is not None]
    connect = min(limits) if limits else None
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=None)


@frozen(kw_only=True)
class _Address:
    """Where requests with the same headers go."""

    url: URL
    headers: Mapping[str, str]
    request: aiohttp.ClientRequest
    """Tells the connector which connection is wanted. It is never sent."""
    before: bytes
    """The request up to the length of its body."""
    after: bytes
    """From there to the body."""


class Exchange:
    """Requests on the connections of one session.

    Args:
        session: Whose connector is used.
        ssl: How TLS is checked.
        keeps: Whether connections may be kept for a moment, because nobody else uses the connector.
    """

    def __init__(self, session: aiohttp.ClientSession, ssl: Trust, *, keeps: bool) -> None:
        self._session = session
        self._traces = session.trace_configs
        self._ssl = ssl
        self._address: _Address | None = None
        self._keeps = keeps
        self._kept: list[Connection] = []
        """Fit for the next request."""
        self._ends: asyncio.Handle | None = None
        """Gives them back."""

    def is_private(self) -> bool:
        """Tell whether nobody looks on, or answers in the network's place."""
        return (
            ClientSession.post is _POST
            and ClientSession._request is _REQUEST  # noqa: SLF001 - looked at only  # pyright: ignore[reportPrivateUsage]
            and type(self._session) is ClientSession
            and not self._traces
        )

    async def post(
        self, url: URL, outgoing: Outgoing, headers: Mapping[str, str], timeouts: Timeouts
    ) -> Reply:
        """Send once, and read the reply.

        Raises:
            NoReplyError: the reply is too large, or the time was over. Others of aiohttp's: there is none.
        """
        address = self._address
        if address is None or address.headers is not headers or address.url is not url:
            self.let_go()
            address = self._address = self._begin(url, headers)
        connection = self._take() or await self._connect(address.request, timeouts)
        try:
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None  # noqa: S101 - it was connected just now
            protocol.set_response_params(read_until_eof=True, read_bufsize=READ_BUFFER)
            outgoing.leave(protocol, transport)
            assert transport is not None  # noqa: S101 - otherwise it was refused
            body = outgoing.body
            transport.write(b"%b%d%b%b" % (address.before, len(body), address.after, body))
            message, content = await protocol.read()
            while message.code // 100 == 1 and message.code != _SWITCHING:
                message, content = await protocol.read()
            said = read_whole(content, outgoing.deadline)
            if said is None:
                if outgoing.deadline is not None:
                    outgoing.deadline.hear()
                said = await read_capped(content, outgoing.deadline)
        except BaseException:
            connection.close()
            raise
        if transport.get_write_buffer_size() or (
            # What TLS has taken may still wait below it, where nobody can ask. Who refuses early has not read it.
            message.code not in _SUCCESS
            and len(outgoing.body) > _WRITTEN_AT_ONCE
            and transport.get_extra_info("ssl_object") is not None
        ):
            connection.close()
        elif protocol.should_close:
            connection.release()
        else:
            self._keep(connection)
        return Reply(status=message.code, headers=message.headers, body=said)

    async def _connect(self, request: aiohttp.ClientRequest, timeouts: Timeouts) -> Connection:
        connector = self._session.connector
        if connector is None:
            raise RuntimeError("the session is closed")
        try:
            return await connector.connect(request, [], connecting(timeouts))
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None

    def _keep(self, connection: Connection) -> None:
        if self._ends is None:
            loop = asyncio.get_running_loop()
            self._ends = (
                loop.call_later(_KEPT_FOR, self.let_go) if self._keeps else loop.call_soon(self.let_go)
            )
        self._kept.append(connection)

    def _take(self) -> Connection | None:
        """A connection that was kept, unless the other side has closed it since."""
        while self._kept:
            connection = self._kept.pop()
            if not connection.closed:
                return connection
            connection.release()
        return None

    def let_go(self) -> None:
        """Give to the pool what was kept."""
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
        while self._kept:
            self._kept.pop().release()

    def _begin(self, url: URL, headers: Mapping[str, str]) -> _Address:
        """Have aiohttp put the headers together, and write them down once.

        Raises:
            ValueError: a header holds a line break.
        """
        request = aiohttp.ClientRequest(
            hdrs.METH_POST,
            url,
            headers=headers,
            data=BytesPayload(b"{}", content_type="application/json"),
            loop=asyncio.get_running_loop(),
            session=self._session,
            ssl=self._ssl,
        )
        lines = [f"{hdrs.METH_POST} {url.raw_path_qs} HTTP/1.1"]
        for name, value in request.headers.items():
            if any(character in value for character in "\r\n\0"):
                raise ValueError("a header holds a line break")
            lines.append(f"{name}: {_LENGTH if name == hdrs.CONTENT_LENGTH else value}")
        before, _, after = "\r\n".join([*lines, "", ""]).partition(_LENGTH)
        return _Address(
            url=url, headers=headers, request=request, before=before.encode(), after=after.encode()
        )
