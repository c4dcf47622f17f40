r"""A slab of canonical numbers, recognised by its columns instead of its rows.

A regular expression walks the rows, 75 ns each. But the lines of a list from one country are mostly of one width, so
that packed, two digits in a byte (`number_space.Lines`), pair ``i`` of every number is one extended slice,
``packed[i::pairs]``, and a question about all rows is one call of C a column, a nanosecond a row. The packed slab is
needed for finding duplicates anyhow.

A *box* is a product of sets of digits, one for each position: Zimbabwe's ``7[1278]\d{7}`` is one, its
``7(?:[1278]\d|3[1-9]|51|9[01])\d{6}`` is the union of four. Such a union is what a numbering plan is made of, and it is
asked of a slab in three steps, of which each must hold for all rows:

1. *Lines*: the slab can be packed. This proves at once that there are as many lines as rows (a value with a line break
   in it would make two), and that they are of one width. Nothing is left of it when all pairs of digits are deleted:
   packing takes letters for digits, too.
2. *Pairs on which all boxes agree* (most of the calling code): nothing is left when the allowed pairs are deleted from
   the column. Of those at which anything may stand nothing is asked.
3. *Pairs on which they differ*: each box has a bit, a column is translated to the bits of the boxes that allow its
   pair, and the columns, as long integers, are intersected. A row is in a box when a bit is left.

Boxes are not written down here: they are expanded from the patterns of the phone library's metadata, the eight largest
of a length, and each is proven to be within those patterns before it is used. A slab that is in no boxes may still be
canonical. Then the regular expression of `plan` decides, whose verdicts this module only brings forward.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from math import prod
from typing import Final, TypeAlias

from attrs import field, frozen

from smspop_async.contacts.digit_language import DigitLanguage, either
from smspop_async.contacts.number_space import Lines

Box: TypeAlias = tuple[int, ...]
"""A bit mask of the ten digits for each position."""

VOTES: Final = 8
"""Boxes of one length: as many as a byte has bits."""
EXPANDED: Final = 2_000
"""Boxes of a pattern before they are merged; a plan that takes more is left to the regular expression."""
_PAIRS: Final = bytes(tens << 4 | ones for tens in range(10) for ones in range(10))
"""Two digits, packed."""
_ZERO: Final = 1
"""The mask of the digit that stands before numbers of an odd width."""


@frozen(kw_only=True)
class Boxes:
    """Up to eight boxes of one length."""

    width: int
    """Of a line, with its line break."""
    agreed: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Columns of pairs in which all boxes allow the same but not all, and what they allow."""
    voted: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Those in which boxes differ, each with a table from a pair to the boxes that allow it."""

    def hold(self, lines: Lines) -> bool:
        """Whether every row is a line by itself and within a box."""
        packed, rows, pairs = lines.packed, lines.rows, self.width // 2
        if packed is None or lines.width != self.width or packed.translate(None, _PAIRS):
            return False
        for column, allowed in self.agreed:
            if packed[column::pairs].translate(None, allowed):
                return False
        left = -1
        for column, table in self.voted:
            left &= int.from_bytes(packed[column::pairs].translate(table), "little")
        return left < 0 or 0 not in left.to_bytes(rows, "little")


def boxes_by_width(code: str, patterns: Iterable[DigitLanguage]) -> dict[int, Boxes]:
    """Expand patterns of national numbers.

    Args:
        code: The calling code that stands before them.
        patterns: Each of them decides a number by itself, whatever else there is.

    Returns:
        Boxes by the width of a line: calling code, national number and line break.
    """
    languages = list(patterns)
    whole = either(languages)
    by_length: dict[int, set[Box]] = defaultdict(set)
    for language in languages:
        expanded = list(islice(language.boxes(), EXPANDED + 1))
        for box in expanded if len(expanded) <= EXPANDED else ():
            by_length[len(box)].add(box)
    found: dict[int, Boxes] = {}
    for length, boxes in by_length.items():
        largest = sorted(_merged(boxes), key=_size, reverse=True)[:VOTES]
        proven = [box for box in largest if DigitLanguage(box).within(whole)]
        if proven:
            heads = tuple(1 << int(digit) for digit in code)
            found[len(code) + length + 1] = _compiled([(*heads, *box) for box in proven])
    return found


def _size(box: Box) -> tuple[int, Box]:
    """How many numbers are in it; boxes of a size are in a fixed order."""
    return prod(mask.bit_count() for mask in box), box


def _merged(boxes: set[Box]) -> set[Box]:
    """Fewer boxes of the same union: those that differ in one position only become one."""
    for position in reversed(range(len(next(iter(boxes))))):
        apart: dict[tuple[Box, Box], int] = defaultdict(int)
        for box in boxes:
            apart[box[:position], box[position + 1 :]] |= box[position]
        boxes = {(*before, mask, *behind) for (before, behind), mask in apart.items()}
    return boxes


def _compiled(boxes: Sequence[Box]) -> Boxes:
    width = len(boxes[0]) + 1
    padded = boxes if width & 1 else [(_ZERO, *box) for box in boxes]
    columns = [[_pairs(*box[at : at + 2]) for box in padded] for at in range(0, len(padded[0]), 2)]
    return Boxes(
        width=width,
        agreed=tuple(
            (column, allowed[0])
            for column, allowed in enumerate(columns)
            if len(set(allowed)) == 1 and allowed[0] != _PAIRS
        ),
        voted=tuple(
            (column, _table(allowed)) for column, allowed in enumerate(columns) if len(set(allowed)) > 1
        ),
    )


def _table(allowed: Sequence[bytes]) -> bytes:
    table = bytearray(256)
    for vote, pairs in enumerate(allowed):
        for pair in pairs:
            table[pair] |= 1 << vote
    return bytes(table)


def _pairs(tens: int, ones: int) -> bytes:
    """The pairs of digits that two masks allow, packed."""
    return bytes(pair for pair in _PAIRS if tens >> (pair >> 4) & 1 and ones >> (pair & 15) & 1)
