"""Sorting a slab of rows: normalise, de-duplicate, suppress, render and cut. No clock, no loop, no network.

It is a generator only so that the slow part of it, the full phone parser at some 25 µs a number, can be taken a slice
at a time: between slices the caller (`smspop_async.batch.intake`) lets the event loop turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Final, cast

from attrs import define, field, frozen

from smspop_async.api.models import Status
from smspop_async.batch.chunks import Chunk, Chunker
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.contacts.number_space import Lines
from smspop_async.contacts.numbers import PARSED_AT_ONCE, InvalidNumber, Normaliser
from smspop_async.contacts.roster import Admission, Roster
from smspop_async.contacts.sources import Slab
from smspop_async.errors import ConfigurationError
from smspop_async.journal.base import RejectedRow
from smspop_async.message import MissingField, check_message, render

_JUNK: Final = 64
"""Characters of an invalid row that are kept to show it."""
_DUPLICATE: Final = "the same number stands further up in the list"
_SUPPRESSED: Final = "the number is on the suppression list"

_Reason = tuple[int, Status, str]
"""The offset of a row in its slab, and why it is not sent."""


@define(kw_only=True)
class Excluded:
    """Rows that are never submitted, in columns: millions of objects would have Python's collector hold the loop."""

    rows: list[int] = field(factory=list[int])
    """Positions in the input."""
    statuses: list[Status] = field(factory=list[Status])
    details: list[str] = field(factory=list[str])
    lines: list[int | None] = field(factory=list[int | None])
    shown: list[str] = field(factory=list[str], repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RejectedRow]:
        """One by one, as a journal takes them."""
        for row, status, detail, shown in zip(
            self.rows, self.statuses, self.details, self.shown, strict=True
        ):
            yield RejectedRow(row=row, status=status, detail=detail, shown=shown)

    def extend(self, others: "Excluded") -> None:
        """Add the rows of others behind these."""
        self.rows += others.rows
        self.statuses += others.statuses
        self.details += others.details
        self.lines += others.lines
        self.shown += others.shown


@frozen(kw_only=True)
class Sorted:
    """A slab of rows, sorted into those to send and those not."""

    excluded: Excluded
    chunks: Sequence[Chunk]


class Sorter:
    """Decides for every row whether it is sent, and in which chunk.

    Args:
        message: The text, or a template to be filled from the fields of each row.
        normaliser: Spelling to digits.
        roster: Who is on the list already, and who must not be.
        chunker: Where rows to be sent go.
        book: Where every row is entered.
    """

    def __init__(
        self,
        *,
        message: str | Template,
        normaliser: Normaliser,
        roster: Roster,
        chunker: Chunker,
        book: OutcomeBook,
    ) -> None:
        self._message = message
        self._normaliser = normaliser
        self._roster = roster
        self._chunker = chunker
        self._book = book

    def let_go_of_some(self) -> bool:
        """Begin to let go of the roster, a little at a time; False when `close` is quickly done."""
        return self._roster.let_go_of_some()

    def close(self) -> None:
        """Let go of the roster: nothing more is to be sorted."""
        self._roster.close()

    def sort(self, slab: Slab) -> Iterator[Sorted | None]:
        """Sort a slab: yields None wherever the loop may turn, and the result at the end."""
        scan = self._normaliser.scan(slab.values, slab.text)
        if not scan.undecided and isinstance(self._message, str):
            yield self._admit_all(slab, cast("list[str]", scan.numbers), scan.lines, self._message)
            return
        numbers = scan.numbers
        problems: dict[int, str] = {}
        if scan.undecided:
            numbers = list(numbers)
            for count, at in enumerate(scan.undecided, 1):
                try:
                    numbers[at] = self._normaliser.parse(slab.values[at])
                except InvalidNumber as problem:
                    problems[at] = problem.reason
                if count % PARSED_AT_ONCE == 0:
                    yield None
        yield self._admit(slab, numbers, problems)

    def _admit_all(self, slab: Slab, numbers: Sequence[str], lines: Lines | None, message: str) -> Sorted:
        """The short way, for slabs in which every row is a number; most of them name nobody twice, either."""
        packed = lines.packed if lines is not None else None
        first = self._book.enter(numbers, slab.lines, packed)
        admission = self._roster.admit(numbers, lines)
        if admission.duplicates or admission.suppressed:
            good, excluded = _parted(range(len(numbers)), admission)
            return Sorted(
                excluded=self._exclude(slab, numbers, first, excluded),
                chunks=self._cut(first, good, [numbers[at] for at in good], None),
            )
        rows = range(first, first + len(numbers))
        return Sorted(excluded=Excluded(), chunks=list(self._chunker.feed(message, rows, numbers, packed)))

    def _admit(self, slab: Slab, numbers: Sequence[str | None], problems: dict[int, str]) -> Sorted:
        texts = self._render(slab, problems)
        shown = _shown(slab.values, numbers)
        first = self._book.enter(shown, slab.lines)
        good = [at for at, number in enumerate(numbers) if number is not None and at not in problems]
        good, excluded = _parted(good, self._roster.admit([shown[at] for at in good]))
        excluded += [(at, Status.INVALID, reason) for at, reason in problems.items()]
        return Sorted(
            excluded=self._exclude(slab, shown, first, excluded),
            chunks=self._cut(first, good, [shown[at] for at in good], texts),
        )

    def _exclude(self, slab: Slab, shown: Sequence[str], first: int, reasons: list[_Reason]) -> Excluded:
        """Enter the rows that are not sent, and list them in their order."""
        for at, status, detail in reasons:
            self._book.settle_all((first + at,), status, detail)
        reasons.sort()
        places = [at for at, _, _ in reasons]
        return Excluded(
            rows=[first + at for at in places],
            statuses=[status for _, status, _ in reasons],
            details=[detail for _, _, detail in reasons],
            lines=[slab.lines[at] if slab.lines is not None else None for at in places],
            shown=[shown[at] for at in places],
        )

    def _render(self, slab: Slab, problems: dict[int, str]) -> Sequence[str] | None:
        """Fill the template for every row; None where there is no template."""
        if isinstance(self._message, str):
            return None
        texts: list[str] = []
        for at in range(len(slab.values)):
            row: Mapping[str, str] = slab.fields[at] if slab.fields is not None else {}
            text = ""
            if at not in problems:
                try:
                    text = check_message(render(self._message.template, row))
                except MissingField as missing:
                    problems[at] = f"the message needs the field {missing.name!r}, which this row lacks"
                except ConfigurationError as problem:
                    problems[at] = f"the filled-in message cannot be sent: {problem}"
            texts.append(text)
        return texts

    def _cut(
        self, first: int, good: Sequence[int], numbers: Sequence[str], texts: Sequence[str] | None
    ) -> list[Chunk]:
        if texts is None:
            assert isinstance(self._message, str)  # noqa: S101 - otherwise there are texts
            return list(self._chunker.feed(self._message, [first + at for at in good], numbers))
        chunks: list[Chunk] = []
        for at, number in zip(good, numbers, strict=True):
            chunks += self._chunker.feed(texts[at], (first + at,), (number,))
        return chunks


def _parted(good: Sequence[int], admission: Admission) -> tuple[list[int], list[_Reason]]:
    """Those of `good` that the roster admits, and the others with the reason."""
    reasons = [(good[at], Status.DUPLICATE, _DUPLICATE) for at in admission.duplicates]
    reasons += [(good[at], Status.SUPPRESSED, _SUPPRESSED) for at in admission.suppressed]
    out = {*admission.duplicates, *admission.suppressed}
    return [at for offset, at in enumerate(good) if offset not in out], reasons


def _shown(values: Sequence[object], numbers: Sequence[str | None]) -> Sequence[str]:
    """The number of each row, or, where it has none, what stands there as a short text."""
    if None not in numbers:
        return cast("Sequence[str]", numbers)
    return [
        number if number is not None else ("" if value is None else str(value)[:_JUNK])
        for number, value in zip(numbers, values, strict=True)
    ]
