"""The socket side of an answer: sending it whole, in part, late or not at all.

aiohttp hands a handler's response to the connection after the handler returns. The faults that break a
connection do so inside the handler and then return an ordinary response, which aiohttp finds it cannot
write any more and drops silently; there is no other public way to end an exchange without an answer.
"""

import asyncio
import os
import socket
import struct

from aiohttp import web

from smspop_async.sandbox.faults import Fault, FaultKind
from smspop_async.sandbox.replies import Reply

# l_onoff=1, l_linger=0: closing discards what is unsent and sends RST (Linux, socket(7)). The fields are
# shorter on Windows.
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Gate:
    """Knows whether the sandbox is closing, so that nothing that waits outlives it."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether the sandbox has begun to close."""
        return self._closing.is_set()

    def close(self) -> None:
        """Wake up everything that waits."""
        self._closing.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for some seconds, or for ever; less if the sandbox closes. Returns whether it closes."""
        if not self.closing and seconds != 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._closing.wait()
            except TimeoutError:
                pass
        return self.closing


async def deliver(request: web.Request, reply: Reply, fault: Fault | None, gate: Gate) -> web.StreamResponse:
    """Return the response for aiohttp to finish, after breaking the connection as the fault wants."""
    kind = fault.kind if fault else None
    if kind in (FaultKind.HANG, FaultKind.HANG_BEFORE):
        await gate.wait()
    if request.transport is None:
        return _response(reply)  # the client has left: there is nothing to break
    match kind:
        case FaultKind.RESET_BEFORE | FaultKind.RESET_AFTER:
            return _reset(request.transport)
        case FaultKind.TRUNCATED | FaultKind.TRUNCATED_CHUNKED:
            return await _truncate(request, reply, chunked=kind is FaultKind.TRUNCATED_CHUNKED)
        case FaultKind.CLOSE_AFTER_REPLY:
            return await _close_after(request, reply)
        case _:
            return hang_up(request) if fault and fault.silent else _response(reply)


def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection cleanly, after what was already written."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _reset(transport: asyncio.Transport) -> web.StreamResponse:
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
    return web.Response()


async def _truncate(request: web.Request, reply: Reply, *, chunked: bool) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    if chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    hang_up(request)
    return response


async def _close_after(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = _response(reply)
    await response.prepare(request)
    await response.write_eof()
    hang_up(request)
    return response


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=_headers(reply))


def _headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": reply.content_type, **reply.headers}
