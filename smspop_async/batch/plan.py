"""What a send would do, worked out without sending: no token, no network, no event loop."""

from collections.abc import Iterator
from string import Template
from typing import Final

from attrs import field, frozen

from smspop_async.api.models import Status
from smspop_async.batch.chunks import CHUNK_LIMIT, Chunker
from smspop_async.batch.intake import check_count, check_run
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.sorting import Excluded, Sorted, Sorter
from smspop_async.batch.suppression import read_roster
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.sources import Contacts, Slab, read_slabs
from smspop_async.mask import mask_number
from smspop_async.message import MessageCost, measure

_LISTED: Final = 10_000


@frozen(kw_only=True)
class InvalidRow:
    """A row that would not be sent, and why."""

    index: int
    """The row's position in the input, from 0."""
    line: int | None
    """The line of the file (1-based), or None where the rows are not from a file."""
    reason: str
    text: str = field(repr=mask_number)
    """What stands there, cut to 64 characters."""


@frozen(kw_only=True)
class Plan:
    """What `plan_campaign` found out."""

    total: int
    """Rows read."""
    valid: int
    """Rows that would be sent."""
    invalid: tuple[InvalidRow, ...] = field(repr=lambda rows: f"<{len(rows)} rows>")
    """The first 10,000 rows that are not phone numbers or lack a field; `invalid_count` counts all."""
    invalid_count: int
    duplicates: int
    """Rows whose number stands further up."""
    suppressed: int
    """Rows whose number is on the suppression list."""
    chunks: int
    """Campaigns that would be submitted."""
    segments: int
    """Segments of the longest text: what one contact costs at most."""
    credits: int
    """Credits in all: one for each segment of each valid row (assumed; the vendor's document gives no price)."""
    cost: MessageCost
    """Encoding, characters and the characters that forced Unicode, of the longest text."""


def plan_campaign(
    contacts: Contacts,
    *,
    message: str | Template,
    chunk_size: int = 500,
    default_region: str = "ZW",
    suppress: Contacts | None = None,
    column: str | None = None,
) -> Plan:
    """Work out what `SmsPop.send` would do with these arguments. Sends nothing and needs no token.

    This reads the whole source and blocks while it does; a generator is used up by it.

    Args:
        contacts: As for `SmsPop.send`, except an async iterable.
        message: The text, or a template.
        chunk_size: Contacts in one campaign.
        default_region: The region in which a national number is read.
        suppress: Numbers that must not be texted.
        column: The column of the number, where its name is unusual.

    Raises:
        ConfigurationError: the message cannot be sent, the region is unknown, or `contacts` is an async
        iterable. ContactSourceError: contacts or suppression list cannot be read.
    """
    check_run(name="plan", message=message, sender_id="plan")
    check_count("chunk_size", chunk_size, CHUNK_LIMIT)
    normaliser = Normaliser(default_region)
    roster = read_roster(suppress, normaliser)
    book, chunker = OutcomeBook(), Chunker(chunk_size, packs=False)
    sorter = Sorter(message=message, normaliser=normaliser, roster=roster, chunker=chunker, book=book)
    tally = _Tally(message)
    for slab in read_slabs(contacts, column=column, with_fields=isinstance(message, Template)):
        for result in _results(sorter, slab):
            tally.add(result)
    for chunk in chunker.flush():
        tally.add_chunk(chunk.text, len(chunk))
    return tally.plan(book)


def _results(sorter: Sorter, slab: Slab) -> Iterator[Sorted]:
    return (result for result in sorter.sort(slab) if result is not None)


class _Tally:
    """Adds up what the sorter says."""

    def __init__(self, message: str | Template) -> None:
        self._invalid: list[InvalidRow] = []
        self._longest = measure(message if isinstance(message, str) else "")
        self._costs: dict[str, MessageCost] = {}
        self._chunks = self._valid = self._credits = 0

    def add(self, result: Sorted) -> None:
        out = result.excluded
        for at, status in enumerate(out.statuses):
            if status is Status.INVALID and len(self._invalid) < _LISTED:
                self._invalid.append(_invalid_row(out, at))
        for chunk in result.chunks:
            self.add_chunk(chunk.text, len(chunk))

    def add_chunk(self, text: str, contacts: int) -> None:
        cost = self._costs.get(text)
        if cost is None:
            self._costs.clear()  # one text is the rule; a template's texts hardly come twice
            cost = self._costs[text] = measure(text)
        if (cost.segments, cost.units) > (self._longest.segments, self._longest.units):
            self._longest = cost
        self._chunks += 1
        self._valid += contacts
        self._credits += contacts * cost.segments

    def plan(self, book: OutcomeBook) -> Plan:
        counts = book.count()
        return Plan(
            total=len(book),
            valid=self._valid,
            invalid=tuple(self._invalid),
            invalid_count=counts[Status.INVALID],
            duplicates=counts[Status.DUPLICATE],
            suppressed=counts[Status.SUPPRESSED],
            chunks=self._chunks,
            segments=self._longest.segments,
            credits=self._credits,
            cost=self._longest,
        )


def _invalid_row(rows: Excluded, at: int) -> InvalidRow:
    return InvalidRow(index=rows.rows[at], line=rows.lines[at], reason=rows.details[at], text=rows.shown[at])
