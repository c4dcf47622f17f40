"""What a journal is, without a disk: the plain dictionaries that the real one is held against."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from smspop_async.api.models import Status
from smspop_async.journal.base import ChunkState, SendState, Verdict

ANY: Final = "any words"
"""Stands for words that the model leaves to the journal."""
LOST = "read, but not yet in the journal when the process died; it was not sent"

Shown = tuple[int, str, Status, str, int | None, bool]
"""Row, number, status, detail, line, and whether it waits."""


@dataclass
class Chunk:
    """A chunk, in whatever state."""

    rows: list[int]
    numbers: list[str]
    text: str
    status: Status = Status.NOT_SUBMITTED
    detail: str = ""
    state: ChunkState = ChunkState.PLANNED
    verdict: Verdict | None = None
    claimed: bool = False
    """Whether this process holds a claim of it."""
    tried: bool = False

    def of(self, at: int) -> tuple[Status, str]:
        """Status and detail of one of its contacts."""
        if self.state is ChunkState.SUBMITTING:
            return Status.UNKNOWN, ANY
        if self.verdict is None:
            return self.status, self.detail
        if self.verdict.statuses is None:
            return self.verdict.status, self.verdict.detail
        return self.verdict.statuses[at], self.verdict.details.get(at, "")


@dataclass
class Send:
    """A send."""

    run: str
    state: SendState
    total: int = 0
    note: str = ""
    chunks: dict[int, Chunk] = field(default_factory=dict)
    rejected: dict[int, tuple[str, Status, str]] = field(default_factory=dict)
    lines: dict[int, int | None] = field(default_factory=dict)
    held: list[int] = field(default_factory=list)
    """Rows that were read and are in no chunk yet: known to the process alone."""
    last_seq: int = 0
    said: list[tuple[int, str]] = field(default_factory=list)

    def rows(self) -> list[Shown]:
        """Every row in input order."""
        shown: dict[int, tuple[str, Status, str, bool]] = {
            row: (number, status, detail, False) for row, (number, status, detail) in self.rejected.items()
        }
        for chunk in self.chunks.values():
            if chunk.state is not ChunkState.REPLACED:
                for at, row in enumerate(chunk.rows):
                    shown[row] = (chunk.numbers[at], *chunk.of(at), chunk.state is ChunkState.PLANNED)
        lost = ("", Status.NOT_SUBMITTED, LOST, False)
        return [
            (row, number, status, detail, self.lines.get(row), waits)
            for row in range(self.total)
            for number, status, detail, waits in [shown.get(row, lost)]
        ]

    def counts(self) -> Counter[Status]:
        """How many rows have which status, without those that are lost."""
        return Counter(status for _, number, status, detail, _, _ in self.rows() if detail != LOST)

    def in_state(self, *states: ChunkState) -> list[int]:
        """Numbers of chunks."""
        return sorted(seq for seq, chunk in self.chunks.items() if chunk.state in states)


@dataclass
class Model:
    """A journal."""

    sends: list[Send] = field(default_factory=list)

    def copy(self) -> "Model":
        """What is on the disk at this moment."""
        return deepcopy(self)

    def reopen(self) -> None:
        """What the next process makes of it."""
        for send in self.sends:
            send.held.clear()
            for chunk in send.chunks.values():
                chunk.claimed = False
                if chunk.state is ChunkState.SUBMITTING:
                    self._leave_behind(chunk)
            if send.state is SendState.PLANNING:
                send.state = SendState.ABANDONED
                for chunk in send.chunks.values():
                    if chunk.state is ChunkState.PLANNED:
                        chunk.state, chunk.detail = ChunkState.FAILED, ANY

    @staticmethod
    def _leave_behind(chunk: Chunk) -> None:
        words = "the process that was sending this campaign died; it may have been sent"
        chunk.state = ChunkState.UNKNOWN
        chunk.verdict = Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail=words)
