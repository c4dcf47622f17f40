"""Fifty visitors of a web app: ``python load.py --url URL --clients 50 [--cpu N]``.

Each asks again as soon as it was answered, on a connection of its own, in the least code that speaks HTTP. Reads a line
from standard input for each phase (``idle 3`` lasts three seconds, ``busy`` until the next line), and prints the
latencies of the phase as JSON.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit


async def visit(host: str, port: int, path: str, took: list[float], over: asyncio.Event) -> None:
    """One visitor, until it is over."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    while not over.is_set():
        since = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        took.append(time.perf_counter() - since)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.split(b"\r\n")[0].decode())
    writer.close()


async def phase(url: str, clients: int, ends: asyncio.Event) -> dict[str, float]:
    """Let all visitors come, until it ends."""
    parts = urlsplit(url)
    took: list[float] = []
    since = time.perf_counter()
    async with asyncio.TaskGroup() as visitors:
        for _ in range(clients):
            visitors.create_task(visit(str(parts.hostname), int(parts.port or 80), parts.path, took, ends))
    took.sort()
    at = {f"p{share * 100:g}": took[int(share * (len(took) - 1))] for share in (0.5, 0.99, 0.999)}
    return {**at, "worst": took[-1], "requests": len(took), "seconds": time.perf_counter() - since}


async def main(url: str, clients: int) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    while line := (await lines.get()).strip():
        word, _, seconds = line.partition(" ")
        ends = asyncio.Event()
        running = asyncio.create_task(phase(url, clients, ends))
        if word == "idle":
            await asyncio.sleep(float(seconds))
        else:
            await lines.get()
        ends.set()
        print(json.dumps(await running), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--cpu", type=int)
    options = parser.parse_args()
    if options.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.cpu})
    asyncio.run(main(options.url, options.clients))
