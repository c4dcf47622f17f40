"""Questions to the stub, and what it can do by itself."""

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from inputs import failing, scattered
from peers import Tally

Spec = dict[str, Any]
Measured = dict[str, Any]


def ask(api: str, target: str) -> Any:
    """Ask the stub something."""
    connection = HTTPConnection(urlsplit(api).netloc)
    connection.request("GET", target)
    said = json.loads(connection.getresponse().read())
    connection.close()
    return said


def stub_stats(api: str) -> dict[str, float]:
    """Ask the stub what it has done so far."""
    stats: dict[str, float] = ask(api, "/stats")
    return stats


def check(tally: Tally, count: int, before: dict[str, float], after: dict[str, float]) -> None:
    """Nobody wins by doing less: the server saw every contact once, and the peer knows what became of each."""
    failed = failing(count)
    if tally != Tally(sent=count - failed, failed=failed):
        raise SystemExit(f"the peer lost count: {tally}, expected {count - failed} sent and {failed} failed")
    seen, again = (after[name] - before[name] for name in ("contacts", "repeated"))
    if seen != count or again:
        raise SystemExit(f"the server saw {seen} contacts instead of {count}, and {again} campaigns twice")


async def prime(spec: Spec) -> Measured:
    """Let the stub make and remember the replies of a contest; nothing else is remembered."""
    ask(spec["api"], "/forget")
    connection = HTTPConnection(urlsplit(spec["api"]).netloc)
    for layout, chunk, contacts in spec["wanted"]:
        numbers = list(scattered(contacts))
        for at in range(0, contacts, chunk):
            text = json.dumps({"manual_contacts": ", ".join(numbers[at : at + chunk])})
            connection.request("POST", f"/{layout}/prime/api/campaigns", text)
            connection.getresponse().read()
    connection.close()
    return {"remembered": stub_stats(spec["api"])["remembered"]}


async def capacity(spec: Spec) -> Measured:
    """What the stub alone can do: one request, written over and over on one connection, many at a time."""
    url = urlsplit(spec["api"])
    text = json.dumps({"name": "Benchmark", "manual_contacts": ", ".join(scattered(spec["chunk"]))}).encode()
    head = f"POST {url.path}/campaigns HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n"
    request = head.encode() + text
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(request)
        reply = _receive_one(connection)
        before = stub_stats(spec["api"])
        wall = time.perf_counter()
        for _ in range(spec["rounds"]):
            connection.sendall(request * spec["pipelined"])
            _receive(connection, reply * spec["pipelined"])
        wall = time.perf_counter() - wall
    after = stub_stats(spec["api"])
    return {
        "wall": wall,
        "requests": after["requests"] - before["requests"],
        "stub_cpu": after["cpu"] - before["cpu"],
    }


def _receive_one(connection: socket.socket) -> int:
    """Read one reply; how long is it?"""
    data = b""
    while (head := data.find(b"\r\n\r\n")) < 0:
        data += connection.recv(2**16)
    length = head + 4 + int(data[:head].rpartition(b": ")[2])
    _receive(connection, length - len(data))
    return length


def _receive(connection: socket.socket, left: int) -> None:
    buffer = bytearray(2**20)
    while left > 0:
        left -= connection.recv_into(buffer, min(left, len(buffer)))
