r"""What stands before the national numbers of a mixed slab, read by columns and made one calling code.

A list that people typed holds ``+263771234567`` beside ``00263771234567``, ``0771234567`` and ``771234567``. Without
separators these differ in their beginnings alone, the *heads*. To replace one head after the other takes a search of
the whole slab each, 20 to 35 ns a row. But mobile numbers of a country are mostly of one length, so that with its
rows flush right a slab is a grid whose last columns are national numbers, and the columns before them heads:

    +263771234567          head | national
      0771234567
       771234567

1. *The grid.* `bytes.expandtabs` pads every cell to a whole number of tab stops, flush left; done to the slab read
   backwards, flush right. Each cell takes one stop or more, so where all of them together take one for every row, there
   is one cell a row and none is too long. Else the cells are counted, and the long ones cut out, one by one. Cells that
   are of one width are a grid already.
2. *The heads.* Each known head has a bit, a column is translated to the bits of the heads that allow its character
   there (a blank before shorter ones), and the columns, as long integers, are intersected, as in `boxes`. A row begins
   with one of the heads when a bit is left.
3. *The canonical slab* is written by columns: the calling code, the national numbers, line breaks. A row with another
   head gets a mark in place of its first digit, so that no later step can take it for a number.

Which heads mean the calling code whatever national number follows is proven in `plan`. Whether it is followed by a
national number is not asked here: whoever takes the slab must find it canonical first.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from attrs import field, frozen

_BLANK: Final = " "
_STRANGE: Final = b"?"


class _Grid(NamedTuple):
    """One cell a row, with the last characters of all cells below each other."""

    cells: bytes
    begin: int
    """Where the national number of the first row begins."""
    turn: int
    """From a character of a row to the next: 1, or -1 where the rows are read backwards."""
    pitch: int
    """From a row to the next."""
    padded: bool
    """Whether blanks stand before shorter cells."""


@frozen(kw_only=True)
class Heads:
    """What may stand before national numbers of one length and mean the calling code."""

    code: str
    national: int
    """Digits of a national number."""
    by_length: dict[int, int] = field(repr=False)
    """The bits of the heads of a length."""
    columns: tuple[bytes, ...] = field(repr=False)
    """From the national number to the left, a table each from a character to the heads that allow it there."""

    def canonical(self, cells: bytes, rows: int, strange: int) -> str | None:
        """Write the calling code in the place of each head.

        Args:
            cells: The slab, from `bare_cells`.
            rows: How many values it was made of.
            strange: Rows that may begin otherwise, at most.

        Returns:
            A line for each row, which begins with `_STRANGE` where the row has none of the heads. None where these
            are too many, or the cells not as many as rows, or all of them too short.
        """
        grid = self._grid(cells, rows)
        votes = self._votes(grid, rows) if grid else b""
        if not grid or votes.count(0) > strange:
            return None
        place, pitch = grid.begin, grid.pitch
        source = bytearray(grid.cells)  # columns of bytes would be copied once more on their way
        before = len(self.code)
        width = before + self.national + 1
        slab = bytearray((self.code + "0" * self.national + "\n").encode() * rows)
        for column in range(before, before + self.national):
            slab[column::width] = source[place::pitch]
            place += grid.turn
        if 0 in votes:
            slab[::width] = votes.translate(_STRANGE + self.code[:1].encode() * 255)
        return slab.decode()

    def _grid(self, cells: bytes, rows: int) -> _Grid | None:
        width = len(cells) // rows
        if cells[width - 1 :: width] == b"\t" * rows and cells.count(b"\t") == rows:
            begin = width - 1 - self.national
            return _Grid(cells, begin, 1, width, padded=False) if begin >= 0 else None
        pitch = len(self.columns) + self.national + 1
        backwards = _flush_right(cells, rows, pitch)
        if backwards is None:
            return None
        return _Grid(backwards, len(backwards) - pitch + self.national - 1, -1, -pitch, padded=True)

    def _votes(self, grid: _Grid, rows: int) -> bytes:
        """A byte for each row, 0 where it begins with none of the heads."""
        cells, place, turn, pitch, padded = grid
        known = bytes((self.by_length.get(place, 0),))
        left = -1 if padded else int.from_bytes(known * rows, "little")
        for table in self.columns if padded else self.columns[:place]:
            place -= turn
            left &= int.from_bytes(cells[place::pitch].translate(table), "little")
        return left.to_bytes(rows, "little")


def heads_before(national: int, code: str, heads: Sequence[str]) -> Heads:
    """Compile heads.

    Args:
        national: Digits of a national number.
        code: The calling code.
        heads: All that mean it before a national number, as many as a byte has bits at most.
    """
    longest = max(map(len, heads))
    by_length: dict[int, int] = {}
    columns = [bytearray(256) for _ in range(longest)]
    for vote, head in enumerate(heads):
        by_length[len(head)] = by_length.get(len(head), 0) | 1 << vote
        for column, char in zip(columns, reversed(head.rjust(longest, _BLANK)), strict=True):
            column[ord(char)] |= 1 << vote
    return Heads(code=code, national=national, by_length=by_length, columns=tuple(map(bytes, columns)))


def _flush_right(cells: bytes, rows: int, pitch: int) -> bytes | None:
    """The cells read backwards, each as wide as the pitch; None where they are not as many as rows."""
    if len(cells) <= rows * pitch:
        backwards = (b"\t" + cells[:-1])[::-1].expandtabs(pitch)
        if len(backwards) == rows * pitch:
            return backwards
    if cells.count(b"\t") != rows:
        return None
    short = [cell if len(cell) < pitch else _STRANGE for cell in cells[:-1].split(b"\t")]
    return (b"\t" + b"\t".join(short))[::-1].expandtabs(pitch)
