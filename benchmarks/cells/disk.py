"""What a journal must at least take: the same waits for the disk, with nothing but the bytes; and so through SQLite.

A durable journal waits for the disk once for the list, once for its name, once for each group of claims, as nobody may
be texted before that stands there, and once for the last results. Whoever waits as often cannot be faster than this.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from attrs import frozen

from cells.server import Measured, Spec

_NUMBER = 6
"""Bytes of a number of twelve digits, two in each."""
_PAGE = 4096
_FRAME = 24
"""Bytes that SQLite's log has before each page (its documentation of the file format)."""
_TURNS = 15
_wait = getattr(os, "fdatasync", os.fsync)


@frozen(kw_only=True)
class _Least:
    """The least that has to be written."""

    contacts: int
    groups: int
    """Of claims; the results of each go with the claims of the next, and the last ones alone."""

    @property
    def plan(self) -> bytes:
        return os.urandom(self.contacts * _NUMBER)


async def disk(spec: Spec) -> Measured:
    """Seconds for the list of a spec, of the disk alone and through SQLite; the medians of some turns each."""
    campaigns = spec["contacts"] / spec["chunk"]
    least = _Least(contacts=spec["contacts"], groups=round(campaigns / spec["concurrency"]))
    ways = {"alone": partial(_alone, least), "sqlite": partial(_through_sqlite, least)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        for name, way in ways.items():
            taken[name].append(_timed(way))
    return {"contacts": spec["contacts"], **{name: sorted(each)[_TURNS // 2] for name, each in taken.items()}}


def _timed(write: Callable[[Path], Callable[[], None]]) -> float:
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=Path(__file__).parents[1]) as folder:
        carry_out = write(Path(folder))
        began = time.perf_counter()
        carry_out()
        return time.perf_counter() - began


def _alone(least: _Least, folder: Path) -> Callable[[], None]:
    """Write to files."""
    plan, frame = least.plan, os.urandom(_PAGE + _FRAME)
    _write(folder / "log", _log(least))

    def carry_out() -> None:
        _write(folder / "draft", plan)
        _name(folder)
        log = os.open(folder / "log", os.O_WRONLY)
        for _ in range(least.groups + 1):
            os.write(log, frame)
            _wait(log)
        os.close(log)

    return carry_out


def _through_sqlite(least: _Least, folder: Path) -> Callable[[], None]:
    """Make a database of the plan, in one row, and enter one small row for each group."""
    plan = least.plan

    def carry_out() -> None:
        draft = sqlite3.connect(folder / "draft", isolation_level=None)
        draft.execute("PRAGMA synchronous = OFF")
        draft.execute("CREATE TABLE claims (id INTEGER PRIMARY KEY, body BLOB)")
        draft.execute("INSERT INTO claims (body) VALUES (?)", (plan,))
        draft.execute("PRAGMA journal_mode = WAL")
        draft.close()
        _write(folder / "draft")
        _name(folder)
        (folder / "named-wal").write_bytes(_log(least))  # zeros are an empty log
        named = sqlite3.connect(folder / "named", isolation_level=None)
        named.execute("PRAGMA synchronous = FULL")
        for _ in range(least.groups + 1):
            named.execute("INSERT INTO claims (body) VALUES (?)", (b"claimed",))
        named.close()

    return carry_out


def _log(least: _Least) -> bytes:
    """To write over what is there takes a disk half the time of making a file longer."""
    return bytes((least.groups + 2) * (_PAGE + _FRAME))


def _write(path: Path, content: bytes = b"") -> None:
    """Have a file on the disk, with so much more in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, content)
    os.fsync(descriptor)
    os.close(descriptor)


def _name(folder: Path) -> None:
    (folder / "draft").rename(folder / "named")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
