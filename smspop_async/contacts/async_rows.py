"""Rows of an async iterable, read one by one by a task of its own.

A slab is handed on a little after its first row, also where the next one is long in coming: who reads a queue must not
wait with a text for the next one. But to wait for a row cannot be broken off, as that ends a generator. So the reading
goes on while nobody waits for it, for one row at most, which the next slab begins with; and as all steps of an iterator
are made by one task, it may have time limits and tasks of its own around its rows.

The task is asyncio's, not one of a group: it lives from the first slab to `AsyncRows.aclose`, which are calls of
different tasks. It raises nothing; what ends it is kept for who reads.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextvars import Context, copy_context
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from smspop_async.cancellation import is_own
from smspop_async.contacts.memory import Shape, Slab, source_failed
from smspop_async.contacts.rows import BUDGET, ContactRows
from smspop_async.errors import ContactSourceError

LINGER: Final = 0.2
"""Seconds after which a slab is handed on with the rows it has."""


class AsyncRows(ContactRows):
    """An async iterable.

    Args:
        contacts: The iterable. An iterator that was made of it is closed here.
        size: The most rows of a slab.
        shape: Makes slabs of rows.
        clock: Seconds from any beginning, never going back.
    """

    finite = False

    def __init__(
        self,
        contacts: AsyncIterable[object],
        *,
        size: int,
        shape: Shape,
        clock: Callable[[], float],
    ) -> None:
        self._contacts = contacts
        self.size: int = size
        self.held: float = 0.0
        self._shape = shape
        self._clock = clock
        self._rows: list[object] = []
        self._count = 0
        self._failure: ContactSourceError | None = None
        self._fatal: BaseException | None = None
        """What ends the program, raised by the iterator."""
        self._unclosed: Exception | None = None
        """What the iterator raised when it was closed."""
        self._ended = False
        self._reader: asyncio.Task[None] | None = None
        self._context = copy_context()
        """That of who waits for rows: what the iterable does for them, such as a query, belongs to them."""
        self._asked = asyncio.Event()
        """Set while rows are waited for."""
        self._some = asyncio.Event()
        """Set when there is a row, or the end."""
        self._enough = asyncio.Event()
        """Set when there are as many rows as were asked for, or the end."""

    async def next_slab(self) -> Slab | None:
        """Read on; waits for the first row, and for others a little."""
        await checkpoint()
        if not self._ended:
            await self._gather()
        if self._fatal is not None:
            raise self._fatal
        rows, self._rows = self._rows, []
        if not rows and self._failure is not None:
            raise self._failure
        since = self._clock()
        slab = self._shape.slab(rows) if rows else None
        self.held = self._clock() - since
        return slab

    async def _gather(self) -> None:
        """Have rows read: a slab of them, or, a little after the first, those that there are."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        self._enough.clear()
        if not self._rows:
            self._some.clear()
        self._context = copy_context()
        self._asked.set()
        try:
            await self._some.wait()
            with anyio.move_on_after(LINGER):
                await self._enough.wait()
        finally:
            self._asked.clear()

    def taken(self) -> Slab | None:
        """Rows that were read, but not handed on."""
        rows, self._rows = self._rows, []
        return self._shape.slab(rows) if rows else None

    async def _read(self) -> None:
        try:
            await self._read_all()
        except (Exception, asyncio.CancelledError) as error:
            if is_own(error):
                raise
            self._failure = source_failed(self._count, error)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._fatal = error
        finally:
            self._ended = True
            self._some.set()
            self._enough.set()

    async def _read_all(self) -> None:
        iterator = aiter(self._contacts)
        try:
            await self._read_from(iterator)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None and iterator is not self._contacts:
                try:
                    await close()
                except Exception as error:  # noqa: BLE001 - raised by `aclose`
                    self._unclosed = error

    async def _read_from(self, iterator: AsyncIterator[object]) -> None:
        first = yielded = self._clock()
        while not self._ended:
            if not self._asked.is_set():
                await self._asked.wait()
                _adopt(self._context)
                yielded = self._clock()
            try:
                row = await anext(iterator)
            except StopAsyncIteration:
                return
            self._rows.append(row)
            self._count += 1
            now = self._clock()
            if len(self._rows) == 1:
                first = now
                self._some.set()
            if len(self._rows) >= self.size or now - first >= LINGER:
                self._asked.clear()
                self._enough.set()
            elif now - yielded >= BUDGET:
                await checkpoint()
                yielded = self._clock()

    async def aclose(self) -> None:
        """End the reading, and close the iterator where it was made here."""
        self._ended = True
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({reader})
        if self._unclosed is not None:
            raise self._unclosed


def _adopt(context: Context) -> None:
    """Give the context variables of this task the values that they have there."""
    for variable, value in context.items():
        variable.set(value)
