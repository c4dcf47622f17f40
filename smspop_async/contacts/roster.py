"""Who is on the list already, kept in number space.

A ``set[str]`` of ten million numbers takes 800 MB, and one doubling of its table holds the event loop for a
quarter of a second. Here a number is an integer, and the integers are kept in two forms, both made of small parts:

- *Pages*: a bit for each of 65,536 consecutive numbers, 8 KiB. National ranges fill them: ten million
  scattered Zimbabwean mobile numbers are some 5 MiB.
- *Shards*: small sets of whole integers, for numbers whose neighbours are not on the list.

Numbers start in a shard. Whenever a shard's size reaches a power of two it is counted, and every page's worth of
neighbours for which 8 KiB of bits are no more than the set entries they replace moves to a page. So memory per
number is bounded by that of a set entry, and no call allocates or copies more than one small shard.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

PAGE_BITS: Final = 16
PAGE_BYTES: Final = 1 << PAGE_BITS - 3
WORTH_A_PAGE: Final = 128
"""Numbers for which a page is no larger than their entries in a set (64 bytes each, and more)."""
SHARDS: Final = 4096

_LOW: Final = (1 << PAGE_BITS) - 1
_BITS: Final = bytes(1 << low for low in range(8))


@frozen(kw_only=True)
class Admission:
    """Which rows of a chunk are not to be sent; all others are on the roster from now on."""

    duplicates: list[int]
    """Offsets of numbers that were on the roster, or earlier in the chunk."""
    suppressed: list[int]
    """Offsets of numbers that must not be texted, whether or not they were seen before."""


class Roster:
    """The numbers of one run, each admitted once.

    Numbers are E.164 digits without ``+``, as `Normaliser` gives them: never beginning with 0, so that
    an integer stands for exactly one of them.

    Args:
        suppressed: Numbers that must not be texted.
    """

    def __init__(self, suppressed: Iterable[str] = ()) -> None:
        self._known = _Numbers()
        self._suppressed = _Numbers()
        self._admitted = 0
        self.suppress(suppressed)

    def __len__(self) -> int:
        """How many numbers were admitted."""
        return self._admitted

    def suppress(self, numbers: Iterable[str]) -> None:
        """Never admit these numbers from now on; one that was admitted before stays counted."""
        for number in numbers:
            key = int(number)
            self._suppressed.add_one(key)
            self._known.add_one(key)

    def admit(self, numbers: Sequence[str]) -> Admission:
        """Put the numbers on the roster that are neither on it nor suppressed.

        Args:
            numbers: A chunk, in the order of its rows. A few hundred take some tenths of a millisecond.

        Returns:
            The offsets of the others.
        """
        again = self._known.add(numbers)
        self._admitted += len(numbers) - len(again)
        if not again or not self._suppressed:
            return Admission(duplicates=again, suppressed=[])
        suppressed = [offset for offset in again if int(numbers[offset]) in self._suppressed]
        if suppressed:
            refused = set(suppressed)
            again = [offset for offset in again if offset not in refused]
        return Admission(duplicates=again, suppressed=suppressed)


class _Numbers:
    """A set of integers in pages and shards."""

    __slots__ = ("_empty", "_pages", "_shards")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._shards: dict[int, set[int]] = {}
        self._empty = True

    def __bool__(self) -> bool:
        return not self._empty

    def __contains__(self, key: int) -> bool:
        page = self._pages.get(key >> PAGE_BITS)
        if page is not None:
            low = key & _LOW
            return bool(page[low >> 3] & _BITS[low & 7])
        return key in self._shards.get(key >> PAGE_BITS & SHARDS - 1, ())

    def add(self, numbers: Sequence[str]) -> list[int]:
        """Add numbers; the offsets of those that were in already."""
        again: list[int] = []
        page_of = self._pages.get
        bits = _BITS
        for offset, key in enumerate(map(int, numbers)):
            page = page_of(key >> 16)
            if page is None:
                if not self._add_to_shard(key):
                    again.append(offset)
                continue
            at = (key & 0xFFFF) >> 3
            bit = bits[key & 7]
            held = page[at]
            if held & bit:
                again.append(offset)
            else:
                page[at] = held | bit
        self._empty = self._empty and not numbers
        return again

    def add_one(self, key: int) -> None:
        """Add one integer."""
        self._empty = False
        page = self._pages.get(key >> PAGE_BITS)
        if page is None:
            self._add_to_shard(key)
        else:
            _mark(page, key)

    def _add_to_shard(self, key: int) -> bool:
        index = key >> PAGE_BITS & SHARDS - 1
        shard = self._shards.get(index)
        if shard is None:
            shard = self._shards[index] = set()
        size = len(shard)
        shard.add(key)
        if len(shard) == size:
            return False
        size += 1
        if size >= WORTH_A_PAGE and not size & size - 1:
            self._move_to_pages(index, shard)
        return True

    def _move_to_pages(self, index: int, shard: set[int]) -> None:
        heads = Counter(key >> PAGE_BITS for key in shard)
        moving = {head for head, count in heads.items() if count >= WORTH_A_PAGE}
        if not moving:
            return
        for head in moving:
            self._pages[head] = bytearray(PAGE_BYTES)
        for key in shard:
            if key >> PAGE_BITS in moving:
                _mark(self._pages[key >> PAGE_BITS], key)
        self._shards[index] = {key for key in shard if key >> PAGE_BITS not in moving}


def _mark(page: bytearray, key: int) -> None:
    low = key & _LOW
    page[low >> 3] |= _BITS[low & 7]
