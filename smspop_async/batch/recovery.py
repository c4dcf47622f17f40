"""What a run finds of an earlier process: campaigns that may have been sent."""

from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from smspop_async.batch.chunks import Chunk, Part
from smspop_async.batch.journaled import stored_chunk
from smspop_async.batch.reconcile import reason_of
from smspop_async.journal.sqlite import SendLog

_READ: Final = 16
_JUST_NOW: Final = 0.001
"""Seconds: whatever the clocks say, the campaign was submitted before now."""


class Recovery:
    """The campaigns of a send whose outcome is unknown, to be looked for once more.

    Args:
        log: The send's place in the journal.
        resend: Whether those that are not found are sent once more.
        now: Seconds since the epoch.
    """

    def __init__(self, *, log: SendLog, resend: bool, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._seqs = array("L")
        self.resend = resend
        self.again: deque[Chunk] = deque()
        """What is to be sent once more."""

    async def unknown(self) -> AsyncIterator[tuple[Chunk, str, float]]:
        """Each campaign, why it is unknown, and how many seconds ago it was submitted."""
        after = 0
        last = await self._log.last_seq()
        while stored := await self._log.unknown(after=after, limit=_READ):
            for each in stored:
                after = each.planned.seq
                if after > last:
                    return
                self._seqs.append(after)
                age = self._now() - (each.claimed_at or 0.0)
                yield stored_chunk(each), reason_of(each.verdict.detail), max(age, _JUST_NOW)

    def resends(self, part: Part) -> bool:
        """Whether a campaign that was not found is to be sent once more."""
        return self.resend and part.seq in self._seqs
