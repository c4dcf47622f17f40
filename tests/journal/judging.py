"""The judge of a send that was killed and resumed: the sandbox's ledger, the journal's own tables, and the rows.

What counts is who was texted, and that is in the ledger alone. Everything that a report says is held against it.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smspop_async import Report, Status, Summary
from smspop_async.journal import packing
from smspop_async.journal.schema import seq_of
from smspop_async.sandbox import Sandbox

TEXTED = {Status.SENT, Status.FAILED, Status.ACCEPTED}
NOT_TEXTED = {Status.NOT_SUBMITTED, Status.REJECTED}
LEFT_OUT = {Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED}
ODD = {"263770009902", "263770009904"}
"""The sandbox's magic recipients that are texted, and whose status the API does not tell."""


@dataclass(frozen=True)
class Row:
    """What an input row must come to."""

    shown: str
    left_out: Status | None = None


@dataclass
class Corpse:
    """What a dead process has left: read from the journal before anybody opens it."""

    path: Path
    states: dict[int, str] = field(default_factory=dict)
    """State by number of the chunk."""
    claims: Counter[int] = field(default_factory=Counter)
    """How often a chunk was claimed."""
    in_doubt: set[str] = field(default_factory=set)
    """The numbers that may have been under way."""
    waiting: set[int] = field(default_factory=set)
    """The chunks that anybody who resumes is to send: not the second tries."""
    send_state: str = ""

    def __post_init__(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        connection = sqlite3.connect(self.path)
        try:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return
            self._read(connection)
        finally:
            connection.close()

    def _read(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT state FROM send").fetchall()
        self.send_state = found[-1][0] if found else ""
        for at, state, status, numbers in connection.execute(
            "SELECT id, state, status, numbers FROM chunk JOIN chunk_contacts USING (id)"
        ):
            self.states[seq_of(at)] = state
            if state == "planned" and status != "unknown":
                self.waiting.add(seq_of(at))
            if state in ("submitting", "unknown"):
                self.in_doubt.update(packing.unpack_numbers(numbers))
        for (at,) in connection.execute("SELECT chunk_id FROM chunk_event WHERE state = 'submitting'"):
            self.claims[seq_of(at)] += 1


def posts(sandbox: Sandbox) -> Counter[int]:
    """How many requests the sandbox has had for each chunk, by the number in the campaign's name."""
    names = [json.loads(request.body)["name"] for request in sandbox.requests if request.method == "POST"]
    return Counter(int(name.rpartition("-")[2].rstrip("]")) for name in names)


CLEAR = ("latency", "status 429", "status 402", "success_false", "close_after_reply")
"""Faults whose answer says what became of the campaign."""


def unclear(sandbox: Sandbox) -> set[str]:
    """The numbers in requests of which the client cannot know what became of them."""
    return {
        number
        for request in sandbox.requests
        if request.method == "POST" and request.fault and request.fault not in CLEAR
        for number in json.loads(request.body)["manual_contacts"].split(", ")
    }


def check_claims(corpse: Corpse, sandbox: Sandbox) -> None:
    """Write ahead: no request has arrived whose claim is not on the disk."""
    for seq, count in posts(sandbox).items():
        assert count <= corpse.claims[seq], f"campaign {seq} was posted {count} times"


def check_ledger(sandbox: Sandbox) -> Counter[str]:
    """Nobody was texted twice, and no two campaigns have the same name. Returns who was texted."""
    texted = Counter(message.to for message in sandbox.messages())
    assert max(texted.values(), default=0) <= 1, "somebody was texted twice"
    names = [campaign.name for campaign in sandbox.campaigns]
    assert len(names) == len(set(names))
    return texted


def check_report(
    report: Report, rows: Sequence[Row], texted: Counter[str], *, doubted: set[str], lost: bool = False
) -> None:
    """The report has every row once, in order, with its number, and is true.

    Args:
        report: Of a finished send.
        rows: What was sent.
        texted: How often each number was texted.
        doubted: Numbers that may be UNKNOWN.
        lost: Whether rows may be missing from the journal: those read, and not written down, when the process died.
    """
    outcomes = list(report.outcomes())
    assert [outcome.index for outcome in outcomes] == list(range(report.total))
    assert sum(report.counts.values()) == report.total
    assert Counter(outcome.status for outcome in outcomes) == Counter(report.counts)
    assert report.total <= len(rows) if lost else report.total == len(rows)
    for outcome, row in zip(outcomes, rows, strict=False):
        number, status = outcome.phone_number, outcome.status
        if lost and not number and row.shown:
            assert status is Status.NOT_SUBMITTED
            assert not texted[row.shown]
            continue
        assert number == row.shown
        assert (status if status in LEFT_OUT else None) == row.left_out, (outcome.index, status)
        if status in LEFT_OUT:
            continue
        assert status not in TEXTED or texted[number] > 0, (
            f"row {outcome.index} is {status}, and was not texted"
        )
        assert status not in NOT_TEXTED or not texted[number], (
            f"row {outcome.index} is {status}, and was texted"
        )
        if status is Status.UNKNOWN:
            assert number in doubted or number in ODD, f"row {outcome.index} was never under way"


def campaigns(report: Report) -> list[tuple[str, int, Status, Summary]]:
    """Name, contacts, status and summary of each campaign of a report."""
    return [(each.name, each.contacts, each.status, each.summary) for each in report.campaigns]


def same(one: Report, other: Report) -> None:
    """Two reports of the same moment say the same."""
    assert list(one.outcomes()) == list(other.outcomes())
    assert dict(one.counts) == dict(other.counts)
    assert (one.run, one.name, one.total, one.summary) == (other.run, other.name, other.total, other.summary)
    assert campaigns(one) == campaigns(other)
    assert one.discrepancies == other.discrepancies
