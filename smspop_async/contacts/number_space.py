"""Numbers as addresses: how a slab of phone numbers becomes bits on pages, in bulk.

Asking for every number "is it there?" in a loop is mostly arithmetic on integers that Python must first make of
text (100 ns each), divide, shift and throw away. Here none is made. A number is read as if it were hexadecimal:

    263 770 123 456  is the text          "263770123456"
                     packed in bytes      26 37 70 12 34 56
                     its head             0x26377012, all digits but the last four
                     its place            34 and 56, the last four

`bytes.fromhex` packs the text of a whole slab at 7 ns a number, and skips the line breaks. From then on a column of
digit pairs is one extended slice, a function of a pair is `bytes.translate`, and columns are put together by
slice assignment and by one addition of two long integers whose 16-bit lanes never carry.

A *page* holds a bit for each of the 10,000 numbers of one head. Each hundred of them has 13 bytes (104 bits, of which 4
stay empty), so that which bit it is follows from the last pair alone, and which byte from a sum of two pairs:

    byte  13 * 34 + 56 // 8      bit  56 % 8

A number never begins with 0, so numbers of different lengths never share a head and place.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

PAGE_BYTES: Final = 13 * 100
LOW_BITS: Final = 16
"""Four digits, read as hexadecimal: what is behind the head in a key."""
WIDEST: Final = 16
"""Digits of a row that holds any number (E.164: up to 15), an even number of them."""

_WIDTH: Final = 0xF0
"""Added to the width of a row in bytes. It is on people's disks."""
_VALUES: Final = [10 * (pair >> 4) + (pair & 15) for pair in range(256)]
"""What a byte of two packed digits means; those that are no digits are never looked up."""
HUNDREDS: Final = [13 * value for value in _VALUES]
EIGHTHS: Final = bytes(value >> 3 for value in _VALUES)
BITS: Final = bytes(1 << (value & 7) for value in _VALUES)
_HUNDREDS_LOW: Final = bytes(start & 0xFF for start in HUNDREDS)
_HUNDREDS_HIGH: Final = bytes(start >> 8 & 0xFF for start in HUNDREDS)


class Addresses(NamedTuple):
    """Where the numbers of a slab are: three columns."""

    heads: tuple[int, ...]
    places: tuple[int, ...]
    """Which byte of the page."""
    bits: bytes
    """Which bit of that byte, as a byte that has only this one."""


def key_of(number: str) -> int:
    """The digits of a number read as hexadecimal."""
    return int(number, 16)


def within_page(key: int) -> tuple[int, int]:
    """The place of a key on its page, and its bit there."""
    last = key & 0xFF
    return HUNDREDS[key >> 8 & 0xFF] + EIGHTHS[last], BITS[last]


class Lines:
    """A slab of rows as one text, and as packed digits once somebody asks for them.

    Args:
        text: The rows, a line break behind each.
        rows: How many there are.
    """

    __slots__ = ("_packed", "rows", "text", "width")

    def __init__(self, text: str, rows: int) -> None:
        self.text: str = text
        self.rows: int = rows
        self.width: int = len(text) // rows
        """Characters of a row with its line break, where all are of one width."""
        self._packed: bytes | None = b""

    @property
    def packed(self) -> bytes | None:
        """Two digits in a byte, a 0 before numbers of an odd width; a letter from A to F may stand for a digit.

        None where rows are of different widths, or hold anything else.
        """
        if self._packed == b"":
            self._packed = self._pack()
        return self._packed

    def _pack(self) -> bytes | None:
        text, rows, width = self.text, self.rows, self.width
        if len(text) != rows * width or text[width - 1 :: width] != "\n" * rows:
            return None
        if not width & 1:  # an odd number of digits, and the line break
            text = "0" + text[:-1].replace("\n", "\n0")
        try:
            slab = bytes.fromhex(text)
        except ValueError:
            return None
        return slab if len(slab) == rows * (width // 2) else None  # it skips blanks


def packed(numbers: Sequence[str], lines: Lines | None) -> bytes:
    """Put two digits in a byte.

    Args:
        numbers: A slab, not empty, of digits.
        lines: The same, where it is at hand.

    Returns:
        Rows of equal length, with zeros before the number where it is shorter.
    """
    if lines is None:
        lines = Lines("\n".join(numbers) + "\n", len(numbers))
    return lines.packed or bytes.fromhex("".join([number.zfill(WIDEST) for number in numbers]))


def with_width(slab: bytes, rows: int) -> bytes:
    """Put before packed rows a byte that tells their width, and that no text and no number begins with.

    Args:
        slab: Rows as `Lines.packed` gives them, not empty; of several slabs, where their rows are of one width.
        rows: How many they are.
    """
    return bytes((_WIDTH | len(slab) // rows,)) + slab


def has_width(content: bytes) -> bool:
    """Whether this is what `with_width` gives, and not digits or text in another form."""
    return content[0] > _WIDTH


def unpacked(content: bytes) -> list[str]:
    """The numbers of what `with_width` gave: one of an odd length has a 0 before it, and none begins with 0 itself."""
    text = content[1:].hex("\n", content[0] - _WIDTH)
    numbers = text.split("\n")
    if text[0] == "0" or "\n0" in text:
        return [number.removeprefix("0") for number in numbers]
    return numbers


def addresses(slab: bytes, rows: int) -> Addresses:
    """Find head, place and bit of every number.

    Args:
        slab: The numbers as `packed` gives them.
        rows: How many they are.
    """
    width = len(slab) // rows
    last, last_but_one = slab[width - 1 :: width], slab[width - 2 :: width]
    return Addresses(
        heads=_heads(slab, rows, width - 2),
        places=_places(last_but_one, last, rows),
        bits=last.translate(BITS),
    )


def _heads(slab: bytes, rows: int, pairs: int) -> tuple[int, ...]:
    lane, form = (4, "I") if pairs <= 4 else (8, "Q")  # noqa: PLR2004 - as large as that lane
    lanes = bytearray(lane * rows)
    for pair in range(pairs):
        lanes[pairs - 1 - pair :: lane] = slab[pair :: pairs + 2]
    return struct.unpack(f"<{rows}{form}", lanes)


def _places(last_but_one: bytes, last: bytes, rows: int) -> tuple[int, ...]:
    hundreds, eighths = bytearray(2 * rows), bytearray(2 * rows)
    hundreds[0::2] = last_but_one.translate(_HUNDREDS_LOW)
    hundreds[1::2] = last_but_one.translate(_HUNDREDS_HIGH)
    eighths[0::2] = last.translate(EIGHTHS)
    total = int.from_bytes(hundreds, "little") + int.from_bytes(eighths, "little")
    return struct.unpack(f"<{rows}H", total.to_bytes(2 * rows, "little"))
