"""Web apps on real sockets: an ASGI app in the loop of the test, and the programs under examples/ as processes."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import uvicorn
from attrs import frozen


class AppServer:
    """A server that runs.

    Args:
        server: uvicorn's.
        task: What serves.
        session: A client of it; its URLs are paths.
    """

    def __init__(
        self, server: uvicorn.Server, task: asyncio.Task[None], session: aiohttp.ClientSession
    ) -> None:
        self._server, self._task, self.session = server, task, session

    def begin_to_end(self) -> None:
        """What a signal does."""
        self._server.should_exit = True

    async def ended(self) -> None:
        await asyncio.wait({self._task})


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[AppServer]:
    """Serve an app until the block is left; what its start raises is raised here."""
    config = uvicorn.Config(app, port=0, lifespan="on", log_config=None, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield AppServer(server, task, session)
    finally:
        server.should_exit = True
        await task


ROOT = Path(__file__).resolve().parents[1]
_ADDRESS = re.compile(r"unning on (http://127\.0\.0\.1:\d+)")


@frozen(kw_only=True)
class Program:
    """A program under examples/ while it runs."""

    process: asyncio.subprocess.Process
    address: str

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait until all is over."""
        self.process.send_signal(number)
        return await self.process.wait()


@asynccontextmanager
async def program(path: str, *, ready: str, times: int = 1, **environment: str) -> AsyncGenerator[Program]:
    """Run a program until the block is left; it must not complain.

    Args:
        path: From the root of the project.
        ready: Words of its output that say that it serves.
        times: How often they come: once for each worker.
        **environment: Variables.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-W", "error", str(ROOT / path),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0", **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    log: list[str] = []
    reading = asyncio.create_task(_read(process, log))
    try:
        with anyio.fail_after(30):
            while sum(ready in line for line in log) < times:
                assert process.returncode is None, "".join(log)
                await anyio.sleep(0.02)
        yield Program(process=process, address=next(filter(None, map(_ADDRESS.search, log)))[1])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with anyio.fail_after(30, shield=True):
            await process.wait()
        await reading
    assert not [line for line in log if "Traceback" in line or "ERROR" in line], "".join(log)


async def _read(process: asyncio.subprocess.Process, log: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        log.append(line.decode())  # noqa: PERF401 - somebody reads it meanwhile


@frozen(kw_only=True)
class Heard:
    """A server-sent event as a browser would see it."""

    id: str
    event: str
    data: str


async def listen(response: aiohttp.ClientResponse) -> AsyncIterator[Heard]:
    """Parse a stream of events as the HTML standard has it; comments are passed over."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in fields:
                yield Heard(
                    id=fields.get("id", ""), event=fields.get("event", "message"), data=fields["data"]
                )
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = fields[name] + "\n" + value[1:] if name in fields else value.removeprefix(" ")
