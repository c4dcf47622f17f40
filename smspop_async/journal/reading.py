"""What is read from a journal, on any connection to it. Plain and blocking: for a thread.

The rows of a send lie in chunks, and those that are not sent in a table of their own. `read_rows` puts them back into
input order: the chunks are opened in the order of their first rows, and only those are held that overlap, which the
chunker bounds. Memory does not grow with the send: SQLite sorts the chunks' ids, which are small, and not the chunks,
which it would copy to its temporary files first, numbers and all.
"""

import heapq
import json
import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from attrs import define

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status, Summary
from smspop_async.journal import packing
from smspop_async.journal.base import (
    ChunkState,
    PlannedChunk,
    SendRecord,
    SendState,
    StoredChunk,
    StoredRows,
    Verdict,
)
from smspop_async.journal.schema import SEQ_BITS, chunk_id, seq_of

_AT_ONCE: Final = 2_000
_TOGETHER: Final = 32_000
"""Contacts after which no further chunk is read with others: 3 MB. A chunk may have 50,000."""
_LOST: Final = "read, but not yet in the journal when the process died; it was not sent"
_NO_ROW: Final = 1 << 62
_text: Final = packing.unpack_text

_SEND: Final = "id, run, name, sender_id, message, base_url, settings, created_at, state, note, total"
_CHUNK: Final = (
    "chunk.id, chunk.state, token, chunk.contacts, chunk.first_row, chunk.claimed_at, chunk.status, chunk.common,"
    " chunk.sent, chunk.failed, chunk.detail, chunk.others, chunk.details, row_runs, numbers, phrase.body"
)
_CHUNKS: Final = (
    f"SELECT {_CHUNK} FROM chunk JOIN chunk_contacts USING (id) JOIN phrase ON phrase.id = chunk.text_id"  # noqa: S608
)


def read_sends(connection: sqlite3.Connection) -> list[tuple[int, SendRecord]]:
    """All sends in the order of their beginnings, each with its id."""
    sends = connection.execute(f"SELECT {_SEND} FROM send ORDER BY id").fetchall()  # noqa: S608 - our own words
    counted: dict[int, dict[ChunkState, tuple[int, int]]] = {}
    for send, state, chunks, contacts in connection.execute(
        f"SELECT id >> {SEQ_BITS}, state, count(*), sum(contacts) FROM chunk GROUP BY 1, 2"  # noqa: S608
    ):
        counted.setdefault(send, {})[ChunkState(state)] = (chunks, contacts)
    return [(row[0], _send(row, counted.get(row[0], {}))) for row in sends]


def _send(row: Sequence[Any], counted: Mapping[ChunkState, tuple[int, int]]) -> SendRecord:
    _, run, name, sender_id, message, base_url, settings, created_at, state, note, total = row
    return SendRecord(
        run=run,
        name=_text(name),
        sender_id=_text(sender_id),
        message=_text(message),
        base_url=_text(base_url),
        settings=json.loads(settings),
        created_at=created_at,
        state=SendState(state),
        note=_text(note),
        rows=total,
        chunks={chunk_state: chunks for chunk_state, (chunks, _) in counted.items()},
        contacts={chunk_state: contacts for chunk_state, (_, contacts) in counted.items()},
    )


def last_seq(connection: sqlite3.Connection, send: int) -> int:
    """The highest number of a chunk of a send, or 0."""
    row = connection.execute(
        "SELECT max(id) FROM chunk WHERE id BETWEEN ? AND ?", (chunk_id(send, 0), chunk_id(send + 1, 0) - 1)
    ).fetchone()
    return seq_of(row[0]) if row[0] is not None else 0


def read_chunks(
    connection: sqlite3.Connection, send: int, state: ChunkState, *, after: int, limit: int
) -> list[StoredChunk]:
    """Chunks that stand in `state`, by their numbers.

    Args:
        connection: The journal.
        send: The send's id.
        state: Which chunks.
        after: The number after which to begin.
        limit: How many at most; fewer where they have many contacts, but one if there is any.
    """
    chunks: list[StoredChunk] = []
    contacts = 0
    with closing(
        connection.execute(
            f"{_CHUNKS} WHERE chunk.id > ? AND chunk.id < ? AND state = ? ORDER BY chunk.id LIMIT ?",
            (chunk_id(send, after), chunk_id(send + 1, 0), state.value, limit),
        )
    ) as rows:
        for row in rows:
            chunks.append(_chunk(row))
            contacts += len(chunks[-1].planned.numbers)
            if contacts >= _TOGETHER:
                break
    return chunks


def read_decided(connection: sqlite3.Connection, send: int) -> Iterator[tuple[int, int, Verdict]]:
    """Number, contacts and verdict of every campaign of a send that was submitted, without their contacts' statuses."""
    rows = connection.execute(
        "SELECT id, contacts, state, status, sent, failed, detail FROM chunk"
        " WHERE id BETWEEN ? AND ? AND state IN ('done', 'failed', 'unknown') AND claimed_at IS NOT NULL ORDER BY id",
        (chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
    )
    for at, contacts, state, status, sent, failed, detail in rows:
        verdict = Verdict(
            state=ChunkState(state),
            status=Status(status),
            detail=_text(detail),
            summary=Summary(sent=sent, failed=failed),
        )
        yield seq_of(at), contacts, verdict


def count_statuses(connection: sqlite3.Connection, send: int) -> Counter[Status]:
    """How many rows of a send have which status; the contacts themselves are not read."""
    counts: Counter[Status] = Counter()
    for contacts, status, common, others in connection.execute(
        "SELECT contacts, status, common, others FROM chunk WHERE id BETWEEN ? AND ? AND state <> 'replaced'",
        (chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
    ):
        exceptions = packing.unpack_others(others)
        counts[Status(status if common is None else common)] += contacts - len(exceptions)
        counts.update(exceptions.values())
    for status, rows in connection.execute(
        "SELECT status, count(*) FROM rejected WHERE send_id = ? GROUP BY status", (send,)
    ):
        counts[Status(status)] += rows
    return counts


def last_event(connection: sqlite3.Connection, send: int) -> float:
    """Seconds since the epoch at which a chunk of a send last changed its state, or 0."""
    row = connection.execute(
        "SELECT max(at) FROM chunk_event WHERE chunk_id BETWEEN ? AND ?",
        (chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
    ).fetchone()
    return float(row[0] or 0.0)


def read_discrepancies(connection: sqlite3.Connection, send: int) -> Iterator[tuple[int, str]]:
    """Where the API contradicted itself about a campaign: its number and the words."""
    rows = connection.execute(
        "SELECT chunk_id, note FROM chunk_event"
        " WHERE chunk_id BETWEEN ? AND ? AND state IN ('done', 'failed') AND note <> '' ORDER BY id",
        (chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
    )
    for at, notes in rows:
        for words in _text(notes).split("\n"):
            yield seq_of(at), words


def _chunk(row: Sequence[Any]) -> StoredChunk:
    at, state, token, contacts, first, claimed_at, status, common, sent, failed, detail, others, *rest = row
    details, runs, numbers, body = rest
    statuses = (
        StatusColumn(common=Status(common), others=packing.unpack_others(others), length=contacts)
        if common is not None
        else None
    )
    planned = PlannedChunk(
        seq=seq_of(at),
        rows=packing.unpack_rows(first, contacts, runs),
        numbers=packing.unpack_numbers(numbers),
        text=_text(body),
    )
    if not len(planned.rows) == len(planned.numbers) == contacts:
        raise ValueError("the columns of a chunk are not of one length")
    return StoredChunk(
        planned=planned,
        verdict=Verdict(
            state=ChunkState(state),
            status=Status(status),
            detail=_text(detail),
            statuses=statuses,
            details=packing.unpack_details(details),
            summary=Summary(sent=sent, failed=failed),
        ),
        token=token,
        claimed_at=claimed_at,
    )


def read_rows(connection: sqlite3.Connection, send: int) -> Iterator[StoredRows]:
    """Every row of a send, in input order, in pieces of consecutive rows with consecutive lines."""
    lines = _Lines(connection, send)
    expected = 0
    for piece in _in_order(connection, send):
        for lost in _lost(expected, piece.first):
            yield from _cut(lost, lines)
        yield from _cut(piece, lines)
        expected = piece.first + len(piece.numbers)
    total = connection.execute("SELECT total FROM send WHERE id = ?", (send,)).fetchone()[0]
    for lost in _lost(expected, total):
        yield from _cut(lost, lines)


@define(kw_only=True)
class _Piece:
    """Consecutive rows."""

    first: int
    numbers: Sequence[str]
    status: Status
    detail: str
    others: Mapping[int, tuple[Status, str]]
    waiting: bool = False


def _lost(first: int, end: int) -> Iterator[_Piece]:
    for at in range(first, end, _AT_ONCE):
        count = min(_AT_ONCE, end - at)
        yield _Piece(first=at, numbers=[""] * count, status=Status.NOT_SUBMITTED, detail=_LOST, others={})


class _Open:
    """A chunk of which some rows are given out already."""

    def __init__(self, chunk: StoredChunk) -> None:
        self.rows = chunk.planned.rows
        self.at = 0
        self._numbers = chunk.planned.numbers
        verdict = chunk.verdict
        self._waiting = verdict.state is ChunkState.PLANNED
        self._details = verdict.details
        self._exceptions = verdict.statuses.others if verdict.statuses is not None else dict[int, Status]()
        self._places = {*self._exceptions, *self._details}
        self._common = verdict.statuses.common if verdict.statuses is not None else verdict.status
        # The contacts' own statuses explain themselves; without them the campaign's detail is theirs.
        self._detail = "" if verdict.statuses is not None else verdict.detail

    def take(self, before: int) -> _Piece:
        """The rows from here on that follow one another and come before `before`: at least one."""
        begin = self.at
        end = bisect_left(self.rows, before, begin) if self.rows[-1] >= before else len(self.rows)
        if self.rows[end - 1] - self.rows[begin] != end - 1 - begin:
            end = next(at for at in range(begin + 1, end) if self.rows[at] != self.rows[at - 1] + 1)
        self.at = end
        return _Piece(
            first=self.rows[begin],
            numbers=self._numbers[begin:end],
            status=self._common,
            detail=self._detail,
            others=self._others(begin, end),
            waiting=self._waiting,
        )

    def _others(self, begin: int, end: int) -> dict[int, tuple[Status, str]]:
        others, details = self._exceptions, self._details
        return {
            at - begin: (others.get(at, self._common), details.get(at, self._detail))
            for at in _within(self._places, begin, end)
        }


def _in_order(connection: sqlite3.Connection, send: int) -> Iterator[_Piece]:
    chunks = (
        _chunk(connection.execute(f"{_CHUNKS} WHERE chunk.id = ?", row).fetchone())
        for row in connection.execute(
            "SELECT id FROM chunk WHERE id BETWEEN ? AND ? AND state <> 'replaced' ORDER BY first_row",
            (chunk_id(send, 0), chunk_id(send + 1, 0) - 1),
        )
    )
    rejected = _rejected(connection, send)
    chunk, row = next(chunks, None), next(rejected, None)
    heads: list[tuple[int, int, _Open]] = []  # the next row of each open chunk
    while chunk is not None or row is not None or heads:
        first = chunk.planned.rows[0] if chunk is not None else _NO_ROW
        out = row.first if row is not None else _NO_ROW
        head = heads[0][0] if heads else _NO_ROW
        if chunk is not None and first <= min(out, head):
            heapq.heappush(heads, (first, chunk.planned.seq, _Open(chunk)))
            chunk = next(chunks, None)
        elif row is not None and out < head:
            yield row
            row = next(rejected, None)
        else:
            _, seq, opened = heapq.heappop(heads)
            yield opened.take(min(first, out, heads[0][0] if heads else _NO_ROW))
            if opened.at < len(opened.rows):
                heapq.heappush(heads, (opened.rows[opened.at], seq, opened))


def _rejected(connection: sqlite3.Connection, send: int) -> Iterator[_Piece]:
    for row, status, shown, detail in connection.execute(
        "SELECT row, status, shown, body FROM rejected JOIN phrase ON phrase.id = detail_id WHERE send_id = ?"
        " ORDER BY row",
        (send,),
    ):
        yield _Piece(
            first=row, numbers=[_text(shown)], status=Status(status), detail=_text(detail), others={}
        )


def _within(places: Collection[int], begin: int, end: int) -> Iterator[int]:
    """Those of `places` from `begin` to `end`, by the shorter way: a chunk may be in as many pieces as it has rows."""
    if end - begin < len(places):
        return (at for at in range(begin, end) if at in places)
    return (at for at in places if begin <= at < end)


class _Lines:
    """The line of each row, asked for in ascending order."""

    def __init__(self, connection: sqlite3.Connection, send: int) -> None:
        self._runs = iter(
            connection.execute("SELECT row, line FROM line_run WHERE send_id = ? ORDER BY row", (send,))
        )
        self._here: tuple[int, int | None] = (0, None)
        self._next: tuple[int, int | None] | None = next(self._runs, None)

    def at(self, row: int) -> tuple[int | None, int]:
        """The line of a row, and the row at which lines take another step."""
        while self._next is not None and self._next[0] <= row:
            self._here, self._next = self._next, next(self._runs, None)
        begin, line = self._here
        return None if line is None else line + row - begin, _NO_ROW if self._next is None else self._next[0]


def _cut(piece: _Piece, lines: _Lines) -> Iterator[StoredRows]:
    """Cut a piece where the lines of the file do not follow one another, and where it is long."""
    begin = 0
    while begin < len(piece.numbers):
        line, until = lines.at(piece.first + begin)
        end = min(begin + _AT_ONCE, len(piece.numbers), until - piece.first)
        yield StoredRows(
            first=piece.first + begin,
            numbers=piece.numbers[begin:end],
            status=piece.status,
            detail=piece.detail,
            others={at - begin: piece.others[at] for at in _within(piece.others, begin, end)},
            line=line,
            waiting=piece.waiting,
        )
        begin = end
