"""What can be asked about sends: those of this worker, of its neighbours, and of earlier days."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import anyio

from smspop_async.batch.report import Report
from smspop_async.errors import ConfigurationError
from smspop_async.integrations._archive import Archive
from smspop_async.integrations._errors import SendBusyError
from smspop_async.integrations._feed import SendEvent
from smspop_async.integrations._live import LiveSend
from smspop_async.integrations._records import Record, SendStatus


class KnownSends:
    """The part of `smspop_async.integrations.sends.Sends` that tells; its arguments are described there."""

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._live: dict[str, LiveSend] = {}
        """Those that run here, and the latest that have ended."""
        self._archive: Archive | None = None
        self._draining = anyio.Event()

    async def status(self, send: str) -> SendStatus:
        """Where a send stands, whichever worker runs it.

        Raises:
            UnknownSendError: there is none.
        """
        return (await self._record(send)).status

    async def statuses(self) -> list[SendStatus]:
        """All sends that are known, the latest first."""
        return [self._newest(record).status for record in await self._opened.records()]

    async def report(self, send: str) -> Mapping[str, Any]:
        """The account of a send that has ended, as of ``Report.to_dict``: without a phone number.

        Raises:
            UnknownSendError: there is none.
            SendBusyError: it runs, or its program died before it could write one, and there is no journal.
        """
        return await self._opened.report(*await self._ended(send))

    async def report_csv(self, send: str) -> Path:
        """The file with the outcome of every row of a send that has ended. It holds phone numbers.

        Raises:
            UnknownSendError: there is none.
            SendBusyError: it runs, or its program died before it could write one, and there is no journal.
        """
        return await self._opened.table(*await self._ended(send))

    async def _ended(self, send: str) -> tuple[SendStatus, Report | None]:
        """The status of a send that has ended, and the report of one that ended here and has no journal."""
        status = await self.status(send)
        if not status.ended:
            raise SendBusyError("This send has no report before it has ended.")
        live = self._live.get(send)
        return status, None if live is None else live.report

    def events(
        self, send: str, *, after: int = 0, until: anyio.Event | None = None
    ) -> AsyncGenerator[SendEvent]:
        """Iterate over the events of a send, whichever worker runs it, to its end.

        A listener may be as slow as it likes and may leave at any time.

        Args:
            send: Its id.
            after: The id of the latest event that the listener has; later ones that are kept are repeated.
            until: Ends the iteration when it is set. So does the drain, for a send of another worker.

        Raises:
            UnknownSendError: there is none.
        """
        live = self._live.get(send)
        if live is not None:
            return live.feed.listen(after, until=until)
        ends = [event for event in (until, self._draining) if event is not None]
        return self._opened.follow(send, after, interval=self._interval, until=ends)

    async def is_heard(self, send: str, after: int) -> bool:
        """Whether a listener that has the event `after` has heard the last one there will be.

        Raises:
            UnknownSendError: there is none.
        """
        record = await self._record(send)
        return record.status.ended and after == record.event

    async def wait(self, send: str) -> SendStatus:
        """Wait for the end of a send, and return how it stands then.

        Raises:
            UnknownSendError: there is none.
        """
        async for _ in self.events(send):
            pass
        return await self.status(send)

    @property
    def _opened(self) -> Archive:
        if self._archive is None:
            raise ConfigurationError("The sends are not open: use `async with Sends(sms) as sends`.")
        return self._archive

    async def _record(self, send: str) -> Record:
        return self._newest(await self._opened.record(send))

    def _newest(self, record: Record) -> Record:
        """The record with the state in memory, where the send runs here: the file lags a little behind."""
        live = self._live.get(record.status.id)
        if live is None or live.status.ended:
            return record
        return Record(event=live.feed.last, status=live.status)
