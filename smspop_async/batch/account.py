"""Writing down what became of every campaign and row, and telling whoever listens.

The book is written before anybody is told, in one step without an await: a cancellation can lose the telling,
never the outcome.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from attrs import field, frozen

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status, Summary
from smspop_async.api.settle import Settlement
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.chunks import Part
from smspop_async.batch.intake import Excluded
from smspop_async.batch.outcomes import ContactOutcome, OutcomeBook
from smspop_async.events import CampaignSettled, Observer, is_heard, notify


@frozen(kw_only=True)
class Batchful:
    """Outcomes decided together, in columns; `outcomes` makes the values."""

    rows: Sequence[int]
    numbers: Sequence[str] = field(repr=False)
    statuses: Sequence[Status]
    details: Mapping[int, str] = field(repr=False)
    book: OutcomeBook = field(repr=False)

    def outcomes(self) -> Iterator[ContactOutcome]:
        """Make the outcome of each contact."""
        line, detail = self.book.line, self.details.get
        for at, (row, number, status) in enumerate(zip(self.rows, self.numbers, self.statuses, strict=True)):
            yield ContactOutcome(
                index=row, phone_number=number, status=status, detail=detail(at, ""), line=line(row)
            )


Emit = Callable[[Batchful], Awaitable[None]]


class Account:
    """The outcomes of a run, by row and by campaign.

    Args:
        book: The columns of outcomes.
        campaigns: Those of campaigns.
        emit: Told about outcomes as they are decided, or None.
        observer: Told about campaigns.
    """

    def __init__(
        self, *, book: OutcomeBook, campaigns: CampaignBook, emit: Emit | None, observer: Observer | None
    ) -> None:
        self.book = book
        self.campaigns = campaigns
        self.discrepancies: list[str] = []
        self._emit = emit
        self._observer = observer

    async def settled(self, part: Part, settlement: Settlement, detail: str = "") -> None:
        """The API has the campaign, and its reply says this of the contacts."""
        self.write_settled(part, settlement, detail)
        if self._emit is not None:
            await self._tell(part.chunk.rows, part.chunk.numbers, settlement.statuses, settlement.details)

    def write_settled(self, part: Part, settlement: Settlement, detail: str = "") -> None:
        """The same as `settled`, telling nobody who would have to be waited for."""
        self.book.settle(part.chunk.rows, settlement.statuses, settlement.details)
        if settlement.discrepancies:
            self.discrepancies += [f"{part.name}: {words}" for words in settlement.discrepancies]
        self._note(part, Status.ACCEPTED, detail, settlement.summary)

    async def ended(self, part: Part, status: Status, detail: str) -> None:
        """All contacts of the campaign have the same outcome."""
        self.write(part, status, detail)
        await self._tell_all(part.chunk.rows, part.chunk.numbers, status, detail)

    def write(self, part: Part, status: Status, detail: str) -> None:
        """The same as `ended`, telling nobody who would have to be waited for."""
        self.book.settle_all(part.chunk.rows, status, detail)
        self._note(part, status, detail, Summary())

    def hold(self, part: Part, detail: str) -> None:
        """The campaign is UNKNOWN for now, and is being looked for: `ended` or `settled` follows."""
        self.book.settle_all(part.chunk.rows, Status.UNKNOWN, detail)

    async def never_dispatched(self, rows: Sequence[int], numbers: Sequence[str], detail: str) -> None:
        """Rows that never became part of a campaign, because the run stopped first."""
        self.book.settle_all(rows, Status.NOT_SUBMITTED, detail)
        await self._tell_all(rows, numbers, Status.NOT_SUBMITTED, detail)

    async def excluded(self, rows: Sequence[Excluded]) -> None:
        """Rows that are never submitted; the intake has entered them into the book."""
        await self._tell(
            [row.index for row in rows],
            [row.shown for row in rows],
            [row.status for row in rows],
            {at: row.detail for at, row in enumerate(rows)},
        )

    def _note(self, part: Part, status: Status, detail: str, summary: Summary) -> None:
        contacts = len(part.chunk)
        self.campaigns.note(part.seq, contacts=contacts, status=status, summary=summary, detail=detail)
        if is_heard(self._observer):
            notify(self._observer, CampaignSettled(name=part.name, contacts=contacts, outcome=status.value))

    async def _tell_all(
        self, rows: Sequence[int], numbers: Sequence[str], status: Status, detail: str
    ) -> None:
        if self._emit is not None:
            statuses = StatusColumn(common=status, length=len(rows))
            await self._tell(rows, numbers, statuses, dict.fromkeys(range(len(rows)), detail))

    async def _tell(
        self,
        rows: Sequence[int],
        numbers: Sequence[str],
        statuses: Sequence[Status],
        details: Mapping[int, str],
    ) -> None:
        if self._emit is not None:
            await self._emit(
                Batchful(rows=rows, numbers=numbers, statuses=statuses, details=details, book=self.book)
            )
