"""What a journal keeps, as values; no disk here.

A chunk is planned, claimed right before its request leaves, and settled. `ChunkState` is the whole of it:

    planned -> submitting -> done | failed | unknown
    submitting -> planned            proven unsent, or turned away before the application ran
    unknown -> done | failed         late proof
    unknown | submitting -> replaced its contacts are in other chunks now: halves, or a second try that was asked for

A crash before the claim is on the disk leaves it planned: nothing had left. A crash after that leaves it
submitting, and whoever owns the journal next knows that nobody else is at it: it is unknown.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import define, field, frozen

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status, Summary
from smspop_async.errors import JournalError
from smspop_async.mask import mask_name


class ChunkState(StrEnum):
    """Where a chunk stands."""

    PLANNED = "planned"
    """Not submitted; no byte of it has left."""
    SUBMITTING = "submitting"
    """A request is about to leave, or under way."""
    DONE = "done"
    """The API has the campaign."""
    FAILED = "failed"
    """The API refused it, or its send was abandoned; nobody was texted."""
    UNKNOWN = "unknown"
    """It may have been sent."""
    REPLACED = "replaced"
    """Its contacts are in other chunks."""


class SendState(StrEnum):
    """Where a send stands."""

    PLANNING = "planning"
    """Its contacts are being written down, and nothing is sent before all of them are."""
    STREAMING = "streaming"
    """Its contacts are written down as they are sent: the source has not ended yet."""
    PLANNED = "planned"
    """All of its contacts are in the journal."""
    ABANDONED = "abandoned"
    """It ended before all of its contacts were written down, and nothing of it was or will be sent."""


@frozen(kw_only=True)
class SendPlan:
    """A send as it is begun: all that a resume needs to know, but the contacts and the token."""

    run: str
    """The token in the names of its campaigns."""
    name: str = field(repr=mask_name)
    sender_id: str
    message: str = field(repr=False)
    """The text, or the source of the template."""
    base_url: str
    settings: Mapping[str, Any]
    """Pace and policy, as JSON values."""


@frozen(kw_only=True)
class SendRecord:
    """A send as it stands in a journal."""

    run: str
    """The token in the names of its campaigns; names the send in ``resume(run=…)`` and ``smspop report``."""
    name: str = field(repr=mask_name)
    sender_id: str
    message: str = field(repr=False)
    base_url: str
    settings: Mapping[str, Any] = field(repr=False)
    created_at: float
    """Seconds since the epoch."""
    state: SendState
    note: str = ""
    """What ended it early, where something did."""
    rows: int = 0
    """Rows read."""
    chunks: Mapping[ChunkState, int]
    """How many chunks stand where."""
    contacts: Mapping[ChunkState, int]
    """How many contacts are in them."""

    @property
    def finished(self) -> bool:
        """Whether a resume would have nothing to send and nothing to look for."""
        waiting = (ChunkState.PLANNED, ChunkState.SUBMITTING, ChunkState.UNKNOWN)
        return self.state is SendState.ABANDONED or not any(self.chunks.get(state) for state in waiting)


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class PlannedChunk:
    """A chunk to be written down."""

    seq: int
    """Counts the campaigns of a send, from 1; it is the number in the campaign's name."""
    rows: Sequence[int] = field(repr=False)
    """Positions in the input, ascending."""
    numbers: Sequence[str] = field(repr=False)
    text: str = field(repr=False)
    status: Status = Status.NOT_SUBMITTED
    """What its contacts are for now: UNKNOWN where this is a second try."""
    detail: str = field(default="", repr=False)
    packed: bytes | None = field(default=None, repr=False)
    """The numbers with two digits in a byte, rows of one width, where they are at hand so."""


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Verdict:
    """What became of a chunk."""

    state: ChunkState
    status: Status
    """The campaign's: ACCEPTED, REJECTED, UNKNOWN or NOT_SUBMITTED."""
    detail: str = field(default="", repr=False)
    statuses: StatusColumn | None = field(default=None, repr=False)
    """The contacts', where the API gave them; without them they all have `status`."""
    details: Mapping[int, str] = field(factory=dict[int, str], repr=False)
    summary: Summary = field(factory=Summary)
    discrepancies: Sequence[str] = ()

    @property
    def campaign(self) -> Status:
        """The campaign's status, which differs from the contacts' where a second try was refused."""
        return _CAMPAIGNS.get(self.state, self.status)


_CAMPAIGNS = {
    ChunkState.DONE: Status.ACCEPTED,
    ChunkState.FAILED: Status.REJECTED,
    ChunkState.UNKNOWN: Status.UNKNOWN,
}


@frozen(kw_only=True)
class StoredChunk:
    """A chunk as it stands in a journal."""

    planned: PlannedChunk
    verdict: Verdict
    """For a chunk that is not decided: NOT_SUBMITTED, or what the last try came to."""
    token: int
    """Of its last claim."""
    claimed_at: float | None
    """Seconds since the epoch at which it was last about to leave."""


@frozen(kw_only=True)
class RejectedRow:
    """A row that is never submitted."""

    row: int
    status: Status
    shown: str = field(repr=False)
    """Its number, or what stood in its place."""
    detail: str = field(repr=False)


@frozen(kw_only=True)
class LineRun:
    """From `row` on, rows stand in consecutive lines of the file, beginning with `line`; None: they have none."""

    row: int
    line: int | None


@frozen(kw_only=True)
class StoredRows:
    """Consecutive rows of the input as they stand in a journal."""

    first: int
    numbers: Sequence[str] = field(repr=False)
    status: Status
    """What became of most of them."""
    detail: str = field(repr=False)
    others: Mapping[int, tuple[Status, str]] = field(repr=False)
    """Offset to status and detail, where they differ."""
    line: int | None
    """The line of the first; the others follow it."""
    waiting: bool
    """Whether a resume will send them."""


class StaleClaimError(JournalError):
    """A chunk does not stand where its owner believes; nothing of it was sent by this attempt."""
