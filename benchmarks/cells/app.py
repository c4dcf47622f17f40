"""What the visitors of a web app notice of a long send in it."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inputs import scattered
from peers.job import CAMPAIGN, TOKEN

from cells.server import Measured, Spec, stub_stats

_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fastapi_app"
_MESSAGE = {name: CAMPAIGN[name] for name in ("name", "message", "sender_id")}
_WARM_UP = 1.0
_LOAD = Path(__file__).resolve().parents[1] / "load.py"


async def app(spec: Spec) -> Measured:
    """The example app under visitors: idle, and while it sends a list in the background with a journal."""
    with TemporaryDirectory(prefix=".sends-", dir=_EXAMPLE.parent) as folder:
        os.environ |= {"SMSPOP_TOKEN": TOKEN, "SMSPOP_BASE_URL": spec["api"], "SENDS_FOLDER": folder}
        sys.path.insert(0, str(_EXAMPLE))
        served = import_module("main").app

        @served.get("/bench/trivial")
        async def trivial() -> dict[str, str]:
            return {"hello": "world"}

        served.router.routes.insert(
            0, served.router.routes.pop()
        )  # before the page of a send, which takes any path
        async with _serving(served) as url, _visitors(f"{url}/bench/trivial", spec) as visitors:
            await visitors.phase(_WARM_UP)
            idle = await visitors.phase(spec["seconds"])
            before = stub_stats(spec["api"])
            contacts = list(
                scattered(spec["contacts"])
            )  # a list is at hand: making it is not what is measured
            busy, took = await visitors.during(_send(served, spec, contacts))
            after = stub_stats(spec["api"])
            again = await visitors.phase(spec["seconds"])
    posted = after["requests"] - before["requests"]
    if posted != -(-spec["contacts"] // spec["chunk"]):
        raise RuntimeError(f"{posted} campaigns reached the server")
    return {"idle": idle, "busy": busy, "again": again, "wall": took, "contacts": spec["contacts"]}


async def _send(served: Any, spec: Spec, contacts: list[str]) -> float:
    sends = served.state.smspop.sends
    since = time.perf_counter()
    send = await sends.start(
        contacts,
        chunk_size=spec["chunk"],
        max_concurrency=spec["concurrency"],
        **_MESSAGE,
    )
    report = await sends.wait(send)
    if report.counts["sent"] + report.counts["failed"] != spec["contacts"]:
        raise RuntimeError(f"not everybody was sent to: {report}")
    return time.perf_counter() - since


@asynccontextmanager
async def _serving(served: Any) -> AsyncIterator[str]:
    import uvicorn  # noqa: PLC0415 - only this cell pays for the import

    server = uvicorn.Server(uvicorn.Config(served, port=0, log_level="error", access_log=False))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # uvicorn tells nobody when it is ready
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True


class _Visitors:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - piped
        self._process.stdin.write(f"{line}\n".encode())

    async def _hear(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101 - piped
        heard: dict[str, float] = json.loads(await self._process.stdout.readline())
        return heard

    async def phase(self, seconds: float) -> dict[str, float]:
        """What visitors see for so many seconds."""
        self._say(f"idle {seconds}")
        return await self._hear()

    async def during(self, work: Any) -> tuple[dict[str, float], float]:
        """What visitors see while something is done, and what that comes to."""
        self._say("busy")
        result = await work
        self._say("done")
        return await self._hear(), result


@asynccontextmanager
async def _visitors(url: str, spec: Spec) -> AsyncIterator[_Visitors]:
    cpu = [] if spec.get("cpu") is None else [f"--cpu={(spec['cpu'] + 1) % (os.cpu_count() or 1)}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_LOAD), f"--url={url}", f"--clients={spec['clients']}", *cpu,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield _Visitors(process)
    finally:
        assert process.stdin is not None  # noqa: S101 - piped
        process.stdin.close()
        await process.wait()
