"""Changes of a chunk's state by compare-and-swap, as values, so that all those of a group are one statement.

Between two statements the writing thread has to wait for Python's lock, which the busy event loop holds; that costs
several times what SQLite takes for the change of a chunk. So the claims, the results and the releases that are written
down together are the rows of one UPDATE. Each row names its chunk, the token and the new state, which tells the states
that it expects: a claim a chunk that is planned, the others one that is claimed by this token. Where a chunk stands
elsewhere somebody's claim is stale. Its state is then set to NULL, which the table does not allow, so that SQLite
undoes the whole statement; the caller makes the changes one by one (`smspop_async.journal.commit`).

So the statement needs no transaction around it: alone, it is one, and the commit is a part of it (`swap_alone`). That
leaves the thread one wait for the lock where three statements would have three. The one thing that it does not notice
by itself is a chunk that was never planned. How many it has changed tells, and the others stay changed, as they would
one by one.

The statement is made for 1, 2, 4 … 64 rows and filled up with rows that find nothing, for to prepare it costs as much
as to carry it out a few times. No value is None, which costs the ``sqlite3`` module six times as much as a number.
"""

import sqlite3
from collections.abc import Collection, Sequence
from functools import cache
from itertools import chain
from typing import Final

from attrs import define, field

from smspop_async.api.models import Status
from smspop_async.journal import packing
from smspop_async.journal.base import ChunkState, StaleClaimError, Verdict

AT_ONCE: Final = 64
"""Rows of the largest statement."""
_COLUMNS: Final = (
    "id", "token", "state", "status", "common", "sent", "failed", "detail", "others", "details", "at", "note",
)  # fmt: skip
_NOTHING: Final = (0,) * len(_COLUMNS)
STALE: Final = "The chunk does not stand in the journal as this run left it; it was not submitted."
_PLANNED: Final = ChunkState.PLANNED.value
_SUBMITTING: Final = ChunkState.SUBMITTING.value
_UNKNOWN: Final = Status.UNKNOWN.value
# To look a value up here takes a fifth of the time that an enum's own `value` takes (measured).
_STATES: Final = {state: state.value for state in ChunkState}
STATUSES: Final = {status: status.value for status in Status}


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
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
    for at in range(0, len(swaps), AT_ONCE):
        some = swaps[at : at + AT_ONCE]
        if _changed(connection, some) != len(some):
            raise StaleClaimError(STALE)


def swap_alone(connection: sqlite3.Connection, swaps: Sequence[Swap]) -> Collection[int]:
    """Make changes of different chunks as a transaction of their own.

    Args:
        connection: The journal; no transaction is open.
        swaps: At most `AT_ONCE`.

    Returns:
        The chunks that were never planned. All others are changed.

    Raises:
        StaleClaimError: a chunk is not as expected; all are as they were.
    """
    if _changed(connection, swaps) == len(swaps):
        return ()
    places = ", ".join("?" * len(swaps))
    chunks = [each.chunk for each in swaps]
    there = connection.execute(f"SELECT id FROM chunk WHERE id IN ({places})", chunks)  # noqa: S608
    return {*chunks} - {at for (at,) in there}


def _changed(connection: sqlite3.Connection, swaps: Sequence[Swap]) -> int:
    rows = 1 << (len(swaps) - 1).bit_length()
    values = list(chain.from_iterable([each.values for each in swaps]))
    values += _NOTHING * (rows - len(swaps))
    try:
        return connection.execute(_update(rows), values).rowcount
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname != "SQLITE_CONSTRAINT_NOTNULL":
            raise
        raise StaleClaimError(STALE) from None


def check_swapped(cursor: sqlite3.Cursor) -> None:
    """See that a statement has changed a chunk.

    Raises:
        StaleClaimError: it has changed none.
    """
    if cursor.rowcount != 1:
        raise StaleClaimError(STALE)


def claiming(*, chunk: int, token: int, now: float) -> Swap:
    """Claim a chunk: planned -> submitting. Whoever reads it from here on is told that it may have been sent."""
    return Swap(chunk=chunk, values=(chunk, token, _SUBMITTING, _UNKNOWN, "", 0, 0, "", "", "", now, ""))


def releasing(*, chunk: int, token: int, now: float, status: Status, words: str) -> Swap:
    """Give a claim back: submitting -> planned, for it is proven unsent."""
    said = packing.pack_text(words)
    return Swap(chunk=chunk, values=(chunk, token, _PLANNED, status.value, "", 0, 0, said, "", "", now, said))


def settling(*, chunk: int, token: int, now: float, verdict: Verdict) -> Swap:
    """Decide a chunk: submitting or unknown -> done, failed or unknown."""
    statuses, summary, details = verdict.statuses, verdict.summary, verdict.details
    words = "\n".join(verdict.discrepancies)
    return Swap(
        chunk=chunk,
        values=(
            chunk,
            token,
            _STATES[verdict.state],
            STATUSES[verdict.status],
            STATUSES[statuses.common] if statuses is not None else "",
            summary.sent,
            summary.failed,
            packing.pack_text(verdict.detail) if verdict.detail else "",
            packing.pack_others(statuses) or "" if statuses is not None else "",
            packing.pack_details(details) or "" if details else "",
            now,
            packing.pack_text(words) if words else "",
        ),
    )


@cache
def _update(rows: int) -> str:
    named = ", ".join(f"column{at} AS {name}" for at, name in enumerate(_COLUMNS, 1))
    values = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * rows)
    expected = (
        "iif(new.state = 'submitting', chunk.state = 'planned', chunk.token = new.token"
        " AND (chunk.state = 'submitting' OR chunk.state = 'unknown' AND new.state <> 'planned'))"
    )
    return (
        f"UPDATE chunk SET state = iif({expected}, new.state, NULL), status = new.status, token = new.token,"  # noqa: S608 - our own words
        " claimed_at = iif(new.state = 'submitting', new.at, claimed_at), common = nullif(new.common, ''),"
        " sent = new.sent, failed = new.failed, detail = iif(new.state = 'submitting', chunk.detail, new.detail),"
        " others = nullif(new.others, ''), details = nullif(new.details, ''), changed_at = new.at, note = new.note"
        f" FROM (SELECT {named} FROM (VALUES {values})) AS new"
        " WHERE chunk.id = new.id"
    )
