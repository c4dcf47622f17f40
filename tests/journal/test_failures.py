"""What goes wrong with a journal: it is said in words, and nothing is sent for which no claim is on the disk."""

import asyncio
import pickle
import sqlite3
from collections import Counter

import anyio
import pytest

from faultserver import FaultServer
from journal import beside
from journal.byhand import small_journal
from journal.foreign import (
    write_database,
    write_newer,
    write_short_text,
    write_text,
    write_wal_database,
    write_zip,
)
from rawserver import fake_numbers, raw_server
from smspop_async import (
    ContactSourceError,
    JournalError,
    ReconcilePolicy,
    SmsPop,
    SqliteJournal,
    Status,
    list_sends,
    read_report,
)
from smspop_async.batch import journaled
from smspop_async.errors import Delivery
from smspop_async.journal import commit as commit_module
from smspop_async.journal import drafting
from smspop_async.journal import sqlite as sqlite_module
from smspop_async.journal.base import ChunkState, SendState
from smspop_async.journal.failures import explain, explain_os, telling
from smspop_async.journal.opening import own
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.002)
SAME = {"message": "Hello!", "sender_id": "DEMO", "reconcile": SOON}


def client(base_url: str) -> SmsPop:
    return SmsPop(token="1|fake-token", base_url=base_url, timeout=10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


# Words.


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SQLITE_FULL", "the disk is full. Make room, then resume"),
        ("SQLITE_IOERR_SHMSIZE", "the disk is full. Make room, then resume"),
        ("SQLITE_READONLY_DBMOVED", "it cannot be written"),
        ("SQLITE_CANTOPEN", "it cannot be opened"),
        ("SQLITE_PERM", "permission is denied"),
        ("SQLITE_CORRUPT_VTAB", "the file is damaged. It is left as it is"),
        ("SQLITE_NOTADB", "it is not a journal, but some other file"),
        ("SQLITE_BUSY_SNAPSHOT", "another program has it open. Close that program"),
        (
            "SQLITE_IOERR_FSYNC",
            "look with `smspop report` for what can be resumed, before you send again",
        ),
        ("SQLITE_MISUSE", "cannot be used"),
        ("", "cannot be used (OperationalError)"),
    ],
)
def test_what_sqlite_finds_wrong_is_said_with_what_to_do(path, code, words):
    """By its code: SQLite's own words may quote what stands in the journal. Nothing was sent."""
    error = sqlite3.OperationalError("UNIQUE constraint failed: 263770000001")
    error.sqlite_errorname = code
    told = explain(path, error)
    assert words in str(told)
    assert str(path) in str(told)
    assert str(told).endswith(f"({code or 'OperationalError'}).")
    assert "263770000001" not in str(told)
    assert told.delivery is Delivery.NOT_SENT
    assert str(pickle.loads(pickle.dumps(told))) == str(told)


@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"])
def test_where_there_is_nothing_to_resume_nobody_is_told_to(path, code):
    """A journal that is being opened, or whose first list is being written down."""
    error = sqlite3.OperationalError()
    error.sqlite_errorname = code
    told = str(explain(path, error, begun=False))
    assert told.endswith(f", then try again: nothing was sent by this call ({code}).")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("odd")])
def test_what_the_system_finds_wrong_is_said(path, error):
    """In its words, or by its name where it has none."""
    told = str(explain_os(path, error))
    assert (error.strerror or "OSError").lower() in told
    assert told.endswith("nothing is sent without the journal.")


@pytest.mark.parametrize(
    "error", [sqlite3.DatabaseError(), ValueError("26377"), KeyError("26377"), ZeroDivisionError()]
)
def test_what_cannot_be_read_is_said(path, error):
    """Whatever a changed byte comes to; a bug of another kind goes its way."""
    with pytest.raises(JournalError) as caught, telling(path):
        raise error
    assert "26377" not in str(caught.value)
    with pytest.raises(RuntimeError), telling(path):
        raise RuntimeError


# Before anything is sent.


def nothing(path) -> None:
    path.parent.rmdir()


def a_folder(path) -> None:
    path.mkdir()


def cut_off(path) -> None:
    small_journal(path, chunks=2)
    path.write_bytes(path.read_bytes()[:6_000])


def a_page_of_noise(path) -> None:
    small_journal(path, chunks=2)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * 4096 + data[8192:])


WRONG = [
    nothing, a_folder, cut_off, a_page_of_noise, write_text, write_short_text, write_zip, write_database,
    write_wal_database, write_newer,
]  # fmt: skip


async def attempts(sms: SmsPop, journal):
    """Every way of using a journal, as functions that send."""

    async def stream(contacts) -> None:
        async with sms.stream(contacts, journal=journal, **SAME) as batch:
            await batch.wait()

    async def resume_stream() -> None:
        async with sms.resume_stream(journal) as batch:
            await batch.wait()

    return {
        "send": lambda: sms.send(fake_numbers(4), journal=journal, **SAME),
        "send object": lambda: sms.send(fake_numbers(4), journal=SqliteJournal(journal), **SAME),
        "stream": lambda: stream(fake_numbers(4)),
        "stream generator": lambda: stream(number for number in fake_numbers(4)),
        "resume": lambda: sms.resume(journal),
        "resume stream": resume_stream,
    }


@pytest.mark.parametrize("wrong", WRONG)
async def test_with_a_journal_that_cannot_be_used_nothing_is_sent(tmp_path, wrong):
    """Whatever is wrong with it, and whatever is called: a JournalError, no request, and the file is as it was."""
    path = tmp_path / "folder" / "j.db"
    path.parent.mkdir()
    wrong(path)
    before = path.read_bytes() if path.is_file() else b""
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        for call in (await attempts(sms, path)).values():
            with pytest.raises(JournalError) as caught:
                await call()
            assert caught.value.delivery is Delivery.NOT_SENT
        assert sandbox.requests == []
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_with_a_journal_that_another_process_holds_nothing_is_sent(path):
    """Two processes that send from one journal: the second is told of the first, and changes nothing."""
    small_journal(path, chunks=1, contacts=3)
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        with beside.held_elsewhere(path) as process:
            for call in (await attempts(sms, path)).values():
                with pytest.raises(JournalError, match=f"in use by process {process.pid} on "):
                    await call()
            assert len(list_sends(path)) == 1
        assert sandbox.requests == []


async def test_without_a_readable_journal_the_source_is_closed(path):
    """A generator that was begun is not left hanging."""
    path.mkdir()
    closed = asyncio.Event()

    async def rows():
        try:
            for number in fake_numbers(4):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        with pytest.raises(JournalError):
            await sms.send(rows(), journal=path, **SAME)
    assert closed.is_set()


# A full disk.


class Filling:
    """Makes the disk full for the journal, in SQLite's own way, as soon as something is entered into it."""

    def __init__(self, monkeypatch) -> None:
        self._monkeypatch = monkeypatch

    def when(self, event: str, condition: str = "1", table: str = "chunk", own=own) -> None:
        """After such a change of a table, something is written for which there is no room."""

        def full(path):
            opened = own(path)
            (pages,) = opened.connection.execute("PRAGMA page_count").fetchone()
            opened.connection.execute(f"PRAGMA max_page_count = {pages + 30}")
            opened.connection.execute(
                f"CREATE TEMP TRIGGER full AFTER {event} ON main.{table} WHEN {condition} BEGIN"  # noqa: S608
                " INSERT INTO phrase (body) VALUES (hex(zeroblob(500000))); END"
            )
            return opened

        self._monkeypatch.setattr(sqlite_module, "own", full)

    def make_room(self) -> None:
        self._monkeypatch.setattr(sqlite_module, "own", own)


@pytest.fixture
def disk(monkeypatch):
    return Filling(monkeypatch)


def texted(sandbox: Sandbox) -> Counter[str]:
    return Counter(message.to for message in sandbox.messages())


def check_truth(report, sandbox: Sandbox) -> None:
    """Who was texted is SENT, who is NOT_SUBMITTED was not, and all add up."""
    people = texted(sandbox)
    assert sum(report.counts.values()) == report.total
    outcomes = list(report.outcomes())
    assert len(outcomes) == report.total
    for outcome in outcomes:
        assert (outcome.status is Status.SENT) == bool(people[outcome.phone_number]), outcome
    assert max(people.values(), default=0) <= 1


async def test_a_disk_that_is_full_from_the_start(path, disk):
    """Not even the send can be entered: nothing is read on, nothing is sent, and the journal is let go of."""
    disk.when("INSERT", table="send")
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        for way in ("send", "stream", "stream generator"):
            with pytest.raises(JournalError, match="the disk is full"):
                await (await attempts(sms, path))[way]()
        assert sandbox.requests == []
    own(path).close()
    assert list_sends(path) == []


@pytest.mark.parametrize("together", [4, 20_000])
@pytest.mark.parametrize("way", ["send", "stream"])
@pytest.mark.parametrize(
    ("begin", "advice"),
    [(own, "then resume"), (drafting.own, "then try again: nothing was sent by this call")],
)
async def test_a_disk_that_is_full_while_planning(path, disk, way, together, begin, advice, monkeypatch):
    """Nothing went out; the words say what to do; and after that the list can be sent again.

    Of a journal with other sends in it nobody can be told that nothing was sent.
    """
    monkeypatch.setattr(journaled, "_TOGETHER", together)
    disk.when("INSERT", "new.id & 0xffff = 3", own=begin)
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        call = (await attempts(sms, path))[way]
        with pytest.raises(JournalError, match=f"the disk is full\\. Make room, {advice}") as caught:
            if way == "send":
                await sms.send(fake_numbers(40), journal=path, chunk_size=2, **SAME)
            else:
                async with sms.stream(fake_numbers(40), journal=path, chunk_size=2, **SAME) as batch:
                    await batch.wait()
        assert caught.value.delivery is Delivery.NOT_SENT
        assert sandbox.requests == []
        disk.make_room()
        async with SqliteJournal(path) as journal:
            (record,) = await journal.sends()
        assert record.state is SendState.ABANDONED
        with pytest.raises(JournalError, match="Send the list again; that texts nobody twice"):
            await sms.resume(path)
        await call()
        assert texted(sandbox) == Counter(fake_numbers(4))


async def test_a_disk_that_is_full_while_a_stream_plans(path, disk):
    """A chunk that could not be written down does not leave; those before it are where they were."""
    disk.when("INSERT", "new.id & 0xffff = 5")
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        endless = (number for number in fake_numbers(400))
        async with sms.stream(endless, journal=path, chunk_size=2, max_concurrency=1, **SAME) as batch:
            await batch.wait()
        assert isinstance(batch.report.stopped_by, JournalError)
        assert "the disk is full" in str(batch.report.stopped_by)
        check_truth(batch.report, sandbox)
        assert len(texted(sandbox)) <= 8
        disk.make_room()
        report = await sms.resume(path, reconcile=SOON)
        assert not {Status.UNKNOWN, Status.REJECTED} & {s for s, n in report.counts.items() if n}
        assert max(texted(sandbox).values(), default=0) <= 1


@pytest.mark.parametrize("concurrency", [1, 6])
@pytest.mark.parametrize("state", ["submitting", "done"])
async def test_a_disk_that_is_full_in_the_middle(path, disk, state, concurrency):
    """At a claim nothing leaves for it; at a result the report still has it; and a resume finishes the send."""
    disk.when("UPDATE OF state", f"new.state = '{state}' AND new.id & 0xffff = 6")
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        report = await sms.send(
            fake_numbers(60), journal=path, chunk_size=2, max_concurrency=concurrency, **SAME
        )
        assert isinstance(report.stopped_by, JournalError)
        assert "the disk is full. Make room, then resume" in str(report.stopped_by)
        assert report.stopped_by.delivery is Delivery.NOT_SENT
        check_truth(report, sandbox)
        assert 2 <= report.counts[Status.SENT] < 60
        before = texted(sandbox)
        left = sum(record.chunks.get(ChunkState.PLANNED, 0) for record in list_sends(path))
        assert 2 * left <= 60 - len(before), "a campaign left without a claim"
        disk.make_room()
        done = await sms.resume(path, reconcile=SOON)
    people = texted(sandbox)
    assert max(people.values()) == 1
    assert done.stopped_by is None
    for outcome in done.outcomes():
        # A claim that was on the disk already, and could not be given back any more, is held: it may have been sent.
        expected = {Status.SENT, Status.ACCEPTED} if people[outcome.phone_number] else {Status.UNKNOWN}
        assert outcome.status in expected
    assert done.counts[Status.UNKNOWN] <= 2 * concurrency
    assert list(read_report(path).outcomes()) == list(done.outcomes())


@pytest.mark.parametrize("endless", [False, True])
async def test_a_disk_that_is_full_at_the_last_result(path, disk, endless):
    """There is nothing left to stop, and it is said all the same: the journal does not know what the report does."""
    disk.when("UPDATE OF state", "new.state = 'done' AND new.id & 0xffff = 3")
    source = (number for number in fake_numbers(6)) if endless else fake_numbers(6)
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        async with sms.stream(source, journal=path, chunk_size=2, max_concurrency=1, **SAME) as batch:
            await batch.wait()
        assert batch.report.counts[Status.SENT] == 6
        assert isinstance(batch.report.stopped_by, JournalError)
        disk.make_room()
        done = await sms.resume(path, reconcile=SOON)
        assert texted(sandbox) == Counter(fake_numbers(6))
    assert (done.counts[Status.SENT], done.counts[Status.ACCEPTED]) == (4, 2)
    assert isinstance(done.stopped_by, ContactSourceError) == endless


async def test_a_stream_whose_journal_is_full_gives_out_every_row(path, disk):
    """Whoever iterates gets an outcome for each contact, those that were not submitted among them."""
    disk.when("UPDATE OF state", "new.state = 'submitting' AND new.id & 0xffff = 4")
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        async with sms.stream(fake_numbers(60), journal=path, chunk_size=2, **SAME) as batch:
            outcomes = [outcome async for outcome in batch]
        check_truth(batch.report, sandbox)
    assert sorted(outcome.index for outcome in outcomes) == list(range(60))
    assert isinstance(batch.report.stopped_by, JournalError)


# A journal that vanishes.


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced"])
async def test_a_journal_that_vanishes_while_it_is_in_use(path, monkeypatch, what):
    """What is claimed in a file that nobody will find again is not claimed: the run stops, and its report is true."""
    monkeypatch.setattr(commit_module, "_LOOK", 0.0)
    other = path.with_name("other.db")

    def vanish(count: int) -> None:
        if count == 3:
            path.rename(other)
            if what == "deleted":
                other.unlink()
            if what == "replaced":
                path.write_bytes(other.read_bytes())

    server = FaultServer(on_post=vanish)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        with anyio.fail_after(20):
            report = await sms.send(fake_numbers(60), journal=path, chunk_size=2, max_concurrency=2, **SAME)
    assert isinstance(report.stopped_by, JournalError)
    assert "was deleted, moved or replaced" in str(report.stopped_by)
    assert 3 <= server.posts <= 4
    assert report.counts[Status.SENT] == 2 * server.posts
    assert report.counts[Status.NOT_SUBMITTED] == 60 - 2 * server.posts
    assert max(server.texted.values()) == 1
