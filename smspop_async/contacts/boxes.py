r"""A slab of canonical numbers, recognised by its columns instead of its rows.

A regular expression walks the rows, 75 ns each. But the lines of a list from one country are mostly of one width, so
position ``i`` of every number is one extended slice of the joined text, ``text[i::width]``, and a question about all
rows is one call of C a column, a nanosecond a row.

A *box* is a product of sets of digits, one for each position: Zimbabwe's ``7[1278]\d{7}`` is one, its
``7(?:[1278]\d|3[1-9]|51|9[01])\d{6}`` is the union of four. Such a union is what a numbering plan is made of, and it is
asked of a slab in three steps, of which each must hold for all rows:

1. *Positions on which all boxes agree* (the calling code): nothing is left when the allowed digits are deleted from the
   column.
2. *Lines*: with each digit replaced by 0, the text is the same line so many times. This proves at once that there are
   as many lines as rows (a value with a line break in it would make two), that they are of one width, and that every
   other position is a digit.
3. *Positions on which they differ*: each box has a bit, a column is translated to the bits of the boxes that allow its
   digit, and the columns, as long integers, are intersected. A row is in a box when a bit is left.

Boxes are not written down here: they are expanded from the patterns of the phone library's metadata, the eight largest
of a length, and each is proven to be within those patterns before it is used. A slab that is in no boxes may still be
canonical. Then the regular expression of `plan` decides, whose verdicts this module only brings forward.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from typing import Final, TypeAlias

from attrs import field, frozen

from smspop_async.contacts.digit_language import ANY_DIGIT, DigitLanguage, either

Box: TypeAlias = tuple[int, ...]
"""A bit mask of the ten digits for each position."""

VOTES: Final = 8
"""Boxes of one length: as many as a byte has bits."""
EXPANDED: Final = 2_000
"""Boxes of a pattern before they are merged; a plan that takes more is left to the regular expression."""
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")


@frozen(kw_only=True)
class Boxes:
    """Up to eight boxes of one length."""

    line: bytes = field(repr=False)
    """What a line looks like when each digit is 0."""
    agreed: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Positions at which all boxes allow the same digits, and these."""
    voted: tuple[tuple[int, bytes], ...] = field(repr=False)
    """The other positions, each with a table from a digit to the boxes that allow it."""

    def hold(self, text: str, rows: int) -> bool:
        """Whether every row is a line by itself and within a box.

        Args:
            text: The rows, a line break behind each.
            rows: How many there are.
        """
        width = len(self.line)
        if len(text) != rows * width or not text.isascii():
            return False
        slab = text.encode()
        for position, digits in self.agreed:
            if slab[position::width].translate(None, digits):
                return False
        if slab.translate(_ZEROS) != self.line * rows:
            return False
        left = -1
        for position, table in self.voted:
            left &= int.from_bytes(slab[position::width].translate(table), "little")
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
    columns = list(enumerate(zip(*boxes, strict=True)))
    return Boxes(
        line=b"0" * len(columns) + b"\n",
        agreed=tuple(
            (position, bytes(_digits(masks[0])))
            for position, masks in columns
            if len(set(masks)) == 1 and masks[0] != ANY_DIGIT
        ),
        voted=tuple((position, _table(masks)) for position, masks in columns if len(set(masks)) > 1),
    )


def _table(masks: Sequence[int]) -> bytes:
    table = bytearray(256)
    for vote, mask in enumerate(masks):
        for digit in _digits(mask):
            table[digit] |= 1 << vote
    return bytes(table)


def _digits(mask: int) -> Iterator[int]:
    """The digits of a mask as ASCII."""
    return (ord("0") + digit for digit in range(10) if mask >> digit & 1)
