"""A set of phone numbers in small pages, and what is too scattered for pages.

A ``set[str]`` of ten million numbers takes 800 MB, and one doubling of its table holds the event loop for a
quarter of a second. Here numbers are kept in two forms, both made of small parts:

- *Pages* (`number_space`): a bit for each of 10,000 neighbours, 1.3 KB. National ranges fill them: ten million
  numbers scattered over two networks' ranges of ten million each take 3 MB, with everything.
- *Shards*: small sets of whole numbers, for those whose neighbours are not on the list.

The first pages are made at first touch, because most lists are of one country and fill them. When those are given
out, numbers start in a shard. Each time a shard has about doubled it is counted, and every page's worth of
neighbours for which the page is no larger than the set entries it replaces moves to one. So memory per
number is bounded by that of a set entry, and no call allocates or copies more than one small shard and the pages
that its own numbers are on.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter, length_hint
from typing import Final, TypeAlias, cast

from smspop_async.contacts.number_space import (
    LOW_BITS,
    PAGE_BYTES,
    Addresses,
    Lines,
    addresses,
    key_of,
    packed,
    within_page,
)

Page: TypeAlias = bytearray | memoryview

FEW: Final = 6
"""Numbers of a slab that are looked up faster one by one."""
EAGER_PAGES: Final = 4096
"""Pages that are made at first touch, less than 6 MiB: the mobile ranges of four networks."""
WORTH_A_PAGE: Final = 24
"""Numbers for which a page is no larger than their entries in a set (64 bytes each, and more)."""
SHARDS: Final = 4093
"""A prime: heads are decimal, and would crowd in a power of two."""
_LET_GO: Final = 64
"""Shards that are let go of at once: of three million numbers that takes 2 ms."""
_COUNTED_AT: Final = tuple(
    frozenset((16 + sixteenth << power) // 16 for power in range(5, 40)) for sixteenth in range(16)
)
"""Sizes at which a shard is counted: 32 and each doubling, times one to two. Which, depends on the shard: a list
that fills all shards evenly would otherwise have them all counted within a few slabs."""


class PlainNumbers:
    """A set of phone numbers.

    Numbers are E.164 digits without ``+``, as `Normaliser` gives them: 9 to 15, the first of them not 0.
    """

    def __init__(self) -> None:
        self._pages: dict[int, Page] = {}
        self._shards: dict[int, set[int]] = {}
        self._eager = EAGER_PAGES

    def __bool__(self) -> bool:
        return bool(self._pages or self._shards)

    def __contains__(self, number: str) -> bool:
        key = key_of(number)
        page = self._page(key >> LOW_BITS)
        if page is None:
            return key in self._shards.get((key >> LOW_BITS) % SHARDS, ())
        place, bit = within_page(key)
        return bool(page[place] & bit)

    def add(self, numbers: Sequence[str], lines: Lines | None = None) -> list[int]:
        """Add a slab.

        Args:
            numbers: In any order, any of them more than once.
            lines: The same, where it is at hand.

        Returns:
            Offsets, ascending, of the numbers that were in already or stand earlier in the slab.
        """
        if len(numbers) < FEW:
            return [offset for offset, number in enumerate(numbers) if not self.add_key(key_of(number))]
        return self._add_at(addresses(packed(numbers, lines), len(numbers)), numbers)

    def let_go_of_some(self) -> bool:
        """Begin to let go of the numbers, of millions a little at a time; False when that is nearly done.

        The set is not to be used any more, but for `close`.
        """
        for _ in range(min(_LET_GO, len(self._shards))):
            self._shards.popitem()
        return bool(self._shards)

    def close(self) -> None:
        """Let go of all numbers. The set is not to be used any more."""
        self._pages.clear()
        self._shards.clear()

    def add_key(self, key: int) -> bool:
        """Add one number, given as its key; False when it was in already."""
        head = key >> LOW_BITS
        page = self._page(head)
        if page is None and self._eager:
            self._make_eagerly((head,))
            page = self._page(head)
        if page is None:
            return not self._add_to_shards((key,))
        place, bit = within_page(key)
        held = page[place]
        page[place] = held | bit
        return not held & bit

    def _add_at(self, slab: Addresses, numbers: Sequence[str]) -> list[int]:
        again: list[int] = []
        loose: list[int] = []
        # This loop runs once a contact. What only few rows need, their offset, is told where it is needed by how
        # many bits are left.
        left = iter(slab.bits)
        last = len(numbers) - 1
        for page, place, bit in zip(self._pages_of(slab.heads), slab.places, left, strict=True):
            if page is None:
                loose.append(last - length_hint(left))
                continue
            held = page[place]
            if held & bit:
                again.append(last - length_hint(left))
            else:
                page[place] = held | bit
        if loose:
            again += [loose[at] for at in self._add_to_shards([key_of(numbers[at]) for at in loose])]
            again.sort()
        return again

    def _page(self, head: int) -> Page | None:
        """The page of a head, if it has one."""
        return self._pages.get(head)

    def _pages_of(self, heads: Sequence[int]) -> Sequence[Page | None]:
        """The page of each head, as far as there are pages."""
        try:
            return cast("tuple[Page, ...]", itemgetter(*heads)(self._pages))
        except KeyError:
            if self._eager:
                self._make_eagerly([head for head in set(heads) if self._page(head) is None])
            return [*map(self._page, heads)]

    def _make_eagerly(self, heads: Sequence[int]) -> None:
        """Make pages for heads that have none, as long as pages are made at first touch."""
        new = heads[: self._eager]
        self._eager -= len(new)
        self._make_pages(new)

    def _make_pages(self, heads: Iterable[int]) -> None:
        """Make empty pages for heads that have none."""
        for head in heads:
            self._pages[head] = bytearray(PAGE_BYTES)

    def _add_to_shards(self, keys: Sequence[int]) -> list[int]:
        """Add numbers that have no page; the offsets of those that were in already."""
        again: list[int] = []
        crowded: list[int] = []
        shards = self._shards
        for offset, key in enumerate(keys):
            index = (key >> LOW_BITS) % SHARDS
            shard = shards.get(index)
            if shard is None:
                shards[index] = {key}
                continue
            size = len(shard)
            shard.add(key)
            if len(shard) == size:
                again.append(offset)
            elif size in _COUNTED_AT[index & 15]:
                crowded.append(index)
        for index in crowded:
            self._move_neighbours(index)
        return again

    def _move_neighbours(self, index: int) -> None:
        """Give a page to every head of a shard for which it is worth it."""
        shard = self._shards[index]
        counts = Counter([key >> LOW_BITS for key in shard])
        moving = {head for head, count in counts.items() if count >= WORTH_A_PAGE}
        if moving:
            self._make_pages(moving)
            self._shards[index] = {key for key in shard if key >> LOW_BITS not in moving}
            for key in shard - self._shards[index]:
                self.add_key(key)
