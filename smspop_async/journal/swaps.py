"""Changes of a chunk's state by compare-and-swap, as values, so that all those of a group are one statement.

Between two statements the writing thread has to wait for Python's lock, which the busy event loop holds; that costs
several times what SQLite takes for the change of a chunk. So the claims, the results and the releases that are written
down together are the rows of one UPDATE. Each row names its chunk, the token and the new state, which tells the states
that it expects: a claim a chunk that is planned, the others one that is claimed by this token. SQLite changes the chunk
or does not, and says how many it has changed. Where those are fewer than the rows somebody's claim is stale, and the
caller undoes all and makes the changes one by one (`smspop_async.journal.commit`).

The statement is made for 1, 2, 4 … 32 rows and filled up with rows that find nothing, for to prepare it costs as much
as to carry it out a few times. No value is None, which costs the ``sqlite3`` module six times as much as a number.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Final

from attrs import field, frozen

from smspop_async.api.models import Status
from smspop_async.journal import packing
from smspop_async.journal.base import ChunkState, StaleClaimError, Verdict

_AT_ONCE: Final = 32
"""Rows of the largest statement."""
_COLUMNS: Final = (
    "id", "token", "state", "status", "common", "sent", "failed", "detail", "others", "details", "at", "note",
)  # fmt: skip
_NOTHING: Final = (0,) * len(_COLUMNS)
_PLANNED: Final = ChunkState.PLANNED.value
_SUBMITTING: Final = ChunkState.SUBMITTING.value


@frozen(kw_only=True)
class Swap:
    """One change; an order of its own, too."""

    chunk: int
    values: tuple[object, ...] = field(repr=False)

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Make the change.

        Raises:
            StaleClaimError: the chunk is not as expected; nothing was written.
        """
        swap(connection, (self,))


def swap(connection: sqlite3.Connection, swaps: Sequence[Swap]) -> None:
    """Make changes of different chunks.

    Args:
        connection: The journal.
        swaps: No two of them of the same chunk.

    Raises:
        StaleClaimError: a chunk is not as expected; that one is as it was, and others may have been changed.
    """
    for at in range(0, len(swaps), _AT_ONCE):
        some = swaps[at : at + _AT_ONCE]
        rows = 1 << (len(some) - 1).bit_length()
        values = [value for each in some for value in each.values]
        values += _NOTHING * (rows - len(some))
        check_swapped(connection.execute(_update(rows), values), len(some))


def check_swapped(cursor: sqlite3.Cursor, chunks: int = 1) -> None:
    """See that a statement has changed so many chunks.

    Raises:
        StaleClaimError: it has changed fewer.
    """
    if cursor.rowcount != chunks:
        raise StaleClaimError(
            "The chunk does not stand in the journal as this run left it; it was not submitted."
        )


def claiming(*, chunk: int, token: int, now: float) -> Swap:
    """Claim a chunk: planned -> submitting. Whoever reads it from here on is told that it may have been sent."""
    return Swap(
        chunk=chunk, values=(chunk, token, _SUBMITTING, Status.UNKNOWN.value, "", 0, 0, "", "", "", now, "")
    )


def releasing(*, chunk: int, token: int, now: float, status: Status, words: str) -> Swap:
    """Give a claim back: submitting -> planned, for it is proven unsent."""
    said = packing.pack_text(words)
    return Swap(chunk=chunk, values=(chunk, token, _PLANNED, status.value, "", 0, 0, said, "", "", now, said))


def settling(*, chunk: int, token: int, now: float, verdict: Verdict) -> Swap:
    """Decide a chunk: submitting or unknown -> done, failed or unknown."""
    statuses, summary = verdict.statuses, verdict.summary
    return Swap(
        chunk=chunk,
        values=(
            chunk,
            token,
            verdict.state.value,
            verdict.status.value,
            statuses.common.value if statuses is not None else "",
            summary.sent,
            summary.failed,
            packing.pack_text(verdict.detail),
            (packing.pack_others(statuses) or "") if statuses is not None else "",
            packing.pack_details(verdict.details) or "",
            now,
            packing.pack_text("\n".join(verdict.discrepancies)),
        ),
    )


@cache
def _update(rows: int) -> str:
    named = ", ".join(f"column{at} AS {name}" for at, name in enumerate(_COLUMNS, 1))
    values = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * rows)
    return (
        "UPDATE chunk SET state = new.state, status = new.status, token = new.token,"  # noqa: S608 - our own words
        " claimed_at = iif(new.state = 'submitting', new.at, claimed_at), common = nullif(new.common, ''),"
        " sent = new.sent, failed = new.failed, detail = iif(new.state = 'submitting', chunk.detail, new.detail),"
        " others = nullif(new.others, ''), details = nullif(new.details, ''), changed_at = new.at, note = new.note"
        f" FROM (SELECT {named} FROM (VALUES {values})) AS new"
        " WHERE chunk.id = new.id AND iif(new.state = 'submitting', chunk.state = 'planned', chunk.token = new.token"
        " AND (chunk.state = 'submitting' OR chunk.state = 'unknown' AND new.state <> 'planned'))"
    )
