"""Sends written into a journal by hand, without a client and without a thread."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rawserver import fake_number
from smspop_async import Status
from smspop_async.api.columns import StatusColumn
from smspop_async.journal import statements, swaps
from smspop_async.journal.base import ChunkState, PlannedChunk, SendPlan, SendState, Verdict
from smspop_async.journal.opening import own
from smspop_async.journal.schema import TABLES, chunk_id

NOW = 1_700_000_000.0
TOKEN = 77


def send_plan(run: str = "aaaaaaaaaa", **changes: Any) -> SendPlan:
    return SendPlan(
        **{
            "run": run,
            "name": "Fees",
            "sender_id": "DEMO",
            "message": "Hello!",
            "base_url": "http://127.0.0.1:1/api",
            "settings": {"max_concurrency": 3},
            **changes,
        }
    )


def chunk(seq: int, rows: Sequence[int], **changes: Any) -> PlannedChunk:
    """A chunk whose numbers are those of its rows."""
    numbers = [fake_number(row) for row in rows]
    return PlannedChunk(**{"seq": seq, "rows": rows, "numbers": numbers, "text": "Hello!", **changes})


def in_memory() -> sqlite3.Connection:
    """An empty journal that is on no disk."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for table in TABLES:
        connection.execute(table)
    return connection


def begin(connection: sqlite3.Connection, run: str = "aaaaaaaaaa", **changes: Any) -> int:
    return statements.begin(connection, plan=send_plan(run, **changes), state=SendState.PLANNED, now=NOW)


def claim(connection: sqlite3.Connection, send: int, seq: int, now: float = NOW) -> None:
    swaps.claiming(chunk=chunk_id(send, seq), token=TOKEN, now=now)(connection)


def settle(connection: sqlite3.Connection, send: int, seq: int, verdict: Verdict, now: float = NOW) -> None:
    swaps.settling(chunk=chunk_id(send, seq), token=TOKEN, now=now, verdict=verdict)(connection)


def sent(contacts: int, others: dict[int, Status] | None = None, **changes: Any) -> Verdict:
    """The API has the campaign, and most of its contacts are SENT."""
    statuses = StatusColumn(common=Status.SENT, others=others or {}, length=contacts)
    return Verdict(state=ChunkState.DONE, status=Status.ACCEPTED, statuses=statuses, **changes)


def small_journal(path: Path, chunks: int = 12, contacts: int = 500) -> Path:
    """A journal on the disk, closed, with one send of which nothing is sent."""
    opened = own(path)
    try:
        send = begin(opened.connection)
        planned = [chunk(seq + 1, range(seq * contacts, (seq + 1) * contacts)) for seq in range(chunks)]
        statements.plan(
            opened.connection, send=send, chunks=planned, rejected=[], lines=[], total=chunks * contacts
        )
    finally:
        opened.close()
    return path
