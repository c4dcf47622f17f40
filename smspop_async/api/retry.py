"""Whether and when to try again. Pure: failure, attempt and a random draw in, seconds or None out."""

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from smspop_async.config import RetryPolicy

_SECONDS: Final = re.compile(r"\s*\d{1,99}(\.\d{1,9})?\s*", re.ASCII)


def backoff(policy: RetryPolicy, attempt: int, draw: float) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): full jitter under a doubling ceiling.

    Args:
        policy: The ceilings.
        attempt: How many attempts have failed.
        draw: A random number in [0, 1).
    """
    ceiling = min(policy.max_backoff, policy.initial_backoff * math.ldexp(1.0, min(attempt - 1, 60)))
    return draw * ceiling


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110, 10.2.3): seconds or a date; None for garbage.

    Args:
        value: The header, or None.
        now: Seconds since the epoch.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # the form of asctime, which is Greenwich's time all the same
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class RetryBudget:
    """Bounds the retries of GET: a fleet of clients must not multiply the load of a server that is down.

    Args:
        retries: How many there are at first, and at most.
        successes: How many of them earn one retry back.
    """

    def __init__(self, retries: int = 10, successes: int = 10) -> None:
        # Counted in successes, so that whole numbers do.
        self._full = self._left = retries * successes
        self._cost = successes

    def spend(self) -> bool:
        """Take a retry; False where none is left."""
        if self._left < self._cost:
            return False
        self._left -= self._cost
        return True

    def succeed(self) -> None:
        """Give a part of a retry back."""
        self._left = min(self._full, self._left + 1)
