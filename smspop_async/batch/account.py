"""Writing down what became of every campaign and row, and telling whoever listens.

The book is written before anybody is told, in one step without an await: a cancellation can lose the telling,
never the outcome. The journal, where there is one, is given its order in the same step.

A contact of a second try (`Chunk.doubt`) may have been texted by the first one. That the second was refused or never
left does not change that: such a contact is UNKNOWN again.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from smspop_async.api.columns import StatusColumn, counted
from smspop_async.api.models import Status, Summary
from smspop_async.api.settle import Settlement
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.chunks import Chunk, Part
from smspop_async.batch.outcomes import ContactOutcome, OutcomeBook
from smspop_async.batch.sorting import Excluded
from smspop_async.events import CampaignSettled, Observer, is_heard, notify
from smspop_async.journal.base import ChunkState, PlannedChunk, Verdict
from smspop_async.journal.sqlite import SendLog

_WAITS: Final = "it waits for its next attempt"
_STATES: Final = {
    Status.ACCEPTED: ChunkState.DONE,
    Status.REJECTED: ChunkState.FAILED,
    Status.UNKNOWN: ChunkState.UNKNOWN,
}


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
        log: The send's place in the journal, or None.
    """

    def __init__(
        self,
        *,
        book: OutcomeBook,
        campaigns: CampaignBook,
        emit: Emit | None,
        observer: Observer | None,
        log: SendLog | None = None,
    ) -> None:
        self.book = book
        self.log = log
        self.campaigns = campaigns
        self.discrepancies: list[str] = []
        self._doubts: dict[int, str] = {}
        """Of the campaigns that are being looked for: the class of the error that left them unknown."""
        self._emit = emit
        self._observer = observer

    def is_heard(self) -> bool:
        """Whether anybody listens for outcomes one by one."""
        return self._emit is not None

    def end_telling(self) -> None:
        """Nobody listens any more."""
        self._emit = None

    async def settled(
        self, part: Part, settlement: Settlement, detail: str = "", *, notes: Sequence[str] = ()
    ) -> None:
        """The API has the campaign, and its reply says this of the contacts."""
        self.write_settled(part, settlement, detail, notes=notes)
        if self._emit is not None:
            await self._tell(part.chunk.rows, part.chunk.numbers, settlement.statuses, settlement.details)

    def write_settled(
        self, part: Part, settlement: Settlement, detail: str = "", *, notes: Sequence[str] = ()
    ) -> None:
        """The same as `settled`, telling nobody who would have to be waited for."""
        self.book.settle(part.chunk.rows, settlement.statuses, settlement.details)
        discrepancies = (*notes, *settlement.discrepancies)
        if discrepancies:
            self.discrepancies += [f"{part.name}: {words}" for words in discrepancies]
        sent, failed = settlement.statuses.sent_and_failed()
        if self.log is not None:
            verdict = Verdict(
                state=ChunkState.DONE,
                status=Status.ACCEPTED,
                detail=detail,
                statuses=settlement.statuses,
                details=settlement.details,
                summary=Summary(sent=sent, failed=failed),
                discrepancies=discrepancies,
            )
            self.log.settle(part.seq, verdict)
        self._note(part, Status.ACCEPTED, detail, settlement.statuses, sent=sent, failed=failed)

    async def ended(
        self,
        part: Part,
        status: Status,
        detail: str,
        *,
        again: bool = False,
        reason: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        """All contacts of the campaign have the same outcome.

        Args:
            part: The campaign.
            status: What became of it.
            detail: Why.
            again: Whether a resume may submit it as it is: it was refused for a reason that lies outside of it.
            reason: The class of the error.
            notes: Where the API contradicted itself.
        """
        self.write(part, status, detail, again=again, reason=reason, notes=notes)
        await self._tell_all(part.chunk.rows, part.chunk.numbers, *_doubted(part.chunk, status, detail))

    def write(
        self,
        part: Part,
        status: Status,
        detail: str,
        *,
        again: bool = False,
        reason: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        """The same as `ended`, telling nobody who would have to be waited for."""
        self.discrepancies += [f"{part.name}: {words}" for words in notes]
        for_contacts, words = _doubted(part.chunk, status, detail)
        self.book.settle_all(part.chunk.rows, for_contacts, words)
        if self.log is not None:
            if again or status is not for_contacts or status is Status.NOT_SUBMITTED:
                self.log.release(part.seq, for_contacts, words)
            else:
                verdict = Verdict(state=_STATES[status], status=status, detail=words, discrepancies=notes)
                self.log.settle(part.seq, verdict)
        statuses = StatusColumn(common=for_contacts, length=len(part.chunk))
        self._note(part, status, detail, statuses, reason=reason)

    def hold(self, part: Part, detail: str, reason: str = "") -> None:
        """The campaign is UNKNOWN for now, and is being looked for: `ended` or `settled` follows."""
        self._doubts[part.seq] = reason
        self.book.settle_all(part.chunk.rows, Status.UNKNOWN, detail)
        if self.log is not None:
            verdict = Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail=detail)
            self.log.settle(part.seq, verdict)

    def second_try(self, first: Part, chunk: Chunk) -> None:
        """The campaign was not found, and its contacts are to be sent to once more, as was asked for."""
        if self.log is not None:
            self.log.second_try(first.seq, planned_chunk(chunk))

    def give_back(self, part: Part) -> None:
        """The campaign is proven unsent, and waits for its next attempt."""
        if self.log is not None:
            status, words = _doubted(part.chunk, Status.NOT_SUBMITTED, _WAITS)
            self.log.release(part.seq, status, words if part.chunk.doubt else "")

    def replaced(self, part: Part, chunks: Sequence[Chunk], words: str) -> None:
        """The contacts of the campaign will be submitted in other chunks, which are numbered."""
        self._doubts.pop(part.seq, None)
        if self.log is not None:
            self.log.replace(part.seq, [planned_chunk(chunk) for chunk in chunks], words)

    async def never_dispatched(self, chunk: Chunk, detail: str) -> None:
        """Rows that never became part of a campaign, because the run stopped first."""
        status, words = _doubted(chunk, Status.NOT_SUBMITTED, detail)
        self.book.settle_all(chunk.rows, status, words)
        await self._tell_all(chunk.rows, chunk.numbers, status, words)

    async def excluded(self, rows: Excluded) -> None:
        """Rows that are never submitted; the intake has entered them into the book."""
        if self._emit is not None:
            await self._tell(rows.rows, rows.shown, rows.statuses, dict(enumerate(rows.details)))

    def _note(
        self,
        part: Part,
        status: Status,
        detail: str,
        statuses: StatusColumn,
        *,
        sent: int = 0,
        failed: int = 0,
        reason: str = "",
    ) -> None:
        contacts = len(part.chunk)
        doubt = self._doubts.pop(part.seq, "")
        self.campaigns.note(
            part.seq, contacts=contacts, status=status, detail=detail, sent=sent, failed=failed
        )
        if is_heard(self._observer):
            settled = CampaignSettled(
                name=part.name,
                contacts=contacts,
                outcome=status.value,
                statuses=counted(statuses),
                run=part.run,
                reason="" if status is Status.ACCEPTED else reason or doubt,
            )
            notify(self._observer, settled)

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


def planned_chunk(chunk: Chunk) -> PlannedChunk:
    """A numbered chunk as the journal takes it."""
    status = Status.UNKNOWN if chunk.doubt else Status.NOT_SUBMITTED
    return PlannedChunk(
        seq=chunk.seq,
        rows=chunk.rows,
        numbers=chunk.numbers,
        text=chunk.text,
        status=status,
        detail=chunk.doubt,
        packed=chunk.packed,
    )


def _doubted(chunk: Chunk, status: Status, detail: str) -> tuple[Status, str]:
    if chunk.doubt and status in (Status.NOT_SUBMITTED, Status.REJECTED):
        return Status.UNKNOWN, f"{chunk.doubt}; the second try: {detail}"
    return status, detail
