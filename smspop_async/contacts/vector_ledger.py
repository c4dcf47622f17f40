"""The ledger on NumPy: the same pages in one pool, and a slab's numbers looked up and entered as columns.

Whatever this form does not do at once it leaves to `PlainNumbers`, whose pages these are, one by one:
numbers in shards, short slabs, and three exceptions that are found by comparing, never assumed away.

- *Which page is whose.* A table has an entry for the last digits of a head, and tells the page and its owner. Where two
  countries meet in an entry the first keeps it; numbers of the other find another's name and go one by one.
- *Two numbers in one byte.* Gathering bytes, setting a bit in each and writing them back would lose one of two
  bits. So the places are put in order first, which costs less than it saves: memory is walked through once and
  forwards. Numbers of the same byte are neighbours then, equal numbers among them, and go one by one after the rest.
- *A full pool.* Its 16 MiB hold 12,900 pages, the neighbourhoods of 129 million numbers. Further pages are plain.

The pool is memory that the system gives out as it is touched, a few pages at a time. It is mapped, because the
C library would clear memory that it has used before as a whole, for milliseconds, at the beginning of a later run.
"""

import mmap
import sys
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from smspop_async.contacts import number_space as space
from smspop_async.contacts.ledger import PlainNumbers

Column: TypeAlias = npt.NDArray[np.int64]
Marks: TypeAlias = npt.NDArray[np.bool_]

FEW: Final = 100
"""Numbers of a slab for which a loop is faster."""
POOL_BYTES: Final = 1 << 24
ENTRIES: Final = 1 << 18
"""Entries of the table: the last four digits of a head and two bits of the fifth, for 400 million neighbours."""
_NOBODY: Final = 0
"""No number begins with 0, so no head is 0."""
_HEAD_BYTES: Final = 8

_HUNDREDS: Final = np.array(space.HUNDREDS, np.int64)
_EIGHTHS: Final = np.frombuffer(space.EIGHTHS, np.uint8)
_BITS: Final = np.frombuffer(space.BITS, np.uint8)


class VectorNumbers(PlainNumbers):
    """A set of phone numbers, faster at slabs of hundreds."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = _lazy_memory(POOL_BYTES)
        self._pool: npt.NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)
        self._used = 0
        # Pages are made in a loop, for which a view is faster than an array.
        self._owner = _lazy_memory(8 * ENTRIES).cast("q")
        self._start = _lazy_memory(8 * ENTRIES).cast("q")
        self._owners: Column = np.frombuffer(self._owner, np.int64)
        self._starts: Column = np.frombuffer(self._start, np.int64)

    def add(self, numbers: Sequence[str], text: str | None = None) -> list[int]:
        """Add a slab, as `PlainNumbers.add` does."""
        if len(numbers) < FEW:
            return super().add(numbers, text)
        pairs = np.frombuffer(space.packed(numbers, text), np.uint8).reshape(len(numbers), -1)
        last = pairs[:, -1]
        entries, owned = self._entries(_heads(pairs))
        places = self._starts[entries] + _HUNDREDS.take(pairs[:, -2]) + _EIGHTHS.take(last)
        order = np.argsort(places)
        places, bits = places[order], _BITS.take(last[order])
        held = self._pool[places]
        if owned is None and not np.count_nonzero(held & bits) and not _same(places):
            self._pool[places] = held | bits
            return []
        alone = _alone(places) if owned is None else _alone(places) & owned[order]
        self._pool[places[alone]] = (held | bits)[alone]
        again: list[int] = order[alone & (held & bits).astype(bool)].tolist()
        again += self._add_singly(np.sort(order[~alone]).tolist(), numbers)
        again.sort()
        return again

    def _add_singly(self, offsets: Sequence[int], numbers: Sequence[str]) -> list[int]:
        """What is left of a slab; most of it, in a list of scattered numbers, has no page."""
        if len(offsets) >= FEW:
            left = [numbers[at] for at in offsets]
            return [offsets[at] for at in super().add(left)]
        return [at for at in offsets if not self.add_key(space.key_of(numbers[at]))]

    def _entries(self, heads: Column) -> tuple[Column, Marks | None]:
        """The entry of each head in the table, and whether it is its own; None where all are."""
        entries = heads & (ENTRIES - 1)
        owned = self._owners[entries] == heads
        if np.count_nonzero(owned) < len(heads) and self._eager:
            self._pages_of(heads[~owned].tolist())
            owned = self._owners[entries] == heads
        return entries, None if np.count_nonzero(owned) == len(heads) else owned

    def _make_pages(self, heads: Iterable[int]) -> None:
        memory, owner, start, pages = self._memory, self._owner, self._start, self._pages
        plain: list[int] = []
        first = begin = self._used
        for head in heads:
            entry = head & (ENTRIES - 1)
            end = begin + space.PAGE_BYTES
            if end > POOL_BYTES or owner[entry] != _NOBODY:
                plain.append(head)
                continue
            owner[entry] = head
            start[entry] = begin
            pages[head] = memory[begin:end]
            begin = end
        self._used = begin
        # Memory that is read before it is written is given out twice: first a page of zeros, then one of its own.
        self._pool[first:begin] = 0
        super()._make_pages(plain)


def _same(places: Column) -> int:
    """How many of these places, which ascend, are the place of the number before."""
    return int(np.count_nonzero(places[1:] == places[:-1]))


def _alone(places: Column) -> Marks:
    """Whether no other number has the same byte."""
    same = places[1:] == places[:-1]
    alone = np.ones(len(places), np.bool_)
    alone[1:] &= ~same
    alone[:-1] &= ~same
    return alone


def _heads(pairs: npt.NDArray[np.uint8]) -> Column:
    digits = pairs.shape[1] - 2
    lanes = np.zeros((len(pairs), _HEAD_BYTES), np.uint8)
    lanes[:, _HEAD_BYTES - digits :] = pairs[:, :digits]
    return lanes.view(">i8").ravel().astype(np.int64)


def _lazy_memory(size: int) -> memoryview:
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
