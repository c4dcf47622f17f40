"""Waiting for something to be true, without looking again and again."""

from collections.abc import Callable

import anyio


class Bell:
    """Rung whenever something may have become true; those that wait look then, and only then."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Let everybody who waits look again."""
        rung, self._rung = self._rung, anyio.Event()
        rung.set()

    async def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until ``true`` returns True at a ring, at most some seconds. It is asked at least once."""
        with anyio.move_on_after(seconds):
            while not true():
                await self._rung.wait()
