"""Brings events to an observer that may be slow, and keeps it from holding anybody up.

A plain function is called where the event happens, which is cheap and in order. What it may return to be awaited (an
async observer does) is awaited by a task apart, one after another. A plain function that is found to hold the event
loop is from then on called in a worker thread. Either way the run goes on: what waits is bounded, and what is
beyond the bound is counted and left out.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable, iscoroutine
from typing import Final, cast

import anyio
import anyio.to_thread

from smspop_async.events import Event, Observer, complain

_log = logging.getLogger("smspop_async")

_PATIENCE: Final = 0.02
"""Seconds that a plain observer may hold the loop."""
_WAITING: Final = 10_000
"""Events that may wait."""
_PARTING: Final = 2.0
"""Seconds that are waited for an observer at the end of a run or of a client."""


class Courier:
    """One observer, and what it has yet to hear. Call it with an event; it never raises.

    Args:
        observer: As the user gave it.
        clock: Seconds from any beginning, never going back.
    """

    def __init__(self, observer: Observer, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._observer = observer
        self._clock = clock
        self._apart = False
        self._waiting: deque[Event | Awaitable[object]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.left_out = 0
        """Events that the observer did not hear, because it was too slow."""

    def __call__(self, event: Event) -> None:
        """Tell the observer, now or in its turn."""
        if self._apart:
            self._queue(event)
            return
        since = self._clock()
        try:
            result = self._observer(event)
        except Exception as error:  # noqa: BLE001 - an observer must not hurt the run
            complain(error, event)
            return
        if isawaitable(result):
            self._queue(cast("Awaitable[object]", result))
        elif self._clock() - since > _PATIENCE:
            self._apart = True
            _log.warning(
                "The on_event observer held the event loop for %.0f ms: it is called in a thread from now on",
                (self._clock() - since) * 1e3,
            )

    def _queue(self, item: Event | Awaitable[object]) -> None:
        if len(self._waiting) >= _WAITING:
            self._leave_out(item)
            return
        self._waiting.append(item)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._deliver())

    def _leave_out(self, item: object) -> None:
        if iscoroutine(item):
            item.close()
        self.left_out += 1
        if self.left_out == 1:
            _log.warning("The on_event observer is too slow: events are left out")

    async def _deliver(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            try:
                if isawaitable(item):
                    await item
                else:
                    await anyio.to_thread.run_sync(self._observer, item)
            except Exception as error:  # noqa: BLE001 - an observer must not hurt the run
                complain(error)

    async def flush(self) -> None:
        """Wait a little until the observer has heard what waits."""
        task = self._task
        if task is not None and not task.done():
            with anyio.move_on_after(_PARTING):
                await asyncio.wait([task])

    async def aclose(self) -> None:
        """Wait a little, and then let go of what the observer has not heard."""
        await self.flush()
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        while self._waiting:
            self._leave_out(self._waiting.popleft())


async def flush(observer: Observer | None) -> None:
    """Wait a little until an observer has heard what waits for it."""
    if isinstance(observer, Courier):
        await observer.flush()


async def close(observer: Observer | None) -> None:
    """End the telling of an observer."""
    if isinstance(observer, Courier):
        await observer.aclose()
