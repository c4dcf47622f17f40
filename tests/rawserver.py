"""A server made of bare sockets: each test scripts, byte by byte, what a connection gets to see."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[["Peer", "Request"], Awaitable[None]]
Greeting = Callable[["Peer"], Awaitable[None]]


@dataclass
class Request:
    """A request that arrived whole."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes


@dataclass
class Peer:
    """The server's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    served: int = 0

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status: int, body: bytes = b"", *headers: str, reason: str = "X") -> None:
        head = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async def json(self, status: int, text: str, *headers: str) -> None:
        await self.reply(status, text.encode(), "Content-Type: application/json", *headers)

    def reset(self) -> None:
        """Close with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


@dataclass
class RawServer:
    """Counts what arrives, and plays the script for each whole request."""

    script: Script
    greeting: Greeting | None = None
    """Played on a new connection, before its first request is read."""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    live: int = 0
    """Connections that are open now."""
    port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _hung_up: asyncio.Condition = field(default_factory=asyncio.Condition)
    _served: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer))
        self._served[task] = writer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.live += 1
        peer = Peer(reader, writer)
        try:
            if self.greeting is not None:
                await self.greeting(peer)
            while not writer.is_closing() and (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                peer.served += 1
                self.arrived.set()
                await self.script(peer, request)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.live -= 1
            async with self._hung_up:
                self._hung_up.notify_all()

    async def hang_up(self) -> None:
        """End every connection, also those that nobody has begun to read."""
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        for writer in self._served.values():
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for writer in self._served.values()), return_exceptions=True
        )

    async def drained(self) -> None:
        """Wait until every connection has ended, so that all that was ever sent to it has been read."""
        async with self._hung_up:
            await self._hung_up.wait_for(lambda: self.live == 0)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body, head + body)


@asynccontextmanager
async def raw_server(script: Script, tls: ssl.SSLContext | None = None, *, greeting: Greeting | None = None):
    """Serve `script` on a free port of the loopback interface."""
    server = RawServer(script, greeting)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        for _ in range(10):
            await asyncio.sleep(0)  # a connection that is being accepted while the listener closes would leak
        listener.close()
        await server.hang_up()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def sent_numbers(request: Request) -> list[str]:
    """The contacts of a campaign's body."""
    import json

    return json.loads(request.body)["manual_contacts"].split(", ")


def good_reply(numbers: list[str], failed: frozenset[str] = frozenset(), name: str = "x") -> str:
    """The documented reply, well-formed."""
    import json

    rows = [
        {"phone_number": number, "status": "failed" if number in failed else "sent"} for number in numbers
    ]
    return json.dumps(
        {
            "success": True,
            "message": f"Successfully imported {len(numbers)} contacts and SMS sending completed.",
            "campaign": {"name": name, "message": "m", "sender_id": "DEMO", "status": "approved"},
            "summary": {"sent": len(numbers) - len(failed), "failed": len(failed)},
            "contacts": rows,
        }
    )


async def answer_all(peer: Peer, request: Request) -> None:
    """A server on which everything works."""
    if request.method == "POST":
        await peer.json(200, good_reply(sent_numbers(request)))
    else:
        await peer.json(200, "[]")


def fake_number(n: int) -> str:
    """A visibly fake Zimbabwean mobile number."""
    return f"26377{n:07}"


def fake_numbers(count: int, start: int = 1) -> list[str]:
    return [fake_number(start + i) for i in range(count)]
