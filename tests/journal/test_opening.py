"""Opening a journal: whose it is, what it is, whether it is whole; and nothing that is not ours is touched."""

import os
import random
import shutil
import signal
import socket
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import filelock
import pytest
from filelock import FileLock, SoftFileLock

from journal import beside, foreign
from journal.byhand import begin, chunk, claim, sent, settle, small_journal
from smspop_async import JournalError
from smspop_async.errors import Delivery
from smspop_async.journal import opening, statements
from smspop_async.journal.opening import check_file, own, read_only
from smspop_async.journal.schema import APPLICATION_ID, VERSION
from smspop_async.journal.sends import check_journal, list_sends, open_send

ANY_FILE = (own, read_only, check_file, list_sends, check_journal)
READERS = (read_only, check_file, list_sends, check_journal)


def refusal(call, *args) -> str:
    """The words with which a journal is refused: nothing was sent, and they say what to do."""
    with pytest.raises(JournalError) as caught:
        call(*args)
    assert caught.value.delivery is Delivery.NOT_SENT
    text = str(caught.value)
    assert text.endswith(".")
    return text


def close(opened) -> None:
    if opened is not None:
        opened.close()


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file of a folder: its bytes, its mode, and when it was changed."""
    return {
        path.name: (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in folder.iterdir()
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A folder with nothing in it but what the test puts there."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


# What is there.


def test_an_sqlite_that_is_too_old_is_told_before_anything_is_made(folder, monkeypatch):
    """A Python that is linked against an old SQLite cannot write a journal, and is told so by version."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.32.3")
    words = refusal(own, folder / "journal.db")
    assert "3.33" in words
    assert "3.32.3" in words
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("call", ANY_FILE)
def test_a_missing_folder_is_not_made(folder, call):
    """A name that is spelled wrongly must not make folders, nor send with a journal where nobody looks for it."""
    text = refusal(call, folder / "fees" / "j.db")
    assert str(folder / "fees") in text
    assert contents(folder) == {}


@pytest.mark.parametrize("call", ANY_FILE)
def test_a_file_in_the_place_of_the_folder(folder, call):
    """A path through a file leads nowhere."""
    (folder / "fees").write_text("text")
    before = contents(folder)
    assert "not a directory" in refusal(call, folder / "fees" / "j.db")
    assert contents(folder) == before


@pytest.mark.parametrize("call", ANY_FILE)
def test_a_folder_is_no_journal(folder, call):
    """And no lock is left beside it."""
    (folder / "j.db").mkdir()
    assert "it is a folder" in refusal(call, folder / "j.db")
    assert list(contents(folder)) == ["j.db"]


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in folders on Windows")
@pytest.mark.parametrize("call", ANY_FILE)
def test_a_pipe_is_no_journal(folder, call):
    """Nobody waits for ever for what may come out of it."""
    os.mkfifo(folder / "j.db")
    assert "not a file" in refusal(call, folder / "j.db")
    assert list(contents(folder)) == ["j.db"]


@pytest.mark.parametrize("call", ANY_FILE)
def test_a_name_that_no_file_can_have(call):
    """A zero in a path is refused in words."""
    assert "no name of a file" in refusal(call, Path("a\0b.db"))


@pytest.mark.parametrize("call", READERS)
def test_nothing_is_made_by_reading(folder, call):
    """Whoever reads a journal that is not there is told so, and there is none afterwards."""
    assert "There is no journal" in refusal(call, folder / "j.db")
    assert contents(folder) == {}


@pytest.mark.skipif(os.name == "nt", reason="symbolic links take a privilege on Windows")
@pytest.mark.parametrize("call", ANY_FILE)
def test_a_link_to_itself(folder, call):
    """Links that lead round in a circle are an error of the file system like any other."""
    (folder / "j.db").symlink_to(folder / "j.db")
    refusal(call, folder / "j.db")
    assert names(folder) == ["j.db"]


# Foreign files.


@pytest.mark.parametrize("call", ANY_FILE)
@pytest.mark.parametrize(
    ("write", "words"),
    [
        (foreign.write_text, "is not a journal, but some other file. It is left as it is"),
        (foreign.write_short_text, "is damaged: it is cut off. It is left as it is"),
        (foreign.write_zip, "is not a journal, but some other file. It is left as it is"),
        (foreign.write_zeros, "is not a journal, but some other file. It is left as it is"),
        (foreign.write_database, "is an SQLite database of another program. It is left as it is"),
        (foreign.write_wal_database, "is an SQLite database of another program. It is left as it is"),
        (foreign.write_newer, "Upgrade smspop-async; the file is left as it is"),
    ],
)
def test_a_foreign_file_is_left_as_it_is(folder, call, write, words):
    """Byte for byte, with its mode and its time, and with nothing beside it: no lock, no log."""
    path = folder / "j.db"
    write(path)
    before = contents(folder)
    assert list(before) == ["j.db"]
    assert words in refusal(call, path)
    assert contents(folder) == before


def test_an_empty_file_becomes_a_journal_that_only_its_owner_reads(folder):
    """As ``mktemp`` or ``touch`` leave one; and whoever wants to read it is told that nothing is in it."""
    path = folder / "j.db"
    path.touch()
    path.chmod(0o644)
    for call in READERS:
        assert "is empty: nothing was ever planned in it" in refusal(call, path)
    own(path).close()
    assert list_sends(path) == []
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_with_our_mark_and_nothing_else_is_damaged(folder):
    """A journal is whole from the moment that it has its name, so that something was lost from this one."""
    path = folder / "j.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE gone (x)")
    connection.execute("DROP TABLE gone")
    connection.close()
    assert "is damaged" in refusal(own, path)
    assert "is damaged" in refusal(read_only, path)


def test_the_log_of_a_journal_that_was_moved_is_not_destroyed(folder):
    """A new journal beside it would take its name, and SQLite would delete what is newest of the old one."""
    path, log = folder / "j.db", folder / "j.db-wal"
    log.write_bytes(b"claims")
    assert f"{log} is the newest part of a journal" in refusal(own, path)
    path.touch()
    refusal(own, path)
    assert log.read_bytes() == b"claims"
    assert not Path(f"{path}.lock").exists()
    log.write_bytes(b"")  # a reader leaves an empty one
    own(path).close()


# Damage.


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The bytes of a small journal in which much has happened, and every row of it."""
    path = tmp_path_factory.mktemp("model") / "j.db"
    small_journal(path, chunks=6, contacts=200)
    opened = own(path)
    for seq in (1, 2, 3):
        claim(opened.connection, 1, seq)
    settle(opened.connection, 1, 1, sent(200))
    opened.close()
    return path.read_bytes(), everything(path)


def everything(path: Path) -> list:
    """All that a resume would go by."""
    reader = open_send(path, "aaaaaaaaaa")
    try:
        rows = [
            (slab.first + at, number, *slab.others.get(at, (slab.status, slab.detail)), slab.waiting)
            for slab in reader.rows()
            for at, number in enumerate(slab.numbers)
        ]
        return [reader.record, rows, list(reader.decided()), dict(reader.counts())]
    finally:
        reader.close()


def owned(path: Path) -> list:
    """The same, by one who would write."""
    opened = own(path)
    try:
        return everything(path)
    finally:
        opened.close()


def whole_or_refused(path: Path, data: bytes, model: list) -> str:
    """Read a mutilated journal in both ways: all of it is there, or nothing is given out."""
    for look in (everything, owned):
        path.write_bytes(data)
        try:
            found = look(path)
        except JournalError as error:
            text = str(error)
            assert data == path.read_bytes(), "it was changed"
        else:
            text = ""
            assert found == model
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
    return text


def test_a_journal_that_is_cut_off_is_refused_or_whole(folder, model):
    """At every 512 bytes: never does a resume take a part for the whole, and the file stays as it was found."""
    data, rows = model
    words = [whole_or_refused(folder / "j.db", data[:size], rows) for size in range(512, len(data), 512)]
    assert len(words) > 30
    assert all("damaged" in each for each in words if each)


@pytest.mark.parametrize("fill", ["zeros", "ones", "noise"])
def test_a_damaged_page_is_refused_or_of_no_matter(folder, model, fill):
    """Each page in turn: what SQLite does not notice, for it has no check sums, those of the numbers tell."""
    data, rows = model
    chance = random.Random(7)
    refused = 0
    for page in range(1, len(data) // 4096):
        filling = {"zeros": bytes(4096), "ones": b"\xff" * 4096, "noise": chance.randbytes(4096)}[fill]
        harmed = data[: page * 4096] + filling + data[(page + 1) * 4096 :]
        refused += bool(whole_or_refused(folder / "j.db", harmed, rows))
    assert refused


def test_a_changed_digit_is_noticed(folder, model):
    """One bit of a number on the disk: SQLite is content, and somebody else would be texted."""
    data, _ = model
    needle = bytes.fromhex("263770000004f263770000005f")
    assert data.count(needle) == 1
    path = folder / "j.db"
    path.write_bytes(data.replace(needle, needle[:5] + b"\x14" + needle[6:]))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert "damaged" in refusal(everything, path)


def test_damage_that_sqlite_finds_on_opening(folder):
    """What is not whole is not written to: the pages that are wrong could be the next to be used."""
    path = small_journal(folder / "j.db", chunks=1)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'total INTEGER NOT NULL', 'total TEXT NOT NULL')"
    )
    checked = "replace(sql, 'note TEXT NOT NULL DEFAULT', 'note TEXT CHECK (note = 7) DEFAULT')"
    connection.execute(f"UPDATE sqlite_master SET sql = {checked} WHERE name = 'send'")  # noqa: S608
    connection.close()
    assert "is damaged. It is left as it is" in refusal(own, path)


# Permissions.


@pytest.fixture
def open_folder():
    """A folder that every user can reach, and that belongs to the one who will be refused."""
    made = Path(tempfile.mkdtemp(prefix="journal-"))
    made.chmod(0o755)
    yield made
    for path in [made, *made.iterdir()]:
        path.chmod(0o700)
    shutil.rmtree(made)


TRY = """
    for call in (own, list_sends, check_journal):
        try:
            opened = call(path)
        except JournalError as error:
            print(call.__name__, error)
        else:
            print(call.__name__, "works")
"""
IMPORTS = """
import pathlib, sys, tempfile
from smspop_async.errors import JournalError
from smspop_async.journal.opening import own
from smspop_async.journal.sends import check_journal, list_sends
path = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:  # all that is imported late is imported now
    own(pathlib.Path(folder, "x.db")).close()
    list_sends(pathlib.Path(folder, "x.db"))
"""


def tried(path: Path) -> dict[str, str]:
    beside.give_to_nobody(path.parent)
    shown = beside.run_as_nobody(TRY, path, first=IMPORTS)
    return dict(line.split(" ", 1) for line in shown.splitlines())


needs_users = pytest.mark.skipif(os.name == "nt", reason="permissions are other ones on Windows")


@needs_users
def test_a_journal_that_cannot_be_read(open_folder):
    """Permission is denied to whoever asks, and the words say so."""
    path = small_journal(open_folder / "j.db", chunks=1)
    path.chmod(0)
    words = tried(path)
    assert set(words) == {"own", "list_sends", "check_journal"}
    assert all("permission denied" in text for text in words.values())


@needs_users
def test_a_journal_that_cannot_be_written(open_folder):
    """It is read, and not owned."""
    path = small_journal(open_folder / "j.db", chunks=1)
    path.chmod(0o400)
    words = tried(path)
    assert words["own"].startswith(
        f"The journal {path}: it cannot be written: the file or its folder is read-only."
    )
    assert (words["list_sends"], words["check_journal"]) == ("works", "works")


@needs_users
def test_a_folder_that_cannot_be_written(open_folder):
    """No journal is made there, nothing is left there, and the words say what to see to."""
    beside.give_to_nobody(open_folder)
    open_folder.chmod(0o500)
    words = tried(open_folder / "j.db")
    assert "permission denied. See that its folder exists, can be written" in words["own"]
    assert "There is no journal" in words["list_sends"]
    assert names(open_folder) == []


@needs_users
@pytest.mark.parametrize("locked", [False, True], ids=["no-lock", "lock"])
def test_a_journal_in_a_folder_that_cannot_be_written(open_folder, locked):
    """It is not owned, whether or not a lock from earlier times is there."""
    path = small_journal(open_folder / "j.db", chunks=1)
    if not locked:
        Path(f"{path}.lock").unlink()
    beside.give_to_nobody(open_folder)
    before = names(open_folder)
    open_folder.chmod(0o500)
    words = tried(path)
    assert words["own"].startswith("The journal")
    assert "works" not in words["own"]
    assert words["check_journal"] == "works"
    assert names(open_folder) == before


@needs_users
def test_a_folder_that_cannot_be_entered(open_folder):
    """The path is refused, not taken for one where there is nothing yet."""
    path = small_journal(open_folder / "inner.db", chunks=1)
    beside.give_to_nobody(open_folder)
    open_folder.chmod(0o600)
    assert all("permission denied" in text for text in tried(path).values())


@needs_users
def test_only_the_owner_reads_any_of_the_files(folder):
    """Numbers and texts are in the journal and in its log; nobody else reads them, whatever the mask says."""
    path = folder / "j.db"
    mask = os.umask(0)
    try:
        opened = own(path)
        begin(opened.connection)
        list_sends(path)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        opened.close()
        list_sends(path)
    finally:
        os.umask(mask)
    assert modes == dict.fromkeys(["j.db", "j.db-wal", "j.db-shm", "j.db.lock"], 0o600)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in folder.iterdir())


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "a#b.db", "a?mode=memory.db", "a%41b.db", "with some space.db", "Gebühren 手数料.db", "file:a.db", ":memory:",
        "-a.db", "a\nb.db", "a&b=c.db", "a'b\".db", "j", ".db",
    ],
)  # fmt: skip
@pytest.mark.skipif(os.name == "nt", reason="most of these are no names on Windows")
def test_a_journal_may_have_any_name(folder, monkeypatch, name):
    """What means something in a URI, to SQLite or to a shell means nothing in a name; also not in a relative one."""
    monkeypatch.chdir(folder)
    path = Path(name)
    small_journal(path, chunks=1, contacts=3)
    assert names(folder) == sorted([name, f"{name}.lock"])
    assert [record.rows for record in list_sends(path)] == [3]
    reader = open_send(path, "aaaaaaaaaa")
    assert [slab.first for slab in reader.rows()] == [0]
    reader.close()
    own(path).close()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links take a privilege on Windows")
def test_two_names_of_a_file_are_one_journal(folder):
    """A link is followed before the lock is taken; also one that leads to where nothing is yet."""
    (folder / "data").mkdir()
    link, path = folder / "link.db", folder / "data" / "j.db"
    link.symlink_to(path)
    opened = own(link)
    assert opened.path == path
    assert "is in use" in refusal(own, path)
    opened.close()
    assert names(folder) == ["data", "link.db"]
    own(path).close()
    assert list_sends(link) == list_sends(path) == []


# Whose it is.


def test_a_second_process_is_told_who_holds_it(folder):
    """Its number, its machine and since when; reading goes on meanwhile, and owning afterwards."""
    path = folder / "j.db"
    before = int(time.time())
    with beside.held_elsewhere(path) as process:
        text = refusal(own, path)
        assert f"in use by process {process.pid} on {socket.gethostname()}, since " in text
        since = text.partition("since ")[2].partition(". ")[0]
        assert before <= time.mktime(time.strptime(since, "%Y-%m-%d %H:%M:%S")) <= time.time()
        assert "Nothing was sent by this call" in text
        assert list_sends(path) == []
    own(path).close()


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_the_lock_vanishes_with_its_process(folder):
    """However it dies; what it wrote is there."""
    path = folder / "j.db"
    with beside.held_elsewhere(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        own(path).close()


def test_the_holder_may_be_this_process(folder):
    """Then another journal of the program is to be closed, and no other process to be looked for."""
    opened = own(folder / "j.db")
    try:
        assert f"in use by this process ({os.getpid()}), since" in refusal(own, folder / "j.db")
    finally:
        opened.close()


@pytest.mark.parametrize("state", ["missing", "nobody", "no such table"])
def test_a_lock_whose_holder_is_not_known(folder, state):
    """The words do without a name: the journal is being made, or something else holds the lock."""
    path = folder / "j.db"
    if state != "missing":
        own(path).close()
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM holder" if state == "nobody" else "DROP TABLE holder")
        connection.commit()
        connection.close()
    lock = FileLock(f"{path}.lock")
    with lock:
        assert f"The journal {path} is in use. Wait" in refusal(own, path)


def test_a_journal_is_let_go_of_whatever_goes_wrong(folder, monkeypatch):
    """A failure in the middle of opening, also one that is no error, leaves no lock."""
    path = small_journal(folder / "j.db", chunks=1)
    for failure in (
        KeyboardInterrupt,
        sqlite3.OperationalError("x"),
        OSError(5, "I/O error"),
        JournalError("x"),
    ):
        with monkeypatch.context() as patch:

            def fail(*_args, failure=failure):
                raise failure

            patch.setattr(opening, "_check_whole", fail)
            with pytest.raises((JournalError, KeyboardInterrupt)):
                own(path)
        assert opening._known == {}
    own(path).close()


def test_a_journal_that_cannot_be_laid_out_leaves_nothing(folder, monkeypatch):
    """A journal has its name only when all of it is on the disk, so that the next one finds nothing in its way."""
    path = folder / "j.db"
    with monkeypatch.context() as patch:
        patch.setattr(opening, "TABLES", ("CREATE TABLE a (x)", "no SQL"))
        assert "cannot be used (SQLITE_ERROR)" in refusal(own, path)
    assert [file.name for file in folder.iterdir()] == ["j.db.lock"]
    own(path).close()
    assert list_sends(path) == []


# Locks.


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks belong to a process, not to a file that is open")
def test_whatever_is_read_in_the_same_process_the_log_stays(folder):
    """Another program that opens and closes the journal must never take itself for the last one to have it open.

    It would delete the log, and what this process commits after that would be lost with it: claims, too.
    """
    path = folder / "j.db"
    opened = own(path)
    send = begin(opened.connection)
    log = (folder / "j.db-wal").stat().st_ino
    looks = [
        lambda: check_file(path),
        lambda: list_sends(path),
        lambda: open_send(path, "aaaaaaaaaa").close(),
        lambda: refusal(own, path),
        lambda: refusal(open_send, path, "bbbbbbbbbb"),
        lambda: read_only(path).close(),
    ]
    for look in looks:
        look()
        beside.open_and_close(path)
        assert (folder / "j.db-wal").stat().st_ino == log
    statements.plan(opened.connection, send=send, chunks=[chunk(1, [0])], rejected=[], lines=[], total=1)
    opened.close()
    assert [record.rows for record in list_sends(path)] == [1]


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks belong to a process, not to a file that is open")
def test_a_reader_keeps_its_lock_whoever_else_reads(folder):
    """The last writer to leave sees that somebody still reads, and leaves the log to them."""
    path = folder / "j.db"
    with beside.held_elsewhere(path):
        reader = read_only(path)
        check_file(path)
        list_sends(path)
    assert (folder / "j.db-wal").exists()
    reader.close()
    own(path).close()


def test_what_is_open_is_counted(folder):
    """A file is known to be a journal as long as it is open, by whomever, and is looked at again after that."""
    path = small_journal(folder / "j.db", chunks=1)
    opened, first, second = own(path), read_only(path), read_only(path)
    assert list(opening._known.values()) == [3]
    opened.close()
    first.close()
    first.close()
    assert list(opening._known.values()) == [1]
    second.close()
    opened.close()
    assert opening._known == {}


def test_what_is_read_is_of_one_moment(folder):
    """A connection that reads sees nothing of what is written after it was opened."""
    path = folder / "j.db"
    opened = own(path)
    connection = read_only(path)
    begin(opened.connection)
    assert connection.execute("SELECT count(*) FROM send").fetchone() == (0,)
    assert len(list_sends(path)) == 1
    connection.close()
    opened.close()


def test_a_connection_that_reads_cannot_write(folder):
    """Not even by mistake."""
    path = small_journal(folder / "j.db", chunks=1)
    connection = read_only(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM send")
    connection.close()


def test_a_lock_that_does_not_die_with_its_process_is_none(folder, monkeypatch):
    """Where files cannot be locked a journal proves nothing: it is refused, and not made."""
    monkeypatch.setattr(filelock, "FileLock", SoftFileLock)
    assert "files cannot be locked. Give it a place on a local disk" in refusal(own, folder / "j.db")
    assert contents(folder) == {}


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (NotImplementedError(), "files cannot be locked"),
        (OSError(38, "Function not implemented"), "not implemented"),
    ],
)
def test_a_file_system_without_locks(folder, monkeypatch, failure, words):
    """However the library for locks says it."""

    def acquire(self, *args, **options):
        raise failure

    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert words in refusal(own, folder / "j.db")


# On the disk.


@pytest.mark.skipif(os.name == "nt", reason="the other ways of SQLite to lock are those of Unix")
def test_where_there_is_no_write_ahead_log_the_old_mode_is_as_safe(folder, monkeypatch):
    """Without shared memory SQLite keeps its oldest mode, in which FULL may lose the last commit, unlike EXTRA."""
    connect = sqlite3.connect

    def elsewhere(path, **options):
        return connect(f"file:{path}?vfs=unix-none", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", elsewhere)
    opened = own(folder / "j.db")
    ask = opened.connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("delete",)
    assert ask("PRAGMA synchronous").fetchone() == (3,)
    begin(opened.connection)
    opened.close()


def test_a_commit_waits_for_the_disk(folder):
    """A log, synchronised in full with each commit: a claim that was reported is there after a power cut."""
    opened = own(folder / "j.db")
    ask = opened.connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (2,)
    assert ask("PRAGMA fullfsync").fetchone() == (1,)
    assert ask("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert ask("PRAGMA user_version").fetchone() == (VERSION,)
    opened.close()


@pytest.mark.parametrize("refused", ["open", "fsync"])
def test_a_folder_that_cannot_be_synchronised(folder, monkeypatch, refused):
    """Some systems do not let anybody, and do it by themselves; that is no reason to send nothing."""
    real = getattr(os, refused)
    asked = []

    def reluctant(what, *args):
        is_folder = what == folder if refused == "open" else stat.S_ISDIR(os.fstat(what).st_mode)
        if is_folder:
            asked.append(what)
            raise OSError(22, "Invalid argument")
        return real(what, *args)

    monkeypatch.setattr(os, refused, reluctant)
    own(folder / "j.db").close()
    assert asked


def test_a_new_journal_is_durable_before_its_name_and_its_name_before_it_is_used(folder, monkeypatch):
    """First the file is synchronised, then the folder: else a power cut could take either, with all claims in it."""
    synced = []
    real = os.fsync

    def fsync(descriptor):
        synced.append((os.fstat(descriptor).st_ino, (folder / "j.db").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    own(folder / "j.db").close()
    assert synced == [((folder / "j.db").stat().st_ino, False), (folder.stat().st_ino, True)]
