"""One thread that writes, and many orders in one commit.

SQLite makes a commit durable by waiting for the disk, 0.2 ms on a good one and 10 ms on a bad one. So nobody commits
alone: the thread takes every order that waits, carries them out in one transaction, and wakes everybody at once. While
it waits for the disk the next orders gather; the slower the disk, the larger the groups.

Orders are carried out in the order in which they were given. Whoever waits for one knows that all before it are on the
disk too. That is why what became of a chunk need not be waited for: the claim of the worker's next chunk stands behind
it in the line.

When SQLite fails, the whole group is undone and everybody is told; nothing is written after that. An order that finds
something else than it expects (`StaleClaimError`) has written nothing, and concerns nobody else.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from attrs import define, field

from smspop_async.errors import JournalError
from smspop_async.journal.base import StaleClaimError
from smspop_async.journal.failures import explain

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]

_MOST: Final = 256
"""Orders in one transaction."""


@define(kw_only=True, eq=False)
class _Order(Generic[T]):
    act: Act[T]
    future: "asyncio.Future[T] | None" = None
    failed: Callable[[JournalError], object] | None = None
    result: Any = field(default=None, init=False)
    error: JournalError | None = field(default=None, init=False)


class GroupCommit:
    """The thread that owns a journal's connection. Make it in the event loop that will give it orders.

    Args:
        connection: Used by the thread alone until `aclose` has returned.
        path: For the words of errors.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
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

    async def run(self, act: Act[T]) -> T:
        """Give an order and wait until it is on the disk. A cancelled wait does not take the order back.

        Raises:
            JournalError: it was not carried out.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._give(_Order(act=act, future=future))
        return await future

    def _give(self, order: _Order[Any]) -> None:
        if self._closed:
            raise JournalError(f"The journal {self._path} is closed.")
        self._orders.put(order)

    async def aclose(self) -> None:
        """Carry out what was ordered, and end the thread. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._orders.put(None)
        await self._ended.wait()
        self._thread.join()

    # In the thread.

    def _work(self) -> None:
        more = True
        while more:
            group, more = self._group()
            if group:
                self._carry_out(group)
                self._tell(self._deliver, group)
        self._tell(self._ended.set)

    def _group(self) -> tuple[list[_Order[Any]], bool]:
        """Wait for an order, and take all that wait with it; False with the last ones."""
        group: list[_Order[Any]] = []
        order = self._orders.get()
        while order is not None:
            group.append(order)
            if len(group) == _MOST:
                return group, True
            try:
                order = self._orders.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _carry_out(self, group: list[_Order[Any]]) -> None:
        if self.failure is None:
            try:
                self._commit(group)
            except sqlite3.Error as error:
                self.failure = explain(self._path, error)
            except Exception as error:  # noqa: BLE001 - a bug must end the writing, not leave everybody waiting
                self.failure = JournalError(f"The journal {self._path} is not written any more: {error!r}.")
        if self.failure is not None:
            self._roll_back()
            for order in group:
                order.error = self.failure

    def _commit(self, group: list[_Order[Any]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for order in group:
            try:
                order.result = order.act(connection)
            except StaleClaimError as error:
                order.error = error
        connection.execute("COMMIT")

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

    def _deliver(self, group: list[_Order[Any]]) -> None:
        for order in group:
            if order.future is None:
                if order.error is not None and order.failed is not None:
                    order.failed(order.error)
            elif order.future.done():
                continue  # cancelled
            elif order.error is not None:
                order.future.set_exception(order.error)
            else:
                order.future.set_result(order.result)
