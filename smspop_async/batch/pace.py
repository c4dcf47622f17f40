"""How fast a run may go: the rate limit, the adaptive concurrency, and the point where going on is pointless.

All pure: moments come in, seconds to wait or numbers come out.
"""

from typing import Final

from smspop_async.config import RateLimit

_DECREASE: Final = 0.5


class Pacer:
    """Spaces campaigns out so that both limits of a `RateLimit` hold from the first one on.

    Each limit is a virtual schedule (GCRA with no burst): a campaign takes ``contacts / rate`` seconds of
    it, and the next one starts when those are over. Time not used is not saved up, so a pause never ends in
    a burst.

    Args:
        limit: The limits.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._next = 0.0

    def reserve(self, now: float, contacts: int) -> float:
        """Book a campaign of `contacts` and return the seconds to wait before it, 0 for none."""
        start = max(now, self._next)
        self._next = start + self._interval(contacts)
        return start - now

    def _interval(self, contacts: int) -> float:
        per_contact, per_request = self._limit.contacts_per_second, self._limit.requests_per_second
        return max(contacts / per_contact if per_contact else 0.0, 1 / per_request if per_request else 0.0)


class Aimd:
    """Adaptive concurrency: one more after a full round of successes, half when the API is overloaded.

    Additive increase, multiplicative decrease, under a ceiling. Several refusals of one round count once:
    requests that were under way already when the limit was halved say nothing about the new one.

    Args:
        ceiling: The most campaigns at once.
    """

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limit = float(ceiling)
        self._deaf = 0

    @property
    def limit(self) -> int:
        """How many campaigns may be under way at once, at least 1."""
        return max(1, int(self._limit))

    def succeed(self) -> None:
        """A campaign was answered normally."""
        self._deaf = max(0, self._deaf - 1)
        self._limit = min(float(self._ceiling), self._limit + 1 / self._limit)

    def overload(self) -> None:
        """A campaign was answered by 429 or 503."""
        if self._deaf:
            self._deaf -= 1
            return
        self._deaf = self.limit - 1
        self._limit = max(1.0, self._limit * _DECREASE)


class Breaker:
    """Notices when nothing works any more: so many campaigns in a row without a single one accepted.

    A list of ten million contacts must not be burnt against a server that answers every campaign with an
    error.

    Args:
        unsent: Campaigns in a row that could not be delivered to the server at all.
        unclear: Campaigns in a row that ended refused or unknown.
    """

    def __init__(self, *, unsent: int = 3, unclear: int = 20) -> None:
        self._limits = {"unsent": unsent, "unclear": unclear}
        self._row = {"unsent": 0, "unclear": 0}

    def accept(self) -> None:
        """A campaign was accepted: all is forgiven."""
        self._row["unsent"] = self._row["unclear"] = 0

    def fail(self, *, unsent: bool) -> bool:
        """Count a campaign that was not accepted; True where the run should stop."""
        kind = "unsent" if unsent else "unclear"
        self._row[kind] += 1
        return self._row[kind] >= self._limits[kind]
