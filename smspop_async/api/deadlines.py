"""The time limits of requests, watched by one timer for all of them.

aiohttp arms two timers a request, one for the whole and one for the silence of the socket, and takes them down again.
For a campaign of one contact that is a fifteenth of all work, spent on limits of minutes that next to no request
meets. So the limits of connecting are left to aiohttp, which needs no timer where a pooled connection is at hand, and
the two limits of a request under way are kept here: a request notes when it was last heard of, which costs
nothing, and one timer, set to the earliest moment at which any of them can be late, looks at all.

A request that is late is ended by aborting its connection: whoever waits for it is woken by that, reads here why,
and the connection cannot be used again. No task is cancelled, so nothing can be mistaken for a cancellation
from outside. A connection is watched for the latest request that was written on it: one whose reply is complete may
not have said so yet when the next one has begun. The watch begins with the write, and a request whose time
passed before that refuses to write. The server is silent until the head of its reply is here, and then until the
next piece of its body is.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from smspop_async.config import Timeouts

TOTAL: Final = "the time limit of the request passed"
SILENCE: Final = "the server stayed silent for too long"


class Abortable(Protocol):
    """The part of a transport that ends it."""

    def abort(self) -> None:
        """Close at once."""


class Deadline:
    """The limits of one request. Made by `Deadlines.begin`."""

    __slots__ = ("_deadlines", "_heard", "_limit", "_now", "_transport", "_until", "expired")

    def __init__(self, deadlines: "Deadlines", limits: Timeouts) -> None:
        self._deadlines = deadlines
        self._now = now = deadlines.now
        self._until = inf if limits.total is None else now() + limits.total
        self._limit = inf if limits.read is None else limits.read
        self._heard = inf
        self._transport: Abortable | None = None
        self.expired: str = ""
        """Which limit passed, in words; empty while none has."""

    def arm(self, transport: Abortable) -> bool:
        """Begin to watch, now that the request is written on `transport`; False where it may not be.

        Its time is over already, or the client is closed.
        """
        self._heard = now = self._now()
        until = self._until
        if self._deadlines.is_closed:
            return False
        if now >= until:
            self.expired = TOTAL
            return False
        self._transport = transport
        due = now + self._limit
        self._deadlines.watch(transport, self, min(until, due))
        return True

    def hear(self) -> None:
        """Note that a piece of the reply arrived."""
        self._heard = self._now()

    def end(self) -> None:
        """Stop watching, unless the connection carries another request already."""
        watched = self._deadlines.watched
        if self._transport is not None and watched.get(self._transport) is self:
            del watched[self._transport]

    @property
    def due(self) -> float:
        """When this request will be late, unless something is heard."""
        return min(self._until, self._heard + self._limit)

    def expire(self, now: float) -> None:
        """Write down that the request is late."""
        self.expired = TOTAL if now >= self._until else SILENCE


class Deadlines:
    """The watch over the requests of one event loop.

    Args:
        loop: Whose clock and timer are used.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loops of asyncio itself tell this clock, by one call more.
        own = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if own else loop.time
        self._loop = loop
        self.watched: dict[Abortable, Deadline] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = inf
        self.is_closed: bool = False
        """Whether nobody watches any more."""

    def begin(self, limits: Timeouts) -> Deadline:
        """Start the clock of a request."""
        return Deadline(self, limits)

    def watch(self, transport: Abortable, deadline: Deadline, due: float) -> None:
        """Watch a connection for this request, due then, and no more for the one that it carried before."""
        self.watched[transport] = deadline
        if due < self._looks_at:
            self._look_by(due)

    def close(self) -> None:
        """End the requests under way, which nobody watches any more, and take the timer down.

        On a session of our own they would end with it, but a lender's connections stay open.
        """
        self.is_closed = True
        watched, self.watched = self.watched, {}
        if not self._loop.is_closed():
            for transport in watched:
                transport.abort()
        self._look_by(inf)

    def _look_by(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look) if due < inf else None
        self._looks_at = due

    def _look(self) -> None:
        """See whether a request is late. If so look again in the next turn of the loop, and then act.

        Where the loop stood still for long, the reply may be here and only not have been read yet.
        """
        self._timer, self._looks_at = None, inf
        now = self.now()
        if any(deadline.due <= now for deadline in self.watched.values()):
            self._loop.call_soon(self._act)
        else:
            self._look_later()

    def _act(self) -> None:
        now = self.now()
        for transport, deadline in list(self.watched.items()):
            if deadline.due <= now:
                deadline.expire(now)
                del self.watched[transport]
                transport.abort()
        self._look_later()

    def _look_later(self) -> None:
        self._look_by(min((deadline.due for deadline in self.watched.values()), default=inf))
