"""One send that runs in this process: its state, its events, and its place on the shelf.

Whatever happens to the shelf while it runs (a full disk, a folder that was taken away) is logged and goes no further:
the account of a run must never be what breaks the run.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.to_thread
from attrs import evolve
from filelock import FileLock

from smspop_async.batch.report import Progress, Report
from smspop_async.integrations._feed import END, PROGRESS, Feed
from smspop_async.integrations._records import Record, SendStatus
from smspop_async.integrations._shelf import Shelf

_log = logging.getLogger("smspop_async")


class LiveSend:
    """A send of this process.

    Args:
        status: As it begins.
        shelf: Where it is written down.
        lock: Held while it runs.
        history: How many events are kept.
        begin: The id of the latest event before.
    """

    def __init__(
        self, *, status: SendStatus, shelf: Shelf, lock: FileLock, history: int, begin: int = 0
    ) -> None:
        self.status = status
        self.feed = Feed(history=history, begin=begin)
        self.started = False
        """Whether anything may have been sent."""
        self.ended = anyio.Event()
        self.scope = anyio.CancelScope()
        """Around the waiting for the run, inside it: to cancel this is to stop the run."""
        self.whole: bool = True
        """Whether its contacts are read to their end even where it is stopped, as those of a list or file are."""
        self.report: Report | None = None
        """Of a send that has ended and has no journal to read it from."""
        self._interrupted: bool | None = None
        self._task: asyncio.Task[object] | None = None
        """What carries the run, as long as it may be cut off."""
        self._shelf = shelf
        self._lock = lock
        self._writing = anyio.Lock()

    def stop(self, *, interrupted: bool) -> None:
        """Let the run dispatch nothing more. The first reason stands.

        Args:
            interrupted: Whether the program ends, rather than somebody stops the run.
        """
        if self._interrupted is None:
            self._interrupted = interrupted
            self.scope.cancel()

    def enter(self) -> None:
        """From now on something may be sent, by the task that calls this."""
        self.started = True
        self._task = asyncio.current_task()

    def cut_off(self) -> None:
        """Wait no longer for what is under way. A run takes that from asyncio's own cancellation alone."""
        if self._task is not None:
            self._task.cancel()

    async def begin(self) -> None:
        """Tell that it runs."""
        await self._tell(self.status)

    async def watch(self, progress: Callable[[], Progress], interval: float) -> None:
        """Tell the progress, every `interval` seconds in which there is any, and hear if it is to stop; to the end."""
        while not self.ended.is_set():
            status = self.status.moved(progress())
            if evolve(status, elapsed=self.status.elapsed) != self.status:
                await self._tell(status)
            if await anyio.to_thread.run_sync(self._shelf.is_asked_to_stop, self.status.id):
                self.stop(interrupted=False)
            with anyio.move_on_after(interval):
                await self.ended.wait()

    async def finish(
        self, report: Report, error: Exception | None = None, *, turn: AbstractAsyncContextManager[None]
    ) -> None:
        """Write down what the run came to, for every worker to read, and then say that it has ended.

        Args:
            report: Of the run.
            error: The defect that ended it, or None.
            turn: Entered to say that it has ended. Nothing is awaited between leaving it and `ended`.
        """
        self._task = None
        try:
            status = await self._account(report, error)
            async with turn:
                await self._tell(status)
        except Exception as defect:  # noqa: BLE001 - the other sends must not end with this one
            _log_defect("The end of the send %s could not be written down: %s at\n%s", self.status.id, defect)
        finally:
            await self.release()

    async def _account(self, report: Report, error: Exception | None) -> SendStatus:
        """Keep the report, and make the last status out of it."""
        # Neither stopped nor drained, and cancelled all the same: the loop itself is being taken down.
        status = self.status.reported(report, interrupted=self._interrupted is not False, whole=self.whole)
        if not status.journalled:
            self.report = report
        await anyio.to_thread.run_sync(self._keep, report)
        if await anyio.to_thread.run_sync(self._shelf.is_void, status):
            status = status.voided()
        if error is not None:
            _log_defect("The send %s was ended by %s at\n%s", status.id, error)
            status = status.broken(error)
        return status

    async def release(self) -> None:
        """Let go of the send."""
        self.feed.close()
        self.ended.set()
        await anyio.to_thread.run_sync(self._lock.release)

    async def give_back(self, status: SendStatus) -> None:
        """Leave a send that could not be gone on with as it was."""
        await self._tell(status)
        await self.release()

    async def abandon(self) -> None:
        """Take back the claim of a send of which nothing went out."""
        await anyio.to_thread.run_sync(self._shelf.forget, self.status.id)
        await self.release()

    def _keep(self, report: Report) -> None:
        try:
            self._shelf.write_report(self.status.id, report.to_dict())
        except OSError as error:
            _log.warning("The report of the send %s cannot be written: %s", self.status.id, error.strerror)

    async def _tell(self, status: SendStatus) -> None:
        """Write it down, then let the listeners know: who comes to ask then finds it."""
        async with self._writing:
            if self.ended.is_set():
                return
            self.status = status
            record = Record(event=self.feed.last + 1, status=status)
            try:
                await anyio.to_thread.run_sync(self._shelf.write, record)
            except OSError as error:
                _log.warning("The state of the send %s cannot be written: %s", status.id, error.strerror)
            self.feed.publish(END if status.ended else PROGRESS, status.to_dict())


def _log_defect(words: str, send: str, defect: Exception) -> None:
    """Log where it happened, but not its text: that may hold anything."""
    frames = "".join(traceback.format_tb(defect.__traceback__))
    _log.error(words, send, type(defect).__name__, frames)
