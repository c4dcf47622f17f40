"""The push chunker: rows in, full chunks out. It knows no network, no clock and no loop.

Rows with the same text share a campaign. For a plain message there is one text; for a template there is one
group for each rendered text, and the number of rows waiting in incomplete groups is bounded, oldest group
first, so that ten million different texts do not pile up.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field

from smspop_async.mask import mask_name

CHUNK_LIMIT: Final = 50_000
"""Contacts in one campaign at most: above, one request body would hold the event loop."""
_GROUPS_HELD: Final = 64
"""Chunks' worth of rows that may wait in incomplete groups of a template."""
_TEXTS_HELD: Final = 32_000
"""Incomplete groups at most: one takes half a kilobyte, whatever the size of a chunk."""


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Chunk:
    """The contacts of one campaign."""

    rows: Sequence[int] = field(repr=False)
    """Their positions in the input."""
    numbers: Sequence[str] = field(repr=False)
    """Their digits, in the same order."""
    text: str = field(repr=False)
    seq: int = 0
    """Its place among the campaigns of a run, from 1; 0 before it has one."""
    doubt: str = field(default="", repr=False)
    """Why its contacts may have been texted already, where a second try was asked for."""
    packed: bytes | None = field(default=None, repr=False)
    """The numbers with two digits in a byte, rows of one width, where they are at hand so: for the journal."""

    def __len__(self) -> int:
        return len(self.numbers)

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Cut it in two; it must have at least two contacts."""
        middle = len(self.numbers) // 2
        return self._slice(slice(middle)), self._slice(slice(middle, None))

    def _slice(self, part: slice) -> "Chunk":
        return Chunk(rows=self.rows[part], numbers=self.numbers[part], text=self.text)


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Part:
    """A chunk, or a piece of one, under the name of the campaign that carries it."""

    seq: int
    """Counts the campaigns of a run, from 1."""
    name: str = field(repr=mask_name)
    token: str
    """The end of the name, by which the campaign is found in the API's list."""
    chunk: Chunk
    run: str = ""


class Chunker:
    """Collects rows by text and gives out chunks.

    Args:
        size: Contacts in a full chunk.
        packs: Whether the chunks need their numbers packed, too.
    """

    def __init__(self, size: int, *, packs: bool = True) -> None:
        self._size = size
        self._packs = packs
        # A dict looks for its oldest key among all that were taken out before it.
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._waiting = 0

    def feed(
        self, text: str, rows: Sequence[int], numbers: Sequence[str], packed: bytes | None = None
    ) -> Iterator[Chunk]:
        """Add rows that all have `text`, and give out the chunks that are full now.

        Args:
            text: What they are sent.
            rows: Their positions in the input.
            numbers: Their digits.
            packed: The same with two digits in a byte, where they are at hand so.
        """
        self._waiting += len(rows)
        packed = packed if self._packs else None
        group = self._groups.get(text)
        if group is not None:
            rows, numbers, packed = group.extended(rows, numbers, packed)
        size = self._size
        full = len(rows) // size * size
        for at in range(0, full, size):
            yield Chunk(
                rows=rows[at : at + size],
                numbers=numbers[at : at + size],
                text=text,
                packed=packed and _piece(packed, len(rows), at, at + size),
            )
        self._waiting -= full
        if full == len(rows):
            self._groups.pop(text, None)
        elif full or group is None:
            rest = packed and _piece(packed, len(rows), full, len(rows))
            self._groups[text] = _Group(rows=rows[full:], numbers=list(numbers[full:]), packed=rest)
        while self._waiting > _GROUPS_HELD * size or len(self._groups) > _TEXTS_HELD:
            yield self._take_oldest()

    def filling(self, most: int) -> int:
        """How many rows, at most so many, make whole chunks of those that wait; the others need not be kept then."""
        rest = (self._waiting + most) % self._size
        return most - rest if rest < most else most

    def flush(self) -> Iterator[Chunk]:
        """Give out what is left, in chunks that are not full."""
        while self._groups:
            yield self._take_oldest()

    def _take_oldest(self) -> Chunk:
        text, group = self._groups.popitem(last=False)
        self._waiting -= len(group.rows)
        return Chunk(rows=group.rows, numbers=group.numbers, text=text, packed=group.packed)


@define(kw_only=True)
class _Group:
    """Rows of one text that do not fill a chunk yet."""

    rows: Sequence[int]
    numbers: list[str]
    packed: bytes | None

    def extended(
        self, rows: Sequence[int], numbers: Sequence[str], packed: bytes | None
    ) -> tuple[Sequence[int], list[str], bytes | None]:
        """Add rows, and return all. Consecutive rows stay a range, which costs nothing to keep and to cut."""
        held, digits = self.rows, self.packed
        if digits is not None and packed is not None and len(digits) * len(rows) == len(packed) * len(held):
            self.packed = digits + packed
        else:  # not at hand, or not of one width
            self.packed = None
        if isinstance(held, range) and isinstance(rows, range) and held.stop == rows.start:
            self.rows = range(held.start, rows.stop)
        elif isinstance(held, list):
            held.extend(rows)
        else:
            self.rows = [*held, *rows]
        self.numbers.extend(numbers)
        return self.rows, self.numbers, self.packed


def _piece(packed: bytes, rows: int, begin: int, end: int) -> bytes:
    """Some of so many packed rows."""
    width = len(packed) // rows
    return packed[begin * width : end * width]
