"""A disk in memory that remembers every write and every flush, and what is left of it when the power is cut.

SQLite runs on it through a file system of its own (apsw). Nothing is cut while it runs: what it does is
recorded, and afterwards the disk is made as it would have been found after each single step. What was flushed is there.
Of what was not, nothing may be left, or all, or any part of it: single sectors, in any order.

A file that is new, and one that was deleted, are so durably once their folder is flushed; SQLite's own file system for
POSIX does that when it flushes a new file for the first time, and when it deletes one and is told to.
"""

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

_SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing that happened."""

    kind: Literal["create", "write", "truncate", "sync", "delete", "note"]
    name: str = ""
    offset: int = 0
    data: bytes = b""
    flush: bool = False
    """Of a deletion: whether its folder is flushed."""
    note: Any = None


@dataclass
class Disk:
    """What happened to some files, and what stands in them now."""

    steps: list[Step] = field(default_factory=list)
    files: dict[str, bytearray] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def did(self, step: Step) -> None:
        """Remember a step."""
        with self.lock:
            self.steps.append(step)

    def note(self, what: Any) -> None:
        """Remember that something is known at this moment."""
        self.did(Step("note", note=what))

    def place(self, name: str, content: bytes) -> None:
        """Have a file that was written, flushed and named elsewhere."""
        self.files[name] = bytearray(content)
        self.did(Step("create", name=name))
        self.did(Step("write", name=name, data=content))
        self.did(Step("sync", name=name))

    def found_after(self, count: int, survives: "Survives") -> dict[str, bytes]:
        """The files after so many steps and a power cut."""
        files: dict[str, _Surface] = {}
        for step in self.steps[:count]:
            if step.kind == "note":
                continue
            surface = files.setdefault(step.name, _Surface())
            surface.take(step)
            if (step.kind == "sync" and surface.new) or (step.kind == "delete" and step.flush):
                for other in files.values():
                    other.name_is_safe(synced=other is surface)
        found = {name: surface.found(survives) for name, surface in files.items()}
        return {name: content for name, content in found.items() if content is not None}


Survives = Callable[[], bool]
"""Whether something that was not flushed has reached the disk."""


def nothing() -> bool:
    """The hardest cut: what was not flushed is gone."""
    return False


def everything() -> bool:
    """No cut at all: the process was killed."""
    return True


@dataclass
class _Surface:
    """One file: what is safe, and what is on its way."""

    safe: bytearray = field(default_factory=bytearray)
    under_way: list[Step] = field(default_factory=list)
    new: bool = True
    """Its name is not safe yet."""
    deleted: bool = False
    before: bytes | None = None
    """What is found where the deletion is not safe yet."""

    def take(self, step: Step) -> None:
        if step.kind == "create":
            self.safe, self.under_way, self.new, self.deleted = bytearray(), [], True, False
        elif step.kind == "sync":
            for each in self.under_way:
                _apply(self.safe, each)
            self.under_way = []
        elif step.kind == "delete":
            self.before = None if self.new else bytes(self.safe)
            self.deleted = True
        else:
            self.under_way.append(step)

    def name_is_safe(self, *, synced: bool) -> None:
        """The folder was flushed."""
        self.before = None
        if synced or not self.deleted:
            self.new = False

    def found(self, survives: Survives) -> bytes | None:
        if self.deleted:
            return self.before if self.before is not None and not survives() else None
        if self.new and not survives():
            return None
        content = bytearray(self.safe)
        for step in self.under_way:
            if step.kind == "truncate":
                if survives():
                    _apply(content, step)
            else:
                for at, piece in _sectors(step):
                    if survives():
                        _apply(content, Step("write", offset=at, data=piece))
        return bytes(content)


def _apply(content: bytearray, step: Step) -> None:
    if step.kind == "truncate":
        del content[step.offset :]
        return
    if len(content) < step.offset:
        content.extend(bytes(step.offset - len(content)))
    content[step.offset : step.offset + len(step.data)] = step.data


def _sectors(step: Step) -> Iterator[tuple[int, bytes]]:
    """The pieces of a write that reach the disk one by one."""
    at, end = step.offset, step.offset + len(step.data)
    while at < end:
        until = min(end, (at // _SECTOR + 1) * _SECTOR)
        yield at, step.data[at - step.offset : until - step.offset]
        at = until


class _File:
    """An open file."""

    def __init__(self, disk: Disk, name: str | None) -> None:
        self._disk = disk
        self._name = name
        self._content = bytearray() if name is None else disk.files[name]

    def _did(self, **what: Any) -> None:
        if self._name is not None:
            self._disk.did(Step(name=self._name, **what))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's names
        return bytes(self._content[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        step = Step("write", offset=offset, data=bytes(data))
        _apply(self._content, step)
        self._did(kind="write", offset=offset, data=step.data)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        del self._content[size:]
        self._did(kind="truncate", offset=size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._did(kind="sync")

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._content)

    def xLock(self, level: int) -> None: ...  # noqa: N802
    def xUnlock(self, level: int) -> None: ...  # noqa: N802
    def xClose(self) -> None: ...  # noqa: N802

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as SQLite's own for POSIX


class DiskVFS(apsw.VFS):
    """SQLite's way to a `Disk`."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        super().__init__(name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        path = None if name is None else name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if path is not None and path not in self._disk.files:
            self._disk.files[path] = bytearray()
            self._disk.did(Step("create", name=path))
        flags[1] = flags[0]
        return _File(self._disk, path)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        if self._disk.files.pop(name, None) is not None:
            self._disk.did(Step("delete", name=name, flush=bool(syncdir)))

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return name in self._disk.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return os.path.abspath(name)  # noqa: PTH100 - a text


class Result:
    """What ``sqlite3.Cursor`` is to those who read it at once."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)


class OnDisk:
    """Takes the place of ``sqlite3.Connection``; the statements are those of whoever uses it.

    SQLite in write-ahead mode shares memory between connections, which a file system in Python cannot give it. With the
    file locked for one connection it does without, and writes and flushes the same.

    Args:
        disk: Where to.
        path: The file.
        vfs: The name of the disk's file system.
        change: Changes statements on their way, to show what they are for.
    """

    def __init__(self, disk: Disk, path: str, vfs: str, change: Callable[[str], str] = str) -> None:
        self._disk = disk
        self._change = change
        self._connection = apsw.Connection(path, vfs=vfs)
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Result:
        rows = self._connection.execute(self._change(sql), values).fetchall()
        return Result(rows, self._connection.changes())

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> Result:
        for each in values:
            self._connection.execute(self._change(sql), each)
        return Result((), -1)

    def close(self) -> None:
        self._connection.close()


def lay_down(found: dict[str, bytes], names: Path, folder: Path) -> Path:
    """Write the files of a disk into a folder, where SQLite itself can find them. Returns the journal."""
    for name, content in found.items():
        (folder / Path(name).name).write_bytes(content)
    return folder / names.name


def cuts(disk: Disk, torn: int, seed: int = 0) -> Iterator[tuple[int, Survives]]:
    """Every moment, and for each of them what may survive: nothing, everything, and parts."""
    for count in range(len(disk.steps) + 1):
        yield count, nothing
        yield count, everything
        for each in range(torn):
            dice = random.Random(f"{seed} {count} {each}")
            yield count, lambda dice=dice: dice.random() < 0.5


def is_whole(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with a file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    finally:
        connection.close()
