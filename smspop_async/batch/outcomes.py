"""What became of every row, in columns, in input order, in memory that hardly grows.

Ten million rows as objects would be gigabytes. The book keeps, for each row:

* its number (or what stood in its place), in slabs of consecutive rows, moved to an unnamed temporary file once
  they exceed a few megabytes;
* one small code, in one flat array: an index into the table of the distinct (status, detail) pairs.

A plain run needs two or three pairs, so a code is one byte; the array widens when there are more. Rows are
entered in the order they are read (`enter`), and settled in any order (`settle`). Outcomes are made when
they are asked for.
"""

import json
import sys
import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final

from attrs import field, frozen

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status
from smspop_async.contacts.number_space import has_width, unpacked, with_width
from smspop_async.mask import mask_number

_SPILL: Final = 8 * 2**20
"""Bytes of numbers that are kept in memory before they go to the temporary file."""
_PAIRS: Final = 2**20
"""Distinct explanations that are kept; further ones are replaced by a general one."""
_LINES: Final = "L"
_JSON: Final = "J"
_BYTE: Final = 255
_AT_ONCE: Final = 10_000
_TOO_MANY: Final = "the explanation was not kept: the run has too many different ones"


@frozen(kw_only=True)
class ContactOutcome:
    """What became of one input row."""

    index: int
    """The row's position in the input, from 0."""
    phone_number: str = field(repr=mask_number)
    """Digits in E.164 order without the plus sign; for an invalid row what stood there, as text."""
    status: Status
    detail: str = field(default="", repr=False)
    """Why, where the status alone does not say it."""
    line: int | None = None
    """The line of the file (1-based) that the row came from, or None."""


class OutcomeBook:
    """The columns of a run: numbers by row, and a code of status and detail by row."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Status | None, str]] = [(None, "")]
        self._codes: dict[tuple[Status | None, str], int] = {(None, ""): 0}
        self._column: bytearray | array[int] = bytearray()
        self._slabs: list[tuple[int, bytes | tuple[int, int], Sequence[int] | None]] = []
        self._starts: list[int] = []
        self._kept = 0
        self._file: IO[bytes] | None = None
        self._tally = [0]

    def __len__(self) -> int:
        return len(self._column)

    def enter(
        self, numbers: Sequence[str], lines: Sequence[int] | None = None, digits: bytes | None = None
    ) -> int:
        """Add rows, not settled yet, and return the index of the first.

        Args:
            numbers: One text for each row.
            lines: The line of each row in its file, if it has one.
            digits: The same numbers as `Lines.packed` gives them, where they are digits and at hand so.
        """
        first = len(self._column)
        if numbers:
            packed = _pack(numbers) if digits is None else with_width(digits, len(numbers))
            self._starts.append(first)
            self._slabs.append((len(numbers), self._keep(packed), _compact(lines)))
            self._column.extend(bytes(len(numbers)))
            self._tally[0] += len(numbers)
        return first

    def settle(self, rows: Sequence[int], statuses: StatusColumn, details: Mapping[int, str]) -> None:
        """Give each of `rows`, which ascend, its status.

        Args:
            rows: Indexes of rows.
            statuses: One for each of `rows`.
            details: Position in `rows` to explanation, only where there is something to explain.
        """
        if len(rows) != len(statuses):
            raise ValueError(f"{len(rows)} rows cannot be settled by {len(statuses)} statuses")
        if not rows or (not details and self._settle_run(rows, (statuses.common, ""), statuses.others)):
            return
        self.settle_all(rows, statuses.common)
        for at in {*statuses.others, *details}:
            self._settle_one(rows[at], statuses[at], details.get(at, ""))

    def settle_all(self, rows: Sequence[int], status: Status, detail: str = "") -> None:
        """Give all of `rows`, which ascend, the same status and detail."""
        if not rows or self._settle_run(rows, (status, detail), {}):
            return
        # Rows with others between them, as of a list in which somebody stands twice.
        code = self._code((status, detail))
        column, tally = self._column, self._tally
        for old, times in Counter([column[row] for row in rows]).items():
            tally[old] -= times
        tally[code] += len(rows)
        for row in rows:
            column[row] = code

    def _settle_run(
        self, rows: Sequence[int], common: tuple[Status, str], others: Mapping[int, Status]
    ) -> bool:
        """Settle consecutive rows, as those of a campaign nearly always are; False where these are others.

        Args:
            rows: Indexes of rows.
            common: What all have.
            others: Position in `rows` to another status.
        """
        code = self._code(common)
        codes = {status: self._code((status, "")) for status in {*others.values()}}
        column, tally, first, count = self._column, self._tally, rows[0], len(rows)
        end = first + count
        if rows[-1] != end - 1:
            return False
        if isinstance(column, bytearray) and column.count(0, first, end) == count:  # for the first time
            tally[0] -= count
        else:
            for old, times in Counter(column[first:end]).items():
                tally[old] -= times
        if isinstance(column, bytearray):
            column[first:end] = bytes((code,)) * count
        else:
            column[first:end] = array(column.typecode, (code,)) * count
        tally[code] += count - len(others)
        for at, status in others.items():
            written = column[first + at] = codes[status]
            tally[written] += 1
        return True

    def _settle_one(self, row: int, status: Status, detail: str) -> None:
        code = self._code((status, detail))  # which may widen the column
        column, tally = self._column, self._tally
        tally[column[row]] -= 1
        tally[code] += 1
        column[row] = code

    def settle_rest(self, status: Status, detail: str) -> None:
        """Give every row that is not settled yet this status: the last act of a run."""
        if not self._tally[0]:
            return
        code = self._code((status, detail))  # which may widen the column
        column = self._column
        if isinstance(column, bytearray):
            # Ten million rows at once: one by one they would hold the loop for a second.
            self._column = column.translate(bytes((code, *range(1, _BYTE + 1))))
            self._tally[code] += self._tally[0]
            self._tally[0] = 0
        else:
            for first in range(0, len(column), _AT_ONCE):
                piece = column[first : first + _AT_ONCE]
                if piece.count(0) == len(piece):
                    self.settle_all(range(first, first + len(piece)), status, detail)
                else:
                    self.settle_all([first + at for at, old in enumerate(piece) if old == 0], status, detail)

    def slabs(self, after: int) -> Iterator[tuple[int, int, Sequence[int] | None]]:
        """Slabs of rows as they were entered: first row, how many, and their lines if they have any.

        Args:
            after: How many slabs to pass over.
        """
        for at in range(after, len(self._slabs)):
            count, _, lines = self._slabs[at]
            yield self._starts[at], count, lines

    @property
    def settled(self) -> int:
        """How many rows have an outcome."""
        return len(self._column) - self._tally[0]

    def count(self) -> dict[Status, int]:
        """How many rows have which status; rows that are not settled are not counted."""
        counts = dict.fromkeys(Status, 0)
        for (status, _), rows in zip(self._pairs, self._tally, strict=True):
            if status is not None:
                counts[status] += rows
        return counts

    def outcomes(self) -> Iterator[ContactOutcome]:
        """Iterate over the settled rows, in input order."""
        index = 0
        for length, kept, lines in self._slabs:
            for offset, number in enumerate(_unpack(self._fetch(kept))):
                status, detail = self._pairs[self._column[index + offset]]
                if status is not None:
                    yield ContactOutcome(
                        index=index + offset,
                        phone_number=number,
                        status=status,
                        detail=detail,
                        line=lines[offset] if lines is not None else None,
                    )
            index += length

    def line(self, row: int) -> int | None:
        """The line of the file that a row came from, or None."""
        at = bisect_right(self._starts, row) - 1
        lines = self._slabs[at][2]
        return lines[row - self._starts[at]] if lines is not None else None

    def _code(self, pair: tuple[Status | None, str]) -> int:
        code = self._codes.get(pair)
        if code is not None:
            return code
        if len(self._pairs) >= _PAIRS and pair[1] != _TOO_MANY:
            return self._code((pair[0], _TOO_MANY))
        code = self._codes[pair] = len(self._pairs)
        self._pairs.append(pair)
        self._tally.append(0)
        if isinstance(self._column, bytearray):
            if code > _BYTE:
                self._column = _widened(self._column, 1, "H")
        elif code >= 1 << (8 * self._column.itemsize):
            self._column = _widened(self._column.tobytes(), self._column.itemsize, "L")
        return code

    def _keep(self, packed: bytes) -> bytes | tuple[int, int]:
        """Hold a slab in memory, or, past the limit, in the temporary file as (offset, length)."""
        if self._kept + len(packed) <= _SPILL:
            self._kept += len(packed)
            return packed
        try:
            if self._file is None:
                # It has no name and vanishes with the process: numbers are not left lying about.
                self._file = tempfile.TemporaryFile(prefix="smspop-")  # noqa: SIM115 - closed with the book
                weakref.finalize(self, self._file.close)
            offset = self._file.seek(0, 2)
            self._file.write(packed)
            self._file.flush()
        except OSError:  # a full disk must not cost the run: memory is the lesser evil
            return packed
        return offset, len(packed)

    def _fetch(self, kept: bytes | tuple[int, int]) -> bytes:
        if isinstance(kept, bytes):
            return kept
        assert self._file is not None  # noqa: S101 - only `_keep` makes such a place
        self._file.seek(kept[0])
        return self._file.read(kept[1])

    def __getstate__(self) -> dict[str, Any]:
        """For pickling: what lies in the temporary file comes along."""
        state = dict(self.__dict__)
        state["_slabs"] = [(n, self._fetch(kept), lines) for n, kept, lines in self._slabs]
        state["_file"] = None
        return state


def _widened(column: bytes | bytearray, width: int, typecode: str) -> "array[int]":
    """The same codes in more bytes each, which are put together by slices: one by one, ten million hold the loop."""
    wide: array[int] = array(typecode)
    rows, wider = len(column) // width, wide.itemsize
    planes = bytearray(rows * wider)
    for byte in range(width):
        at, of = (byte, byte) if sys.byteorder == "little" else (wider - 1 - byte, width - 1 - byte)
        planes[at::wider] = column[of::width]
    wide.frombytes(planes)
    return wide


def _pack(numbers: Sequence[str]) -> bytes:
    """Write rows as bytes. The first tells the form: lines, or JSON for junk that holds line ends itself."""
    text = "\n".join(numbers)
    plain = text.count("\n") == len(numbers) - 1
    text = _LINES + text if plain else _JSON + json.dumps(list(numbers))
    return text.encode("utf-8", "surrogatepass")


def _unpack(packed: bytes) -> list[str]:
    if has_width(packed):
        return unpacked(packed)
    text = packed.decode("utf-8", "surrogatepass")
    rows: list[str] = text[1:].split("\n") if text[0] == _LINES else json.loads(text[1:])
    return rows


def _compact(lines: Sequence[int] | None) -> Sequence[int] | None:
    """Lines at one distance from each other, which is what files have, become a range."""
    if not lines:
        return None
    step = max(1, (lines[-1] - lines[0]) // max(1, len(lines) - 1))
    span = range(lines[0], lines[0] + step * len(lines), step)
    return span if lines[-1] == span[-1] and list(lines) == list(span) else array("L", lines)
