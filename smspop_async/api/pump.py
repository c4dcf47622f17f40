"""The pump: all processor work of a client, a little of it in each turn of the event loop (law 6, Good neighbour).

The SDK lives in somebody's web app. Sixteen replies of five hundred contacts can become readable in the same turn of
the loop, and each worker that decodes one also settles it, normalises its next chunk and makes the next request: small
pieces, none of them over half a millisecond, and together six. Slicing each worker's work does not help, for the
slices add up in the same way; nor do threads, under one interpreter lock.

So every piece of work takes a turn at one pump. The first piece in a turn of the loop opens a *window*; while it is
open, the next piece goes straight on, without an await. Once the window's time is over, pieces queue, and as many as
fit are woken in the next turn. What is timed is the loop's time, not the pieces: what a worker does behind its
piece, and what anybody else did in this turn, has held the loop just as much. When little is going on, nothing
is ever awaited.

A turn of the loop ends where a callback that was scheduled in it runs: `_next_turn` is that callback.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

BUDGET: Final = 0.0005
"""Seconds from the first piece in a turn of the loop in which further ones may begin."""
_MEMORY: Final = 0.2
"""How much the latest piece counts in the running mean of costs."""


class Pump:
    """Spreads pieces of work over the turns of the event loop: ``await pump.turn()``, then ``pump.begin()``.

    Args:
        clock: Seconds from any beginning, never going back.
        budget: Seconds in one turn of the loop in which pieces may begin.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, budget: float = BUDGET) -> None:
        self._clock = clock
        self._budget = budget
        self._closes = inf
        """When the window closes; never, as long as none is open."""
        self._began = 0.0
        self._cost = 0.0
        """From the beginning of a piece to that of the next one in the same window, lately."""
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether `turn` would wait: asking first saves the common case a coroutine."""
        return bool(self._queue) or self._clock() >= self._closes

    def has_lasted(self, windows: int) -> bool:
        """Tell whether this turn of the loop has lasted so many windows.

        For work to which to wait costs more than itself: a reply of a few contacts, which is read in the time that a
        place in the queue takes, or the next chunk, which all workers need, behind a piece of the same worker.
        """
        return self._clock() >= self._closes + (windows - 1) * self._budget

    async def turn(self) -> None:
        """Wait until a piece of work may begin: at once, unless this turn of the loop has done enough.

        The wait is short, but it can be cancelled. Behind it lies a reply that must be understood, or rows that must
        be entered: whoever is cancelled here does the work at once, or shields the wait.
        """
        woken = False
        while self._clock() >= self._closes or (self._queue and not woken):
            place = asyncio.get_running_loop().create_future()
            # Who was woken into a turn that others have filled meanwhile stays first in the queue.
            (self._queue.appendleft if woken else self._queue.append)(place)
            self._schedule()
            await place
            woken = True

    def begin(self) -> None:
        """Note that a piece begins."""
        now = self._clock()
        if self._closes == inf:
            self._closes = now + self._budget
            self._schedule()
        else:
            took = now - self._began
            self._cost = self._cost + _MEMORY * (took - self._cost) if self._cost else took
        self._began = now

    def _schedule(self) -> None:
        if self._scheduled:
            return
        if self._loop is None or not self._loop.is_running():
            self._loop = asyncio.get_running_loop()  # a system call on some versions of Python
        self._scheduled = True
        self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Begin a new turn: wake as many as fit into it by what pieces have cost lately, and one at least."""
        self._scheduled = False
        self._closes = inf
        room = 0.0
        while self._queue and room < self._budget:
            place = self._queue.popleft()
            if not place.done():  # not cancelled meanwhile
                place.set_result(None)
                room += self._cost
        if self._queue:
            self._schedule()
