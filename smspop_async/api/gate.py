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
        self.is_open: bool = True
        """Whether it was found open when last asked for `wait_left`; one that was never closed needs no clock."""

    def hold(self, seconds: float) -> None:
        """Keep everybody waiting for at least `seconds` from now."""
        self._until = max(self._until, self._clock() + seconds)
        self.is_open = False

    @property
    def wait_left(self) -> float:
        """Seconds until the gate opens, 0 where it stands open."""
        left = 0.0 if self.is_open else max(0.0, self._until - self._clock())
        self.is_open = not left
        return left

    async def passing(self, sleep: Sleep, *, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Wait until the gate is open; it may be closed again meanwhile.

        Args:
            sleep: How to wait, which may return early.
            abandoned: Whether waiting has lost its point.
        """
        while (left := self.wait_left) > 0 and not abandoned():
            await sleep(left)
