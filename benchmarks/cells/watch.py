"""How long an event loop is held: a task that sleeps a millisecond and looks how much later than that it wakes."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

TICK = 0.001
"""Seconds between two looks."""
STEP = 0.0001
"""Seconds of a bar of the histogram."""
_BARS = 2_000
"""The last one holds all that is longer."""
_LONG = 0.005
"""Seconds from which on a look counts as one that was held."""
_TAIL = 0.999


class Watch:
    """What was seen. Of fixed size, so that watching a long run does not show in its memory."""

    def __init__(self) -> None:
        self._bars = array("Q", bytes(8 * _BARS))
        self._worst = self._own = 0.0
        self._looks = self._held = 0

    async def look(self) -> None:
        """Look until cancelled.

        Of a delay, no more than the processor time used meanwhile can be this process's own doing: the rest was
        taken by another one.
        """
        while True:
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.sleep(TICK)
            late = time.perf_counter() - wall - TICK
            cpu = time.process_time() - cpu
            self._looks += 1
            self._held += late > _LONG
            self._bars[min(max(0, int(late / STEP)), _BARS - 1)] += 1
            self._worst = max(self._worst, late)
            self._own = max(self._own, min(late, cpu))

    def seen(self) -> dict[str, Any]:
        """Worst delay, the part of delays that can be our own at most, and how often each delay was seen."""
        bars = list(self._bars)
        while bars and not bars[-1]:
            bars.pop()
        return {
            "worst": self._worst, "own": self._own, "p999": min(self._worst, quantile(bars, _TAIL) * STEP),
            "held": self._held, "looks": self._looks, "step": STEP, "bars": bars,
        }  # fmt: skip


def quantile(bars: Sequence[int], share: float) -> int:
    """How many bars from the left hold at least this share of all that was counted; 0 where nothing was."""
    wanted, counted = share * sum(bars), 0
    for at, times in enumerate(bars, 1):
        counted += times
        if counted >= wanted:
            return at if counted else 0
    return 0


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Watch the running loop while the block runs."""
    watch = Watch()
    task = asyncio.create_task(watch.look())
    try:
        yield watch
    finally:
        task.cancel()
