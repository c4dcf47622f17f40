"""Opening a journal: whose it is, what it is, and whether it is whole. Nothing is overwritten here.

One process owns a journal, by a lock on a file beside it. The operating system lets go of that lock when the process
dies, however it dies; so whoever gets it knows that every chunk that is still `submitting` was left behind.

A new journal is laid out under another name, without waiting for the disk, then written to the disk as a whole, and
only then given its name. So whatever has the name and any bytes in it is whole and has our mark in its header, and what
is without the mark is not ours. (In the place itself SQLite would wait for the disk eight times: for the tables, and
again for the mode in which it writes.) The tables of a new file are the same bytes each time, and made once in a
process.

The header is read as bytes, because SQLite leaves files beside what it opens, also beside what is not ours. But to
close any descriptor of a file is to drop all locks that the process has on it (POSIX; fcntl(2)), those of SQLite too;
the next program that closes the journal would then take itself for the last one and delete the log into which this
process goes on writing. So a file that this process has open as a journal is known to be one, and not looked at again:
`_known` counts them, and nobody opens one while another looks.
"""

import os
import socket
import sqlite3
import stat
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Final, cast

from attrs import frozen

from smspop_async.errors import JournalError
from smspop_async.journal.failures import explain, explain_os
from smspop_async.journal.schema import APPLICATION_ID, TABLES, VERSION

if TYPE_CHECKING:
    from filelock import FileLock

_MAGIC: Final = b"SQLite format 3\x00"
HEADER: Final = 100
"""Bytes of a file by which it is known."""
_OLDEST: Final = (3, 33, 0)
"""The first SQLite with ``UPDATE … FROM`` (its release notes), which all changes of a group are made with."""
_NOT_OURS: Final = "It is left as it is: give the journal another name."

_File = tuple[int, int]
"""A device and a number on it."""
_blank: Final[dict[tuple[str, ...], bytes]] = {}
"""The bytes of a file with these tables, and nothing in them."""
_looking: Final = threading.Lock()
_known: Final[Counter[_File]] = Counter()
"""How often this process has each journal open."""


@frozen(kw_only=True)
class Opened:
    """A journal that this process owns."""

    path: Path
    """Without symbolic links."""
    connection: sqlite3.Connection
    lock: "FileLock"
    file: tuple[int, int]

    def close(self) -> None:
        """Close the file, then let go of it."""
        try:
            self.connection.close()
        finally:
            forget(self.file)
            self.lock.release()


def own(path: Path) -> Opened:
    """Open a journal for writing, and make it where there is none. Blocks: run it in a thread.

    Args:
        path: The file; symbolic links are followed, so that two names of a file are one journal.

    Raises:
        JournalError: it is somebody else's, held by another process, damaged, newer, or not writable; or this Python's
            SQLite is too old.
    """
    with holding(path) as (place, lock):
        return open_whole(place, lock)


@contextmanager
def holding(path: Path) -> Generator[tuple[Path, "FileLock"], None, None]:
    """Take the lock of a journal, and let go of it where the block fails.

    Args:
        path: The file.

    Returns:
        The file without symbolic links, and the lock.

    Raises:
        JournalError: as for `own`.
    """
    _check_sqlite()
    place = _resolved(path)
    _check_place(place)
    lock = _lock(place)
    try:
        yield place, lock
    except sqlite3.Error as error:
        lock.release()
        raise explain(place, error, begun=False) from None
    except OSError as error:
        lock.release()
        raise explain_os(place, error) from None
    except BaseException:
        lock.release()
        raise


def open_whole(path: Path, lock: "FileLock") -> Opened:
    """Open a journal of which one has the lock, and make it where there is none."""
    file, new = _find(path)
    try:
        connection = connect(path, new=new)
        try:
            sign(connection)
        except BaseException:
            connection.close()
            raise
    except BaseException:
        forget(file)
        raise
    return Opened(path=path, connection=connection, lock=lock, file=file)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < _OLDEST:
        raise JournalError(
            f"A journal needs SQLite 3.33 or newer, and this Python has {sqlite3.sqlite_version}: "
            "use a newer Python, or send without a journal."
        )


class _Reading(sqlite3.Connection):
    """A connection that counts among those of a file until it is closed."""

    file: _File | None = None

    def close(self) -> None:
        super().close()
        file, self.file = self.file, None
        if file is not None:
            forget(file)


def read_only(path: Path) -> sqlite3.Connection:
    """Open a journal for reading, also while another process writes it. Blocks.

    All that is read on the connection is of one moment.

    Raises:
        JournalError: it is missing, somebody else's, newer, or damaged.
    """
    path = _resolved(path)
    file = _recognise(path)
    connection: _Reading | None = None
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            factory=_Reading,
        )
        connection.execute("BEGIN")
        tables = _has_tables(connection)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        forget(file)
        raise explain(path, error) from None
    connection.file = file
    if not tables:
        connection.close()
        raise _damaged(path)
    return connection


def check_file(path: Path) -> None:
    """Tell a journal from every other file by its header.

    Raises:
        JournalError: there is no file, or it is no journal, or one of a newer version.
    """
    forget(_recognise(_resolved(path)))


def _resolved(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        raise JournalError(f"{str(path)!r} is no name of a file. Give the journal another one.") from None


def _recognise(path: Path) -> _File:
    """Check the header of a file, unless this process has it open, and count it as open."""
    try:
        with _looking:
            found = path.stat()
            file = found.st_dev, found.st_ino
            if file not in _known:
                _check_kind(path, found)
                with path.open("rb") as stream:
                    header = stream.read(HEADER)
                _check_header(path, header)
            _known[file] += 1
    except FileNotFoundError:
        raise JournalError(f"There is no journal {path}. See how its name is spelled.") from None
    except OSError as error:
        raise explain_os(path, error) from None
    return file


def forget(file: _File) -> None:
    """Let a file not count as open any more."""
    with _looking:
        _known[file] -= 1
        if _known[file] <= 0:
            del _known[file]


def _check_kind(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a file of the usual kind"
        raise JournalError(f"{path} cannot be a journal: it is {kind}. Give the journal another name.")


def stat_of(path: Path) -> os.stat_result | None:
    """What a name stands for; None where it stands for nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _check_place(path: Path) -> None:
    """Refuse before anything is written, so that no lock is left beside what is not ours.

    Raises:
        JournalError: the file is no journal, or there is no folder for it.
    """
    try:
        found = stat_of(path)
        if found is not None:
            _check_kind(path, found)
            if found.st_size:
                check_file(path)
                return
        elif not path.parent.is_dir():
            raise JournalError(
                f"The journal {path} cannot be made: there is no such folder. See how it is spelled, or make it. "
                "Nothing is sent without the journal."
            )
        log = Path(f"{path}-wal")
        lost = stat_of(log)
        if lost is not None and lost.st_size:
            raise JournalError(
                f"{log} is the newest part of a journal that is not where it was. Put that back beside it under the "
                "name it had; or, if its sends do not matter any more, delete this file too."
            )
    except OSError as error:
        raise explain_os(path, error) from None


def _empty(path: Path) -> JournalError:
    return JournalError(f"The journal {path} is empty: nothing was ever planned in it, and nothing sent.")


def is_marked(header: bytes) -> bool:
    """Whether the header of a database has our mark."""
    return header.startswith(_MAGIC) and int.from_bytes(header[68:72]) == APPLICATION_ID


def _check_header(path: Path, header: bytes) -> None:
    if not header:
        raise _empty(path)
    if not header.startswith(_MAGIC[: len(header)]):
        raise JournalError(f"{path} is not a journal, but some other file. {_NOT_OURS}")
    if len(header) < HEADER:
        raise JournalError(f"The journal {path} is damaged: it is cut off. {_NOT_OURS}")
    if not is_marked(header):
        raise JournalError(f"{path} is an SQLite database of another program. {_NOT_OURS}")
    version = int.from_bytes(header[60:64])
    if version > VERSION:
        raise JournalError(
            f"The journal {path} is of version {version}; this release reads up to {VERSION}. "
            "Upgrade smspop-async; the file is left as it is."
        )


def _lock(path: Path) -> "FileLock":
    """Take the lock, by which the process that has it is known to live.

    It is taken in one thread and let go of in another. A lock that is only the existence of a file, as where the file
    system knows no other, would outlive its process, and prove nothing.
    """
    # Ten milliseconds, which only those pay who use a journal; this runs in a thread.
    from filelock import FileLock, SoftFileLock, Timeout  # noqa: PLC0415

    lock = FileLock(f"{path}.lock", mode=0o600, thread_local=False, fallback_to_soft=False)
    soft = isinstance(cast("object", lock), SoftFileLock)
    try:
        if not soft:
            lock.acquire(timeout=0)
    except NotImplementedError:
        soft = True
    except Timeout:
        raise JournalError(
            f"The journal {path} is in use{_holder(path)}. Wait until that has ended, or end it; then try again. "
            "Nothing was sent by this call."
        ) from None
    except OSError as error:
        raise explain_os(path, error) from None
    if soft:
        raise JournalError(
            f"The journal {path} cannot be kept there: files cannot be locked. Give it a place on a local disk. "
            "Nothing is sent without the journal."
        )
    return lock


def _holder(path: Path) -> str:
    """Who says in the journal that they hold it; for the words of an error only."""
    try:
        connection = read_only(path)
    except JournalError:
        return ""
    try:
        row = connection.execute("SELECT pid, host, since FROM holder").fetchone()
    except sqlite3.Error:
        return ""
    finally:
        connection.close()
    if row is None:
        return ""
    pid, host, began = row
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began))
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f" by this process ({pid}), since {since}"
    return f" by process {pid} on {host}, since {since}"


def _find(path: Path) -> tuple[_File, bool]:
    """The file, counted as open, and whether it is new."""
    if not is_new(path):
        return _recognise(path), False
    _make(path)
    return know(path), True


def know(path: Path) -> _File:
    """Let a file count as open that is known to be a journal."""
    with _looking:
        found = path.stat()
        file = found.st_dev, found.st_ino
        _known[file] += 1
    return file


def connect(path: Path, *, new: bool) -> sqlite3.Connection:
    """Open a file that counts as open, for writing, so that each commit is on the disk before it returns."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = 1")  # macOS: through the cache of the drive; elsewhere nothing
        if not new:
            _check_whole(path, connection)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            # Where the file system cannot share memory, the old mode stays; there FULL can lose the last commit.
            connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA journal_size_limit = 1048576")
    except BaseException:
        connection.close()
        raise
    return connection


def sign(connection: sqlite3.Connection) -> None:
    """Say in a journal who holds it."""
    connection.execute(
        "INSERT OR REPLACE INTO holder VALUES (1, ?, ?, ?)",
        (os.getpid(), socket.gethostname(), time.time()),
    )


def is_new(path: Path) -> bool:
    """Whether there is nothing of a journal yet."""
    found = stat_of(path)
    return found is None or not found.st_size


def _make(path: Path) -> None:
    """Make a journal that only its owner can read, for it will hold numbers."""
    descriptor, name = mkstemp(prefix=".smspop-", dir=path.parent)
    draft = Path(name)
    try:
        try:
            lay_out(draft)
            connection = sqlite3.connect(draft, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")
            close_with_log(connection)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the name of a new file survive a power cut; not every system can, and those do it by themselves."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def close_with_log(connection: sqlite3.Connection) -> None:
    """Close a file of which nobody knows yet, so that it is opened with a write-ahead log from then on."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def lay_out(draft: Path) -> None:
    """Write an empty journal, still without a log, into an empty file of which nobody knows yet."""
    if TABLES in _blank:
        draft.write_bytes(_blank[TABLES])
        return
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        for table in TABLES:
            connection.execute(table)
        connection.execute("COMMIT")
    finally:
        connection.close()
    _blank[TABLES] = draft.read_bytes()


def _check_whole(path: Path, connection: sqlite3.Connection) -> None:
    if not _has_tables(connection) or connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damaged(path)


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _damaged(path: Path) -> JournalError:
    return JournalError(
        f"The journal {path} is damaged. It is left as it is: restore it from a copy, or look in the dashboard "
        "for what was sent."
    )
