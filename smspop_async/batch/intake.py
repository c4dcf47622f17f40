"""From rows to chunks: slabs are pulled one after another, sorted, and given out as chunks, lazily.

The pulling stands under a lock, so that however many workers wait for a chunk, one of them at a time uses the
processor; what is done to a slab is in `smspop_async.batch.sorting`, a slice at a time, and the pump spreads that over
the turns of the event loop.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from string import Template
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from smspop_async.api.campaigns import check_campaign
from smspop_async.api.pump import Pump
from smspop_async.batch.chunks import Chunk, Chunker
from smspop_async.batch.sorting import Excluded, Sorted, Sorter
from smspop_async.config import is_count
from smspop_async.contacts.sources import ContactRows, Slab
from smspop_async.errors import ConfigurationError, ContactSourceError
from smspop_async.message import fields, template_text

_TURN: Final = 0.0005
"""Seconds of reading between two turns of the loop."""
FIRST_SLAB: Final = 250
"""Rows read at first, when every piece of memory is touched for the first time."""
_PULLED_WITHIN: Final = 2
"""Windows of a turn of the loop in which a slab may be sorted."""
_SHORTEST_SLAB: Final = 100
_LONG_SLAB: Final = 2_000
"""Rows that may always be read at once, however short the campaigns, and in a thread."""
_LONGEST_SLAB: Final = 8_000
"""From there on nothing is gained: what is spent on a slab whatever its size is little then (measured)."""
_TOLD: Final = 2_000
"""Rows that are not sent after which they are handed on alone: of a wrong column there are millions."""
_FLUSHED: Final = 100
"""Chunks that are not full given out at once: of a template there may be tens of thousands."""


def check_run(*, name: str, message: str | Template, sender_id: str) -> None:
    """Refuse what no campaign of a run could be sent with.

    Raises:
        ConfigurationError: and what it is.
    """
    text = template_text(message) if isinstance(message, Template) else message
    check_campaign(name=name, message=text, sender_id=sender_id)
    if isinstance(message, Template):
        fields(text)


def check_count(setting: str, value: object, most: int) -> None:
    """Refuse a setting that is not a whole number from 1 to `most`.

    Raises:
        ConfigurationError: and which setting it is.
    """
    if not is_count(value) or value > most:
        raise ConfigurationError(f"{setting} must be a whole number from 1 to {most:,}; it is {value!r}.")


Tell = Callable[[Excluded], Awaitable[None]]


class ChunkSource(ABC):
    """Where the workers of a run get their chunks."""

    failure: ContactSourceError | None
    """What ended the reading before the source did."""

    async def prepare(self, tell: Tell) -> None:  # noqa: B027 - most have nothing to prepare
        """Do what is to be done before anything is sent.

        Args:
            tell: Told about rows that are not going to be sent.
        """

    @abstractmethod
    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk, and the rows excluded on the way to it.

        Many rows are given out without a chunk. Neither a chunk nor rows means that there are no more.
        """

    async def read_rest(self) -> None:  # noqa: B027 - most have read all when the first is sent
        """Enter the rest of a source that ends into the book. Nothing of it is sent."""

    @abstractmethod
    def interrupt(self) -> None:
        """Stop waiting for contacts that may never come."""

    @abstractmethod
    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but not sorted."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened."""


class Intake(ChunkSource):
    """The asynchronous side: gives out chunks one at a time.

    Args:
        rows: The opened source.
        sorter: Decides about every row.
        chunker: The same that `sorter` feeds.
        abandoned: Whether reading on has lost its point.
        pump: Spreads the sorting over the turns of the event loop.
        ahead: Rows that may be read ahead of the workers; a slab is no longer, unless it is a short one.
        clock: Seconds from any beginning, never going back.
    """

    def __init__(
        self,
        *,
        rows: ContactRows,
        sorter: Sorter,
        chunker: Chunker,
        abandoned: Callable[[], bool],
        pump: Pump,
        ahead: int = _LONG_SLAB,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pump = pump
        self._size = rows.size
        self._longest = _LONG_SLAB if rows.is_threaded else max(_LONG_SLAB, min(_LONGEST_SLAB, ahead))
        self._clock = clock
        self._rows = rows
        self._sorter = sorter
        self._chunker = chunker
        self._abandoned = abandoned
        # asyncio's own, because it is entered once a chunk at a fifth of the cost of anyio's (measured).
        self._lock = asyncio.Lock()
        self._ready: deque[Chunk] = deque()
        self._primed: Slab | None = None
        self._exhausted = False
        """Whether the source has no more rows."""
        self._pulling: anyio.CancelScope | None = None
        self.failure: ContactSourceError | None = None

    async def prime(self) -> None:
        """Read the first rows, so that what is wrong from the start is raised before anything is sent.

        Raises:
            ContactSourceError: the source cannot be read.
        """
        self._primed = await self._rows.next_slab()
        self._exhausted = self._primed is None

    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk, and the rows excluded on the way to it."""
        if self._ready:
            return self._ready.popleft(), None
        excluded = Excluded()
        async with self._lock:
            since = self._clock()
            while not self._ready and len(excluded) < _TOLD:
                if self._clock() - since >= _TURN:  # a slow iterable gives its rows one by one
                    await checkpoint()
                    since = self._clock()
                slab = None if self._exhausted else await self._pull()
                if slab is None:
                    self._exhausted = True
                    self._ready.extend(islice(self._chunker.flush(), _FLUSHED))
                    break
                excluded.extend(await self._sort(slab))
            return (self._ready.popleft() if self._ready else None), excluded

    async def read_rest(self) -> None:
        """Enter the rest of a source that ends into the book."""
        more = True
        while more:
            self._ready.clear()
            await checkpoint()  # who is in a hurry may end this between two slabs
            chunk, excluded = await self.next()
            more = chunk is not None or bool(excluded)

    def at_hand(self) -> list[Chunk]:
        """Give out, without waiting, the chunks behind the last one that are ready."""
        ready = [*self._ready]
        self._ready.clear()
        return ready

    def interrupt(self) -> None:
        """Stop waiting for a source that may never give another row."""
        if self._pulling is not None and self._abandoned():
            self._pulling.cancel()

    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but cut off before they could be sorted."""
        slab = self._primed or self._rows.taken()
        self._primed = None
        if slab is not None:
            for _ in self._sorter.sort(slab):
                pass

    async def _pull(self) -> Slab | None:
        slab, self._primed = self._primed, None
        if slab is not None or self._abandoned():
            return slab or self._rows.taken()
        self._rows.size = self._chunker.filling(self._size)
        try:
            with anyio.CancelScope() as self._pulling:
                return await self._rows.next_slab()
        except ContactSourceError as failure:
            self.failure = failure
            return None
        finally:
            self._pulling = None
        return self._rows.taken()

    async def _sort(self, slab: Slab) -> Excluded:
        steps = self._sorter.sort(slab)
        result: Sorted | None = None
        took = 0.0
        while result is None:
            if self._pump.has_lasted(_PULLED_WITHIN):
                with anyio.CancelScope(shield=True):  # rows that were read must be entered
                    await self._pump.turn()
            self._pump.begin()
            since = self._clock()
            result = next(steps)
            took = self._clock() - since
        self._resize(took + self._rows.held)
        self._ready.extend(result.chunks)
        return result.excluded

    def _resize(self, took: float) -> None:
        """Read slabs that take about a turn, so far as that is at most twice as many rows as the last one had.

        What is spent on a slab whatever its size is much of all that a fast row costs; a slab of slow rows holds the
        loop. One that took two turns is not taken for a chance.
        """
        if took <= _TURN:
            longer = min(2.0, _TURN / took) if took > 0 else 2.0
            self._size = min(self._longest, int(longer * self._size))
        elif took > 2 * _TURN:
            self._size = max(_SHORTEST_SLAB, self._size // 2)

    async def aclose(self) -> None:
        """Close the source, and let go of the roster."""
        while self._sorter.let_go_of_some():
            await checkpoint()
        self._sorter.close()
        await self._rows.aclose()
