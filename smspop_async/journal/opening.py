"""Opening a journal: whose it is, what it is, and whether it is whole. Nothing is overwritten here.

One process owns a journal, by a lock on a file beside it. The operating system lets go of that lock when the process
dies, however it dies; so whoever gets it knows that every chunk that is still `submitting` was left behind.

A new journal is made in one transaction in SQLite's oldest mode, and turned to write-ahead logging after that: a file
that has any bytes in it has our mark in its header, and one without the mark is not ours.
"""

import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import Final

from attrs import frozen
from filelock import FileLock, Timeout

from smspop_async.errors import JournalError
from smspop_async.journal.failures import explain, explain_os
from smspop_async.journal.schema import APPLICATION_ID, TABLES, VERSION

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER: Final = 100
_NOT_OURS: Final = "It is left as it is: give the journal another name."


@frozen(kw_only=True)
class Opened:
    """A journal that this process owns."""

    path: Path
    connection: sqlite3.Connection
    lock: FileLock

    def close(self) -> None:
        """Close the file, then let go of it."""
        try:
            self.connection.close()
        finally:
            self.lock.release()


def own(path: Path) -> Opened:
    """Open a journal for writing, and make it where there is none. Blocks: run it in a thread.

    Args:
        path: The file; symbolic links are followed, so that two names of a file are one journal.

    Raises:
        JournalError: it is somebody else's, held by another process, damaged, newer, or not writable.
    """
    path = Path(os.path.realpath(path))
    lock = _lock(path)
    try:
        return Opened(path=path, connection=_connect(path), lock=lock)
    except sqlite3.Error as error:
        lock.release()
        raise explain(path, error) from None
    except OSError as error:
        lock.release()
        raise explain_os(path, error) from None
    except BaseException:
        lock.release()
        raise


def read_only(path: Path) -> sqlite3.Connection:
    """Open a journal for reading, also while another process writes it. Blocks.

    Raises:
        JournalError: it is missing, somebody else's, newer, or damaged.
    """
    path = Path(os.path.realpath(path))
    check_file(path)
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        connection.execute("SELECT count(*) FROM send").fetchone()
    except sqlite3.Error as error:
        raise explain(path, error) from None
    return connection


def check_file(path: Path) -> None:
    """Tell a journal from every other file by its header.

    Raises:
        JournalError: there is no file, or it is no journal, or one of a newer version.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        raise JournalError(f"There is no journal {path}. See how its name is spelled.") from None
    except OSError as error:
        raise explain_os(path, error) from None
    _check_header(path, header)


def _check_header(path: Path, header: bytes) -> None:
    if not header:
        raise JournalError(f"The journal {path} is empty: nothing was ever planned in it, and nothing sent.")
    if not header.startswith(_MAGIC[: len(header)]):
        raise JournalError(f"{path} is not a journal, but some other file. {_NOT_OURS}")
    if len(header) < _HEADER:
        raise JournalError(f"The journal {path} is damaged: it is cut off. {_NOT_OURS}")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise JournalError(f"{path} is an SQLite database of another program. {_NOT_OURS}")
    version = int.from_bytes(header[60:64])
    if version > VERSION:
        raise JournalError(
            f"The journal {path} is of version {version}; this release reads up to {VERSION}. "
            "Upgrade smspop-async; the file is left as it is."
        )


def _lock(path: Path) -> FileLock:
    lock = FileLock(f"{path}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise JournalError(
            f"The journal {path} is in use{_holder(path)}. Wait until that has ended, or end it; then try again. "
            "Nothing was sent by this call."
        ) from None
    except OSError as error:
        raise explain_os(path, error) from None
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
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row[2]))
    return f" by process {row[0]} on {row[1]}, since {since}"


def _connect(path: Path) -> sqlite3.Connection:
    new = _make(path)
    if not new:
        check_file(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        if new or not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _lay_out(connection)
        _check_whole(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA journal_size_limit = 1048576")
        connection.execute(
            "INSERT OR REPLACE INTO holder VALUES (1, ?, ?, ?)",
            (os.getpid(), socket.gethostname(), time.time()),
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> bool:
    """Make an empty file that only its owner can read, for it will hold numbers; False where there is a file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return path.stat().st_size == 0
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
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


def _lay_out(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES:
        connection.execute(table)
    connection.execute("COMMIT")


def _check_whole(path: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise JournalError(
            f"The journal {path} is damaged. It is left as it is: restore it from a copy, or look in the dashboard "
            "for what was sent."
        )
