"""The FastAPI example as its users run it: a process with two workers, an upload, signals; the sandbox is the judge."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from attrs import frozen

from appserver import Program, listen, program
from smspop_async import Status, read_report
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

KEY = "a-key-from-the-form"


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


@frozen(kw_only=True)
class Running:
    """The example while it runs."""

    program: Program
    http: aiohttp.ClientSession

    @property
    def workers(self) -> list[int]:
        """The processes that serve."""
        pid = self.program.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        names = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children}
        return [int(child) for child, name in names.items() if "spawn_main" in name]

    async def upload(self, numbers: list[str], *, per_second: float, key: str = KEY) -> str:
        form = aiohttp.FormData(
            {"message": "Hello!", "sender_id": "BRAND1", "key": key, "per_second": str(per_second)}
        )
        form.add_field("contacts", "\n".join(numbers), filename="contacts.txt", content_type="text/plain")
        async with self.http.post("/", data=form, allow_redirects=False) as reply:
            assert reply.status == 303, await reply.text()
            return reply.headers["Location"].strip("/")


@asynccontextmanager
async def running(sandbox: Sandbox, folder: Path) -> AsyncIterator[Running]:
    """The example, until the block is left."""
    environment = {
        "SMSPOP_TOKEN": sandbox.token,
        "SMSPOP_BASE_URL": sandbox.api_url,
        "SENDS_FOLDER": str(folder),
        "WORKERS": "2",
    }
    connector = aiohttp.TCPConnector(force_close=True)  # so that both workers are asked
    async with (
        program("examples/fastapi_app/main.py", ready="startup complete", times=2, **environment) as child,
        aiohttp.ClientSession(child.address, connector=connector) as http,
    ):
        yield Running(program=child, http=http)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sends"


def texted(sandbox: Sandbox) -> list[str]:
    return [message.to for message in sandbox.messages()]


def nobody_twice(sandbox: Sandbox) -> bool:
    return max(Counter(texted(sandbox)).values(), default=0) <= 1


async def watched(app: Running, send: str) -> list[dict[str, Any]]:
    """What a page sees: a stream that is taken up again when it breaks off, until the end."""
    seen: list[dict[str, Any]] = []
    last = ""
    while True:
        try:
            async with app.http.get(f"/sends/{send}/events", headers={"Last-Event-ID": last}) as response:
                assert response.status == 200
                async for event in listen(response):
                    last = event.id
                    seen.append(json.loads(event.data))
                    if event.event == "end" and seen[-1]["state"] == "finished":
                        return seen
        except aiohttp.ClientError:
            await anyio.sleep(0.05)


async def test_a_file_goes_out_and_every_worker_knows(sandbox: Sandbox, folder: Path) -> None:
    """An upload is sent once, however often it is submitted, and each worker has its progress and its report."""
    async with running(sandbox, folder) as app:
        sends = await asyncio.gather(*(app.upload(people(200), per_second=400) for _ in range(6)))
        [send] = set(sends)
        with anyio.fail_after(30):
            for seen in await asyncio.gather(*(watched(app, send) for _ in range(6))):
                settled = [state["settled"] for state in seen]
                assert settled == sorted(settled)
                assert (seen[-1]["expected"], seen[-1]["counts"]["sent"]) == (200, 200)
        for _ in range(6):
            async with app.http.get(f"/sends/{send}/report.csv") as reply:
                assert len((await reply.text()).splitlines()) == 201
            async with app.http.get(f"/{send}") as reply:
                assert "EventSource" in await reply.text()
    assert sorted(texted(sandbox)) == people(200)


async def test_what_the_person_can_put_right_is_shown(sandbox: Sandbox, folder: Path) -> None:
    """A file that cannot be read brings the form back with the reason, and an unheard-of page is a 404."""
    async with running(sandbox, folder) as app:
        async with app.http.get("/") as reply:
            keys = re.findall(r'name="key" value="([^"]+)"', await reply.text())
            assert len(keys) == 1
        form = aiohttp.FormData({"message": "Hello!", "sender_id": "BRAND1", "key": keys[0]})
        form.add_field("contacts", "x", filename="<b>.pdf")
        async with app.http.post("/", data=form) as reply:
            assert reply.status == 422
            assert "Cannot read" in await reply.text()
        async with app.http.get("/nothing") as reply:
            assert reply.status == 404
    assert sandbox.requests == []


async def test_sigterm_in_the_middle(sandbox: Sandbox, folder: Path) -> None:
    """SIGTERM stops the sending; the report is true; the rest goes out next time; nobody is texted twice."""
    async with running(sandbox, folder) as app:
        send = await app.upload(people(300), per_second=100)
        watching = asyncio.create_task(
            app.http.get(f"/sends/{send}/events")
        )  # a page that is open holds nothing up
        await sandbox.wait_for(count=60)
        sandbox.fail_next("latency", seconds=0.5)  # something is under way when the signal comes
        await sandbox.wait_for_requests(count=len(sandbox.requests) + 1)
        with anyio.fail_after(20):
            assert await app.program.end(signal.SIGTERM) == 0
        (await watching).close()
    sent = texted(sandbox)
    assert 60 < len(sent) < 300
    assert nobody_twice(sandbox)
    rows = list(read_report(folder / f"{send}.db").outcomes())
    assert sorted(row.phone_number for row in rows if row.status is Status.SENT) == sorted(sent)
    assert {row.status for row in rows} == {Status.SENT, Status.NOT_SUBMITTED}

    async with running(sandbox, folder) as app:
        with anyio.fail_after(30):
            assert (await watched(app, send))[-1]["counts"]["sent"] == 300
    assert sorted(texted(sandbox)) == people(300)


async def test_a_worker_that_is_killed(sandbox: Sandbox, folder: Path) -> None:
    """Where a worker dies, the one that takes its place goes on from the journal, and nobody is texted twice."""
    async with running(sandbox, folder) as app:
        send = await app.upload(people(300), per_second=150)
        await sandbox.wait_for(count=60)
        sandbox.fail_next("hang")  # a campaign that was sent, and whose answer never comes
        await sandbox.wait_for_requests(count=len(sandbox.requests) + 1)
        for worker in app.workers:
            os.kill(worker, signal.SIGKILL)
        with anyio.fail_after(60):
            last = (await watched(app, send))[-1]
    assert sorted(texted(sandbox)) == people(300)
    assert last["counts"]["sent"] + last["counts"]["accepted"] == 300


async def test_it_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command is enough to try it: without a token it is in a sandbox, the same for both workers."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    async with (
        program("examples/fastapi_app/main.py", ready="startup complete", times=2) as child,
        aiohttp.ClientSession(child.address) as http,
    ):
        app = Running(program=child, http=http)
        send = await app.upload(people(50), per_second=1_000)
        with anyio.fail_after(20):
            status = (await watched(app, send))[-1]
        assert (status["counts"]["rejected"], status["counts"]["sent"]) == (0, 50)
