"""The pump: all processor work of a client, a little of it in each turn of the event loop (law 6, Good neighbour).

The SDK lives in somebody's web app. Sixteen replies of five hundred contacts can become readable in the same turn of
the loop, and each worker that decodes one also normalises its next chunk: small pieces, none of them over half a
millisecond, and together forty. Slicing each worker's work does not help, for the slices add up in the same way; nor
do threads, under one interpreter lock.

So every piece of work takes a turn at one pump. The pump counts what the pieces of the current turn of the
loop have cost; while that is below the budget the next piece goes straight on, without an await. Above it, pieces
queue, and as many as fit are woken in the next turn. When little is going on, nothing is ever awaited.

A turn of the loop ends where a callback that was scheduled in it runs: `_next_turn` is that callback.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final

BUDGET: Final = 0.00025
"""Seconds of work in one turn of the loop, before the piece that exceeds it.

Behind each piece comes about as much that is not counted, such as making the next request; with twice this budget the
loop was held for up to 5 ms (measured).
"""
_MEMORY: Final = 0.2
"""How much the latest piece counts in the running mean of costs."""


class Pump:
    """Spreads pieces of work over the turns of the event loop: ``await pump.turn()``, then ``with pump: …``.

    Args:
        clock: Seconds from any beginning, never going back.
        budget: Seconds of work in one turn of the loop.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, budget: float = BUDGET) -> None:
        self._clock = clock
        self._budget = budget
        self._spent = 0.0
        self._began = 0.0
        self._cost = 0.0
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether `turn` would wait: asking first saves the common case a coroutine."""
        return self._spent >= self._budget or bool(self._queue)

    async def turn(self) -> None:
        """Wait until a piece of work may begin: at once, unless this turn of the loop has done enough.

        The wait is short, but it can be cancelled. Behind it lies a reply that must be understood, or rows that must
        be entered: whoever is cancelled here does the work at once, or shields the wait.
        """
        woken = False
        while self._spent >= self._budget or (self._queue and not woken):
            place = asyncio.get_running_loop().create_future()
            # Who was woken into a turn that others have filled meanwhile stays first in the queue.
            (self._queue.appendleft if woken else self._queue.append)(place)
            self._schedule()
            await place
            woken = True

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cost = self._clock() - self._began
        self._spent += cost
        self._cost = self._cost + _MEMORY * (cost - self._cost) if self._cost else cost
        if not self._scheduled:
            self._schedule()

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
        self._spent = room = 0.0
        while self._queue and room < self._budget:
            place = self._queue.popleft()
            if not place.done():  # not cancelled meanwhile
                place.set_result(None)
                room += self._cost
        if self._queue:
            self._schedule()
