"""A stand-in for SMSPop that costs next to nothing, so that what is measured is the client.

It runs in a process of its own, on a core of its own where the machine has one to spare, as a bare
`asyncio.Protocol` on uvloop. See `replies` for how replies are made, and remembered.

``POST /{layout}/{latency}/api/campaigns`` answers with rows in one of the layouts of `replies`, after

* ``0``: no time at all;
* ``prime``: no time, and the reply is remembered; no other request is;
* ``200``: so many milliseconds;
* ``pareto-7``: heavy-tailed times, drawn with that seed, one for each request in order of arrival.

Anything behind a ``~`` only makes two paths differ, so that each measurement has its own draws from the first on.

``GET /stats`` tells the requests and contacts served and the processor time used since the start, from which a
run shows that the stub was not its bottleneck, and that every contact really arrived. It also begins a new *stretch*:
a remembered list that comes twice in one is counted as repeated. ``GET /log/{layout}/{latency}/api/campaigns`` tells
for one path the delay of each request in order of arrival, when each arrived, when replies left, and how much later
than they should have. ``GET /forget`` empties the memory.

Run by the harness: ``python stub.py [--cpu N]`` prints its port and ends when its standard input does.
"""

import argparse
import asyncio
import heapq
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count, repeat
from typing import cast

from attrs import define, field
from draws import pareto
from replies import LAYOUTS, Answer, Memory, answer, list_in, over_http

_SEND_BUFFER = 2**20
"""Asked of the kernel, which may give less: a reply should leave in one go, not wait for the client to read."""


class Bell:
    """Calls back at a moment, to some 0.1 ms.

    Event loops count whole milliseconds, which at 200 ms a request is a quarter of what a client is allowed to lose.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._changed = threading.Condition()
        threading.Thread(target=self._ring, daemon=True).start()

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call when `time.monotonic` has reached the moment, on the loop."""
        with self._changed:
            heapq.heappush(self._waiting, (moment, next(self._number), call))
            if self._waiting[0][2] is call:
                self._changed.notify()

    def _ring(self) -> None:
        while True:
            with self._changed:
                while not self._waiting or (left := self._waiting[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left if self._waiting else None)
                call = heapq.heappop(self._waiting)[2]
            self._loop.call_soon_threadsafe(call)


@define
class Manner:
    """How requests to one path are answered, and when they were."""

    layout: str
    primes: bool
    delays: Iterator[float] | None
    """None where replies leave at once; then nothing is noted either."""
    delayed: list[float] = field(factory=list)
    arrived: list[float] = field(factory=list)
    answered: list[float] = field(factory=list)
    late: list[float] = field(factory=list)
    """How much later than it should have each reply left, in the order in which they left."""

    def as_json(self) -> bytes:
        noted = {
            "delays": self.delayed,
            "arrived": self.arrived,
            "answered": self.answered,
            "late": self.late,
        }
        return json.dumps(noted).encode()


class Served:
    """What the stub has done since it started."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.manners: dict[bytes, Manner] = {}
        self.requests = self.contacts = self.failed = self.from_memory = self.repeated = self.stretch = 0

    def manner(self, target: bytes) -> Manner:
        manner = self.manners.get(target)
        if manner is None:
            manner = self.manners[target] = _manner(target)
        return manner

    def answer(self, manner: Manner, body: bytes) -> bytes:
        begin, end = list_in(body)
        known = self.memory.find(manner.layout, body, begin, end)
        if known is not None:
            self.from_memory += 1
            self.repeated += known.told_in == self.stretch
            known.told_in = self.stretch
        given: Answer = known or answer(body[begin:end], LAYOUTS[manner.layout])
        self.requests += 1
        self.contacts += given.contacts
        self.failed += given.failed
        if manner.primes and known is None:
            self.memory.keep(manner.layout, given)
        return given.wire

    def tell(self, target: bytes) -> bytes:
        """Answer a question about the stub itself."""
        if target == b"/forget":
            self.memory.forget()
        if target.startswith(b"/log/"):
            return self.manner(target.removeprefix(b"/log")).as_json()
        self.stretch += 1
        told = ("requests", "contacts", "failed", "from_memory", "repeated")
        stats = {name: getattr(self, name) for name in told}
        return json.dumps({**stats, "remembered": self.memory.size, "cpu": time.process_time()}).encode()


class Connection(asyncio.Protocol):
    """One client's connection; requests may be pipelined."""

    def __init__(self, served: Served, bell: Bell) -> None:
        self._served = served
        self._bell = bell
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        at = 0
        while (head_end := data.find(b"\r\n\r\n", at)) >= 0:
            head = data[at:head_end]
            end = head_end + 4 + _content_length(head)
            if len(data) < end:
                break
            self._serve(head, data[head_end + 4 : end])
            at = end
        self._held = data[at:]

    def _serve(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        if method == b"GET":
            self._write(over_http(self._served.tell(target)))
            return
        manner = self._served.manner(target)
        wire = self._served.answer(manner, body)
        if manner.delays is None:
            self._write(wire)
        else:
            self._write_later(wire, manner)

    def _write_later(self, wire: bytes, manner: Manner) -> None:
        now, delay = time.monotonic(), next(cast("Iterator[float]", manner.delays))
        manner.delayed.append(delay)
        manner.arrived.append(now)

        def write() -> None:
            left = time.monotonic()
            manner.answered.append(left)
            manner.late.append(left - now - delay)
            self._write(wire)

        self._bell.at(now + delay, write)

    def _write(self, wire: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _manner(target: bytes) -> Manner:
    _, layout, latency, _ = target.decode().split("/", 3)
    word, _, seed = latency.partition("~")[0].partition("-")
    delays = None
    if word == "pareto":
        delays = pareto(int(seed))
    elif word not in ("0", "prime"):
        delays = repeat(float(word) / 1000)
    return Manner(layout=layout, primes=word == "prime", delays=delays)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    served, bell, over = Served(), Bell(loop), asyncio.Event()
    server = await loop.create_server(lambda: Connection(served, bell), "127.0.0.1", 0, backlog=1024)

    def until_parent_ends() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=until_parent_ends, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    cpu = parser.parse_args().cpu
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    factory = None
    if find_spec("uvloop"):
        import uvloop  # noqa: PLC0415 - not there on every platform

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
