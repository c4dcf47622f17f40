"""What is written into a journal: each function is one order, carried out in the transaction of a group.

Every change of a chunk's state is a compare-and-swap: it names the state it expects and the token of the claim, and
where nothing matches it raises `StaleClaimError` before it has written anything. Claims, their releases and the
results, which are nearly all that is ever ordered, are in `smspop_async.journal.swaps`.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache, partial
from itertools import chain, islice
from typing import Final

from attrs import frozen

from smspop_async.api.models import Status
from smspop_async.journal import packing
from smspop_async.journal.base import (
    ChunkState,
    LineRun,
    PlannedChunk,
    RejectedRow,
    SendPlan,
    SendState,
)
from smspop_async.journal.schema import SEQ_BITS, chunk_id
from smspop_async.journal.swaps import STATUSES, check_swapped

SECOND_TRY = "it was not found, and a second try was asked for"
LEFT_BEHIND = "the process that was sending this campaign died; it may have been sent"

_AT_ONCE: Final = 25
"""Chunks that are entered with one statement: to prepare a longer one costs more than it spares."""

_ROWS: Final = 100
"""Small rows that are."""


def begin(connection: sqlite3.Connection, *, plan: SendPlan, state: SendState, now: float) -> int:
    """Enter a send and return its id."""
    row = connection.execute(
        "INSERT INTO send (run, name, sender_id, message, base_url, settings, created_at, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            plan.run,
            packing.pack_text(plan.name),
            packing.pack_text(plan.sender_id),
            packing.pack_text(plan.message),
            packing.pack_text(plan.base_url),
            json.dumps(plan.settings),
            now,
            state.value,
        ),
    ).fetchone()
    return int(row[0])


def mark(connection: sqlite3.Connection, *, send: int, state: SendState, now: float, note: str = "") -> None:
    """Say where a send stands."""
    words = packing.pack_text(note)
    connection.execute("UPDATE send SET state = ?, note = ? WHERE id = ?", (state.value, words, send))
    if state is SendState.ABANDONED:
        connection.execute(
            "UPDATE chunk SET state = 'failed', detail = ?, changed_at = ?, note = ''"
            " WHERE state = 'planned' AND id BETWEEN ? AND ?",
            (words, now, chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
        )


@frozen(kw_only=True)
class Unfinished:
    """A send that a resume would go on with."""

    run: str
    begun_at: float


def complete(connection: sqlite3.Connection, *, send: int, now: float) -> Unfinished | None:
    """Say that all contacts of a send are written down; where the same send is not finished, abandon this one.

    It is the same if it has the same name, text, sender, place and contacts, in the same campaigns.

    Args:
        connection: The journal.
        send: The send's id.
        now: Seconds since the epoch.

    Returns:
        The one that is not finished.
    """
    same = _abandon_for(connection, _SAME, send=send, now=now)
    if same is None:
        mark(connection, send=send, state=SendState.PLANNED, now=now)
    return same


def begin_along(connection: sqlite3.Connection, *, send: int, now: float) -> Unfinished | None:
    """Look whether a send that is written down while it goes out begins as one that is not finished; then abandon it.

    Args:
        connection: The journal.
        send: The send's id; its first chunk is written down.
        now: Seconds since the epoch.

    Returns:
        The one that is not finished.
    """
    return _abandon_for(connection, _SAME_BEGINNING, send=send, now=now)


def _abandon_for(connection: sqlite3.Connection, query: str, *, send: int, now: float) -> Unfinished | None:
    """Abandon a send where another one is found."""
    found = connection.execute(query, {"send": send, "bits": SEQ_BITS}).fetchone()
    if found is None:
        return None
    run, begun_at = found
    note = f"the same send, {run}, is not finished; nothing of this one went out"
    mark(connection, send=send, state=SendState.ABANDONED, now=now, note=note)
    return Unfinished(run=run, begun_at=begun_at)


_SAME: Final = """
    SELECT other.run, other.created_at FROM send AS mine JOIN send AS other
        ON (other.name, other.message, other.sender_id, other.base_url, other.total)
        = (mine.name, mine.message, mine.sender_id, mine.base_url, mine.total)
    WHERE mine.id = :send AND other.id <> mine.id AND other.state = 'planned'
        AND EXISTS (SELECT 1 FROM chunk WHERE id = (mine.id << :bits) + 1)
        AND EXISTS (
            SELECT 1 FROM chunk WHERE id BETWEEN other.id << :bits AND (other.id + 1 << :bits) - 1
                AND state IN ('planned', 'submitting', 'unknown'))
        AND NOT EXISTS (
            SELECT 1 FROM chunk_contacts AS these LEFT JOIN chunk_contacts AS those
                ON those.id = these.id - (mine.id - other.id << :bits)
            WHERE these.id BETWEEN mine.id << :bits AND (mine.id + 1 << :bits) - 1
                AND those.numbers IS NOT these.numbers)
    ORDER BY other.id DESC"""
_SAME_BEGINNING: Final = """
    SELECT other.run, other.created_at FROM send AS mine JOIN send AS other
        ON (other.name, other.message, other.sender_id, other.base_url)
        = (mine.name, mine.message, mine.sender_id, mine.base_url)
    WHERE mine.id = :send AND other.id < mine.id AND other.state IN ('planned', 'streaming')
        AND EXISTS (
            SELECT 1 FROM chunk WHERE id BETWEEN other.id << :bits AND (other.id + 1 << :bits) - 1
                AND state IN ('planned', 'submitting', 'unknown'))
        AND (SELECT numbers FROM chunk_contacts WHERE id = (other.id << :bits) + 1)
            = (SELECT numbers FROM chunk_contacts WHERE id = (mine.id << :bits) + 1)
    ORDER BY other.id DESC"""
"""Of a source that may never end, the first campaign is all that can be compared before anything is sent."""


def begin_again(connection: sqlite3.Connection, *, send: int) -> None:
    """What stopped a send is no reason any more, now that it goes on."""
    connection.execute(
        "UPDATE send SET note = '' WHERE id = ? AND note <> '' AND state <> 'abandoned'", (send,)
    )


def finish(connection: sqlite3.Connection, *, send: int, words: str, now: float) -> None:
    """Say what stopped a send, or that nothing did. One that ends before all of it was planned is abandoned."""
    state = connection.execute("SELECT state FROM send WHERE id = ?", (send,)).fetchone()
    if state == (SendState.PLANNING.value,):
        why = f"ended before all contacts were written down, so that nothing of it went out. {words}".rstrip()
        mark(connection, send=send, state=SendState.ABANDONED, now=now, note=why)
    elif state != (SendState.ABANDONED.value,):  # which has its note already
        connection.execute("UPDATE send SET note = ? WHERE id = ?", (packing.pack_text(words), send))


def plan(
    connection: sqlite3.Connection,
    *,
    send: int,
    chunks: Sequence[PlannedChunk],
    rejected: Iterable[RejectedRow],
    lines: Iterable[LineRun],
    total: int,
) -> None:
    """Enter rows: those to send in chunks, and those not.

    Args:
        connection: The journal.
        send: The send's id.
        chunks: New chunks.
        rejected: Rows that are never submitted; asked for anew where the order is carried out once more.
        lines: Where the lines of the file take another step than the rows; asked for as `rejected` are.
        total: Rows read so far.
    """
    phrase = cache(partial(_phrase, connection))
    insert_chunks(connection, send=send, chunks=chunks)
    _enter(
        connection,
        "rejected",
        (
            (send, row.row, STATUSES[row.status], packing.pack_text(row.shown), phrase(row.detail))
            for row in rejected
        ),
    )
    _enter(connection, "line_run", ((send, run.row, run.line) for run in lines))
    connection.execute("UPDATE send SET total = ? WHERE id = ?", (total, send))


def insert_chunks(connection: sqlite3.Connection, *, send: int, chunks: Sequence[PlannedChunk]) -> None:
    """Enter chunks as planned."""
    texts: dict[str, int] = {}
    for begin in range(0, len(chunks), _AT_ONCE):
        some = chunks[begin : begin + _AT_ONCE]
        rows: list[object] = []
        contacts: list[object] = []
        for chunk in some:
            if chunk.text not in texts:
                texts = {chunk.text: _phrase(connection, chunk.text)}
            at = chunk_id(send, chunk.seq)
            rows += (
                at,
                len(chunk.numbers),
                chunk.rows[0],
                texts[chunk.text],
                STATUSES[chunk.status],
                packing.pack_text(chunk.detail) if chunk.detail else "",
            )
            contacts += (at, packing.pack_rows(chunk.rows), packing.pack_numbers(chunk.numbers, chunk.packed))
        connection.execute(_insert_chunks(len(some)), rows)
        connection.execute(_insert("chunk_contacts", len(some), 3), contacts)


@cache
def _insert_chunks(count: int) -> str:
    values = ", ".join(["(?, 'planned', ?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO chunk (id, state, contacts, first_row, text_id, status, detail) VALUES {values}"  # noqa: S608


def _enter(connection: sqlite3.Connection, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Enter rows, many with one statement: between two of them the event loop is waited for, or waits."""
    left = iter(rows)
    while some := list(islice(left, _ROWS)):
        connection.execute(_insert(table, len(some), len(some[0])), list(chain.from_iterable(some)))


@cache
def _insert(table: str, rows: int, columns: int) -> str:
    values = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join([values] * rows)}"  # noqa: S608 - our own words


def replace(
    connection: sqlite3.Connection,
    *,
    send: int,
    chunk: int,
    token: int,
    now: float,
    words: str,
    by: Sequence[PlannedChunk],
) -> None:
    """Put a chunk's contacts into others: submitting or unknown -> replaced.

    Raises:
        StaleClaimError: it is not claimed by this token.
    """
    _retire(connection, chunk, token, now, words, ChunkState.SUBMITTING, ChunkState.UNKNOWN)
    insert_chunks(connection, send=send, chunks=by)


def claim_second(
    connection: sqlite3.Connection,
    *,
    send: int,
    chunk: int,
    token: int,
    now: float,
    first: int,
    first_token: int,
    by: PlannedChunk,
) -> None:
    """Claim a second try: what it is a try of goes from unknown to replaced, and the try itself to submitting.

    Raises:
        StaleClaimError: the first is not unknown any more, or not by this token.
    """
    _retire(connection, first, first_token, now, SECOND_TRY, ChunkState.UNKNOWN)
    if connection.execute("SELECT count(*) FROM chunk WHERE id = ?", (chunk,)).fetchone()[0] == 0:
        insert_chunks(connection, send=send, chunks=[by])
    check_swapped(
        connection.execute(
            "UPDATE chunk SET state = 'submitting', token = ?, claimed_at = ?, changed_at = ?, note = ''"
            " WHERE id = ? AND state IN ('planned', 'replaced')",
            (token, now, now, chunk),
        )
    )


def release_second(
    connection: sqlite3.Connection, *, chunk: int, token: int, now: float, first: int, words: str
) -> None:
    """Give back a second try that did not leave: what it is a try of is unknown again, and can be looked for.

    Raises:
        StaleClaimError: it is not claimed by this token.
    """
    _retire(connection, chunk, token, now, words, ChunkState.SUBMITTING)
    connection.execute(
        "UPDATE chunk SET state = 'unknown', changed_at = ?, note = ? WHERE id = ? AND state = 'replaced'",
        (now, packing.pack_text(words), first),
    )


def _retire(
    connection: sqlite3.Connection, chunk: int, token: int, now: float, words: str, *states: ChunkState
) -> None:
    """Let a chunk's contacts be in others: it goes to replaced from one of `states`.

    Raises:
        StaleClaimError: it stands elsewhere, or is not claimed by this token.
    """
    places = ", ".join("?" * len(states))
    where = f"id = ? AND token = ? AND state IN ({places})"
    update = f"UPDATE chunk SET state = 'replaced', changed_at = ?, note = ? WHERE {where}"  # noqa: S608
    values = (now, packing.pack_text(words), chunk, token, *(state.value for state in states))
    check_swapped(connection.execute(update, values))


def give_up(connection: sqlite3.Connection, *, now: float) -> None:
    """Write down what a dead process has left behind."""
    give_up_claims(connection, now=now)
    give_up_plans(connection, now=now)


def give_up_claims(connection: sqlite3.Connection, *, now: float) -> None:
    """Make unknown what was submitting, for all that a dead process has left behind."""
    connection.execute(
        "UPDATE chunk SET state = 'unknown', status = ?, detail = ?, changed_at = ?, note = ?"
        " WHERE state = 'submitting'",
        (Status.UNKNOWN.value, LEFT_BEHIND, now, LEFT_BEHIND),
    )


def _phrase(connection: sqlite3.Connection, body: str) -> int:
    """The id of a text, which is kept once."""
    words = packing.pack_text(body)
    row = connection.execute("SELECT id FROM phrase WHERE body = ?", (words,)).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO phrase (body) VALUES (?) RETURNING id", (words,)).fetchone()
    return int(row[0])


def give_up_plans(connection: sqlite3.Connection, *, now: float) -> None:
    """Abandon all sends whose contacts were not written down to the end, be it that their process died."""
    words = (
        "the list was not written down to its end, so that nothing of this send went out: "
        "its process died, or the disk was full"
    )
    for (send,) in connection.execute("SELECT id FROM send WHERE state = 'planning'").fetchall():
        mark(connection, send=send, state=SendState.ABANDONED, now=now, note=words)
