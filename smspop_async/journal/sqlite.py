"""A journal in one SQLite file: the embedded default.

Why a power cut cannot make a text go out twice. A request leaves only after `SendLog.claim` has returned, and
that returns only after the commit. With ``synchronous=FULL`` a commit in write-ahead mode is not reported before
the log is on the disk (``fsync``); with NORMAL it would be, and a claim could be lost: the chunk would still
read `planned`, and a resume would send it again. The name of a new file is made durable with its folder. Of what
comes after the claim nothing needs to be durable: a result that is lost leaves the chunk `submitting`, which is
`unknown` to whoever opens the journal next, is looked for, and is held. So results go with the next claim, or some
milliseconds later alone (`smspop_async.journal.commit`).

Why a second process cannot send what the first is sending. The lock (`smspop_async.journal.opening`) is taken
before the file is read, and held until the last order is carried out. Claims are compare-and-swap all the same.
"""

import asyncio
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.to_thread

from smspop_async.api.models import Status
from smspop_async.errors import JournalError
from smspop_async.journal import reading, statements, swaps
from smspop_async.journal.base import (
    ChunkState,
    LineRun,
    PlannedChunk,
    RejectedRow,
    SendPlan,
    SendRecord,
    SendState,
    StoredChunk,
    Verdict,
)
from smspop_async.journal.commit import GroupCommit
from smspop_async.journal.drafting import Draft, Early, own
from smspop_async.journal.opening import Opened
from smspop_async.journal.schema import chunk_id
from smspop_async.journal.sends import SendReader, open_meant

_TOKEN_BITS: Final = 62
_AHEAD: Final = 2
"""Orders of planning that may wait for the disk."""


class SqliteJournal:
    """A journal in a file, for ``send``, ``stream`` and ``resume``; ``journal="welcome.db"`` makes one of the path.

    Use it as a context manager to keep it open over several sends: ``async with SqliteJournal(path) as journal``. One
    process at a time can hold it; `list_sends` and `read_report` read it at any time. It holds phone numbers and
    messages, so only its owner may read the file; the API token is never in it.

    Args:
        path: The file; it is made if there is none.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        self.path: Path = Path(path)
        self._clock = clock
        self._users = 0
        self._opening = anyio.Lock()
        self._commit: GroupCommit | None = None
        self._closing: GroupCommit | None = None
        self._place = self.path
        self._under_way: dict[int, SendLog] = {}

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path)!r})"

    async def __aenter__(self) -> Self:
        """Open the file, or count one more user of it.

        Raises:
            JournalError: it cannot be used; the words say why, and what to do.
        """
        async with self._opening:
            if self._commit is None:
                await self._open()
            self._users += 1
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users == 0:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _open(self) -> None:
        # A cancellation must not lose a lock that the thread has taken.
        with anyio.CancelScope(shield=True):
            if self._closing is not None:
                await self._closing.aclose()
            opened = await _own(self.path)
            self._place = opened.path
            if isinstance(opened, Draft):  # nobody has left anything in it
                self._commit = GroupCommit(opened.connection, opened.path, opened.close, opened)
                return
            self._commit = GroupCommit(opened.connection, opened.path, opened.close)
            try:
                await self._commit.run(partial(statements.give_up, now=self._clock()))
            except BaseException:
                await self._close()
                raise

    async def _close(self) -> None:
        self._closing, self._commit = self._commit, None
        self._under_way.clear()
        if self._closing is not None:
            await self._closing.aclose()

    async def sends(self) -> list[SendRecord]:
        """All sends in the journal, in the order of their beginnings.

        Raises:
            JournalError: it is not open, or cannot be read.
        """
        return [record for _, record in await self._writer.run(reading.read_sends)]

    @property
    def _writer(self) -> GroupCommit:
        if self._commit is None:
            raise JournalError(f"The journal {self.path} is not open: use it as `async with`.")
        return self._commit

    async def begin(self, plan: SendPlan, *, streaming: bool) -> "SendLog":
        """Enter a new send.

        Args:
            plan: What it is.
            streaming: Whether it sends before all its contacts are in the journal.
        """
        state = SendState.STREAMING if streaming else SendState.PLANNING
        act = partial(statements.begin, plan=plan, state=state, now=self._clock())
        send = await self._writer.run(act if streaming else Early(act))
        log = self._log(send, ahead=not streaming)
        log.take()
        return log

    def _log(self, send: int, *, ahead: bool = False) -> "SendLog":
        return SendLog(
            writer=self._writer,
            path=self._place,
            send=send,
            clock=self._clock,
            under_way=self._under_way,
            ahead=ahead,
        )

    async def reopen(self, run: str) -> "SendLog":
        """Go on with a send.

        Raises:
            JournalError: there is none of this token, or it is under way.
        """
        for send, record in await self._writer.run(reading.read_sends):
            if record.run == run:
                log = self._log(send)
                log.take()
                return log
        raise JournalError(
            f"The journal {self.path} has no send {run!r}: `smspop report {self.path}` lists them."
        )


async def _own(path: Path) -> Opened | Draft:
    """Open a journal in a thread, which no cancellation ends: what comes too late is closed again."""
    taken: list[Opened | Draft] = []
    given_up = False
    deciding = threading.Lock()

    def open_it() -> None:
        opened = own(path)
        with deciding:
            if not given_up:
                taken.append(opened)
                return
        opened.close()

    try:
        await anyio.to_thread.run_sync(open_it)
    except asyncio.CancelledError:
        with deciding:
            given_up = True
        for opened in taken:
            opened.close()
        raise
    return taken[0]


class SendLog:
    """One send in a journal. Orders are carried out in the order in which they are given.

    Args:
        writer: The journal's thread.
        path: The journal.
        send: The send's id.
        clock: Seconds since the epoch.
        under_way: Who is at which send of the journal: one at a time. Whoever writes first is.
        ahead: Whether nothing of it is sent before all of it is written down.
    """

    def __init__(
        self,
        *,
        writer: GroupCommit,
        path: Path,
        send: int,
        clock: Callable[[], float],
        under_way: "dict[int, SendLog] | None" = None,
        ahead: bool = False,
    ) -> None:
        self._writer = writer
        self._path = path
        self._send = send
        self._clock = clock
        self._under_way = {} if under_way is None else under_way
        self.ahead: bool = ahead
        self._new_tokens = count(secrets.randbits(_TOKEN_BITS))
        """Nobody else's begin there, and to draw each by itself is to ask the system each time."""
        self._tokens: dict[int, int] = {}
        self._seconds: dict[int, tuple[int, PlannedChunk]] = {}
        self._waiting = 0
        self._over = False
        self.failed: Callable[[JournalError], object] = lambda _: None
        """Told about an order that could not be carried out and that nobody waited for."""

    def take(self) -> None:
        """Have the send to oneself, until `let_go`.

        Raises:
            JournalError: somebody else is at it.
        """
        if self._under_way.get(self._send, self) is not self:
            raise JournalError(
                f"The send is under way already, by this process and out of the journal {self._path}: wait for it. "
                "Nothing was sent by this call."
            )
        if not self._over:
            self._under_way[self._send] = self

    async def plan(
        self,
        chunks: Sequence[PlannedChunk],
        *,
        rejected: Iterable[RejectedRow] = (),
        lines: Iterable[LineRun] = (),
        total: int,
    ) -> None:
        """Enter rows. They are durable when the next order that is waited for is.

        Raises:
            JournalError: nothing can be written.
        """
        act: Callable[[sqlite3.Connection], None] = partial(
            statements.plan, send=self._send, chunks=chunks, rejected=rejected, lines=lines, total=total
        )
        if self.ahead:
            act = Early(act)
        self.take()
        self._waiting += 1
        if self._waiting < _AHEAD:
            self._writer.put(act, self._fail)
        else:
            self._waiting = 0
            await self._writer.run(act)

    async def mark(self, state: SendState, note: str = "") -> None:
        """Say where the send stands, durably.

        Raises:
            JournalError: it cannot be written.
        """
        await self._writer.run(
            partial(statements.mark, send=self._send, state=state, now=self._clock(), note=note)
        )

    async def complete(self) -> None:
        """Say, durably, that all contacts are written down, and that from here on they may be sent to.

        Raises:
            JournalError: it cannot be written; or the same send is in the journal and not finished, and this one is
                abandoned.
        """
        act = partial(statements.complete, send=self._send, now=self._clock())
        self._refuse(await self._writer.run(act, write_back=True))

    async def begin_along(self) -> None:
        """See to it that what begins to be sent, and is written down while it goes out, is not begun already.

        Raises:
            JournalError: it cannot be told; or a send that begins with the same contacts is not finished, and this one
                is abandoned.
        """
        self._refuse(
            await self._writer.run(partial(statements.begin_along, send=self._send, now=self._clock()))
        )

    def _refuse(self, same: statements.Unfinished | None) -> None:
        if same is not None:
            begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(same.begun_at))
            raise JournalError(
                f"The journal {self._path} holds this very send already, begun {begun} and not finished. Nothing was "
                f"sent. To go on with it, and text nobody twice: sms.resume({str(self._path)!r}, run={same.run!r}). To "
                "begin from the start all the same, give another journal, or another name."
            )

    async def claim(self, seq: int) -> None:
        """Write down durably that a chunk is about to leave. Only after this returned may it.

        Raises:
            JournalError: it is not written; the chunk must not leave.
        """
        self.take()
        token = self._tokens[seq] = next(self._new_tokens)
        at, now = chunk_id(self._send, seq), self._clock()
        if seq not in self._seconds:
            await self._writer.order(swaps.claiming(chunk=at, token=token, now=now))
            return
        first, chunk = self._seconds[seq]
        await self._writer.order(
            partial(
                statements.claim_second,
                chunk=at,
                token=token,
                now=now,
                send=self._send,
                first=chunk_id(self._send, first),
                first_token=self._tokens[first],
                by=chunk,
            )
        )

    def second_try(self, first: int, chunk: PlannedChunk) -> None:
        """A chunk that may have been sent is to be sent once more, as another.

        Nothing is written before the other is claimed: a second try that does not leave leaves no trace.
        """
        self._seconds[chunk.seq] = (first, chunk)

    def release(self, seq: int, status: Status = Status.NOT_SUBMITTED, words: str = "") -> None:
        """A chunk that was claimed is proven unsent, and may be claimed again."""
        token = self._tokens.pop(seq, None)
        if token is None:
            return
        at, now = chunk_id(self._send, seq), self._clock()
        if seq in self._seconds:
            first = chunk_id(self._send, self._seconds[seq][0])
            self._leave(
                partial(statements.release_second, chunk=at, token=token, now=now, first=first, words=words)
            )
        else:
            self._leave(swaps.releasing(chunk=at, token=token, now=now, status=status, words=words))

    def settle(self, seq: int, verdict: Verdict) -> None:
        """Write down what became of a chunk that was claimed. One that may be found later keeps its claim."""
        keep = verdict.state is ChunkState.UNKNOWN
        token = self._tokens.get(seq) if keep else self._tokens.pop(seq, None)
        if token is not None:
            at, now = chunk_id(self._send, seq), self._clock()
            self._leave(swaps.settling(chunk=at, token=token, now=now, verdict=verdict))

    def replace(self, seq: int, by: Sequence[PlannedChunk], words: str) -> None:
        """Put the contacts of a chunk that was claimed into other chunks."""
        token = self._tokens.pop(seq, None)
        if token is not None:
            at, now = chunk_id(self._send, seq), self._clock()
            self._leave(
                partial(
                    statements.replace, chunk=at, token=token, now=now, send=self._send, by=by, words=words
                )
            )

    def _leave(self, act: Callable[[sqlite3.Connection], None]) -> None:
        try:
            self.take()
            self._writer.leave(act, self._fail)
        except JournalError as error:
            self._fail(error)

    def _fail(self, error: JournalError) -> None:
        self.failed(error)

    async def begin_again(self) -> None:
        """Say that what stopped the send before holds no longer.

        Raises:
            JournalError: it cannot be written.
        """
        await self._writer.run(partial(statements.begin_again, send=self._send))

    def let_go(self) -> None:
        """Let somebody else go on with the send."""
        self._over = True
        if self._under_way.get(self._send) is self:
            del self._under_way[self._send]

    async def finish(self, note: str) -> None:
        """Carry out all orders, and say what stopped the send, if anything did.

        Raises:
            JournalError: it cannot be written.
        """
        self.let_go()
        await self._writer.run(partial(statements.finish, send=self._send, words=note, now=self._clock()))

    # Reading.

    async def last_seq(self) -> int:
        """The highest number of a chunk."""
        return await self._writer.run(partial(reading.last_seq, send=self._send))

    async def planned(self, *, after: int, limit: int) -> list[StoredChunk]:
        """Chunks that are to be sent, by their numbers."""
        return await self._chunks(ChunkState.PLANNED, after, limit)

    async def unknown(self, *, after: int, limit: int) -> list[StoredChunk]:
        """Chunks that may have been sent; whoever asks holds their claims."""
        chunks = await self._chunks(ChunkState.UNKNOWN, after, limit)
        self._tokens.update({chunk.planned.seq: chunk.token for chunk in chunks})
        return chunks

    async def _chunks(self, state: ChunkState, after: int, limit: int) -> list[StoredChunk]:
        return await self._writer.run(
            partial(reading.read_chunks, send=self._send, state=state, after=after, limit=limit)
        )

    def reader(self) -> SendReader:
        """Read what the send has on the disk, in a thread.

        Raises:
            JournalError: it cannot be read.
        """
        return open_meant(self._path, lambda send, _: send == self._send, "of this run any more")
