"""From rows to chunks: pull, normalise, de-duplicate, suppress, render and cut, lazily and in small slices.

The sorting of a slab of rows is plain synchronous code (`Sorter`); it is a generator only so that the
slow part of it, the full phone parser at some 25 µs a number, can be taken a slice at a time: between
slices the caller lets the event loop turn. The asynchronous shell (`Intake`) pulls slabs one after another
under a lock, so that however many workers wait for a chunk, one of them at a time uses the processor.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from string import Template
from typing import Final, cast

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen

from smspop_async.api.campaigns import check_campaign
from smspop_async.api.models import Status
from smspop_async.api.pump import Pump
from smspop_async.batch.chunks import Chunk, Chunker
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.config import is_count
from smspop_async.contacts.number_space import Lines
from smspop_async.contacts.numbers import PARSED_AT_ONCE, InvalidNumber, Normaliser
from smspop_async.contacts.roster import Admission, Roster
from smspop_async.contacts.sources import ContactRows, Slab
from smspop_async.errors import ConfigurationError, ContactSourceError
from smspop_async.journal.base import RejectedRow
from smspop_async.message import MissingField, check_message, fields, render

_TURN: Final = 0.0005
"""Seconds of reading between two turns of the loop."""
FIRST_SLAB: Final = 250
"""Rows read at first, when every piece of memory is touched for the first time."""
_PULLED_WITHIN: Final = 2
"""Windows of a turn of the loop in which a slab may be sorted."""
_SHORTEST_SLAB: Final = 100
_LONG_SLAB: Final = 2_000
"""Rows that may always be read at once, however short the campaigns, and in a thread."""
_LONGEST_SLAB: Final = 8_000
"""From there on nothing is gained: what is spent on a slab whatever its size is little then (measured)."""
_TOLD: Final = 2_000
"""Rows that are not sent after which they are handed on alone: of a wrong column there are millions."""
_FLUSHED: Final = 100
"""Chunks that are not full given out at once: of a template there may be tens of thousands."""
_JUNK: Final = 64
"""Characters of an invalid row that are kept to show it."""
_DUPLICATE: Final = "the same number stands further up in the list"
_SUPPRESSED: Final = "the number is on the suppression list"


_Reason = tuple[int, Status, str]
"""The offset of a row in its slab, and why it is not sent."""


def check_run(*, name: str, message: str | Template, sender_id: str) -> None:
    """Refuse what no campaign of a run could be sent with.

    Raises:
        ConfigurationError: and what it is.
    """
    text = message.template if isinstance(message, Template) else message
    check_campaign(name=name, message=text, sender_id=sender_id)
    if isinstance(message, Template):
        fields(text)


def check_count(setting: str, value: object, most: int) -> None:
    """Refuse a setting that is not a whole number from 1 to `most`.

    Raises:
        ConfigurationError: and which setting it is.
    """
    if not is_count(value) or value > most:
        raise ConfigurationError(f"{setting} must be a whole number from 1 to {most:,}; it is {value!r}.")


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


Tell = Callable[[Excluded], Awaitable[None]]


class ChunkSource(ABC):
    """Where the workers of a run get their chunks."""

    failure: ContactSourceError | None
    """What ended the reading before the source did."""

    async def prepare(self, tell: Tell) -> None:  # noqa: B027 - most have nothing to prepare
        """Do what is to be done before anything is sent.

        Args:
            tell: Told about rows that are not going to be sent.
        """

    @abstractmethod
    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk, and the rows excluded on the way to it.

        Many rows are given out without a chunk. Neither a chunk nor rows means that there are no more.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Stop waiting for contacts that may never come."""

    @abstractmethod
    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but not sorted."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened."""


class Intake(ChunkSource):
    """The asynchronous side: gives out chunks one at a time.

    Args:
        rows: The opened source.
        sorter: Decides about every row.
        chunker: The same that `sorter` feeds.
        abandoned: Whether reading on has lost its point.
        pump: Spreads the sorting over the turns of the event loop.
        ahead: Rows that may be read ahead of the workers; a slab is no longer, unless it is a short one.
        clock: Seconds from any beginning, never going back.
    """

    def __init__(
        self,
        *,
        rows: ContactRows,
        sorter: Sorter,
        chunker: Chunker,
        abandoned: Callable[[], bool],
        pump: Pump,
        ahead: int = _LONG_SLAB,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pump = pump
        self._size = rows.size
        self._longest = _LONG_SLAB if rows.is_threaded else max(_LONG_SLAB, min(_LONGEST_SLAB, ahead))
        self._clock = clock
        self._rows = rows
        self._sorter = sorter
        self._chunker = chunker
        self._abandoned = abandoned
        # asyncio's own, because it is entered once a chunk at a fifth of the cost of anyio's (measured).
        self._lock = asyncio.Lock()
        self._ready: deque[Chunk] = deque()
        self._primed: Slab | None = None
        self._exhausted = False
        """Whether the source has no more rows."""
        self._pulling: anyio.CancelScope | None = None
        self.failure: ContactSourceError | None = None

    async def prime(self) -> None:
        """Read the first rows, so that what is wrong from the start is raised before anything is sent.

        Raises:
            ContactSourceError: the source cannot be read.
        """
        self._primed = await self._rows.next_slab()
        self._exhausted = self._primed is None

    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk, and the rows excluded on the way to it."""
        if self._ready:
            return self._ready.popleft(), None
        excluded = Excluded()
        async with self._lock:
            since = self._clock()
            while not self._ready and len(excluded) < _TOLD:
                if self._clock() - since >= _TURN:  # a slow iterable gives its rows one by one
                    await checkpoint()
                    since = self._clock()
                slab = None if self._exhausted else await self._pull()
                if slab is None:
                    self._exhausted = True
                    self._ready.extend(islice(self._chunker.flush(), _FLUSHED))
                    break
                excluded.extend(await self._sort(slab))
            return (self._ready.popleft() if self._ready else None), excluded

    def at_hand(self) -> list[Chunk]:
        """Give out, without waiting, the chunks behind the last one that are ready."""
        ready = [*self._ready]
        self._ready.clear()
        return ready

    def interrupt(self) -> None:
        """Stop waiting for a source that may never give another row."""
        if self._pulling is not None and self._abandoned():
            self._pulling.cancel()

    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but cut off before they could be sorted."""
        slab = self._primed or self._rows.taken()
        self._primed = None
        if slab is not None:
            for _ in self._sorter.sort(slab):
                pass

    async def _pull(self) -> Slab | None:
        slab, self._primed = self._primed, None
        if slab is not None or self._abandoned():
            return slab or self._rows.taken()
        self._rows.size = self._chunker.filling(self._size)
        try:
            with anyio.CancelScope() as self._pulling:
                return await self._rows.next_slab()
        except ContactSourceError as failure:
            self.failure = failure
            return None
        finally:
            self._pulling = None
        return self._rows.taken()

    async def _sort(self, slab: Slab) -> Excluded:
        steps = self._sorter.sort(slab)
        result: Sorted | None = None
        took = 0.0
        while result is None:
            if self._pump.has_lasted(_PULLED_WITHIN):
                with anyio.CancelScope(shield=True):  # rows that were read must be entered
                    await self._pump.turn()
            self._pump.begin()
            since = self._clock()
            result = next(steps)
            took = self._clock() - since
        self._resize(took + self._rows.held)
        self._ready.extend(result.chunks)
        return result.excluded

    def _resize(self, took: float) -> None:
        """Read slabs that take about a turn, so far as that is at most twice as many rows as the last one had.

        What is spent on a slab whatever its size is much of all that a fast row costs; a slab of slow rows holds the
        loop. One that took two turns is not taken for a chance.
        """
        if took <= _TURN:
            longer = min(2.0, _TURN / took) if took > 0 else 2.0
            self._size = min(self._longest, int(longer * self._size))
        elif took > 2 * _TURN:
            self._size = max(_SHORTEST_SLAB, self._size // 2)

    async def aclose(self) -> None:
        """Close the source, and let go of the roster."""
        self._sorter.close()
        await self._rows.aclose()
