"""The places of the requests under way: as many as the pool has connections.

`asyncio.Semaphore` does the same, and costs four calls and a coroutine where a place is free, which is nearly always.
Here a free place is one call, and a coroutine is only made to wait. A place that is given back goes to the one who
has waited longest, and is never free in between, so that nobody overtakes.
"""

import asyncio
from collections import deque
from typing import Self


class Slots:
    """So many places. ``if not slots.take(): await slots.wait()``, and in any case `give` at the end.

    Args:
        count: How many.
    """

    __slots__ = ("_free", "_queue")

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free. None is while somebody waits."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a place. Whoever is cancelled here has none."""
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given, and is not needed any more
                self.give()
            raise

    def give(self) -> None:
        """Give a place back."""
        while self._queue:
            place = self._queue.popleft()
            if not place.done():  # not cancelled meanwhile
                place.set_result(None)
                return
        self._free += 1

    async def __aenter__(self) -> Self:
        """Have a place for a block."""
        if not self.take():
            await self.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give()
