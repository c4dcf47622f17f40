"""Peers that send to the stub: how fast, with how much memory, and how long they hold the event loop."""

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inputs import scattered
from peers import PEERS, Count, Job, Send
from peers.ours import journal_bytes

from cells.server import Measured, Spec, ask, check, stub_stats
from cells.watch import watching

_WARM_UP_AT = 15_000_000
"""Where in the range the contacts of the warm-up begin: none of them is measured again."""


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
    done = {name: after[name] - before[name] for name in ("requests", "from_memory")}
    return {
        **done,
        "wall": wall,
        "cpu": cpu,
        "contacts": count,
        "stub_cpu": after["cpu"] - before["cpu"],
        "preempted": switches,
    }


async def throughput(spec: Spec) -> Measured:
    """How long a peer takes for a list."""
    async with PEERS[spec["peer"]](_job(spec)) as send:
        return await clocked(send, spec)


async def journal(spec: Spec) -> Measured:
    """How long a peer takes for a list that it writes down first, and what that takes on the disk."""
    measured = await throughput(spec)
    return {**measured, "disk": journal_bytes[_job(spec)]}


async def waiting(spec: Spec) -> Measured:
    """The same on a slow server, with what the server says of its delays and of the moments of its replies."""
    measured = await throughput(spec)
    log = ask(spec["api"], f"/log/{spec['api'].split('/', 3)[3]}/campaigns")
    count = int(measured["requests"])
    names = ("delays", "arrived", "answered", "late")
    delays, arrived, answered, late = (log[name][-count:] for name in names)
    return {
        **measured,
        "delays": delays,
        "answered": [moment - arrived[0] for moment in answered],
        "late": sum(late) / count,
        "latest": max(late),
    }


async def lag(spec: Spec) -> Measured:
    """How long the loop was held at worst while a peer sent a list, and beside it on the same loop when idle."""
    async with PEERS[spec["peer"]](_job(spec)) as send:
        busy: dict[str, Any] = {}

        async def watched(contacts: Sequence[str]) -> Count:
            async with watching() as watch:
                count = await send(contacts)
            busy.update(watch.seen())
            return count

        measured = await clocked(watched, spec)
        async with watching() as idle:
            await asyncio.sleep(measured["wall"])
    return {**measured, "busy": busy, "idle": idle.seen()}


async def memory(spec: Spec) -> Measured:
    """The peak of the process's memory after a list of which nobody keeps anything, and what its loop went through."""
    count: int = spec["contacts"]
    contacts: Any = Path(spec["file"]) if spec.get("file") else scattered(count)
    async with PEERS[spec["peer"]](_job(spec)) as send:
        before = stub_stats(spec["api"])
        cpu, wall = time.process_time(), time.perf_counter()
        async with watching() as watch:
            count_up = await send(contacts)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = peak_bytes()
        check(count_up(), count, before, stub_stats(spec["api"]))
    return {"contacts": count, "peak": peak, "wall": wall, "cpu": cpu, "busy": watch.seen()}


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


def _job(spec: Spec) -> Job:
    return Job(api=spec["api"], chunk=spec["chunk"], concurrency=spec["concurrency"])
