"""The folder that the workers of a web app share: what each send came to, readable by all of them.

The files of a send: ``ID.json`` its latest status, ``ID.report`` its account once it has ended, ``ID.csv`` the outcome
of every row once somebody has asked for it, ``ID.db`` its journal where one is kept, ``ID.stop`` when it is asked to
stop, ``ID.lock`` held by the process that runs it. The operating system lets go of that lock when the process dies,
however it dies; so a status that says "running" under a lock that is free is that of a send left behind.

Everything here blocks: it is called in worker threads.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from smspop_async.errors import JournalError
from smspop_async.integrations._records import Record, SendStatus
from smspop_async.journal.base import SendState
from smspop_async.journal.drafting import DRAFT
from smspop_async.journal.sends import list_sends

_POLL: Final = 0.02
"""Seconds between two looks for what another process does."""
_ID: Final = re.compile(r"[0-9a-f]{20}")
REPORT: Final = ".report"
_OUTDATED: Final = (REPORT, ".csv", ".stop")
_SUFFIXES: Final = (".json", *_OUTDATED, ".db", ".db-wal", ".db-shm", f".db{DRAFT}")
"""The lock is not among them: a file that somebody may be waiting for must not be taken from under them."""


class Shelf:
    """The files of the sends in one folder.

    Args:
        folder: Made when it does not exist, readable by its owner alone: the files hold phone numbers.

    Raises:
        JournalError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(folder, error) from None

    def file(self, send: str, suffix: str) -> Path:
        """A file of a send."""
        return self.folder / f"{send}{suffix}"

    def hold(self, send: str, *, patience: float = 0.0) -> FileLock | None:
        """Become the one process that may run this send; None while another one is.

        Args:
            send: Its id.
            patience: Seconds to wait: those who only look hold the lock for a moment, too.

        Raises:
            JournalError: the folder cannot be written to.
        """
        lock = FileLock(self.file(send, ".lock"), mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=patience, poll_interval=_POLL)
        except Timeout:
            return None
        except OSError as error:
            raise unusable(self.folder, error) from None
        return lock

    def hold_new(self, send: str, *, patience: float) -> FileLock | None:
        """Become the one process that may run a new send; None where another one has entered it.

        Args:
            send: Its id.
            patience: Seconds to wait for its entry: there is a moment between another one's lock and that, and those
                who only look hold the lock for a moment, too.

        Raises:
            JournalError: the folder cannot be written to.
        """
        until = time.monotonic() + patience
        while True:
            lock = self.hold(send)
            if lock is not None:
                return lock
            record = self.read(send)
            if (record is not None and not record.status.void) or time.monotonic() >= until:
                return None
            time.sleep(_POLL)

    def claim(self, record: Record) -> bool:
        """Enter a new send, for good: the entry is on the disk before anything of it is sent. The caller holds it.

        Returns:
            False where there is an entry of this id already; one that is void is replaced.

        Raises:
            JournalError: the folder cannot be written to.
        """
        send = record.status.id
        there = self.read_held(send)
        if there is not None and there.status.void:
            self.forget(send)
        path = self.file(send, ".json")
        if there is None:  # or half of one, of a process that was killed right here: nothing had gone out yet
            path.unlink(missing_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        except OSError as error:
            raise unusable(self.folder, error) from None
        try:
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - it is open already
                json.dump(record.to_dict(), file)
                file.flush()
                os.fsync(handle)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise unusable(self.folder, error) from None
        return True

    def write(self, record: Record) -> None:
        """Replace the entry of a send.

        Raises:
            OSError: it cannot be written.
        """
        self._put(self.file(record.status.id, ".json"), record.to_dict())

    def write_report(self, send: str, report: Mapping[str, Any]) -> None:
        """Keep the account of a send that has ended.

        Raises:
            OSError: it cannot be written.
        """
        self._put(self.file(send, REPORT), report)

    def _put(self, target: Path, values: Mapping[str, Any]) -> None:
        """Replace a file as a whole, so that nobody ever reads half of one."""
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=f".{target.name}-")
        try:
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
                json.dump(values, file)
            os.replace(name, target)  # noqa: PTH105 - as atomic, and either way a text
        except BaseException:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise

    def read_report(self, send: str) -> Mapping[str, Any] | None:
        """The account that was kept, or None."""
        try:
            report: Mapping[str, Any] = json.loads(self.file(send, REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return report

    def read(self, send: str) -> Record | None:
        """The entry of a send, or None: there is none, or it is none of ours."""
        if not _ID.fullmatch(send):
            return None
        try:
            return Record.from_dict(json.loads(self.file(send, ".json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def read_checked(self, send: str) -> Record | None:
        """The same; a send that is said to be running is checked to be."""
        record = self.read(send)
        if record is None or record.status.ended or self.is_held(send):
            return record
        return self.read_held(send)

    def read_held(self, send: str) -> Record | None:
        """The entry of a send that nobody runs: it is not running, whatever its entry says."""
        record = self.read(send)
        if record is None or record.status.ended:
            return record
        status = record.status.left_behind()
        return Record(event=record.event + 1, status=status.voided() if self.is_void(status) else status)

    def is_void(self, status: SendStatus) -> bool:
        """Whether a journalled send that nobody runs was given up before anything of it could go out.

        Nothing goes out before all contacts are in the journal, and where they are not there is nothing to resume.
        """
        if not status.journalled:
            return False
        try:
            sends = list_sends(self.file(status.id, ".db"))
        except JournalError:
            return not self.file(status.id, ".db").exists()
        return all(send.state in (SendState.PLANNING, SendState.ABANDONED) for send in sends)

    def is_held(self, send: str) -> bool:
        """Whether a living process runs this send."""
        lock = self.hold(send)
        if lock is None:
            return True
        lock.release()
        return False

    def ask_to_stop(self, send: str) -> None:
        """Leave word for the process that runs a send.

        Raises:
            JournalError: the folder cannot be written to.
        """
        try:
            self.file(send, ".stop").touch(mode=0o600)
        except OSError as error:
            raise unusable(self.folder, error) from None

    def is_asked_to_stop(self, send: str) -> bool:
        """Whether there is such a word; it is taken away."""
        try:
            self.file(send, ".stop").unlink()
        except OSError:
            return False
        return True

    def sends(self) -> list[str]:
        """The ids of all sends, the latest first."""
        found: list[tuple[int, str]] = []
        for path in self.folder.glob("*.json"):
            with suppress(FileNotFoundError):  # forgotten meanwhile
                found.append((path.stat().st_mtime_ns, path.stem))
        return [send for _, send in sorted(found, reverse=True) if _ID.fullmatch(send)]

    def forget(self, send: str) -> None:
        """Delete the files of a send, which the caller holds."""
        self._delete(send, _SUFFIXES)

    def begin_again(self, send: str) -> None:
        """Delete what is out of date when a send goes on, which the caller holds."""
        self._delete(send, _OUTDATED)

    def _delete(self, send: str, suffixes: Iterable[str]) -> None:
        for suffix in suffixes:
            with suppress(OSError):
                self.file(send, suffix).unlink()


def unusable(folder: Path, error: OSError) -> JournalError:
    """The error of a folder that cannot be used."""
    return JournalError(
        f"The folder {folder} cannot be used: {error.strerror or type(error).__name__}. Nothing was sent; name a "
        "folder that this process may write to."
    )
