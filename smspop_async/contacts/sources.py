"""Rows in: whatever holds contacts is read in slabs, a few hundred consecutive rows at a time.

A source may be endless, slow, wrong or ten million rows long, and it is read inside somebody's web app. So:

- A slab is never waited for in full. Rows that were read are handed on when the source is slow.
- What was read before a failure is handed on before the failure is raised, because every row is accounted for.
- Files are read in a worker thread, a slab at a time. A cancelled wait loses nothing: the slab stays here.
- Iterables are pulled on the event loop, about half a millisecond at a time. One that blocks inside its own
  ``__next__`` blocks the loop, and no library can prevent that.
- What is opened here (files, and the iterators made of an iterable) is closed here. A generator that was handed
  in is the caller's own and is left as it is.
"""

import threading
import time
from collections import deque
from collections.abc import (
    AsyncIterable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from smspop_async.contacts.async_rows import AsyncRows
from smspop_async.contacts.files import FileRow, check_path, file_rows
from smspop_async.contacts.memory import Pull, Shape, Slab
from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.contacts.rows import BUDGET, ContactRows
from smspop_async.errors import ConfigurationError, ContactSourceError

__all__ = [
    "ContactRows",
    "Contacts",
    "Slab",
    "is_finite",
    "load_suppression",
    "open_rows",
    "read_numbers",
    "read_slabs",
]

Contacts: TypeAlias = str | Path | Iterable[object] | AsyncIterable[object]
"""A comma string as the vendor documents it, a file, or any iterable of numbers, mappings or records."""

_AT_ONCE: Final = 32


def is_finite(contacts: object) -> bool:
    """Whether reading to the end is bounded, as of texts, files and collections that know their size."""
    return isinstance(contacts, Sized | Path) and not isinstance(contacts, AsyncIterable)


def open_rows(
    contacts: Contacts,
    *,
    size: int = 500,
    column: str | None = None,
    with_fields: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> ContactRows:
    """Open a source to be read inside an event loop. Files are opened when the first slab is read.

    Args:
        contacts: A comma string, a `Path`, an iterable or an async iterable.
        size: The most rows of a slab.
        column: The column, key or attribute that holds the phone number; None to go by well-known names.
        with_fields: Whether to keep the other columns, for merge fields.
        clock: Seconds from any beginning, never going back.

    Raises:
        ContactSourceError: Contacts cannot come from such a value.
    """
    if isinstance(contacts, AsyncIterable):
        return AsyncRows(contacts, size=size, shape=Shape(column, with_fields=with_fields), clock=clock)
    if isinstance(contacts, Path):
        check_path(contacts, column)
        return _FileRows(contacts, size=size, column=column, with_fields=with_fields)
    return _IterableRows(contacts, size=size, shape=Shape(column, with_fields=with_fields), clock=clock)


def read_slabs(
    contacts: Contacts, *, size: int = 500, column: str | None = None, with_fields: bool = False
) -> Iterator[Slab]:
    """Read a source where there is no event loop, or in a thread.

    Args:
        contacts: A comma string, a `Path` or an iterable.
        size: The most rows of a slab.
        column: As for `open_rows`.
        with_fields: As for `open_rows`.

    Yields:
        Slabs, all of them full but the last.

    Raises:
        ConfigurationError: The source is an async iterable.
        ContactSourceError: The source is of no use, or failed. All rows before have been given.
    """
    if isinstance(contacts, AsyncIterable):
        raise ConfigurationError(
            "An async iterable can only be read inside an event loop: use send or stream."
        )
    if isinstance(contacts, Path):
        yield from _file_slabs(contacts, size=lambda: size, column=column, with_fields=with_fields)
        return
    shape = Shape(column, with_fields=with_fields)
    with Pull(contacts) as pull:
        while rows := pull.rows(size):
            yield shape.slab(rows)


def read_numbers(
    contacts: Contacts, normaliser: Normaliser, *, column: str | None = None
) -> tuple[list[str], list[tuple[int, str]]]:
    """Read a whole source into memory as numbers.

    Args:
        contacts: As for `read_slabs`.
        normaliser: Decides what is a number.
        column: As for `read_slabs`.

    Returns:
        The numbers, and for each row that has none its line (of a file, else its place from 1) and the reason.
    """
    numbers: list[str] = []
    problems: list[tuple[int, str]] = []
    for line, number in _numbered(contacts, normaliser, column):
        if isinstance(number, InvalidNumber):
            problems.append((line, number.reason))
        else:
            numbers.append(number)
    return numbers, problems


def load_suppression(source: Contacts, normaliser: Normaliser, *, column: str | None = None) -> Iterator[str]:
    """Read the numbers of people who must not be texted. Blocks: in an async program, run it in a thread.

    Args:
        source: As for `read_slabs`.
        normaliser: Decides what is a number.
        column: As for `read_slabs`.

    Yields:
        Numbers.

    Raises:
        ContactSourceError: The source failed, or one of its rows is no number. It is not passed over, because
            that would text somebody who opted out.
    """
    for line, number in _numbered(source, normaliser, column):
        if isinstance(number, InvalidNumber):
            where = f"{source.name}, line" if isinstance(source, Path) else "Row"
            raise ContactSourceError(
                f"{where} {line} of the suppression list is no phone number: {number.reason}. "
                "Correct or remove it; nothing is sent while it is not clear who opted out.",
                line=line,
            )
        yield number


def _numbered(
    contacts: Contacts, normaliser: Normaliser, column: str | None
) -> Iterator[tuple[int, str | InvalidNumber]]:
    begin = 1
    for slab in read_slabs(contacts, column=column):
        scan = normaliser.scan(slab.values)
        for offset, number in enumerate(scan.numbers):
            line = slab.lines[offset] if slab.lines else begin + offset
            yield line, number or _parsed(normaliser, slab.values[offset])
        begin += len(slab)


def _parsed(normaliser: Normaliser, value: object) -> str | InvalidNumber:
    try:
        return normaliser.parse(value)
    except InvalidNumber as error:
        return error


def _file_slabs(
    path: Path, *, size: Callable[[], int], column: str | None, with_fields: bool
) -> Iterator[Slab]:
    rows = file_rows(path, column=column, with_fields=with_fields)
    failure: ContactSourceError | None = None
    try:
        while failure is None:
            slab = _Columns()
            try:
                for row in islice(rows, size()):
                    slab.add(row)
            except ContactSourceError as error:
                failure = error
            if slab.values:
                yield slab.slab()
            elif failure is None:
                return
        raise failure
    finally:
        rows.close()  # type: ignore[attr-defined]  # a generator


class _Columns:
    """Rows of a file on their way into a slab.

    The objects of the rows are let go one by one: kept until the slab is full, they would have Python's collector
    go through the whole program again and again (30 ms each time, measured).
    """

    def __init__(self) -> None:
        self.values: list[object] = []
        self._lines: list[int] = []
        self._fields: list[Mapping[str, str]] = []

    def add(self, row: FileRow) -> None:
        self.values.append(row.value)
        self._lines.append(row.line)
        if row.fields is not None:
            self._fields.append(row.fields)

    def slab(self) -> Slab:
        # Where rows have fields, all of them do.
        return Slab(values=self.values, fields=self._fields or None, lines=self._lines)


class _FileRows(ContactRows):
    """A file, read by worker threads one after another."""

    finite = True
    is_threaded = True

    def __init__(self, path: Path, *, size: int, column: str | None, with_fields: bool) -> None:
        self.size = size
        self._slabs = _file_slabs(path, size=lambda: self.size, column=column, with_fields=with_fields)
        self._ready: deque[Slab] = deque()
        self._failure: Exception | None = None
        self._ended = False
        self._reading = threading.Lock()

    async def next_slab(self) -> Slab | None:
        if not self._ready and not self._ended:
            await anyio.to_thread.run_sync(self._read, abandon_on_cancel=False)
        if self._ready:
            return self._ready.popleft()
        if self._failure is not None:
            raise self._failure
        return None

    def taken(self) -> Slab | None:
        return self._ready.popleft() if self._ready else None

    def _read(self) -> None:
        # A wait that asyncio cancels behind anyio's back leaves this thread running and its result unheard: the
        # lock makes the next call wait for it, and whatever it found is kept here.
        with self._reading:
            if self._ready or self._ended:
                return
            try:
                self._ready.append(next(self._slabs))
            except StopIteration:
                self._ended = True
            except Exception as error:  # noqa: BLE001 - raised by next_slab, on the loop
                self._failure, self._ended = error, True

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        with self._reading:
            self._slabs.close()  # type: ignore[attr-defined]  # a generator


class _IterableRows(ContactRows):
    """An iterable, pulled on the event loop for a little while at a time."""

    def __init__(self, contacts: object, *, size: int, shape: Shape, clock: Callable[[], float]) -> None:
        self.finite = is_finite(contacts)
        self._pull = Pull(contacts)
        self.size = size
        self._shape = shape
        self._clock = clock
        self._unhurried = isinstance(contacts, list | tuple | str)

    async def next_slab(self) -> Slab | None:
        since = self._clock()
        rows = self._pull.rows(self.size) if self._unhurried else self._within_budget()
        slab = self._shape.slab(rows) if rows else None
        self.held = self._clock() - since
        return slab

    def _within_budget(self) -> list[object]:
        """Pull in steps that begin with one row, so that the first slow row is the last."""
        rows: list[object] = []
        until = self._clock() + BUDGET
        step = 1
        while not self._pull.failed and self._pull.pull(rows, min(step, self.size - len(rows))):
            if len(rows) == self.size or self._clock() >= until:
                return rows
            step = min(2 * step, _AT_ONCE)
        self._pull.check(rows)
        return rows

    async def aclose(self) -> None:
        self._pull.close()
