"""One measurement in a process of its own: ``python cell.py '{"kind": "throughput", …}'`` prints JSON.

A fresh process for each means that no run warms, fills or fragments anything for the next one.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inputs import failing, scattered
from peers import PEERS, Count, Job, Send, Tally

Spec = dict[str, Any]
Measured = dict[str, Any]

_WARM_UP_AT = 15_000_000
"""Where in the range the contacts of the warm-up begin: none of them is measured again."""
_TICK = 0.001
"""Seconds that the watch of the loop sleeps between two looks."""


def stub_stats(api: str) -> dict[str, float]:
    """Ask the stub what it has done so far."""
    connection = HTTPConnection(urlsplit(api).netloc)
    connection.request("GET", "/stats")
    stats: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return stats


def check(tally: Tally, count: int, before: dict[str, float], after: dict[str, float]) -> None:
    """Nobody wins by doing less: the server saw every contact once, and the peer knows what became of each."""
    failed = failing(count)
    if tally != Tally(sent=count - failed, failed=failed):
        raise SystemExit(f"the peer lost count: {tally}, expected {count - failed} sent and {failed} failed")
    if after["contacts"] - before["contacts"] != count:
        raise SystemExit(
            f"the server saw {after['contacts'] - before['contacts']} contacts instead of {count}"
        )


async def clocked(send: Send, spec: Spec) -> Measured:
    """Warm up on the same connections, then send all contacts on the clock."""
    count: int = spec["contacts"]
    contacts = list(scattered(count))
    await send(list(scattered(spec["warm_up"] * spec["chunk"], start=_WARM_UP_AT)))
    before = stub_stats(spec["api"])
    gc.collect()
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    cpu, wall = time.process_time(), time.perf_counter()
    count_up = await send(contacts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches
    after = stub_stats(spec["api"])
    check(count_up(), count, before, after)
    return {
        "wall": wall,
        "cpu": cpu,
        "contacts": count,
        "requests": after["requests"] - before["requests"],
        "stub_cpu": after["cpu"] - before["cpu"],
        "preempted": switches,
    }


async def throughput(spec: Spec) -> Measured:
    """How long a peer takes for a list."""
    async with PEERS[spec["peer"]](_job(spec)) as send:
        return await clocked(send, spec)


async def lag(spec: Spec) -> Measured:
    """How long the loop was held at worst while a peer sent a list, and beside it on the same loop when idle."""
    async with PEERS[spec["peer"]](_job(spec)) as send:
        held: list[tuple[float, float]] = []

        async def watched(contacts: Sequence[str]) -> Count:
            held.clear()
            watch = asyncio.create_task(_watch(held))
            count = await send(contacts)
            watch.cancel()
            return count

        measured = await clocked(watched, spec)
        idle: list[tuple[float, float]] = []
        watch = asyncio.create_task(_watch(idle))
        await asyncio.sleep(measured["wall"])
        watch.cancel()
    return measured | {
        "worst": max(late for late, _ in held),
        "own": max(min(late, cpu) for late, cpu in held),
        "idle": max(late for late, _ in idle),
        "looks": len(held),
    }


async def _watch(looks: list[tuple[float, float]]) -> None:
    """Note how much later than asked each wake-up came, and the processor time used meanwhile.

    Of a delay, no more than that time can be our own doing: the rest was taken by another process.
    """
    while True:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(_TICK)
        looks.append((time.perf_counter() - wall - _TICK, time.process_time() - cpu))


async def memory(spec: Spec) -> Measured:
    """The peak of the process's memory after a list of which nobody keeps anything."""
    count: int = spec["contacts"]
    async with PEERS[spec["peer"]](_job(spec)) as send:
        before = stub_stats(spec["api"])
        count_up = await send(scattered(count))  # type: ignore[arg-type]  # this peer takes any iterable
        check(count_up(), count, before, stub_stats(spec["api"]))
    return {"contacts": count, "peak": peak_bytes()}


def peak_bytes() -> int:
    """The most memory this process ever held.

    Linux's ``ru_maxrss`` begins at the size of the process that started this one; its ``VmHWM`` does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(
            int(line.split()[1]) * 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def capacity(spec: Spec) -> Measured:
    """What the stub alone can do: the same request, written over and over on one connection without waiting."""
    url = urlsplit(spec["api"])
    text = json.dumps({"name": "Benchmark", "manual_contacts": ", ".join(scattered(spec["chunk"]))}).encode()
    request = b"POST %b/campaigns HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
        url.path.encode(),
        len(text),
        text,
    )
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


def _job(spec: Spec) -> Job:
    return Job(api=spec["api"], chunk=spec["chunk"], concurrency=spec["concurrency"])


KINDS: dict[str, Callable[[Spec], Coroutine[Any, Any, Measured]]] = {
    "throughput": throughput,
    "lag": lag,
    "memory": memory,
    "capacity": capacity,
}


def main() -> None:
    spec: Spec = json.loads(sys.argv[1])
    if spec.get("cpu") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {spec["cpu"]})
    factory = import_module("uvloop").new_event_loop if spec.get("loop") == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(KINDS[spec["kind"]](spec))))


if __name__ == "__main__":
    main()
