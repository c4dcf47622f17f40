"""The shelf from within an event loop: every look at the disk happens in a worker thread."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import anyio
from anyio.to_thread import run_sync
from attrs import evolve
from filelock import FileLock

from smspop_async.batch.archive import read_report
from smspop_async.batch.report import Report
from smspop_async.integrations._errors import SendBusyError, UnknownSendError
from smspop_async.integrations._feed import END, PROGRESS, SendEvent, first_of
from smspop_async.integrations._live import LiveSend
from smspop_async.integrations._records import Record, SendState, SendStatus
from smspop_async.integrations._shelf import Shelf, unusable

_PATIENCE: Final = 1.0
"""Seconds: nobody who only looks whether a send runs holds its lock for longer."""


_PATIENCE_WITH_THE_ENDED: Final = 10.0
"""Seconds: who ran it says that it has ended before letting go, and who makes its table holds it, too."""


class Archive:
    """What is known of all sends, those of other workers and of earlier days included.

    Args:
        shelf: Where the files are.
        temporary: Whether they are to be deleted when this is closed.
    """

    def __init__(self, shelf: Shelf, *, temporary: bool) -> None:
        self._shelf = shelf
        self._temporary = temporary

    @classmethod
    async def open(cls, folder: Path | None) -> Self:
        """Open the folder, or a temporary one.

        Raises:
            JournalError: it cannot be made.
        """

        def shelf() -> Shelf:
            return Shelf(folder or Path(tempfile.mkdtemp(prefix="smspop-sends-")))

        return cls(await run_sync(shelf), temporary=folder is None)

    async def aclose(self) -> None:
        """Delete a temporary folder."""
        if self._temporary:
            await run_sync(partial(shutil.rmtree, self._shelf.folder, ignore_errors=True))

    def file(self, send: str, suffix: str) -> Path:
        """A file of a send."""
        return self._shelf.file(send, suffix)

    async def claim(self, status: SendStatus, *, history: int) -> LiveSend | None:
        """Enter a new send, before anything of it can go out; None where it is there already.

        Raises:
            JournalError: the folder cannot be written to.
        """

        def claim() -> FileLock | None:
            lock, entered = self._shelf.hold_new(status.id, patience=_PATIENCE), False
            if lock is None:
                return None
            try:
                entered = self._shelf.claim(Record(event=0, status=status))
            finally:
                if not entered:
                    lock.release()
            return lock if entered else None

        lock = await run_sync(claim)
        if lock is None:
            return None
        return LiveSend(status=status, shelf=self._shelf, lock=lock, history=history)

    async def reclaim(self, record: Record, *, history: int) -> LiveSend:
        """Take over a send that nobody runs, and let everybody know that it runs again.

        Raises:
            SendBusyError: somebody runs it.
        """
        lock = await self._hold(record.status.id, ended=record.status.ended)

        def begin_again() -> bool:
            if self._shelf.read_held(record.status.id) != record:
                lock.release()
                return False
            self._shelf.begin_again(record.status.id)
            return True

        if not await run_sync(begin_again):
            raise SendBusyError("Somebody else went on with this send meanwhile.")
        status = evolve(record.status, state=SendState.RUNNING, detail="", error="")
        live = LiveSend(status=status, shelf=self._shelf, lock=lock, history=history, begin=record.event)
        await live.begin()
        return live

    async def _hold(self, send: str, *, ended: bool = False) -> FileLock:
        patience = _PATIENCE_WITH_THE_ENDED if ended else _PATIENCE
        lock = await run_sync(partial(self._shelf.hold, send, patience=patience))
        if lock is None:
            raise SendBusyError("This send is running. Watch it, or stop it first.")
        return lock

    async def record(self, send: str) -> Record:
        """What is known of a send.

        Raises:
            UnknownSendError: nothing.
        """
        record = await run_sync(self._shelf.read_checked, send)
        if record is None:
            raise UnknownSendError("There is no such send.")
        return record

    async def records(self) -> list[Record]:
        """What is known of all of them, the latest first."""

        def read() -> list[Record]:
            read = map(self._shelf.read_checked, self._shelf.sends())
            return [record for record in read if record is not None]

        return await run_sync(read)

    async def ask_to_stop(self, send: str) -> None:
        """Leave word for the worker that runs a send."""
        await run_sync(self._shelf.ask_to_stop, send)

    async def forget(self, send: str) -> None:
        """Delete the files of a send.

        Raises:
            SendBusyError: it runs.
        """
        lock = await self._hold(send)

        def forget() -> None:
            self._shelf.forget(send)
            lock.release()

        await run_sync(forget)

    async def report(self, status: SendStatus, report: Report | None) -> Mapping[str, Any]:
        """The account of a send that has ended; where its process left none, out of its journal.

        Args:
            status: Of the send.
            report: Of one without a journal.

        Raises:
            SendBusyError: there is neither a report nor a journal.
            JournalError: the journal cannot be read.
        """
        kept = await run_sync(self._shelf.read_report, status.id)
        return kept if kept is not None else await run_sync(lambda: self._whole(status, report).to_dict())

    def _whole(self, status: SendStatus, report: Report | None) -> Report:
        if report is not None:
            return report
        if not status.journalled:
            raise SendBusyError("This send was interrupted before it could write its report.")
        return read_report(self.file(status.id, ".db"))

    async def table(self, status: SendStatus, report: Report | None) -> Path:
        """The table of a send that has ended. It is written when it is first asked for.

        Writing takes a second for a million rows, which is no time to spend while the app is ending.

        Args:
            status: Of the send.
            report: Of one without a journal.

        Raises:
            SendBusyError: there is neither a report nor a journal.
            JournalError: the journal cannot be read, or the table not be written.
        """
        path = self.file(status.id, ".csv")

        lock = await self._hold(status.id, ended=True)

        def write() -> None:
            try:
                now = self._shelf.read_held(status.id)
                if now is None or now.status.state is not status.state or now.status.total != status.total:
                    raise SendBusyError("Somebody else went on with this send meanwhile, or deleted it.")
                if not path.exists():
                    whole = self._whole(status, report)
                    try:
                        whole.write_csv(path)
                    except OSError as error:
                        raise unusable(path.parent, error) from None
            finally:
                lock.release()

        with anyio.CancelScope(shield=True):  # the lock is let go of in the thread
            await run_sync(write)
        return path

    async def follow(
        self, send: str, after: int, *, interval: float, until: Sequence[anyio.Event]
    ) -> AsyncGenerator[SendEvent]:
        """The events of a send of another worker as its file shows them: the latest state, not every step.

        Args:
            send: Its id.
            after: The id of the latest event that the listener has.
            interval: Seconds between two looks.
            until: Any of these ends it.

        Raises:
            UnknownSendError: there is no such send (any more).
        """
        place = after
        while not any(event.is_set() for event in until):
            record = await self.record(send)
            ended = record.status.ended
            if record.event > place or (ended and record.event < place):
                place = record.event
                yield SendEvent(id=place, kind=END if ended else PROGRESS, data=record.status.to_dict())
            if ended:
                return
            with anyio.move_on_after(interval):
                await first_of(*until)
