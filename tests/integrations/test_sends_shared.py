"""Workers that share a folder: each can tell of the others' sends, and what one leaves behind another finishes."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import smspop_async
from smspop_async import JournalError, RateLimit, SmsPop, Status
from smspop_async.batch.journaled import Planner
from smspop_async.integrations.sends import SendBusyError, Sends, SendState
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

ROOT = Path(smspop_async.__file__).parents[1]
WORDS = {"message": "Hello!", "sender_id": "BRAND1", "name": "Nightly"}
SLOW = {"chunk_size": 10, "max_concurrency": 1, "rate_limit": RateLimit(contacts_per_second=50)}


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[SmsPop]:
    async with SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms:
        yield sms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sends"


def worker(sms: SmsPop, folder: Path) -> Sends:
    return Sends(sms, journal_dir=folder, interval=0.01)


def texted_twice(sandbox: Sandbox) -> list[str]:
    counts = Counter(message.to for message in sandbox.messages())
    return [number for number, times in counts.items() if times > 1]


def table(path: Path) -> dict[str, int]:
    """How many rows of a report have which status."""
    with path.open(encoding="utf-8", newline="") as file:
        return dict(Counter(row["status"] for row in csv.DictReader(file)))


async def test_the_rest_of_a_drained_send_goes_out_later(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """What a drain left is resumed by the next program, whole and without a second text to anybody."""
    async with worker(sms, folder) as first:
        send = await first.start(people(60), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
    sent = len(sandbox.messages())
    assert sent < 60
    async with worker(sms, folder) as second:
        status = await second.status(send)
        assert (status.state, status.resumable) == (SendState.INTERRUPTED, True)
        assert status.counts["sent"] == sent
        assert table(await second.report_csv(send)) == {"sent": sent, "not_submitted": 60 - sent}
        assert await second.resume_interrupted() == [send]
        status = await second.wait(send)
        assert await second.resume_interrupted() == []
        report = await second.report(send)
        assert table(await second.report_csv(send)) == {"sent": 60}, "not the table of before"
    assert (status.state, status.counts["sent"], status.resumable) == (SendState.FINISHED, 60, False)
    assert report["counts"]["sent"] == 60
    assert sorted(message.to for message in sandbox.messages()) == people(60)


async def test_events_go_on_where_they_were(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """Ids go on rising after a resume, so that a listener that comes back misses nothing."""
    async with worker(sms, folder) as first:
        send = await first.start(people(60), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
    async with worker(sms, folder) as second:
        [last] = [event async for event in second.events(send)]
        assert (last.kind, last.data["state"]) == ("end", "interrupted")
        assert await second.is_heard(send, last.id)
        await second.resume(send)
        later = [event async for event in second.events(send, after=last.id)]
        assert not await second.is_heard(send, last.id)
    assert [event.id for event in later] == list(range(last.id + 1, last.id + 1 + len(later)))
    assert later[-1].data["state"] == "finished"


async def test_a_neighbour_sees_a_send_and_stops_it(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """Status, events and the word to stop reach across workers; running it twice does not."""
    async with worker(sms, folder) as one, worker(sms, folder) as two:
        send = await one.start(people(500), **SLOW, **WORDS)
        assert (await two.status(send)).state is SendState.RUNNING
        assert [status.id for status in await two.statuses()] == [send]
        assert two.running == []
        with pytest.raises(SendBusyError):
            await two.resume(send)
        with pytest.raises(SendBusyError):
            await two.forget(send)
        assert await two.resume_interrupted() == []
        seen = []
        async for event in two.events(send):
            seen.append(event)
            if len(seen) == 2:
                await two.stop(send)
        assert (seen[-1].kind, seen[-1].data["state"]) == ("end", "stopped")
        ids = [event.id for event in seen]
        assert ids == sorted(set(ids))
        assert await two.report(send) == await one.report(send)
        assert await two.report_csv(send) == await one.report_csv(send)
        assert await two.resume_interrupted() == [], "what somebody stopped stays stopped"


async def test_a_key_is_the_same_in_every_worker(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """A retry that reaches another worker, at once or after a restart, sends nothing."""
    async with worker(sms, folder) as one, worker(sms, folder) as two:
        ids: list[str] = []

        async def click(sends: Sends) -> None:
            ids.append(await sends.start(people(5), key="form-1", **WORDS))

        async with anyio.create_task_group() as clicks:
            for sends in (one, two, one, two):
                clicks.start_soon(click, sends)
        await one.wait(ids[0])
    async with worker(sms, folder) as later:
        ids.append(await later.start(people(5), key="form-1", **WORDS))
    assert len(set(ids)) == 1
    assert sorted(message.to for message in sandbox.messages()) == people(5)


async def test_a_listener_of_a_neighbours_send_ends_with_its_own_worker(
    sms: SmsPop, sandbox: Sandbox, folder: Path
) -> None:
    """A drain ends the listening to the sends of others; so does the event that the listener brings."""
    async with worker(sms, folder) as one:
        send = await one.start(people(500), **SLOW, **WORDS)
        async with worker(sms, folder) as two:
            async for _ in two.events(send):
                two.begin_drain()
        async with worker(sms, folder) as two:
            gone = anyio.Event()
            async for _ in two.events(send, until=gone):
                gone.set()
        assert (await one.status(send)).state is SendState.RUNNING


async def test_what_was_not_written_down_may_be_started_again(
    sms: SmsPop, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain in the middle of the planning leaves nothing to resume, says so, and frees the key."""
    planning, go_on = anyio.Event(), anyio.Event()
    write = Planner.write

    async def slow_write(*args: Any) -> None:
        planning.set()
        await go_on.wait()
        await write(*args)

    async with worker(sms, folder) as one:
        with monkeypatch.context() as patch:
            patch.setattr(Planner, "write", slow_write)
            send = await one.start(people(5), key="form-1", **WORDS)
            await planning.wait()
            one.begin_drain()
            go_on.set()
            status = await one.wait(send)
    assert (status.state, status.void, status.resumable) == (SendState.INTERRUPTED, True, False)
    assert "start it again" in status.detail
    assert sandbox.messages() == []
    async with worker(sms, folder) as two:
        assert await two.resume_interrupted() == []
        assert await two.start(people(5), key="form-1", **WORDS) == send
        assert (await two.wait(send)).state is SendState.FINISHED
    assert len(sandbox.messages()) == 5


async def test_a_resume_that_cannot_begin_changes_nothing(
    sms: SmsPop, sandbox: Sandbox, folder: Path
) -> None:
    """Where the journal is of no use, `resume` says why, and the send stands where it stood."""
    async with worker(sms, folder) as one:
        send = await one.start(people(500), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
    journal = folder / f"{send}.db"
    journal.rename(folder / "aside")
    async with worker(sms, folder) as two:
        before = await two.status(send)
        with pytest.raises(JournalError):
            await two.resume(send)
        assert await two.status(send) == before
        (folder / "aside").rename(journal)
        await two.resume(send)
        with pytest.raises(SendBusyError):
            await two.resume(send)


CHILD = """
import asyncio, sys
from smspop_async import RateLimit, SmsPop
from smspop_async.batch.journaled import Planner
from smspop_async.integrations.sends import Sends

async def main():
    async with SmsPop() as sms, Sends(sms, journal_dir=sys.argv[1], interval=0.01) as sends:
        contacts = [f"26377000{number:04}" for number in range(60)]
        send = await sends.start(contacts, message="Hello!", sender_id="BRAND1", name="Nightly", key="night",
            chunk_size=10, max_concurrency=1, rate_limit=RateLimit(contacts_per_second=50))
        print(send, flush=True)
        await sends.wait(send)

asyncio.run(main())
"""


async def test_what_a_killed_worker_leaves_behind(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """A killed worker is noticed, its report is there, and the rest goes out: nobody is texted twice."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SMSPOP_TOKEN": sandbox.token,
        "SMSPOP_BASE_URL": sandbox.api_url,
    }
    with subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", CHILD, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        send = (await anyio.to_thread.run_sync(child.stdout.readline)).strip()
        await sandbox.wait_for(count=20)
        async with worker(sms, folder) as sends:
            assert (await sends.status(send)).state is SendState.RUNNING
            listening = sends.events(send)
            await anext(listening)
            child.send_signal(signal.SIGKILL)
            last = [event async for event in listening][-1]
            assert (last.kind, last.data["state"]) == ("end", "interrupted")
            assert "without finishing" in last.data["detail"]

            report = await sends.report(send)
            assert sum(report["counts"].values()) == 60
            assert report["counts"]["sent"] + report["counts"]["unknown"] >= 20
            rows = (await sends.report_csv(send)).read_text(encoding="utf-8").splitlines()
            assert len(rows) == 61

            assert await sends.start(people(60), key="night", **WORDS) == send, "the same key sends nothing"
            assert await sends.resume_interrupted() == [send]
            status = await sends.wait(send)
    assert texted_twice(sandbox) == []
    assert status.counts[Status.NOT_SUBMITTED] == 0
    assert status.counts[Status.UNKNOWN] + status.counts[Status.SENT] + status.counts["accepted"] == 60
    assert len(sandbox.messages()) + status.counts[Status.UNKNOWN] >= 60


async def test_a_dead_send_without_a_journal(sms: SmsPop, folder: Path) -> None:
    """Without a journal there is no report of a send whose process died, and that is said."""
    async with worker(sms, folder) as sends:
        send = await sends.start(people(1), **WORDS)
        await sends.wait(send)
        path = folder / f"{send}.json"
        kept = json.loads(path.read_text())
        kept["status"] |= {"state": "running", "journalled": False}
        path.write_text(json.dumps(kept))
        (folder / f"{send}.report").unlink()
        sends._live.clear()
        assert (await sends.status(send)).state is SendState.INTERRUPTED
        for ask in (sends.report, sends.report_csv):
            with pytest.raises(SendBusyError, match="interrupted before"):
                await ask(send)


async def test_what_cannot_be_resumed_is_left(
    sms: SmsPop, sandbox: Sandbox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start is not kept from its work by one send whose journal is damaged; the log names it."""
    async with worker(sms, folder) as one:
        ids = [await one.start(people(60), **SLOW, **WORDS) for _ in range(2)]
        await sandbox.wait_for(count=20)
    damaged, whole = ids
    (folder / f"{damaged}.db").write_bytes(b"no journal at all, but some other file of somebody's")
    async with worker(sms, folder) as two:
        assert await two.resume_interrupted() == [whole]
    assert damaged in caplog.text


async def test_two_workers_that_start_at_once(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """Where several workers start together, one of them goes on with each send, and nobody is texted twice."""
    async with worker(sms, folder) as one:
        send = await one.start(people(60), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
    resumed: list[list[str]] = []
    async with worker(sms, folder) as two, worker(sms, folder) as three:

        async def resume(sends: Sends) -> None:
            resumed.append(await sends.resume_interrupted())

        async with anyio.create_task_group() as tasks:
            for sends in (two, three):
                tasks.start_soon(resume, sends)
        assert (await two.wait(send)).state is SendState.FINISHED
    assert sorted(resumed) == [[], [send]]
    assert sorted(message.to for message in sandbox.messages()) == people(60)


async def test_a_word_to_stop_that_came_too_late(sms: SmsPop, sandbox: Sandbox, folder: Path) -> None:
    """A word for a send that had ended by then does not stop it when it goes on."""
    async with worker(sms, folder) as one:
        send = await one.start(people(60), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
    async with worker(sms, folder) as two:
        await two._opened.ask_to_stop(send)
        await two.resume(send)
        assert (await two.wait(send)).state is SendState.FINISHED
