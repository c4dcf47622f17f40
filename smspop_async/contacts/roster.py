"""Who is on the list already, kept in number space.

A ``set[str]`` of ten million numbers takes 800 MB, and one doubling of its table holds the event loop for a
quarter of a second. Here a number is an integer, and the integers are kept in two forms, both made of small parts:

- *Pages*: a bit for each of 65,536 consecutive numbers, 8 KiB. National ranges fill them: ten million
  scattered Zimbabwean mobile numbers are some 5 MiB.
- *Shards*: small sets of whole integers, for numbers whose neighbours are not on the list.

The first pages are made at first touch, because most lists are of one country and fill them. When those 4 MiB
are given out, numbers start in a shard. Each time a shard has about doubled it is counted, and every page's worth of
neighbours for which 8 KiB of bits are no more than the set entries they replace moves to a page. So memory per
number is bounded by that of a set entry, and no call allocates or copies more than one small shard.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

PAGE_BITS: Final = 16
PAGE_BYTES: Final = 1 << PAGE_BITS - 3
BLOCK_BITS: Final = 29
WORTH_A_PAGE: Final = 128
"""Numbers for which a page is no larger than their entries in a set (64 bytes each, and more)."""
SHARDS: Final = 4096
EAGER_PAGES: Final = 512
"""Pages that are made at first touch: the mobile ranges of a country of ten million."""

_LOW: Final = (1 << PAGE_BITS) - 1
_NO_PAGES: Final[dict[int, bytearray]] = {}
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
    """A set of integers in pages and shards.

    Pages are kept by block of 2**29 numbers: a number less the base of its block is a small integer, on which
    Python's arithmetic is twice as fast, and the numbers of a chunk are mostly from one block.
    """

    __slots__ = ("_blocks", "_eager", "_empty", "_shards")

    def __init__(self) -> None:
        self._blocks: dict[int, dict[int, bytearray]] = {}
        self._shards: dict[int, set[int]] = {}
        self._eager = EAGER_PAGES
        self._empty = True

    def __bool__(self) -> bool:
        return not self._empty

    def __contains__(self, key: int) -> bool:
        page = self._page(key)
        if page is None:
            return key in self._shards.get(key >> PAGE_BITS & SHARDS - 1, ())
        return bool(page[(key & _LOW) >> 3] & _BITS[key & 7])

    def add(self, numbers: Sequence[str]) -> list[int]:
        """Add numbers; the offsets of those that were in already."""
        again: list[int] = []
        if not numbers:
            return again
        self._empty = False
        base = int(numbers[0]) >> BLOCK_BITS << BLOCK_BITS
        page_of = self._blocks.get(base, _NO_PAGES).get
        bits = _BITS
        # The constants stand in this loop as figures: it runs once a contact.
        for offset, key in enumerate(map(int, numbers)):
            near = key - base
            page = page_of(near >> 16)
            if page is None:  # of another block, or in a shard
                if not self.add_one(key):
                    again.append(offset)
                continue
            at = (near & 0xFFFF) >> 3
            bit = bits[near & 7]
            held = page[at]
            if held & bit:
                again.append(offset)
            else:
                page[at] = held | bit
        return again

    def add_one(self, key: int) -> bool:
        """Add one integer; False when it was in already."""
        self._empty = False
        page = self._page(key)
        if page is None:
            return self._add_to_shard(key)
        at, bit = (key & _LOW) >> 3, _BITS[key & 7]
        new = not page[at] & bit
        page[at] |= bit
        return new

    def _page(self, key: int) -> bytearray | None:
        base = key >> BLOCK_BITS << BLOCK_BITS
        return self._blocks.get(base, _NO_PAGES).get(key - base >> PAGE_BITS)

    def _add_to_shard(self, key: int) -> bool:
        index = key >> PAGE_BITS & SHARDS - 1
        shard = self._shards.get(index)
        if shard is None and self._eager:
            self._eager -= 1
            self._make_page(key >> PAGE_BITS)
            return self.add_one(key)
        if shard is None:
            self._shards[index] = {key}
            return True
        size = len(shard)
        shard.add(key)
        if len(shard) == size:
            return False
        # Each shard is counted at sizes of its own: a list that fills all pages evenly would otherwise have
        # them all moved within one chunk.
        size += 1 - (index * 29 & 63)
        if size >= WORTH_A_PAGE and not size & size - 1:
            self._move_to_pages(index, shard)
        return True

    def _move_to_pages(self, index: int, shard: set[int]) -> None:
        counts = Counter(key >> PAGE_BITS for key in shard)
        moving = {head for head, count in counts.items() if count >= WORTH_A_PAGE}
        if not moving:
            return
        for head in moving:
            self._make_page(head)
        self._shards[index] = {key for key in shard if key >> PAGE_BITS not in moving}
        for key in shard - self._shards[index]:
            self.add_one(key)

    def _make_page(self, head: int) -> None:
        first = head << PAGE_BITS
        base = first >> BLOCK_BITS << BLOCK_BITS
        self._blocks.setdefault(base, {})[first - base >> PAGE_BITS] = bytearray(PAGE_BYTES)
