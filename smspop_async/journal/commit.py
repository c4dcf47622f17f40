"""One thread that writes, and many orders in one commit.

SQLite makes a commit durable by waiting for the disk, 0.2 ms on a good one and 10 ms on a bad one, and a commit takes
a tenth of a millisecond of the processor besides: a quarter of what a whole campaign takes. So nobody commits alone.
Orders are gathered in the event loop and handed to the thread as a group, which it carries out in one transaction;
then it wakes everybody at once. While it waits for the disk the next orders gather; the slower the disk, the larger
the groups.

That alone would not make groups: when a good disk is done the busy loop has come as far as the next claim. So a group
is handed over when the loop has turned a few times without a new order, or when it is large enough. A turn of a
loop that has nothing to do is some microseconds, so that nobody waits for what does not come; a busy loop has
replies to read, and whoever gets one has the next claim to make.

Orders are carried out in the order in which they were given. Whoever waits for one knows that all before it are on the
disk too. That is why what became of a chunk need not be waited for, and does not press (`leave`): it goes with the
next order that does, for which the claim of the worker's next chunk will do, and alone only where none comes within
`_LATEST`. Whoever dies in that time has a campaign more that is `unknown`, and is looked for.

The changes of chunks in a group are made with one statement (`smspop_async.journal.swaps`), and where the group is
nothing else, that is its transaction. Where one of them finds something else than it expects, the group is undone and
carried out once more, each change by itself: the one that is stale (`StaleClaimError`) has written nothing, and
concerns nobody else. When SQLite fails, the whole group is undone and everybody is told; nothing is written after
that.

A new journal is a draft at first (`smspop_async.journal.drafting`). The group that needs something on the disk is
carried out there like those before it; then the draft becomes the journal, and what follows is written to that.

Where a large part of a journal has been written, the log can be emptied into the file (`write_back`): the commits that
follow overwrite it from its beginning, which a disk flushes in two thirds of the time that it takes to make a file
longer.

A file that was deleted or moved can be written to for as long as it is open, and what is written is lost. So the thread
looks now and then whether the name still stands for the file that it has open.

The thread also closes the journal. Whoever asked for that may be cancelled; the lock is let go of all the same.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import anyio.to_thread
from attrs import define, field

from smspop_async.errors import JournalError
from smspop_async.journal.base import StaleClaimError
from smspop_async.journal.drafting import Draft, Early
from smspop_async.journal.failures import explain, explain_os, vanished
from smspop_async.journal.swaps import AT_ONCE, STALE, Swap, swap, swap_alone

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]

_MOST: Final = 256
"""Orders in one transaction."""
_ENOUGH: Final = 16
"""Orders that press, after which a group is handed over without waiting for more."""
_QUIET: Final = 4
"""Turns of the loop without such an order, after which none is waited for.

Two would do while all workers claim together; once they have come apart into halves, each of which claims while the
other's claims are written, it takes four to bring them together again: half as many commits.
"""
_LATEST: Final = 0.02
"""Seconds after which orders that do not press are handed over, if no other is given until then."""
_LOOK: Final = 0.25
"""Seconds between two looks whether the file is still there: each costs as much as two orders in a busy program."""


@define(kw_only=True, eq=False)
class _Order(Generic[T]):
    act: Act[T]
    future: "asyncio.Future[T] | None" = None
    failed: Callable[[JournalError], object] | None = None
    write_back: bool = False
    result: Any = field(default=None, init=False)
    error: JournalError | None = field(default=None, init=False)


_Group = list[_Order[Any]]


class GroupCommit:
    """The thread that owns a journal's connection. Make it in the event loop that will give it orders.

    Args:
        connection: Used by the thread alone.
        path: The file, without symbolic links.
        close: Called by the thread at its end.
        draft: What the connection is to, where the journal is new.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        close: Callable[[], object] = lambda: None,
        draft: Draft | None = None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._close = close
        self._draft = draft
        self._loop = asyncio.get_running_loop()
        self._there = self._places()
        self._looked = time.monotonic()
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._gathered: _Group = []
        """What is not handed over yet."""
        self._pressing = 0
        """How many of these press."""
        self._seen = self._quiet = 0
        self._turning = False
        """Whether the turns of the loop are being counted."""
        self._timed = False
        self._busy = False
        """Whether the thread has a group."""
        self._closed = False
        self.failure: JournalError | None = None
        """What ended the writing."""
        self._ended = asyncio.Event()
        # A daemon: a program that ends without closing its journal loses nothing that was committed, and must not hang.
        self._thread = threading.Thread(target=self._work, name="smspop-journal", daemon=True)
        self._thread.start()

    def put(self, act: Act[object], failed: Callable[[JournalError], object]) -> None:
        """Give an order and do not wait for it; `failed` is told, in the loop, where it is not carried out."""
        self._give(_Order(act=act, failed=failed))
        self._hand_over_soon()

    def leave(self, act: Act[object], failed: Callable[[JournalError], object]) -> None:
        """The same for what need not be written at once: it goes with the next order, or after a moment."""
        self._give(_Order(act=act, failed=failed))
        self._hand_over_later()

    async def run(self, act: Act[T], *, write_back: bool = False) -> T:
        """Give an order and wait until it is on the disk. A cancelled wait does not take the order back.

        Args:
            act: The order.
            write_back: Whether to empty the log into the file after it, so that what follows overwrites the log.

        Raises:
            JournalError: it was not carried out.
        """
        return await self.order(act, write_back=write_back)

    def order(self, act: Act[T], *, write_back: bool = False) -> "asyncio.Future[T]":
        """The same for somebody who waits by himself, without a coroutine for it."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._give(_Order(act=act, future=future, write_back=write_back))
        self._hand_over_soon()
        return future

    def _give(self, order: _Order[Any]) -> None:
        if self._closed:
            raise JournalError(f"The journal {self._path} is closed.")
        if asyncio.get_running_loop() is not self._loop:
            raise JournalError(
                f"The journal {self._path} is open in another event loop: make a SqliteJournal in each, and close one "
                "before the other is opened."
            )
        self._gathered.append(order)

    def _hand_over_later(self) -> None:
        if not self._timed:
            self._timed = True
            self._loop.call_later(_LATEST, self._at_the_latest)

    def _at_the_latest(self) -> None:
        self._timed = False
        if self._busy and self._gathered:
            self._hand_over_later()
        elif not self._turning:
            self._hand_over()

    def _hand_over_soon(self) -> None:
        self._pressing += 1
        self._count_turns()

    def _count_turns(self) -> None:
        if not self._turning and not self._busy:
            self._turning = True
            self._seen = self._quiet = 0
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Once a turn of the loop: see whether more orders have come."""
        self._quiet = self._quiet + 1 if self._pressing == self._seen else 0
        self._seen = self._pressing
        if self._pressing >= _ENOUGH or self._quiet >= _QUIET:
            self._turning = False
            self._hand_over()
        else:
            self._loop.call_soon(self._turn)

    def _hand_over(self) -> None:
        if not self._gathered:
            return
        self._busy = True
        self._groups.put(self._gathered[:_MOST])
        self._gathered = self._gathered[_MOST:]
        self._pressing = len(self._gathered)

    def close(self) -> None:
        """Have carried out what was ordered, and the thread ended; does not wait for it."""
        if not self._closed:
            self._closed = True
            for at in range(0, len(self._gathered), _MOST):
                self._groups.put(self._gathered[at : at + _MOST])
            self._gathered = []
            self._groups.put(None)

    async def aclose(self) -> None:
        """Close, and wait until that is done. Closing twice does nothing; a cancelled wait does not undo it."""
        self.close()
        if asyncio.get_running_loop() is self._loop:
            await self._ended.wait()
            self._thread.join()
        else:  # that loop may be gone, and then nobody can be told in it
            await anyio.to_thread.run_sync(self._thread.join)

    # In the thread.

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            self._carry_out(group)
            self._tell(self._deliver, group)
        try:
            self._close()
        finally:
            self._tell(self._ended.set)

    def _carry_out(self, group: _Group) -> None:
        if self.failure is None:
            try:
                self._look()
                self._commit(group)
                if self._draft is not None:
                    self._bring_out(self._draft, group)
            except JournalError as error:
                self.failure = error
            except OSError as error:
                self.failure = explain_os(self._path, error)
            except sqlite3.Error as error:
                self.failure = explain(self._path, error, begun=self._draft is None)
            except Exception as error:  # noqa: BLE001 - a bug must end the writing, not leave everybody waiting
                # The error's own words may quote a number or the message.
                kind = type(error).__name__
                self.failure = JournalError(f"The journal {self._path} is not written any more ({kind}).")
            if self.failure is not None:
                self._roll_back()
                self._fail(group, str(self.failure))
        else:
            self._fail(group, f"{self.failure} Nothing is written until it has been closed and opened again.")

    def _fail(self, group: _Group, words: str) -> None:
        for order in group:
            # Each its own: an exception that is raised in many places gathers all their tracebacks.
            order.error = JournalError(words)

    def _look(self) -> None:
        """See whether the file is still where it was.

        Raises:
            JournalError: it is not.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        if self._places() != self._there:
            raise vanished(self._path)

    def _places(self) -> list[tuple[int, int] | None]:
        """Which files have the names of the journal and of its log."""
        return [_place(f"{self._path}{end}") for end in ("", "-wal")]

    def _commit(self, group: _Group) -> None:
        connection = self._connection
        try:
            if swaps := _alone(group):
                missing = swap_alone(connection, swaps)
                for order, each in zip(group, swaps, strict=True):
                    order.error = StaleClaimError(STALE) if each.chunk in missing else None
                return
            connection.execute("BEGIN IMMEDIATE")
            _carry_out(connection, _together(group))
        except StaleClaimError:  # somebody's among several: each by itself, to find out whose
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            _carry_out(connection, [[order] for order in group])
        connection.execute("COMMIT")
        if any(order.write_back for order in group):
            # What a reader still needs stays in the log, and so does that for which the file has no room. What was
            # committed stands: to say that it failed would have it ordered, and sent, once more.
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _bring_out(self, draft: Draft, group: _Group) -> None:
        """Show what was begun; where something of a group must be on the disk, have the draft named."""
        if not all(isinstance(order.act, Early) for order in group):
            self._connection, self._draft = draft.name(), None
        elif not draft.shown:
            draft.show()
        self._there = self._places()

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # closing the connection does it

    def _tell(self, tell: Callable[..., object], *words: object) -> None:
        try:
            self._loop.call_soon_threadsafe(tell, *words)
        except RuntimeError:
            return  # the loop is closed: nobody listens any more, and what was committed stands

    # In the loop.

    def _deliver(self, group: _Group) -> None:
        self._busy = False
        for order in group:
            if order.future is None or order.future.done():
                continue  # nobody waits, or not any more
            if order.error is not None:
                order.future.set_exception(order.error)
            else:
                order.future.set_result(order.result)
        if self._pressing:
            self._count_turns()
        # Last, because what is called here is not ours: nobody may wait for ever where it raises.
        for order in group:
            if order.error is not None and order.failed is not None:
                order.failed(order.error)


def _place(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text is all that is needed
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _together(group: _Group) -> Iterator[_Group]:
    """Cut a group where an order is no swap, or the second of a chunk."""
    swaps: dict[int, _Order[Any]] = {}
    for order in group:
        act = order.act
        if swaps and (not isinstance(act, Swap) or act.chunk in swaps):
            yield [*swaps.values()]
            swaps = {}
        if isinstance(act, Swap):
            swaps[act.chunk] = order
        else:
            yield [order]
    if swaps:
        yield [*swaps.values()]


def _alone(group: _Group) -> list[Swap]:
    """The swaps of a group that is nothing else, and fits one statement."""
    swaps = [act for order in group if isinstance(act := order.act, Swap)]
    one_each = len(swaps) == len(group) <= AT_ONCE and len({swap.chunk for swap in swaps}) == len(swaps)
    return swaps if one_each else []


def _carry_out(connection: sqlite3.Connection, pieces: Iterable[_Group]) -> None:
    """Carry out orders, swaps of different chunks with one statement.

    Raises:
        StaleClaimError: of several that were carried out with one statement, not all could be.
    """
    for piece in pieces:
        if len(piece) > 1:
            swap(connection, [order.act for order in piece if isinstance(order.act, Swap)])
            continue
        (order,) = piece
        order.error = None
        try:
            order.result = order.act(connection)
        except StaleClaimError as error:
            order.error = error
