"""One run as an async context manager: results as they settle, and a report at the end.

No `yield` stands inside the task group: the block enters it by hand and leaves it by hand, and iteration
reads a memory stream. So breaking out of the iteration, an error in the block and a cancellation all end in
the same place, `__aexit__`: stop dispatching, let what is in flight settle within the grace, cut off what
has not, account for every row, and then let the block's own exception go its way, with the report on it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.streams.memory  # pyright: ignore[reportUnusedImport]  # else anyio imports it in the middle of a run
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from smspop_async.batch.account import Batchful, Emit
from smspop_async.batch.engine import Run
from smspop_async.batch.intake import ChunkSource
from smspop_async.batch.outcomes import ContactOutcome
from smspop_async.batch.report import Progress, Report
from smspop_async.batch.waiting import see_begun, wait_out

_AT_ONCE: Final = 100
"""Outcomes given out between two turns of the loop."""

Prepare = Callable[[Emit | None], Awaitable[tuple[Run, ChunkSource]]]


class Batch:
    """A run under way. Use it as ``async with sms.stream(…) as batch`` and iterate over it.

    Args:
        prepare: Opens the source and makes the run; raises for what is wrong before anything is sent.
        grace: Seconds that what is in flight may still take when the block is left early.
        buffer: Groups of outcomes that may wait for the consumer; None where nobody iterates.
    """

    def __init__(self, prepare: Prepare, *, grace: float, buffer: int | None) -> None:
        self._prepare = prepare
        self._grace = grace
        self._buffer = buffer
        self._run: Run | None = None
        self._intake: ChunkSource | None = None
        self._tasks: TaskGroup | None = None
        self._end_stream: Callable[[], None] = lambda: None
        self._close_stream: Callable[[], None] = lambda: None
        self._outcomes: AsyncIterator[ContactOutcome] | None = None

    async def __aenter__(self) -> Self:
        if self._run is not None:
            raise RuntimeError("A batch is one run: call stream() again for another.")
        emit = self._open_stream() if self._buffer is not None else None
        try:
            self._run, self._intake = await self._prepare(emit)
        except BaseException:
            self._close_stream()
            raise
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._execute, self._run, self._intake)
        return self

    def _open_stream(self) -> Emit:
        send, receive = anyio.create_memory_object_stream[Batchful](self._buffer or 0)

        async def emit(batchful: Batchful) -> None:
            # A consumer that has left is no reason to stop writing outcomes down.
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await send.send(batchful)

        async def outcomes() -> AsyncIterator[ContactOutcome]:
            with suppress(anyio.ClosedResourceError):  # by `wait`
                async for batchful in receive:
                    for count, outcome in enumerate(batchful.outcomes(), 1):
                        yield outcome
                        if count % _AT_ONCE == 0:
                            await checkpoint()

        def close() -> None:
            send.close()
            receive.close()

        self._end_stream = send.close
        self._close_stream = close
        self._outcomes = outcomes()
        return emit

    async def _execute(self, run: Run, intake: ChunkSource) -> None:
        try:
            if not run.begun:
                await run.execute(intake)
        finally:
            self._end_stream()

    def _end_telling(self, run: Run) -> None:
        """Nobody iterates any more: outcomes need not be made."""
        run.end_telling()
        self._close_stream()

    def __aiter__(self) -> AsyncIterator[ContactOutcome]:
        """Iterate over the outcomes in the order in which they are decided."""
        if self._outcomes is None:
            raise RuntimeError("Enter the batch first: async with sms.stream(…) as batch.")
        return self._outcomes

    async def wait(self) -> None:
        """Wait until every row is settled. Outcomes that were not iterated over by then are passed over."""
        run = self._entered
        self._end_telling(run)
        await checkpoint_if_cancelled()  # before the run has had a turn: nothing leaves
        await run.finished.wait()

    @property
    def progress(self) -> Progress:
        """Where the run stands at this moment."""
        return self._entered.progress()

    @property
    def report(self) -> Report:
        """The account of the run, once the block is left or the iteration has ended.

        Raises:
            RuntimeError: the run is still going.
        """
        if not self._entered.finished.is_set():
            raise RuntimeError("The run is still going; its report is ready after it. Use batch.progress.")
        return self._entered.report()

    @property
    def _entered(self) -> Run:
        if self._run is None:
            raise RuntimeError("Enter the batch first: async with sms.stream(…) as batch.")
        return self._run

    async def _see_begun(self, run: Run) -> BaseException | None:
        """End a run whose task never began, here; return the last cancellation that happened meanwhile.

        Nobody else would close what is open for it, or say that it is finished.
        """
        late = await see_begun(lambda: run.begun)
        if not run.begun and self._intake is not None:
            run.cut_off(at_once=True)
            try:
                with anyio.CancelScope(shield=True):
                    await run.execute(self._intake)
            except anyio.get_cancelled_exc_class() as cancelled:
                late = cancelled
        return late

    async def _settle(self, run: Run) -> BaseException | None:
        """Wait for the end: patiently within the grace, and not at all after a (second) cancellation.

        asyncio's own cancellation reaches into a shielded scope, so it is caught, kept and returned.
        """
        late: BaseException | None = None
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace):
                await run.finished.wait()
        except anyio.get_cancelled_exc_class() as cancelled:
            late = cancelled
        if not run.finished.is_set():
            run.cut_off(at_once=late is not None)
        return await wait_out(run.finished, partial(run.cut_off, at_once=True)) or late

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run, tasks = self._entered, self._tasks
        assert tasks is not None  # noqa: S101 - entered
        if not run.finished.is_set():
            run.stop(cancelled=True)
        self._end_telling(run)
        unbegun = await self._see_begun(run)
        late = await self._settle(run) or unbegun
        try:
            await tasks.__aexit__(None, None, None)
        except anyio.get_cancelled_exc_class() as cancelled:
            late = cancelled
        if exc is not None:
            _attach(exc, run.report())
        if late is not None and not isinstance(exc, type(late)):
            _attach(late, run.report())
            raise late
        if exc is None and run.crash is not None:
            _attach(run.crash, run.report())
            raise run.crash


def _attach(exc: BaseException, report: Report) -> None:
    """Make the partial report reachable from the exception that ends the block."""
    try:
        exc.report = report  # type: ignore[attr-defined] # exceptions take attributes unless they are slotted
    except AttributeError:
        return
    done = ", ".join(f"{count} {status.value}" for status, count in report.counts.items() if count)
    exc.add_note(
        f"The run {report.run} was ended early: {done or 'nothing was read'}. See .report on this exception."
    )
