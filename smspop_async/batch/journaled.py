"""A run with a journal: its contacts are written down before they are sent, and read back from there.

``send`` writes down all contacts before the first of them is sent, and so does ``stream`` where the source is known to
end. From then on the journal alone is enough to finish the send, whatever becomes of the file or the list; and if the
process dies earlier, nothing had gone out. A ``stream`` over a source that may never end writes each chunk down right
before it is sent.

Memory stays flat: the first chunks are kept, the others are read back when a worker is free.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import anyio
from attrs import define, field

from smspop_async.batch.account import planned_chunk
from smspop_async.batch.chunks import Chunk
from smspop_async.batch.intake import ChunkSource, Intake, Tell
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.sorting import Excluded
from smspop_async.errors import ContactSourceError, JournalError
from smspop_async.journal.base import LineRun, SendState, StoredChunk
from smspop_async.journal.sqlite import SendLog, SqliteJournal

_KEPT: Final = 250_000
"""Contacts that are kept in memory after they were written down: 17 MB where nobody else holds their texts.

To read one back costs a quarter of what it costs to send it to a server that answers at once (measured).
"""
_KEPT_CHUNKS: Final = 2_000
"""Chunks of these at most: each is some objects that Python's collector walks through."""
_TOGETHER: Final = 50_000
"""Rows that are written down with one order: a transaction costs as much as forty chunks of five hundred."""
_AT_FIRST: Final = 5
"""Times as many, while they are kept in memory anyway: a thread that writes while the loop reads takes its turns."""
_CHUNKS: Final = 1_000
"""Chunks that are written down with one order: each becomes an object for that, in the event loop."""
_READ: Final = 64
"""Chunks that are read back at once, where they are not large: who reads claims nothing meanwhile."""


class Keeper:
    """The journal of one run: closed when the run is over.

    Args:
        journal: Open; the run is one of its users.
        log: The run's place in it.
        why: What stopped the run, or "".
    """

    def __init__(self, *, journal: SqliteJournal, log: SendLog, why: Callable[[], str]) -> None:
        self._journal = journal
        self._log = log
        self.why = why

    async def aclose(self) -> None:
        """Have everything carried out that was ordered, and let go of the journal."""
        try:
            await self._log.finish(self.why())
        except JournalError as error:
            self._log.failed(error)
        finally:
            await self._journal.__aexit__(None, None, None)


@define(kw_only=True)
class _LineRuns:
    """Where lines take another step than rows, in columns: a file with empty lines has as many such places as those."""

    rows: list[int] = field(factory=list[int])
    lines: list[int | None] = field(factory=list[int | None])

    def __iter__(self) -> Iterator[LineRun]:
        """One by one, as a journal takes them."""
        for row, line in zip(self.rows, self.lines, strict=True):
            yield LineRun(row=row, line=line)


class Planner:
    """Writes down what an intake gives out.

    Args:
        log: Where to.
        book: Where the intake enters every row.
    """

    def __init__(self, *, log: SendLog, book: OutcomeBook) -> None:
        self._log = log
        self._book = book
        self._slabs = 0
        self._runs = _LineRuns()
        self._step: int | None = None
        """The line of a row less the row, where rows have lines."""

    async def write(self, chunks: Sequence[Chunk], excluded: Excluded | None) -> None:
        """Write down numbered chunks, and rows that are not sent.

        Raises:
            JournalError: it cannot be written.
        """
        self.follow()
        runs, self._runs = self._runs, _LineRuns()
        await self._log.plan(
            [planned_chunk(chunk) for chunk in chunks],
            rejected=excluded or (),
            lines=runs,
            total=len(self._book),
        )

    def follow(self) -> None:
        """Note the lines of the rows entered since. Of a quarter of a million rows at once that would hold the loop."""
        for first, count, lines in self._book.slabs(self._slabs):
            self._slabs += 1
            if lines is None:
                self._note(first, None)
            elif isinstance(lines, range) and lines.step == 1:
                self._note(first, lines[0])
            else:
                for row, line in zip(range(first, first + count), lines, strict=True):
                    self._note(row, line)

    def _note(self, row: int, line: int | None) -> None:
        step = None if line is None else line - row
        if step != self._step:
            self._step = step
            self._runs.rows.append(row)
            self._runs.lines.append(line)


class StoredSource(ChunkSource):
    """Gives out what is planned in the journal, and what is put before that.

    Args:
        log: The send's place in the journal.
        keeper: Closes the journal at the end.
        stopped: Whether nothing more is sent.
        heard: Whether anybody listens for outcomes one by one.
        ready: What goes first; more may be put there until the first chunk is asked for.
    """

    def __init__(
        self,
        *,
        log: SendLog,
        keeper: Keeper,
        stopped: Callable[[], bool],
        heard: Callable[[], bool],
        ready: deque[Chunk] | None = None,
    ) -> None:
        self._log = log
        self._keeper = keeper
        self._stopped = stopped
        self._heard = heard
        self._ready: deque[Chunk] = deque() if ready is None else ready
        self._lock = anyio.Lock()
        self._after: int = 0
        self._last: int | None = None
        self._ended = False
        self.failure: ContactSourceError | None = None

    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk that is planned."""
        if not self._ready and not self._ended:
            async with self._lock:
                if not self._ready and not self._ended:
                    await self._read_on()
        return (self._ready.popleft() if self._ready else None), None

    async def _read_on(self) -> None:
        try:
            await self._read()
        except JournalError as error:
            self._ended = True
            self._log.failed(error)

    async def _read(self) -> None:
        """Read chunks back; those that were halved since then have higher numbers, and are their workers' own."""
        if self._last is None:
            self._last = await self._log.last_seq()
        if self._after >= self._last or (self._stopped() and not self._heard()):
            self._ended = True
            return
        stored = await self._log.planned(after=self._after, limit=_READ)
        chunks = [stored_chunk(chunk) for chunk in stored if chunk.planned.seq <= self._last]
        self._ready.extend(chunks)
        self._after = chunks[-1].seq if chunks else self._last
        self._ended = not chunks

    def interrupt(self) -> None:
        """Nothing is waited for that may never come."""

    def enter_rest(self) -> None:
        """All rows are in the book."""

    async def aclose(self) -> None:
        """Close the journal."""
        await self._keeper.aclose()


class AheadSource(StoredSource):
    """Has everything written down first, and gives it out from there.

    Args:
        intake: Where contacts come from.
        planner: Writes them down.
        number: Gives chunks their numbers.
        log: As for `StoredSource`, and so are the others.
        keeper: Closes the journal at the end.
        stopped: Whether nothing more is sent.
        heard: Whether anybody listens.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        planner: Planner,
        number: Callable[[Sequence[Chunk]], None],
        log: SendLog,
        keeper: Keeper,
        stopped: Callable[[], bool],
        heard: Callable[[], bool],
    ) -> None:
        super().__init__(log=log, keeper=keeper, stopped=stopped, heard=heard)
        self._intake = intake
        self._planner = planner
        self._number = number
        self._kept = 0
        self.failure: ContactSourceError | None = None

    async def prepare(self, tell: Tell) -> None:
        """Write all contacts down.

        Args:
            tell: Told about rows that are not sent.

        Raises:
            JournalError: it cannot be written, or is there already and not finished; nothing was sent.
        """
        try:
            await self._plan(tell)
            if not self._stopped() and self.failure is None:
                await self._log.complete()
                return
        except BaseException:
            self._give_nothing_out()
            raise
        self._give_nothing_out()
        why = str(self.failure) if self.failure is not None else self._keeper.why()
        words = f"ended before all contacts were read, so that nothing of it went out. {why}".rstrip()
        await self._log.mark(SendState.ABANDONED, words)

    def _give_nothing_out(self) -> None:
        self._ready.clear()
        self._ended = True

    async def _plan(self, tell: Tell) -> None:
        chunks: list[Chunk] = []
        excluded = Excluded()
        waiting = 0
        more = True
        while more:
            chunk, out = await self._intake.next()
            if out:
                await tell(out)
            more = chunk is not None or bool(out)
            self.failure = self._intake.failure
            if self._stopped():
                continue  # the rest is read so that every row is accounted for, but it is not going to be sent
            self._planner.follow()
            if out:
                excluded.extend(out)
            if chunk is not None:
                given = [chunk, *self._intake.at_hand()]
                self._number(given)
                self._keep(given)
                chunks += given
                waiting += sum(map(len, given))
            if self._is_enough(waiting, len(chunks), len(excluded)) or not more:
                await self._planner.write(chunks, excluded)
                chunks, excluded, waiting = [], Excluded(), 0

    def _is_enough(self, contacts: int, chunks: int, excluded: int) -> bool:
        all_kept = self._after == (self._last or 0)
        most = _TOGETHER * (_AT_FIRST if all_kept else 1)
        return contacts >= most or chunks >= _CHUNKS or excluded >= _TOGETHER

    def _keep(self, chunks: Sequence[Chunk]) -> None:
        """Keep the first chunks of the list in memory, as many as there is room for."""
        for chunk in chunks:
            full = self._kept + len(chunk) > _KEPT or len(self._ready) >= _KEPT_CHUNKS
            if full or chunk.seq != self._after + 1:
                break
            self._kept += len(chunk)
            self._after = chunk.seq
            self._ready.append(chunk)
        self._last = chunks[-1].seq

    async def read_rest(self) -> None:
        """Enter the rest of the source into the book, where it was not read to its end."""
        await self._intake.read_rest()

    def interrupt(self) -> None:
        """Stop waiting for contacts that may never come."""
        self._intake.interrupt()

    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but not sorted."""
        self._intake.enter_rest()

    async def aclose(self) -> None:
        """Close the source and the journal."""
        try:
            await self._intake.aclose()
        finally:
            await super().aclose()


class AlongSource(ChunkSource):
    """Has each chunk written down when it is given out: for a source that may never end.

    Args:
        intake: Where contacts come from.
        planner: Writes them down.
        log: The send's place in the journal.
        keeper: Closes the journal at the end.
        number: Gives chunks their numbers.
        stopped: Whether nothing more is sent.
    """

    def __init__(
        self,
        *,
        intake: ChunkSource,
        planner: Planner,
        log: SendLog,
        keeper: Keeper,
        number: Callable[[Sequence[Chunk]], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._intake = intake
        self._planner = planner
        self._log = log
        self._keeper = keeper
        self._number = number
        self._stopped = stopped
        self._whole = False
        self._begun = False
        self.failure: ContactSourceError | None = None

    async def next(self) -> tuple[Chunk | None, Excluded | None]:
        """Give out the next chunk; its claim stands behind its plan in the journal's line."""
        chunk, excluded = await self._intake.next()
        self.failure = self._intake.failure
        if chunk is not None:
            self._number((chunk,))
        if chunk is not None or excluded:
            try:
                await self._planner.write([chunk] if chunk is not None else [], excluded)
                if chunk is not None and not self._begun:
                    self._begun = True
                    await self._log.begin_along()
            except JournalError as error:
                self._log.failed(error)
        elif self.failure is None and not self._stopped():
            self._whole = True
        return chunk, excluded

    def interrupt(self) -> None:
        """Stop waiting for contacts that may never come."""
        self._intake.interrupt()

    def enter_rest(self) -> None:
        """Enter rows into the book that were read, but not sorted."""
        self._intake.enter_rest()

    async def aclose(self) -> None:
        """Close the source and the journal."""
        try:
            await self._intake.aclose()
            if self._whole:
                await self._log.mark(SendState.PLANNED)
        except JournalError as error:
            self._log.failed(error)
        finally:
            await self._keeper.aclose()


def stored_chunk(stored: StoredChunk) -> Chunk:
    """A chunk as it stands in the journal."""
    planned = stored.planned
    return Chunk(rows=planned.rows, numbers=planned.numbers, text=planned.text, seq=planned.seq)
