"""A new journal while its first list is written down: a draft, which takes the journal's name when the list is whole.

A write-ahead log has every page written twice, with check sums, so that no commit is ever lost. While a list is written
down nothing has been sent, and nothing would be lost but the reading of it. So a new journal is written under another
name, without a log and without waiting for the disk. The first order after which something must be on the disk
(`Early` are all others) has the draft flushed as a whole, given the journal's name, and opened as every journal is;
only then is anybody told that the order was carried out. Whoever dies before that leaves no text to doubt.

From the beginning there is a journal under the name, too: a copy of the draft from when the send was begun. It tells
readers that a list is being written down, and whoever comes after a death that nothing of it went out. It is in the
mode without a log, so that nobody who reads it leaves one beside it, which the draft would then be taken to have. It is
not flushed: of a copy that a power cut has taken, nobody was told anything. A file that somebody has put in its place
is not overwritten.

The file of the log is made as long as the list will need it, of zeros, which SQLite takes for an empty log: to write
over what is there takes a disk half the time of making a file longer. Where there is no room for that, there may be for
what is needed.

The draft holds numbers. It is readable for its owner alone, and what a dead process has left of it is deleted by the
next one that opens the journal. So that this is never a journal of somebody's, none can be opened for writing under
such a name.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Generic, TypeVar

from attrs import frozen

from smspop_async.errors import JournalError
from smspop_async.journal import opening
from smspop_async.journal.failures import vanished

if TYPE_CHECKING:
    from filelock import FileLock

T = TypeVar("T")

DRAFT: Final = ".smspop-draft"
_SHOWN: Final = ".smspop-shown"
"""What the copy is called until it is whole."""
_LOG: Final = 640 * 1024
"""Bytes of the longest log that is made beforehand, for some four hundred campaigns; it grows where more is needed."""
_FEW: Final = 32 * 1024
"""Bytes of the shortest."""
_EACH: Final = 8 * 1024
"""Bytes for each campaign of a short list: what one takes that is claimed alone (measured: 9 KB)."""
_INDEX: Final = 64 * 1024
"""Bytes that are left free for the file that SQLite puts beside a log, and some more."""
_RENAMES: Final = os.name != "nt"
"""Whether a name can be given to another file while somebody has the first one open."""


@frozen
class Early(Generic[T]):
    """An order after which nothing needs to be on the disk, because nothing is sent before another follows."""

    act: Callable[[sqlite3.Connection], T]

    def __call__(self, connection: sqlite3.Connection) -> T:
        """Carry it out."""
        return self.act(connection)


def own(path: Path) -> "opening.Opened | Draft":
    """Open a journal for writing, and begin a draft where there is none. Blocks: run it in a thread.

    Raises:
        JournalError: as for `opening.own`.
    """
    with opening.holding(path) as (place, lock):
        if place.name.endswith((DRAFT, _SHOWN)):
            raise JournalError(f"{place} cannot be a journal: drafts are called so. Give it another name.")
        clear = all(_sweep(f"{place}{end}") for end in (DRAFT, _SHOWN))
        if clear and _RENAMES and opening.is_new(place):
            return Draft(place, lock)
        return opening.open_whole(place, lock)


def _sweep(path: str) -> bool:
    """Delete what a dead process has left of a draft, and a power cut of that; False where it is somebody else's."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a text is all that is needed
            header = stream.read(opening.HEADER)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    ours = opening.is_marked(header) or not any(header)
    if ours:
        for each in (path, f"{path}-wal", f"{path}-shm"):
            Path(each).unlink(missing_ok=True)
    return ours


class Draft:
    """A new journal that this process owns, and that has not got its name yet. For one thread at a time.

    Args:
        path: The journal, without symbolic links.
        lock: Held; let go of by `close`.
    """

    def __init__(self, path: Path, lock: "FileLock") -> None:
        self.path: Path = path
        self._lock = lock
        self._place = Path(f"{path}{DRAFT}")
        self._whole: opening.Opened | None = None
        self._descriptor: int | None
        self.connection: sqlite3.Connection
        self._descriptor, self.connection = _begin(self._place)
        self.shown: bool = False
        """Whether the name stands for a copy in which something was begun."""
        self._copy: BinaryIO | None = None
        """Open, so that its number on the disk is nobody else's."""
        try:
            self._draft = os.fstat(self._descriptor)
            self._show()
        except BaseException:
            self._drop()
            raise

    def show(self) -> None:
        """Have the journal's name stand for a copy of the draft as it is now.

        Raises:
            JournalError: the name stands for another file meanwhile.
        """
        self._check_copy()
        self._show()
        self.shown = True

    def _show(self) -> None:
        assert self._descriptor is not None  # noqa: S101 - until it is named
        place = f"{self.path}{_SHOWN}"
        copy = open(place, "xb", opener=_private)  # noqa: SIM115 - kept open
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            copy.write(os.read(self._descriptor, os.fstat(self._descriptor).st_size))
            copy.flush()
            os.replace(place, self.path)  # noqa: PTH105 - texts are all that is needed
        except BaseException:
            os.unlink(place)  # noqa: PTH108
            with suppress(OSError):  # what is in its buffer cannot be written
                copy.close()
            raise
        before, self._copy = self._copy, copy
        if before is not None:
            before.close()

    def _check_copy(self) -> None:
        """See that the name stands for the copy, and that nobody has written to that: its log would be the draft's."""
        now = opening.stat_of(self.path)
        written = any(opening.stat_of(Path(f"{self.path}{end}")) for end in ("-wal", "-journal"))
        assert self._copy is not None  # noqa: S101 - until the draft is named
        if written or now is None or not os.path.samestat(now, os.fstat(self._copy.fileno())):
            raise vanished(self.path)

    def name(self) -> sqlite3.Connection:
        """Make the draft the journal, durably, and open it as every journal is.

        Returns:
            A connection that takes the place of the draft's.

        Raises:
            JournalError: the name stands for another file meanwhile.
        """
        try:
            log = min(_LOG, _FEW + _EACH * self._campaigns(_LOG // _EACH + 1))
            self._name()
            self._lengthen_log(log)
            file = opening.know(self.path)
            try:
                self.connection = opening.connect(self.path, new=True)
            except BaseException:
                opening.forget(file)
                raise
        except BaseException:
            with suppress(OSError):
                self._take_back()
            raise
        self._whole = opening.Opened(path=self.path, connection=self.connection, lock=self._lock, file=file)
        return self.connection

    def _take_back(self) -> None:
        """Leave nothing of a draft that has got its name, and then could not be used.

        The caller is told that nothing was sent, and sends again; a list that stood here could be resumed, too.
        """
        now = opening.stat_of(self.path)
        if now is not None and os.path.samestat(now, self._draft):
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)

    def _name(self) -> None:
        """Where this fails the copy stays: nothing of the list is in it, and nothing of it goes out."""
        try:
            self._check_copy()
            opening.close_with_log(self.connection)
            assert self._descriptor is not None  # noqa: S101 - until it is named
            os.fsync(self._descriptor)
            self._place.replace(self.path)
        finally:
            self._drop()
        opening.sync_folder(self.path.parent)

    def _campaigns(self, most: int) -> int:
        """How many campaigns are written down, as far as they are counted."""
        count = "SELECT count(*) FROM (SELECT 1 FROM chunk LIMIT ?)"
        return int(self.connection.execute(count, (most,)).fetchone()[0])

    def _lengthen_log(self, length: int) -> None:
        place = f"{self.path}-wal"
        try:
            with open(place, "xb", opener=_private) as stream:
                stream.write(bytes(length + _INDEX))
                stream.truncate(length)
        except FileExistsError:
            return
        except OSError:
            Path(place).unlink(missing_ok=True)

    def _drop(self) -> None:
        """Let go of the draft, and leave nothing under its name."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with ExitStack() as ends:  # all of them, from the last, whatever fails
            ends.callback(self._place.unlink, missing_ok=True)
            if self._copy is not None:
                ends.callback(self._copy.close)
            ends.callback(os.close, descriptor)
            ends.callback(self.connection.close)

    def close(self) -> None:
        """Close the file, with all that was written, then let go of it."""
        if self._whole is not None:
            self._whole.close()
            return
        try:
            if self._descriptor is not None:
                with suppress(OSError, sqlite3.Error, JournalError):
                    self._name()
        finally:
            self._lock.release()


def _private(path: str, flags: int) -> int:
    """Open a new file that its owner alone can read."""
    return os.open(path, flags, 0o600)


def _begin(draft: Path) -> tuple[int, sqlite3.Connection]:
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        opening.lay_out(draft)
        return descriptor, _connect(draft)
    except BaseException:
        os.close(descriptor)
        draft.unlink()
        raise


def _connect(draft: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(draft, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        opening.sign(connection)
    except BaseException:
        connection.close()
        raise
    return connection
