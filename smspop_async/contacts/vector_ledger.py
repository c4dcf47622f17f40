"""The ledger on NumPy: the same pages in one pool, and a slab's numbers looked up and entered as columns.

A number is one integer, its digits read as hexadecimal, and the slab is a column of them: rows of six packed bytes are
read as overlapping words of eight, and what belongs to the row before is cut off. The last four digits tell the bit
within a page, by a table. All digits before them, the head, tell the page, by another: its entries are addressed by the
last digits of a head, and hold the other digits of the head that owns the entry, and where its page begins. So one
subtraction turns an entry into an address, or into something that is no address, where the page is another's or not
made yet. From there on a number is the address of its bit in the pool.

Addresses are put in order, which costs less than it saves: equal numbers and numbers in one byte are neighbours
then, and memory is walked through once and forwards. Whatever this form does not do at once it leaves to
`PlainNumbers`, whose pages these are, one by one:

- *Numbers without a page in the pool*: those in shards, those whose entry belongs to another head (where two countries
  meet in one the first keeps it), and those on pages beyond the pool's 16 MiB, which hold 12,900 pages, the
  neighbourhoods of 129 million numbers.
- *Short slabs.*

The pool is memory that the system gives out as it is touched, a few pages at a time. (Huge ones would be a little
faster, but the first of them can take the kernel tens of milliseconds to find, measured.) It is mapped, because the C
library would clear memory that it has used before as a whole, for milliseconds, at the beginning of a later run.

To be given memory is half of what a run of a few hundred contacts costs. So a ledger that is closed leaves its pool to
the next one, if little of it was used: what was is cleared, and stays with the process.
"""

import mmap
import sys
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from smspop_async.contacts import number_space as space
from smspop_async.contacts.ledger import Page, PlainNumbers

Column: TypeAlias = npt.NDArray[np.int64]
Addresses: TypeAlias = npt.NDArray[np.int32]
Places: TypeAlias = npt.NDArray[np.intp]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Marks: TypeAlias = npt.NDArray[np.bool_]

FEW: Final = 100
"""Numbers of a slab for which a loop is faster."""
_FEW_SHARED: Final = 16
"""Bytes that hold two numbers of a slab, up to which a loop over them is faster: scattered numbers share hardly any."""
POOL_BYTES: Final = 1 << 24
_KEPT_BYTES: Final = 1 << 22
"""Bytes of a pool in use up to which it is left to the next ledger."""
ENTRIES: Final = 1 << 18
"""Entries of the table: the last four digits of a head and two bits of the fifth, for 400 million neighbours."""
_OWNER: Final = 18
"""Bits of a head that are the number of its entry; the others are its owner's mark."""
_ADDRESS: Final = 27
"""Bits of the address of a bit in the pool."""
_MADE: Final = 1 << _ADDRESS
"""Set in an entry with a page, so that none of its addresses is mistaken for an empty entry."""
_WORD: Final = 8

_BITS: Final = np.frombuffer(space.BITS[:8], np.uint8)
_WITHIN_PAGE: Final = np.array(
    [8 * (space.HUNDREDS[low >> 8] + space.EIGHTHS[low & 0xFF]) + (space.BITS[low & 0xFF].bit_length() - 1)
     for low in range(1 << space.LOW_BITS)],
    np.int32,
)  # fmt: skip
"""From the last four digits to the address of a bit on a page; what are no digits are never looked up."""


class VectorNumbers(PlainNumbers):
    """A set of phone numbers, faster at slabs of hundreds."""

    def __init__(self) -> None:
        super().__init__()
        self._store = _store_at_hand()
        self._pool, self._table = self._store.pool, self._store.table

    def __bool__(self) -> bool:
        return bool(self._store.used) or super().__bool__()

    def add(self, numbers: Sequence[str], lines: space.Lines | None = None) -> list[int]:
        """Add a slab, as `PlainNumbers.add` does."""
        if len(numbers) < FEW:
            return super().add(numbers, lines)
        addresses, owned = self._addresses(_keys(space.packed(numbers, lines), len(numbers)))
        if owned is None:
            return [] if self._enter(np.sort(addresses)) else self._sort_out(addresses).tolist()
        ours = np.flatnonzero(owned)
        again: list[int] = ours[self._sort_out(addresses[ours])].tolist()
        again += self._add_singly(np.flatnonzero(~owned).tolist(), numbers)
        again.sort()
        return again

    def _enter(self, addresses: Addresses) -> bool:
        """Set the bits at addresses that ascend; False, and nothing is set, where one is set or comes twice."""
        places, bits = _split(addresses)
        held = self._pool[places]
        if np.count_nonzero(held & bits) or np.count_nonzero(addresses[1:] == addresses[:-1]):
            return False
        _set(self._pool, places, held, bits)
        return True

    def _sort_out(self, addresses: Addresses) -> Column:
        """Set the bits at addresses; the offsets, ascending, of those that were set or come before."""
        order = np.argsort(addresses, kind="stable")
        addresses = addresses[order]
        places, bits = _split(addresses)
        held = self._pool[places]
        again = (held & bits).astype(np.bool_)
        again[1:] |= addresses[1:] == addresses[:-1]
        _set(self._pool, places, held, bits)
        found: Column = np.sort(order[again])
        return found

    def _add_singly(self, offsets: Sequence[int], numbers: Sequence[str]) -> list[int]:
        """What is left of a slab; most of it, in a list of scattered numbers, has no page."""
        if len(offsets) >= FEW:
            left = [numbers[at] for at in offsets]
            return [offsets[at] for at in super().add(left)]
        return [at for at in offsets if not self.add_key(space.key_of(numbers[at]))]

    def _addresses(self, keys: Column) -> tuple[Addresses, Marks | None]:
        """The address of each number, and whether it has one; None where all have."""
        heads = keys >> space.LOW_BITS
        found = self._look_up(heads)
        lost = (found >> _ADDRESS) != 1
        if np.count_nonzero(lost) and self._eager:
            self._make_eagerly([head for head in np.unique(heads[lost]).tolist() if head not in self._pages])
            found = self._look_up(heads)
            lost = (found >> _ADDRESS) != 1
        within = _WITHIN_PAGE.take(keys & ((1 << space.LOW_BITS) - 1))
        addresses = found.astype(np.int32)
        addresses &= _MADE - 1
        addresses += within
        return addresses, ~lost if np.count_nonzero(lost) else None

    def _look_up(self, heads: Column) -> Column:
        """The address of each head's page, with `_MADE` set and nothing above it; else there is none."""
        found: Column = self._table.take(heads & (ENTRIES - 1)) - (heads >> _OWNER << (_ADDRESS + 1))
        return found

    def close(self) -> None:
        """Leave the pool to the next ledger. This one is not to be used any more."""
        super().close()
        store, self._store = self._store, _Store(0, 0)
        self._pool, self._table = self._store.pool, self._store.table
        if 0 < store.used <= _KEPT_BYTES and not _spare:
            store.clear()
            _spare.append(store)

    def _make_pages(self, heads: Iterable[int]) -> None:
        wanted = np.fromiter(heads, np.int64)
        entries = wanted & (ENTRIES - 1)
        free = np.zeros(len(wanted), np.bool_)
        free[np.unique(entries, return_index=True)[1]] = True  # of several heads at one entry
        free &= self._table[entries] == 0
        store = self._store
        room = (POOL_BYTES - store.used) // space.PAGE_BYTES
        free[np.flatnonzero(free)[room:]] = False
        ours = wanted[free]
        first, end = store.used, store.used + space.PAGE_BYTES * len(ours)
        begins = np.arange(first, end, space.PAGE_BYTES)
        self._table[entries[free]] = ours >> _OWNER << (_ADDRESS + 1) | _MADE | 8 * begins
        store.entries.append(entries[free])
        store.used = end
        if end > store.touched:
            # Memory that is read before it is written is given out twice: first a page of zeros, then one of its own.
            self._pool[max(first, store.touched) : end] = 0
            store.touched = end
        super()._make_pages(wanted[~free].tolist())

    def _page(self, head: int) -> Page | None:
        """The page of a head. One of the pool is put with the others when it is first asked for: few ever are."""
        page = super()._page(head)
        if page is None:
            address = int(self._table[head & (ENTRIES - 1)]) - (head >> _OWNER << (_ADDRESS + 1))
            if address >> _ADDRESS == 1:
                begin = address % _MADE // 8
                page = self._pages[head] = self._store.memory[begin : begin + space.PAGE_BYTES]
        return page


class _Store:
    """The memory of a ledger."""

    def __init__(self, pool: int = POOL_BYTES, entries: int = ENTRIES) -> None:
        self.memory = _lazy_memory(pool)
        self.pool: Bytes = np.frombuffer(self.memory, np.uint8)
        self.table: Column = np.frombuffer(_lazy_memory(_WORD * entries), np.int64)
        self.used = 0
        """Bytes of the pool that have pages on them."""
        self.touched = 0
        """Bytes of it that the system has given out."""
        self.entries: list[Column] = []
        """Those of the table that tell of pages."""

    def clear(self) -> None:
        """Make it as it was, but for the memory that was given out."""
        self.pool[: self.used] = 0
        for entries in self.entries:
            self.table[entries] = 0
        self.entries = []
        self.used = 0


_spare: list[_Store] = []
"""One at most. Threads share it: to pop and to append is one step each."""


def _store_at_hand() -> _Store:
    try:
        return _spare.pop()
    except IndexError:
        return _Store()


def _split(addresses: Addresses) -> tuple[Places, Bytes]:
    """The bytes that the addresses are in, and the bit in each.

    The places are as wide as pointers: with others NumPy takes a slower way (measured: twice the time).
    """
    return (addresses >> 3).astype(np.intp), _BITS.take(addresses & 7)


def _set(pool: Bytes, places: Places, held: Bytes, bits: Bytes) -> None:
    """Write bits to places that ascend. Those in one byte are put together: writing one by one would lose some."""
    shared = places[1:] == places[:-1]
    count = np.count_nonzero(shared)
    if count > _FEW_SHARED:
        begins = np.concatenate(([0], np.flatnonzero(~shared) + 1))
        pool[places[begins]] = held[begins] | np.bitwise_or.reduceat(bits, begins)
        return
    pool[places] = held | bits
    if count:
        for at in np.flatnonzero(shared).tolist():
            pool[places[at]] |= bits[at]


def _keys(packed: bytes, rows: int) -> Column:
    """The numbers of a slab as integers. Each row is read with the end of the one before, which is cut off."""
    width = len(packed) // rows
    words: npt.NDArray[np.int64] = np.ndarray((rows,), ">i8", bytes(_WORD - width) + packed, strides=(width,))
    keys: Column = words.astype(np.int64)
    if width < _WORD:
        keys &= (1 << 8 * width) - 1
    return keys


def _lazy_memory(size: int) -> memoryview:
    if not size:
        return memoryview(bytearray())
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
