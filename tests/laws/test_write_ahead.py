"""Law 4, Write ahead: with a journal, the intent to send is durable before the first byte leaves."""

import json
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer, hurried_client
from rawserver import fake_numbers, raw_server
from smspop_async import ReconcilePolicy, Status

pytestmark = pytest.mark.anyio

LOOKING = ReconcilePolicy(first=0.001, horizon=0.003)


class Witness(FaultServer):
    """Reads the journal whenever a campaign arrives, as whoever comes after a power cut would."""

    def __init__(self, actions, journal: Path, count: int) -> None:
        super().__init__(actions)
        self.journal, self.count, self.seen = journal, count, []

    async def script(self, peer, request) -> None:
        if request.method == "POST":
            self._look(json.loads(request.body))
        await super().script(peer, request)

    def _look(self, body) -> None:
        seq = int(body["name"].rpartition("-")[2].rstrip("]"))
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True) as db:
            state, contacts, text = db.execute(
                "SELECT state, contacts, body FROM chunk JOIN phrase ON phrase.id = text_id"
                " WHERE chunk.id & 0xffffffff = ?",
                (seq,),
            ).fetchone()
            rows = db.execute("SELECT sum(contacts) FROM chunk WHERE state <> 'replaced'").fetchone()[0]
        db.close()
        numbers = body["manual_contacts"].split(",")
        self.seen.append((state, contacts == len(numbers), text == body["message"], rows == self.count))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=12),
    chunk_size=st.integers(1, 9),
    concurrency=st.integers(1, 6),
)
async def test_what_leaves_is_in_the_journal_as_leaving(count, actions, chunk_size, concurrency):
    """Whenever a campaign arrives, the journal has it as `submitting`, and all contacts of the list besides."""
    with TemporaryDirectory() as folder:
        journal = Path(folder, "send.db")
        server = Witness(actions, journal, count)
        async with raw_server(server.script) as raw, hurried_client(raw) as sms:
            report = await sms.send(
                fake_numbers(count), message="Hello!", sender_id="DEMO", chunk_size=chunk_size,
                max_concurrency=concurrency, reconcile=LOOKING, journal=journal,
            )  # fmt: skip
            assert set(server.seen) <= {("submitting", True, True, True)}
            # What the journal says afterwards is what the report says.
            again = (
                await sms.resume(journal, reconcile=None) if not report.counts[Status.NOT_SUBMITTED] else None
            )
        if again is not None and report.stopped_by is None:
            assert [(o.index, o.phone_number, o.status) for o in again.outcomes()] == [
                (o.index, o.phone_number, o.status) for o in report.outcomes()
            ]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=12),
    chunk_size=st.integers(1, 9),
    runs=st.integers(1, 3),
)
async def test_nobody_is_texted_twice_over_any_number_of_resumes(count, actions, chunk_size, runs):
    """Resuming a send again and again, under any script of faults, texts nobody twice and loses no row."""
    numbers = fake_numbers(count)
    with TemporaryDirectory() as folder:
        journal = Path(folder, "send.db")
        server = FaultServer(actions)
        async with raw_server(server.script) as raw, hurried_client(raw) as sms:
            report = await sms.send(
                numbers, message="Hello!", sender_id="DEMO", chunk_size=chunk_size, reconcile=LOOKING,
                journal=journal,
            )  # fmt: skip
            for _ in range(runs):
                report = await sms.resume(journal, reconcile=LOOKING)
    assert sum(report.counts.values()) == report.total == count
    assert [outcome.phone_number for outcome in report.outcomes()] == list(numbers)
    server.judge(report)


async def test_with_a_journal_that_cannot_be_written_nothing_is_sent():
    """No claim, no request."""
    server = FaultServer([])
    async with raw_server(server.script) as raw, hurried_client(raw) as sms:
        with TemporaryDirectory() as folder, pytest.raises(Exception, match="cannot be"):
            await sms.send(
                fake_numbers(3),
                message="Hello!",
                sender_id="DEMO",
                journal=Path(folder, "missing", "send.db"),
            )
    assert server.posts == 0
