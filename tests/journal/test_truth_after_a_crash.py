"""What a journal may never say or lose: who may have been texted stays so, and what is on the disk stays there."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from faultserver import FaultServer
from rawserver import fake_number, fake_numbers, raw_server
from smspop_async import ReconcilePolicy, RetryPolicy, SmsPop, SqliteJournal, Status, list_sends, read_report
from smspop_async.batch import archive
from smspop_async.journal.base import PlannedChunk, RejectedRow, SendPlan, SendState
from smspop_async.journal.opening import own
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.002)
SAME = {"message": "Hello!", "sender_id": "DEMO", "reconcile": SOON}
PLAN = SendPlan(
    run="abcdefghij", name="n", sender_id="DEMO", message="m", base_url="http://127.0.0.1/api", settings={}
)


def client(base_url: str) -> SmsPop:
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(token="1|fake-token", base_url=base_url, retry=retry, timeout=10)


def chunk(seq: int, *rows: int) -> PlannedChunk:
    return PlannedChunk(seq=seq, rows=rows, numbers=[fake_number(row) for row in rows], text="m")


async def claimed(journal: SqliteJournal):
    log = await journal.begin(PLAN, streaming=False)
    await log.plan([chunk(1, 0, 1), chunk(2, 2)], total=3)
    await log.mark(SendState.PLANNED)
    await log.claim(1)
    return log


# What the report says.


async def test_a_campaign_under_way_is_unknown_in_the_report(tmp_path):
    """Whoever reads the journal of a live or dead send is never told that a campaign under way was not submitted."""
    async with SqliteJournal(tmp_path / "j.db") as journal:
        await claimed(journal)
        report = read_report(journal.path)
    assert [outcome.status for outcome in report.outcomes()] == [
        Status.UNKNOWN,
        Status.UNKNOWN,
        Status.NOT_SUBMITTED,
    ]
    assert (report.counts[Status.UNKNOWN], report.counts[Status.NOT_SUBMITTED]) == (2, 1)


async def unknown_send(path) -> None:
    server = FaultServer(["hang_up_before"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.send(fake_numbers(2), journal=path, **SAME)
    assert report.counts[Status.UNKNOWN] == 2


async def test_a_second_try_that_waits_to_be_repeated_is_still_in_doubt(tmp_path):
    """A second try that is turned away by 429 stays UNKNOWN in the journal: the first one may have been sent."""
    path = tmp_path / "j.db"
    await unknown_send(path)
    posted = asyncio.Event()
    server = FaultServer(["429_late"], on_post=lambda _: posted.set())

    async def late(peer, _) -> None:
        await peer.json(429, '{"message": "Too Many Attempts."}', "Retry-After: 100")

    setattr(server, "_429_late", late)  # noqa: B010 - a name that is no identifier
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        resumed = asyncio.ensure_future(sms.resume(path, resend_unknown=True, reconcile=SOON, grace=0))
        await posted.wait()
        while sms.submitter.gate.wait_left == 0:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        resumed.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await resumed
    assert caught.value.report.counts[Status.UNKNOWN] == 2
    assert read_report(path).counts[Status.UNKNOWN] == 2


async def test_a_plain_resume_does_not_make_a_second_try_that_was_left_over(tmp_path):
    """Without `resend_unknown` nobody is sent to again who may have been texted, whatever was asked for earlier."""
    path = tmp_path / "j.db"
    await unknown_send(path)
    server = FaultServer(["402"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        await sms.resume(path, resend_unknown=True, reconcile=SOON)
    server = FaultServer()
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=False, reconcile=SOON)
    assert server.posts == 0
    assert report.counts[Status.UNKNOWN] == 2


async def test_a_list_that_breaks_off_leaves_an_abandoned_send_and_a_journal_that_opens(tmp_path):
    """Nothing was sent and nothing was refused: no campaign is in the report, and the journal is of use."""
    path = tmp_path / "j.db"

    def broken():
        yield from fake_numbers(25_000)
        raise ValueError

    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        live = await sms.send(broken(), journal=path, **SAME)
        assert sandbox.requests == []
    read = read_report(path)
    for report in (live, read):
        assert report.counts[Status.NOT_SUBMITTED] == report.total == 25_000
        assert report.campaigns == ()
    async with SqliteJournal(path) as journal:
        assert [send.state for send in await journal.sends()] == [SendState.ABANDONED]


async def test_a_journal_opens_after_a_death_in_the_middle_of_planning(tmp_path):
    """Half a plan is given up by whoever opens the journal next."""
    path = tmp_path / "j.db"
    async with SqliteJournal(path) as journal:
        log = await journal.begin(PLAN, streaming=False)
        await log.plan([chunk(1, 0, 1)], total=2)
    async with SqliteJournal(path) as journal:
        assert [send.state for send in await journal.sends()] == [SendState.ABANDONED]


async def test_a_campaign_that_is_listed_twice_is_in_the_journal_too(tmp_path):
    """That people were texted twice is the last thing that may be forgotten."""
    path = tmp_path / "j.db"
    server = FaultServer(["hang_up_twice"])

    async def doubled(peer, numbers) -> None:
        server.campaigns += [f"Campaign [{list_sends(path)[0].run}-0001]"] * 2
        peer.close()

    server._hang_up_twice = doubled
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.send(fake_numbers(2), journal=path, **SAME)
    assert len(report.discrepancies) == 1
    assert read_report(path).discrepancies == report.discrepancies


async def test_a_report_that_is_read_while_rows_arrive_is_of_one_moment(tmp_path, monkeypatch):
    """No count of a report is below 0, and they add up, also while a stream writes."""
    path = tmp_path / "j.db"
    async with SqliteJournal(path) as journal:
        log = await journal.begin(PLAN, streaming=True)
        await log.plan([chunk(1, 0)], total=1)
        await log.claim(1)
        loop, real = asyncio.get_running_loop(), archive.open_send

        def late(*args):
            wrote = asyncio.run_coroutine_threadsafe(write(), loop)
            wrote.result()
            return real(*args)

        async def write() -> None:
            rejected = [
                RejectedRow(row=row, status=Status.INVALID, shown="", detail="x") for row in range(1, 9)
            ]
            await log.plan([], rejected=rejected, total=9)
            await log.last_seq()

        monkeypatch.setattr(archive, "open_send", late)
        report = await asyncio.to_thread(read_report, path)
    assert min(report.counts.values()) >= 0
    assert sum(report.counts.values()) == report.total


# What is on the disk.


async def test_a_row_that_is_no_unicode_is_written_down_like_any_other(tmp_path):
    """Half a surrogate pair in a cell is junk, an invalid row: no reason to refuse the send, nor to quote it."""
    rows = [fake_number(1), "junk \ud800 0770000002"]
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        report = await sms.send(rows, journal=tmp_path / "j.db", **SAME)
    assert (report.counts[Status.SENT], report.counts[Status.INVALID]) == (1, 1)
    assert list(read_report(tmp_path / "j.db").outcomes()) == list(report.outcomes())


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks belong to a process, not to a file that is open")
async def test_reading_in_the_same_process_does_not_give_up_the_lock_on_the_file(tmp_path):
    """A claim survives that another program opens and closes the journal after a report was read in this process.

    Closing any descriptor of a file drops all POSIX locks that the process has on it (fcntl(2)). SQLite knows and
    takes care; a plain ``open`` and ``close`` does not. Without its lock the next program to close the file takes
    itself for the last one, and deletes the log into which this process goes on writing.
    """
    path = tmp_path / "j.db"
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute(sys.argv[2])); c.close()"

    def another_program(statement: str) -> str:
        command = [sys.executable, "-c", look, str(path), statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    async with SqliteJournal(path) as journal:
        log = await journal.begin(PLAN, streaming=False)
        await log.plan([chunk(1, 0)], total=1)
        list_sends(path)
        await asyncio.to_thread(another_program, "SELECT * FROM send")
        await log.claim(1)
        found = await asyncio.to_thread(another_program, "SELECT state FROM chunk")
    assert "submitting" in found


def test_a_journal_is_let_go_of_in_any_thread(tmp_path):
    """Opened in one worker thread and closed in another, it can be opened again."""
    opened = []

    def turn(job) -> None:
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()

    turn(lambda: opened.append(own(tmp_path / "j.db")))
    turn(opened[0].close)
    own(tmp_path / "j.db").close()


def test_a_commit_is_flushed_through_the_cache_of_the_drive(tmp_path):
    """``fsync`` alone does not do that on macOS; SQLite asks for it where it is told to, and ignores it elsewhere."""
    opened = own(tmp_path / "j.db")
    try:
        ask = opened.connection.execute
        assert ask("PRAGMA synchronous").fetchone() == (2,)
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ask("PRAGMA fullfsync").fetchone() == (1,)
    finally:
        opened.close()


def test_a_foreign_database_is_recognised(tmp_path):
    """The mark of another program is respected."""
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(Exception, match="another program"):
        own(path)


async def test_a_second_try_that_was_left_over_is_not_made_when_the_first_has_turned_up(tmp_path):
    """Only what is not found is sent once more, and a first try that ran late is in the list by now."""
    path = tmp_path / "j.db"
    await unknown_send(path)
    server = FaultServer(["402"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        await sms.resume(path, resend_unknown=True, reconcile=SOON)
    server = FaultServer(campaigns=[f"Campaign [{list_sends(path)[0].run}-0001]"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert server.posts == 0
    assert report.counts[Status.ACCEPTED] == 2
