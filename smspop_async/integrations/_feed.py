"""The events of one send, for any number of listeners.

The one who publishes never waits. The last few events are kept in a ring, and a listener is no more than a place in
it: one that is slow, stuck or gone costs nothing, holds nothing back, and finds what it missed as long as the ring
still has it. What the ring has forgotten is no loss to a listener, because every event tells the whole state.
"""

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import anyio
from attrs import field, frozen

PROGRESS = "progress"
END = "end"
_DIGITS: Final = 18


@frozen(kw_only=True)
class SendEvent:
    """Something that happened to a send, ready to be told as a server-sent event."""

    id: int
    """Counts the events of a send from 1; what a browser gives back as ``Last-Event-ID``."""
    kind: str
    """``progress``, or ``end`` for the last one."""
    data: Mapping[str, Any] = field(repr=False)
    """The state of the send as JSON values, without a phone number or the text."""


def event_number(text: str) -> int:
    """The number in a ``Last-Event-ID``; 0 where there is none that was ever given."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0


class Feed:
    """The latest events of a send.

    Args:
        history: How many events are kept for listeners that come back.
        begin: The id of the event before the first one.
    """

    def __init__(self, *, history: int, begin: int = 0) -> None:
        self._ring = deque[SendEvent](maxlen=history)
        self._last = begin
        self._bell = anyio.Event()
        self.closed = False

    @property
    def last(self) -> int:
        """The id of the latest event."""
        return self._last

    def publish(self, kind: str, data: Mapping[str, Any]) -> int:
        """Let every listener know. Waits for nobody.

        Returns:
            The id of the event.
        """
        self._last += 1
        self._ring.append(SendEvent(id=self._last, kind=kind, data=data))
        self._ring_bell()
        return self._last

    def close(self) -> None:
        """Let the listeners end when they have heard everything."""
        self.closed = True
        self._ring_bell()

    def _ring_bell(self) -> None:
        bell, self._bell = self._bell, anyio.Event()
        bell.set()

    def after(self, last: int) -> list[SendEvent]:
        """The events that are still kept and came after the one with the id `last`."""
        return [event for event in self._ring if event.id > last]

    async def listen(self, last: int = 0, *, until: anyio.Event | None = None) -> AsyncGenerator[SendEvent]:
        """Iterate over what was kept since `last`, and then over what comes.

        Args:
            last: The id of the last event that the listener knows. One that was never given counts as 0.
            until: Ends the listening when it is set.
        """
        place = last if 0 <= last <= self._last else 0
        while True:
            bell = self._bell
            for event in self.after(place):
                yield event
                place = event.id
            if self.closed and place >= self._last:
                return
            if bell is self._bell:
                await first_of(bell, *(() if until is None else (until,)))
            if until is not None and until.is_set():
                return


async def first_of(*events: anyio.Event) -> None:
    """Wait until one of the events is set."""
    async with anyio.create_task_group() as waiting:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            waiting.cancel_scope.cancel()

        for event in events:
            waiting.start_soon(wait, event)
