"""The shared pause: when the API says "slow down" to one request, all of them wait."""

from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[object]]


class Gate:
    """Closed until a moment; that moment only ever moves forward.

    Several runs and calls share the gate of one client, because the API's limit is the account's.

    Args:
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0

    def hold(self, seconds: float) -> None:
        """Keep everybody waiting for at least `seconds` from now."""
        self._until = max(self._until, self._clock() + seconds)

    @property
    def wait_left(self) -> float:
        """Seconds until the gate opens, 0 where it stands open."""
        return max(0.0, self._until - self._clock()) if self._until else 0.0

    async def passing(self, sleep: Sleep, *, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Wait until the gate is open; it may be closed again meanwhile.

        Args:
            sleep: How to wait, which may return early.
            abandoned: Whether waiting has lost its point.
        """
        while (left := self.wait_left) > 0 and not abandoned():
            await sleep(left)
