"""The journal against a plain model of it, with crashes: whatever is done to it, it says what the model says.

A crash copies the files as they are on the disk and goes on with the copy. What was ordered and not waited for may be
missing then, from one order on: the writing thread is stalled first, so that it is known which.
"""

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

import anyio.to_thread
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from journal.model import ANY, Chunk, Model, Send
from rawserver import fake_number
from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status, Summary
from smspop_async.journal.base import (
    ChunkState,
    LineRun,
    PlannedChunk,
    RejectedRow,
    SendPlan,
    SendState,
    StaleClaimError,
    Verdict,
)
from smspop_async.journal.sends import list_sends, open_send
from smspop_async.journal.sqlite import _AHEAD as AHEAD
from smspop_async.journal.sqlite import SendLog, SqliteJournal

TEXTS = ("Hello!", "Good day!", "naïve … 𝄞")
WORDS = ("", "why", "a\nb", "half \ud800 a pair")
JUNK = ("", "12", "junk \x00 junk", "half \udc00 a pair", "'; DROP TABLE chunk")
WORD = [Status.SENT, Status.FAILED, Status.UNKNOWN]
GROWING = (SendState.PLANNING, SendState.STREAMING)
OPEN = (SendState.STREAMING, SendState.PLANNED)
UNDECIDED = (ChunkState.SUBMITTING, ChunkState.UNKNOWN)
NOT_FREE = tuple(state for state in ChunkState if state is not ChunkState.PLANNED)


class JournalMachine(RuleBasedStateMachine):
    """Drives a journal and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.crashes = 0
        self.path = Path(self.folder.name) / "0.db"
        self.model = Model()
        self.on_disk: Model | None = None
        """While the writing is stalled: what is on the disk."""
        self.plug: threading.Event | None = None
        self.logs: dict[str, SendLog] = {}
        self.failures: list[Exception] = []
        self.now = 0.0
        self._open()

    def do(self, coroutine):
        return self.runner.run(coroutine)

    def _clock(self) -> float:
        self.now += 1.0
        return self.now

    def _open(self) -> None:
        self.journal = SqliteJournal(self.path, clock=self._clock)
        self.do(self.journal.__aenter__())
        self.logs = {}
        for send in self.model.sends:
            self.logs[send.run] = self.do(self.journal.reopen(send.run))
            self.logs[send.run].failed = self.failures.append

    def teardown(self) -> None:
        if self.plug is not None:
            self.plug.set()
        self.do(self.journal.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()
        assert not self.failures

    # What a process does.

    @initialize(streaming=st.booleans())
    def first(self, streaming) -> None:
        self._begin(streaming=streaming)

    @precondition(lambda self: self.plug is None and len(self._in(*GROWING)) < 2)
    @rule(streaming=st.booleans())
    def begin(self, streaming) -> None:
        self._begin(streaming=streaming)

    def _in(self, *states: SendState) -> list[Send]:
        return [send for send in self.model.sends if send.state in states]

    def _found(self, *states: ChunkState, claimed: bool) -> list[tuple[Send, int, Chunk]]:
        """Chunks of sends under way that are claimed, or not."""
        return [
            (send, seq, chunk)
            for send in self._in(*OPEN)
            for seq, chunk in sorted(send.chunks.items())
            if chunk.state in states and chunk.claimed is claimed
        ]

    def _begin(self, *, streaming: bool) -> None:
        run = f"run{len(self.model.sends)}"
        plan = SendPlan(
            run=run,
            name=WORDS[2],
            sender_id="DEMO",
            message=TEXTS[2],
            base_url="http://127.0.0.1",
            settings={"a": [1]},
        )
        log = self.logs[run] = self.do(self.journal.begin(plan, streaming=streaming))
        log.failed = self.failures.append
        state = SendState.STREAMING if streaming else SendState.PLANNING
        self.model.sends.append(Send(run=run, state=state))

    @precondition(lambda self: self._in(*GROWING))
    @rule(data=st.data(), stepped=st.integers(0, 3))
    def plan(self, data, stepped) -> None:
        """Read rows, and write some of those that were read into chunks: not always all, nor in order."""
        send = data.draw(st.sampled_from(self._in(*GROWING)))
        if self.plug is not None and self.logs[send.run]._waiting + 1 == AHEAD:
            return  # this one would wait for the disk
        first, count = send.total, data.draw(st.integers(0, 8))
        rows = range(first, first + count)
        out = data.draw(st.sets(st.sampled_from(rows), max_size=count // 2)) if count else set()
        rejected = [
            RejectedRow(
                row=row,
                status=data.draw(st.sampled_from([Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED])),
                shown=data.draw(st.sampled_from(JUNK)),
                detail=data.draw(st.sampled_from(WORDS)),
            )
            for row in sorted(out)
        ]
        lines = self._lines(send, first, count, stepped)
        send.rejected.update({row.row: (row.shown, row.status, row.detail) for row in rejected})
        send.held += [row for row in range(first, first + count) if row not in out]
        send.total += count
        chunks = []
        for _ in range(data.draw(st.sampled_from([2, 1, 0]))):
            if send.held:
                taken = sorted(data.draw(st.sets(st.sampled_from(send.held), min_size=1)))
                send.held = [row for row in send.held if row not in taken]
                chunks.append(self._enter(send, taken, data.draw(st.sampled_from(TEXTS))))
        self.do(self._put(self.logs[send.run].plan(chunks, rejected=rejected, lines=lines, total=send.total)))

    @staticmethod
    async def _put(planning) -> None:
        await planning

    def _lines(self, send: Send, first: int, count: int, stepped: int) -> list[LineRun]:
        """Lines of new rows: of a file with blank lines, or none."""
        before = [line for line in send.lines.values() if line is not None]
        line = (before[-1] if before else 1) + 1
        runs = []
        for row in range(first, first + count):
            if stepped and row % stepped == 0 and row != first:
                line += 2
            send.lines[row] = line if stepped else None
            last = send.lines.get(row - 1)
            if send.lines[row] != (None if last is None else last + 1) or row == 0:
                runs.append(LineRun(row=row, line=send.lines[row]))
            line += 1
        return runs

    def _enter(self, send: Send, rows: list[int], text: str, *, doubt: str = "") -> PlannedChunk:
        send.last_seq += 1
        status = Status.UNKNOWN if doubt else Status.NOT_SUBMITTED
        numbers = [fake_number(row) if row % 3 else f"1{row:09}" for row in rows]
        send.chunks[send.last_seq] = Chunk(rows, numbers, text, status, doubt)
        return PlannedChunk(
            seq=send.last_seq, rows=rows, numbers=numbers, text=text, status=status, detail=doubt
        )

    plan_more = plan

    @precondition(lambda self: self.plug is None and any(send.total for send in self._in(SendState.PLANNING)))
    @rule(data=st.data(), abandoned=st.sampled_from([False, False, True]))
    def mark(self, data, abandoned) -> None:
        send = data.draw(st.sampled_from([send for send in self._in(SendState.PLANNING) if send.total]))
        state, note = (SendState.ABANDONED, ANY) if abandoned else (SendState.PLANNED, "")
        self.do(self.logs[send.run].mark(state, note))
        send.state, send.note = state, note
        for chunk in send.chunks.values():
            if abandoned and chunk.state is ChunkState.PLANNED:
                chunk.state, chunk.detail = ChunkState.FAILED, note

    @precondition(lambda self: self.plug is None and self._found(ChunkState.PLANNED, claimed=False))
    @rule(data=st.data())
    def claim(self, data) -> None:
        free = self._found(ChunkState.PLANNED, claimed=False)
        some = st.lists(st.sampled_from(free), min_size=1, unique_by=lambda each: id(each[2]))
        for send, seq, chunk in data.draw(some):
            self.do(self.logs[send.run].claim(seq))
            chunk.state, chunk.claimed, chunk.tried, chunk.verdict = ChunkState.SUBMITTING, True, True, None

    claim_more = claim

    @precondition(lambda self: self.plug is None and self._found(*NOT_FREE, claimed=False))
    @rule(data=st.data())
    def claim_in_vain(self, data) -> None:
        """Only what is planned can be claimed."""
        send, seq, _ = data.draw(st.sampled_from(self._found(*NOT_FREE, claimed=False)))
        with pytest.raises(StaleClaimError):
            self.do(self.logs[send.run].claim(seq))
        self.logs[send.run]._tokens.pop(seq)

    @precondition(lambda self: self._found(ChunkState.SUBMITTING, claimed=True))
    @rule(data=st.data(), doubted=st.booleans(), words=st.sampled_from(WORDS))
    def release(self, data, doubted, words) -> None:
        send, seq, chunk = data.draw(st.sampled_from(self._found(ChunkState.SUBMITTING, claimed=True)))
        status = Status.UNKNOWN if doubted else Status.NOT_SUBMITTED
        self._order(self.logs[send.run].release, seq, status, words)
        chunk.state, chunk.claimed, chunk.status, chunk.detail = ChunkState.PLANNED, False, status, words

    @precondition(lambda self: self._found(*UNDECIDED, claimed=True))
    @rule(data=st.data(), words=st.sampled_from(WORDS))
    def settle(self, data, words) -> None:
        send, seq, chunk = data.draw(st.sampled_from(self._found(*UNDECIDED, claimed=True)))
        state = data.draw(st.sampled_from([ChunkState.DONE, ChunkState.FAILED, ChunkState.UNKNOWN]))
        verdict = self._verdict(data, chunk, state, words)
        self._order(self.logs[send.run].settle, seq, verdict)
        chunk.state, chunk.verdict, chunk.claimed = state, verdict, state is ChunkState.UNKNOWN
        send.said += [(seq, words) for words in verdict.discrepancies]

    def _verdict(self, data, chunk: Chunk, state: ChunkState, words: str) -> Verdict:
        if state is not ChunkState.DONE:
            status = Status.REJECTED if state is ChunkState.FAILED else Status.UNKNOWN
            return Verdict(state=state, status=status, detail=words)
        if data.draw(st.booleans()):
            return Verdict(state=state, status=Status.ACCEPTED, detail=words)
        size = len(chunk.rows)
        statuses = StatusColumn.of(data.draw(st.lists(st.sampled_from(WORD), min_size=size, max_size=size)))
        details = data.draw(st.dictionaries(st.integers(0, size - 1), st.sampled_from(WORDS), max_size=3))
        return Verdict(
            state=state,
            status=Status.ACCEPTED,
            detail=words,
            statuses=statuses,
            details=details,
            summary=Summary(sent=statuses.count(Status.SENT), failed=statuses.count(Status.FAILED)),
            discrepancies=("one", "two") if words else (),
        )

    settle_more = settle

    @precondition(lambda self: self._found(*UNDECIDED, claimed=True))
    @rule(data=st.data(), doubt=st.sampled_from(["", "maybe"]))
    def replace(self, data, doubt) -> None:
        """Cut a chunk in two, or try it once more."""
        send, seq, chunk = data.draw(st.sampled_from(self._found(*UNDECIDED, claimed=True)))
        middle = len(chunk.rows) // 2
        parts = [chunk.rows[:middle], chunk.rows[middle:]] if middle and not doubt else [chunk.rows]
        chunk.state, chunk.claimed = ChunkState.REPLACED, False
        by = [self._enter(send, rows, chunk.text, doubt=doubt) for rows in parts]
        self._order(self.logs[send.run].replace, seq, by, "cut")

    def _order(self, order, *args) -> None:
        async def give() -> None:
            order(*args)

        self.do(give())

    @precondition(lambda self: self.plug is None and self._found(ChunkState.UNKNOWN, claimed=False))
    @rule(data=st.data())
    def look_for(self, data) -> None:
        """Whoever goes on with a send takes over the claims of what is unknown."""
        send, _, _ = data.draw(st.sampled_from(self._found(ChunkState.UNKNOWN, claimed=False)))
        unknown = self.do(self.logs[send.run].unknown(after=0, limit=100))
        assert [stored.planned.seq for stored in unknown] == send.in_state(ChunkState.UNKNOWN)
        for stored in unknown:
            send.chunks[stored.planned.seq].claimed = True
            assert stored.verdict.detail == send.chunks[stored.planned.seq].verdict.detail
            assert stored.claimed_at is not None

    # How it ends.

    @precondition(lambda self: self.plug is None and self._found(*UNDECIDED, claimed=True))
    @rule()
    def close_and_open(self) -> None:
        self.do(self.journal.__aexit__(None, None, None))
        self.model.reopen()
        self._open()

    @precondition(lambda self: self.plug is None and self._found(*UNDECIDED, claimed=True))
    @rule()
    def stall(self) -> None:
        """From here on nothing reaches the disk."""
        self.do(self._barrier())
        plug = self.plug = threading.Event()
        self.on_disk = self.model.copy()
        held = threading.Event()

        async def give() -> None:
            self.journal._writer.put(lambda _: (held.set(), plug.wait()), self.failures.append)
            assert await anyio.to_thread.run_sync(held.wait, 10)

        self.do(give())

    @precondition(lambda self: self.plug is not None)
    @rule()
    def go_on(self) -> None:
        """The disk was only slow."""
        assert self.plug is not None
        self.plug.set()
        self.plug = self.on_disk = None

    @precondition(lambda self: self._found(*ChunkState, claimed=True))
    @rule()
    def crash(self) -> None:
        """The process ends here: what is on the disk is all that is left."""
        if self.plug is None:
            self.do(self._barrier())
        self.crashes += 1
        path = self.path.with_name(f"{self.crashes}.db")
        for end in ("", "-wal"):
            shutil.copyfile(f"{self.path}{end}", f"{path}{end}")
        if self.plug is not None:
            self.model = self.on_disk
            self.plug.set()
            self.plug = self.on_disk = None
        self.do(self.journal.__aexit__(None, None, None))  # the dead one goes on with the files of its own
        self.path = path
        self.model.reopen()
        self._open()

    async def _barrier(self) -> None:
        for log in self.logs.values():
            await log.last_seq()

    # What it says.

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        if self.plug is None:
            self.do(self._barrier())
        truth = self.on_disk or self.model
        records = list_sends(self.path)
        assert [record.run for record in records] == [send.run for send in truth.sends]
        for record, send in zip(records, truth.sends, strict=True):
            assert (record.state, record.rows) == (send.state, send.total)
            assert record.chunks == {
                state: len(send.in_state(state)) for state in ChunkState if send.in_state(state)
            }
            self._check_rows(send)
        if self.plug is None:
            self.do(self._check_work())
        assert not self.failures

    def _check_rows(self, send: Send) -> None:
        reader = open_send(self.path, send.run)
        try:
            shown = []
            for piece in reader.rows():
                common = (piece.status, piece.detail)
                for at, number in enumerate(piece.numbers):
                    status, detail = piece.others.get(at, common)
                    line = None if piece.line is None else piece.line + at
                    shown.append((piece.first + at, number, status, detail, line, piece.waiting))
            expected = send.rows()
            assert len(shown) == len(expected)
            for one, other in zip(shown, expected, strict=True):
                assert one == tuple(
                    had if told is ANY else told for had, told in zip(one, other, strict=True)
                )
            counts = reader.counts()
            assert {status: count for status, count in counts.items() if count} == dict(send.counts())
            decided = send.in_state(ChunkState.DONE, ChunkState.FAILED, ChunkState.UNKNOWN)
            tried = [seq for seq in decided if send.chunks[seq].tried]
            assert [seq for seq, _, _ in reader.decided()] == tried
            assert list(reader.discrepancies()) == send.said
        finally:
            reader.close()

    async def _check_work(self) -> None:
        for send in self.model.sends:
            log = self.logs[send.run]
            assert await log.last_seq() == max(send.chunks, default=0)
            planned = await log.planned(after=0, limit=100)
            assert [stored.planned.seq for stored in planned] == send.in_state(ChunkState.PLANNED)
            for stored in planned:
                chunk = send.chunks[stored.planned.seq]
                assert (list(stored.planned.rows), list(stored.planned.numbers)) == (
                    chunk.rows,
                    chunk.numbers,
                )
                assert (stored.planned.text, stored.verdict.status) == (chunk.text, chunk.status)


LIVES = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)


class TestJournal(JournalMachine.TestCase):
    """A few lives of a journal."""

    settings = settings(LIVES, max_examples=12, stateful_step_count=25)


@pytest.mark.long
class TestJournalAtLength(JournalMachine.TestCase):
    """Many of them."""

    settings = settings(LIVES, max_examples=400, stateful_step_count=40)
