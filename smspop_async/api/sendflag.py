"""The send flag: did a single byte of this request leave the process?

The API texts people on POST and has no key by which a repeat could be recognised, so after any failure one
question decides everything: can the server have the whole request? The exception that aiohttp raises does not
tell. A total time-out while waiting for a connection and one after the body left are the same bare
``TimeoutError``; a proxy that dropped its CONNECT and a server that read everything and hung up are both
``ServerDisconnectedError``. Trace signals fire before the write.

What does tell is the body itself. aiohttp buffers the headers of a request until the first piece of its body
is written, so that both leave in one ``transport.write``. As long as our payload has not been asked to
write, nothing has left: the flag is down, and the request is provably unsent. From the moment it is asked,
the flag is up and stays up, also when the write fails: the kernel may have taken the bytes.

One refinement matters in practice. A pooled connection that the server closed after its last reply looks
alive until the loop hears of it, and a POST on it would raise the flag for nothing. So the last act before
the flag goes up is to look at the connection: is the transport closing already, has aiohttp read something
on it that nobody asked for, or does the socket hold an end-of-file (or, on a plain connection, any byte,
which no server may send before our request)? Then the payload refuses to write, not one byte is handed over,
and the request is NOT_SENT, on a connection that is *stale*. What remains is the race of a server that closes
while our bytes travel; no client can see through that one. Therefore a client that met two stale connections
stops re-using connections at that origin (`smspop_async.api.transport`).

A TLS connection may hold bytes that are no reply (session tickets), so there only an end-of-file counts.
"""

import asyncio
import select
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, NoReturn, Protocol
from weakref import WeakKeyDictionary

from aiohttp import ClientConnectionResetError
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from smspop_async.api.deadlines import Deadline

_HANG_UP: Final = (
    getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0) | getattr(select, "POLLERR", 0)
)
_READABLE: Final = getattr(select, "POLLIN", 0)


class SendFlag(Enum):
    """How far a request came."""

    DOWN = "down"
    """Not one byte was handed to a socket."""
    STALE = "stale"
    """The same, because the connection was found closed by the other side right before the write."""
    UP = "up"
    """The server may have the whole request."""


class _Transport(Protocol):
    def is_closing(self) -> bool: ...
    def get_extra_info(self, name: str, default: object = None) -> object: ...


Look = Callable[[], list[tuple[int, int]]]
"""What is there to be read or told on a socket; empty on a connection that is fit for a request."""


class Connections:
    """Remembers which connections have carried a request of ours, to know a re-used one from a fresh one."""

    def __init__(self) -> None:
        self._looks: WeakKeyDictionary[object, Look] = WeakKeyDictionary()

    def note(self, connection: object, transport: _Transport | None) -> tuple[Look, bool]:
        """Return the way to look at `connection`, and whether it was used before."""
        look = self._looks.get(connection)
        if look is not None:
            return look, True
        look = look_at(transport) if transport is not None else _sees_nothing
        self._looks[connection] = look
        return look, False


class Outgoing:
    """A JSON body that knows whether it was asked to leave.

    Args:
        body: The whole body.
        connections: Where re-use is remembered.
    """

    __slots__ = ("_connections", "body", "deadline", "flag", "reused")

    def __init__(self, body: bytes, connections: Connections) -> None:
        self.body: bytes = body
        self._connections = connections
        self.deadline: Deadline | None = None
        """The time limits of the request, which are watched from the write on."""
        self.flag: SendFlag = SendFlag.DOWN
        self.reused: bool = False

    def leave(self, protocol: object, transport: asyncio.WriteTransport | None) -> None:
        """Look at the connection and raise the flag: the next thing to be done is to write.

        Raises:
            ClientConnectionResetError: the body may not be written, and the flag stays down.
        """
        look, self.reused = self._connections.note(protocol, transport)
        if transport is None or transport.is_closing():
            self._refuse(SendFlag.STALE, "The connection was closed before the request was written")
        # A stray reply that the loop has read already would be taken for the answer to this request.
        if getattr(protocol, "should_close", False) or look():
            self._refuse(SendFlag.STALE, "The connection was closed before the request was written")
        if self.deadline is not None and not self.deadline.arm(transport):
            self._refuse(SendFlag.DOWN, "The time was over before the request was written")
        self.flag = SendFlag.UP

    def _refuse(self, flag: SendFlag, words: str) -> NoReturn:
        self.flag = flag
        raise ClientConnectionResetError(words)


class FlaggedPayload(BytesPayload):
    """The same as aiohttp's own requests carry it.

    Args:
        outgoing: The body.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        super().__init__(outgoing.body, content_type="application/json")
        self._outgoing = outgoing

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Look at the connection, raise the flag, write."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Look at the connection, raise the flag, write."""
        self._outgoing.leave(getattr(writer, "protocol", writer), writer.transport)
        await super().write_with_length(writer, content_length)


def look_at(transport: _Transport) -> Look:
    """Make the look at the socket of `transport`: has the other side closed it already?

    It is a system call that does not wait. It is made ready once a connection, and is for an open transport
    only: a closed one no longer owns the number of its socket.
    """
    sock = transport.get_extra_info("socket")
    fileno = getattr(sock, "fileno", lambda: -1)()
    # Windows has no poll: there the closing transport is all that shows.
    if fileno < 0 or not hasattr(select, "poll"):
        return _sees_nothing
    is_tls = transport.get_extra_info("ssl_object") is not None
    poller = select.poll()
    poller.register(fileno, _HANG_UP if is_tls else _HANG_UP | _READABLE)
    return partial(poller.poll, 0)


def _sees_nothing() -> list[tuple[int, int]]:
    return []
