"""A new journal while its first list is written down: whole under its name, or nothing of the list."""

import os
import shutil
import sqlite3
import stat
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from journal import beside
from journal.byhand import chunk, send_plan, small_journal
from journal.foreign import write_text
from smspop_async import JournalError, Status
from smspop_async.journal import drafting, opening
from smspop_async.journal.base import ChunkState, SendState, Verdict
from smspop_async.journal.drafting import Draft, own
from smspop_async.journal.opening import Opened
from smspop_async.journal.sends import list_sends, open_send
from smspop_async.journal.sqlite import SendLog, SqliteJournal

resource = pytest.importorskip("resource", reason="there a journal is written in its place")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name == "nt", reason="there a journal is written in its place"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def inode(path: str | Path) -> int:
    return Path(path).stat().st_ino


def length(path: str | Path) -> int:
    return Path(path).stat().st_size


async def half_planned(journal: SqliteJournal, run: str = "aaaaaaaaaa") -> SendLog:
    log = await journal.begin(send_plan(run), streaming=False)
    await log.plan([chunk(1, range(500)), chunk(2, range(500, 600))], total=600)
    await log.plan([chunk(3, range(600, 700))], total=700)
    return log


async def test_while_a_list_is_written_down_the_journal_says_so_and_no_more(path):
    """Whoever reads it finds the send; its contacts come all together, and then nothing of the draft is left."""
    async with SqliteJournal(path) as journal:
        assert list_sends(path) == []
        log = await half_planned(journal)
        (record,) = list_sends(path)
        assert (record.state, record.rows, record.name) == (SendState.PLANNING, 0, "Fees")
        assert names(path) == ["j.db", "j.db.lock", "j.db.smspop-draft"]
        await log.mark(SendState.PLANNED)
        (record,) = list_sends(path)
        assert (record.state, record.rows) == (SendState.PLANNED, 700)
        assert "j.db.smspop-draft" not in names(path)
        await log.claim(2)
        assert list_sends(path)[0].chunks == {ChunkState.PLANNED: 2, ChunkState.SUBMITTING: 1}
    assert names(path) == ["j.db", "j.db.lock"]
    reader = open_send(path, "aaaaaaaaaa")
    assert [row for piece in reader.rows() for row in piece.numbers] == [*chunk(1, range(700)).numbers]
    reader.close()


async def test_the_draft_is_on_the_disk_before_it_is_named_and_its_name_before_anybody_is_told(
    path, monkeypatch
):
    """Else a power cut could take the plan, or the name with all claims in it."""
    synced = []
    real = os.fsync

    def fsync(descriptor):
        what = os.fstat(descriptor).st_ino
        synced.append((what, inode(path) == what, "j.db.smspop-draft" in names(path)))
        real(descriptor)

    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        draft = inode(f"{path}.smspop-draft")
        monkeypatch.setattr(os, "fsync", fsync)
        await log.mark(SendState.PLANNED)
        assert synced == [(draft, False, True), (inode(path.parent), False, False)]
        assert inode(path) == draft


async def test_what_is_named_waits_for_the_disk_with_every_commit(path):
    """It is opened as every other journal is."""
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        await log.mark(SendState.PLANNED)

        def ask(connection: sqlite3.Connection) -> list[object]:
            words = ("synchronous", "journal_mode", "fullfsync", "locking_mode")
            return [connection.execute(f"PRAGMA {word}").fetchone()[0] for word in words]

        assert await log._writer.run(ask) == [2, "wal", 1, "normal"]


async def test_only_its_owner_may_read_it(path):
    """The copy, the draft and the log, whatever the program's mask is."""
    before = os.umask(0)
    try:
        async with SqliteJournal(path) as journal:
            log = await half_planned(journal)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
            assert modes == dict.fromkeys(["j.db", "j.db.lock", "j.db.smspop-draft"], 0o600)
            await log.mark(SendState.PLANNED)
            assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
            assert "j.db-wal" in names(path)
    finally:
        os.umask(before)


@pytest.mark.parametrize("way", ["streaming", "sends", "last_seq", "close"])
async def test_whatever_else_is_asked_for_the_draft_is_named_first(path, way):
    """Only the beginning of a send and its contacts may be in a draft alone."""
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        if way == "streaming":
            await journal.begin(send_plan("bbbbbbbbbb"), streaming=True)
        elif way == "sends":
            assert [record.rows for record in await journal.sends()] == [700]
        elif way == "last_seq":
            assert await log.last_seq() == 3
        if way != "close":
            assert list_sends(path)[0].rows == 700
            await log.plan([chunk(4, [700])], total=701)
            await log.mark(SendState.PLANNED)
            assert list_sends(path)[0].rows == 701
    assert names(path) == ["j.db", "j.db.lock"]
    assert list_sends(path)[0].rows == (700 if way == "close" else 701)


async def test_two_lists_at_once(path):
    """The first that is whole has both named; the other goes on in the journal."""
    async with SqliteJournal(path) as journal:
        first, second = await half_planned(journal), await half_planned(journal, "bbbbbbbbbb")
        await second.mark(SendState.PLANNED)
        assert [record.state for record in list_sends(path)] == [SendState.PLANNING, SendState.PLANNED]
        await first.plan([chunk(4, [700])], total=701)
        await first.mark(SendState.PLANNED)
        await first.claim(4)
    assert [record.rows for record in list_sends(path)] == [701, 700]


async def test_a_journal_that_is_there_is_written_in_its_place(path):
    """Its sends are not copied."""
    small_journal(path, chunks=1)
    before = inode(path)
    async with SqliteJournal(path) as journal:
        await half_planned(journal, "bbbbbbbbbb")
        assert "j.db.smspop-draft" not in names(path)
    assert inode(path) == before
    assert len(list_sends(path)) == 2


# Deaths.


def copied(path: Path, folder: Path) -> Path:
    """The files of a journal as a process leaves them that dies now."""
    folder.mkdir()
    for name in names(path):
        if path.with_name(name).is_file():
            shutil.copy(path.with_name(name), folder / name)
    return folder / path.name


async def test_what_a_dead_process_has_left_is_deleted_and_the_send_is_given_up(path, tmp_path):
    """Numbers do not lie about in a file of which nobody knows; and nothing of the list goes out."""
    async with SqliteJournal(path) as journal:
        await half_planned(journal)
        left = copied(path, tmp_path / "left")
    assert names(left) == ["j.db", "j.db.lock", "j.db.smspop-draft"]
    async with SqliteJournal(left) as journal:
        assert names(left)[:1] == ["j.db"]
        assert "j.db.smspop-draft" not in names(left)
        (record,) = await journal.sends()
    assert record.state is SendState.ABANDONED
    assert "nothing of this send went out" in record.note


@pytest.mark.parametrize("content", [b"", bytes(5_000)], ids=["empty", "zeros"])
def test_what_a_power_cut_has_left_of_a_draft_is_deleted(path, content):
    """It was never flushed."""
    Path(f"{path}.smspop-draft").write_bytes(content)
    draft = own(path)
    assert isinstance(draft, Draft)
    draft.close()
    assert names(path) == ["j.db", "j.db.lock"]


@pytest.mark.parametrize("make", [write_text, Path.mkdir])
@pytest.mark.parametrize("end", [".smspop-draft", ".smspop-shown"])
def test_a_file_of_somebody_elses_is_left_alone(path, make, end):
    """Then there is no draft: the journal is written in its place."""
    other = Path(f"{path}{end}")
    make(other)
    before = other.read_bytes() if other.is_file() else None
    opened = own(path)
    assert isinstance(opened, Opened)
    opened.close()
    assert (other.read_bytes() if other.is_file() else None) == before
    assert other.exists()


@pytest.mark.parametrize("end", [".smspop-draft", ".smspop-shown"])
async def test_no_journal_is_called_as_drafts_are(path, end):
    """What has such a name is deleted: nobody's journal may have it."""
    with pytest.raises(JournalError, match="Give it another name"):
        await SqliteJournal(f"{path}{end}").__aenter__()
    assert f"j.db{end}" not in names(path)


async def test_without_names_that_can_be_given_away_there_is_no_draft(path, monkeypatch):
    """As on Windows."""
    monkeypatch.setattr(drafting, "_RENAMES", False)
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        assert "j.db.smspop-draft" not in names(path)
        await log.mark(SendState.PLANNED)
    assert list_sends(path)[0].rows == 700


# What others do meanwhile.


@pytest.mark.parametrize("what", ["deleted", "replaced", "moved"])
async def test_a_file_that_has_taken_the_name_is_not_overwritten(path, what):
    """Whatever it is; nothing can be sent, and nothing of the draft is left."""
    with pytest.raises(JournalError, match="was deleted, moved or replaced"):
        async with SqliteJournal(path) as journal:
            log = await half_planned(journal)
            if what == "moved":
                path.rename(path.with_name("other.db"))
            else:
                path.unlink()
            if what == "replaced":
                write_text(path)
                text = path.read_bytes()
            await log.mark(SendState.PLANNED)
    if what == "replaced":
        assert path.read_bytes() == text
    else:
        assert not path.exists()
    assert "j.db.smspop-draft" not in names(path)
    assert opening._known == {}


@pytest.mark.parametrize("end", ["-wal", "-journal"])
async def test_a_copy_that_somebody_has_written_to_is_left_as_it_is(path, end):
    """The log beside it is that file's, and SQLite would take it for the draft's."""
    log = path.with_name(f"{path.name}{end}")
    with pytest.raises(JournalError, match="was deleted, moved or replaced"):
        async with SqliteJournal(path) as journal:
            send = await half_planned(journal)
            write_text(log)
            await send.mark(SendState.PLANNED)
    assert {path.name, log.name} <= {*names(path)}
    assert "j.db.smspop-draft" not in names(path)


async def test_who_reads_the_copy_disturbs_nobody_and_leaves_nothing(path):
    """Also who reads on while the draft takes its place, in this program or another."""
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        reader = open_send(path, "aaaaaaaaaa")
        beside.open_and_close(path)
        assert "j.db-wal" not in names(path)
        await log.mark(SendState.PLANNED)
        await log.claim(1)
        assert list(reader.rows()) == []
        reader.close()
        beside.open_and_close(path)
        await log.claim(2)
        assert list_sends(path)[0].chunks == {ChunkState.PLANNED: 1, ChunkState.SUBMITTING: 2}
    assert opening._known == {}


def test_who_comes_meanwhile_is_told_who_has_it(path):
    """The copy says so from the beginning."""
    draft = own(path)
    try:
        with pytest.raises(JournalError, match=rf"is in use by this process \({os.getpid()}\), since "):
            own(path)
    finally:
        draft.close()
    own(path).close()


# What goes wrong.


@pytest.mark.parametrize("step", ["fsync", "replace"])
async def test_a_draft_that_cannot_be_named_sends_nothing(path, monkeypatch, step):
    """What was told to have failed does not come to life when the journal is closed."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(JournalError, match="no space left on device"):
        async with SqliteJournal(path) as journal:
            log = await half_planned(journal)
            with monkeypatch.context() as patch:
                patch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
                await log.mark(SendState.PLANNED)
    assert names(path) == ["j.db", "j.db.lock"]
    async with SqliteJournal(path) as journal:
        assert [record.state for record in await journal.sends()] == [SendState.ABANDONED]
    assert opening._known == {}


async def test_a_journal_that_cannot_be_opened_once_it_is_named_is_taken_back(path, monkeypatch):
    """Its list is whole, and could be resumed by whoever was told that nothing was sent, and has sent it again."""

    def fail(*_, **__):
        error = sqlite3.OperationalError()
        error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
        raise error

    with pytest.raises(JournalError, match=r"the disk is full\. Make room, then try again: nothing was sent"):
        async with SqliteJournal(path) as journal:
            log = await half_planned(journal)
            with monkeypatch.context() as patch:
                patch.setattr(opening, "connect", fail)
                await log.mark(SendState.PLANNED)
    assert names(path) == ["j.db.lock"]
    assert opening._known == {}


async def test_what_has_taken_the_name_of_a_journal_that_cannot_be_opened_stays(path, monkeypatch):
    """Only what this process has made is taken back."""
    other = path.with_name("other")
    write_text(other)

    def fail(*_, **__):
        other.replace(path)
        raise OSError(5, "Input/output error")

    with pytest.raises(JournalError, match="input/output error"):
        async with SqliteJournal(path) as journal:
            log = await half_planned(journal)
            with monkeypatch.context() as patch:
                patch.setattr(opening, "connect", fail)
                await log.mark(SendState.PLANNED)
    assert names(path) == ["j.db", "j.db-wal", "j.db.lock"]


class Fault:
    """Lets one of the calls fail that the journal makes to the system: the one of this number."""

    def __init__(self, number: int) -> None:
        self._left = number

    @property
    def met(self) -> bool:
        return self._left <= 0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "open",
            "fdopen",
            "read",
            "lseek",
            "stat",
            "fstat",
            "fsync",
            "replace",
            "unlink",
            "close",
        ):
            self._patch(monkeypatch, os, name)
        for name in ("stat", "replace", "unlink", "write_bytes"):
            self._patch(monkeypatch, Path, name)
        self._patch(monkeypatch, sqlite3, "connect")

    def _patch(self, monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
        real = getattr(place, name)

        def call(*args: object, **options: object) -> object:
            if sys._getframe(1).f_globals.get("__name__") in (drafting.__name__, opening.__name__):
                self._left -= 1
                if not self._left:
                    raise OSError(28, "No space left on device")
            return real(*args, **options)

        monkeypatch.setattr(place, name, call)


async def test_whatever_fails_a_list_that_can_be_resumed_is_one_of_which_nobody_was_told_that_it_failed(
    path, monkeypatch
):
    """Whoever was told that nothing was sent sends again; to resume the first list, too, would text people twice."""
    told = []
    for number in count(1):
        fault = Fault(number)
        planned = False
        with monkeypatch.context() as patch:
            fault.patch(patch)
            with suppress(JournalError):
                async with SqliteJournal(path) as journal:
                    log = await half_planned(journal)
                    await log.mark(SendState.PLANNED)
                    planned = True
        async with SqliteJournal(path) as journal:
            assert [record.state for record in await journal.sends()] in (
                [[SendState.PLANNED]] if planned else [[], [SendState.ABANDONED]]
            )
        for each in path.parent.iterdir():
            each.unlink()
        assert opening._known == {}
        if not fault.met:
            break
        told.append(planned)
    assert told.count(False) > 25
    assert planned


@pytest.mark.parametrize("each", [None, 10**6])
async def test_the_log_is_made_as_long_as_the_list_needs(path, monkeypatch, each):
    """Within bounds; each campaign claimed alone, it grows no longer."""
    if each is not None:
        monkeypatch.setattr(drafting, "_EACH", each)
    expected = drafting._LOG if each is not None else drafting._FEW + 3 * drafting._EACH
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        await log.mark(SendState.PLANNED)
        assert length(f"{path}-wal") == expected
        for seq in (1, 2, 3):
            await log.claim(seq)
            log.settle(seq, Verdict(state=ChunkState.DONE, status=Status.ACCEPTED))
        await log.mark(SendState.PLANNED, "settled")
        assert length(f"{path}-wal") == expected


async def test_where_there_is_no_room_for_a_log_of_full_length_there_may_be_for_what_is_needed(
    path, monkeypatch
):
    """A file may not be longer than so much here, as if that were all the room there is."""
    monkeypatch.setattr(drafting, "_FEW", drafting._LOG)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with SqliteJournal(path) as journal:
        log = await half_planned(journal)
        resource.setrlimit(resource.RLIMIT_FSIZE, (drafting._LOG // 2, before[1]))
        try:
            await log.mark(SendState.PLANNED)
            await log.claim(1)
            assert length(f"{path}-wal") < drafting._LOG // 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list_sends(path)[0].chunks == {ChunkState.PLANNED: 2, ChunkState.SUBMITTING: 1}


@pytest.mark.parametrize("step", ["lay_out", "sign", "show", "replace"])
def test_a_draft_that_cannot_be_begun_leaves_nothing(path, monkeypatch, step):
    """Nor a lock."""
    calls = 0

    def fail(*_):
        nonlocal calls
        calls += 1
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        if step == "show":
            patch.setattr(Draft, "_show", fail)
        elif step == "replace":
            patch.setattr(os, "replace", fail)
        else:
            patch.setattr(opening, step, fail)
        with pytest.raises(JournalError, match="input/output error"):
            own(path)
    assert calls == 1
    assert names(path) == ["j.db.lock"]
    own(path).close()
    assert list_sends(path) == []


def test_a_journal_that_cannot_be_opened_after_it_was_named_is_let_go_of(path, monkeypatch):
    """It is whole, and the next one finds it."""
    draft = own(path)
    assert isinstance(draft, Draft)

    def fail(*_, **__):
        raise sqlite3.OperationalError("x")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "connect", fail)
        with pytest.raises(sqlite3.OperationalError):
            draft.name()
    draft.close()
    assert opening._known == {}
    own(path).close()
