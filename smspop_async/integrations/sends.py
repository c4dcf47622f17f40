"""Long sends in the background of a web app: started by a request, watched by others, drained at the end.

A request must not wait for a campaign of an hour, and a "background task" that the framework forgets must not send
one. So a `Sends` owns the tasks, for as long as the app lives:

    async with SmsPop() as sms, Sends(sms, journal_dir="sends") as sends:
        send = await sends.start(contacts, message="Hello!", sender_id="BRAND1")
        async for event in sends.events(send):
            ...

Leaving the block drains: nothing more is dispatched, campaigns under way settle within the grace, and the state of
every send is written down. With a folder (`journal_dir`) each send has a journal there, so that what did not go out can
be resumed, and its state is a file there, so that every worker of the app that shares the folder can tell it. Files and
locks are all that is shared: a send runs in the worker that was asked to start it.
"""

import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sized
from contextlib import asynccontextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import anyio

from smspop_async.batch.client import SmsPop
from smspop_async.batch.report import Report
from smspop_async.batch.stream import Batch
from smspop_async.config import RateLimit, ReconcilePolicy, check_grace, is_number
from smspop_async.contacts.sources import Contacts, is_finite
from smspop_async.errors import ConfigurationError, SmsPopError
from smspop_async.integrations._archive import Archive
from smspop_async.integrations._errors import SendBusyError, ShuttingDownError, UnknownSendError
from smspop_async.integrations._feed import SendEvent
from smspop_async.integrations._host import TaskHost
from smspop_async.integrations._known import KnownSends
from smspop_async.integrations._live import LiveSend
from smspop_async.integrations._records import SendState, SendStatus

__all__ = [
    "SendBusyError",
    "SendEvent",
    "SendOptions",
    "SendState",
    "SendStatus",
    "Sends",
    "ShuttingDownError",
    "UnknownSendError",
]

_log = logging.getLogger("smspop_async")


class SendOptions(TypedDict, total=False):
    """What else `SmsPop.send` takes, and described there."""

    chunk_size: int
    max_concurrency: int
    rate_limit: RateLimit | None
    suppress: Contacts | None
    reconcile: ReconcilePolicy | None
    canary: bool
    adaptive: bool
    column: str | None


class Sends(KnownSends):
    """The sends in the background of one app, or of one of its workers.

    Args:
        sms: The client. It must stay open until this is closed.
        grace: Seconds that campaigns under way may take to settle when the app ends. What has not settled by then is
            UNKNOWN. Give the app more time than this before it is killed.
        journal_dir: A folder for journals, states and reports, the same for all workers; it holds phone numbers.
            Without one all of that is this process's own, and gone with it.
        interval: Seconds between two events of progress, at least.
        history: Events of a send that are kept for listeners that come back.
        keep: Ended sends whose events are remembered; without a `journal_dir`, whose reports are.

    Raises:
        ConfigurationError: `grace` or `interval` is no number of seconds.
    """

    def __init__(
        self,
        sms: SmsPop,
        *,
        grace: float = 10.0,
        journal_dir: str | PathLike[str] | None = None,
        interval: float = 0.25,
        history: int = 128,
        keep: int = 100,
    ) -> None:
        check_grace(grace)
        if not is_number(interval) or not interval > 0:
            raise ConfigurationError(f"interval must be a number of seconds above 0; it is {interval!r}.")
        super().__init__(interval=interval)
        self._sms = sms
        self._grace = grace
        self._folder = None if journal_dir is None else Path(journal_dir).absolute()
        self._history = history
        self._keep = keep
        self._turn = anyio.Lock()
        self._host = TaskHost(closing=self._draining)

    # From beginning to end.

    async def __aenter__(self) -> Self:
        await self._host.open()
        try:
            self._archive = await Archive.open(self._folder)
        except BaseException:
            await self._host.aclose(self._cut_off)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def begin_drain(self) -> None:
        """Take no more sends, and let the running ones dispatch nothing more. `aclose` waits for them."""
        self._host.close()
        for live in self._live.values():
            live.stop(interrupted=True)

    async def aclose(self) -> None:
        """Drain, and wait until every send has settled and is written down. May be called repeatedly.

        It takes little longer than the grace. When it is cancelled it takes no more grace, and still ends only after
        all is written down.
        """
        self.begin_drain()
        try:
            await self._host.aclose(self._cut_off)
        finally:
            if self._archive is not None:
                with anyio.CancelScope(shield=True):
                    await self._archive.aclose()

    def _cut_off(self) -> None:
        for live in self._live.values():
            live.cut_off()

    @property
    def ready(self) -> bool:
        """Whether a send can be started now: it is open, and not draining."""
        return self._archive is not None and self._host.is_open

    @property
    def running(self) -> list[str]:
        """The ids of the sends that run in this process."""
        return [send for send, live in self._live.items() if not live.ended.is_set()]

    # What can be done.

    async def start(
        self,
        contacts: Contacts,
        *,
        message: str | Template,
        sender_id: str,
        name: str = "Campaign",
        key: str | None = None,
        expected: int | None = None,
        **options: Unpack[SendOptions],
    ) -> str:
        """Start a send, and return as soon as its source is open.

        Args:
            contacts: As for `SmsPop.send`. It is read while the send runs: an uploaded file must be kept that long.
            message: As for `SmsPop.send`.
            sender_id: As for `SmsPop.send`.
            name: As for `SmsPop.send`.
            key: Names this very intent, for example a random value in a hidden field of the form. A second start with
                the same key, by a double click or the retry of a proxy, is the first one, and sends nothing. With a
                `journal_dir` that holds across workers and restarts.
            expected: How many rows there will be; by default the length of `contacts`, where it has one.
            **options: As for `SmsPop.send`.

        Returns:
            The id of the send.

        Raises:
            ConfigurationError: a setting is wrong. Nothing was sent.
            ContactSourceError: contacts or suppression list cannot be read at all. Nothing was sent.
            JournalError: the folder cannot be written to. Nothing was sent.
            ShuttingDownError: the app is ending. Nothing was sent.
        """
        archive = self._check_ready()
        send = _new_id(key)
        batch = self._batch(send, contacts, message=message, sender_id=sender_id, name=name, **options)
        status = SendStatus(
            id=send,
            name=name,
            expected=_length(contacts) if expected is None else expected,
            journalled=self._folder is not None,
        )
        live = await archive.claim(status, history=self._history)
        if live is not None:
            live.whole = is_finite(contacts)
            await self._launch(live, batch, undo=live.abandon)
        return send

    def _batch(self, send: str, contacts: Contacts, **options: Any) -> Batch:
        if self._folder is not None:
            options["journal"] = self._opened.file(send, ".db")
        return self._sms.stream(contacts, grace=self._grace, **options)

    async def _launch(self, live: LiveSend, batch: Batch, *, undo: Callable[[], Awaitable[None]]) -> None:
        """Start the task of a send, and wait until its source is open. Where that fails, `undo`."""
        send, before = live.status.id, self._live.get(live.status.id)
        self._live[send] = live
        try:
            self._check_ready()  # entering it took a moment
            await self._host.start(partial(self._run, live, batch))
        except BaseException:
            if not live.started:
                self._live.pop(send)
                self._live |= {} if before is None else {send: before}
                with anyio.CancelScope(shield=True):
                    await undo()
            raise

    async def _run(self, live: LiveSend, batch: Batch, started: Callable[[], None]) -> None:
        """See a send through. Raises only as long as nothing can have been sent."""
        error = None
        try:
            async with batch:
                live.enter()
                started()
                self._host.group.start_soon(live.watch, lambda: batch.progress, self._interval)
                with live.scope:
                    await batch.wait()
        except Exception as defect:
            if not live.started:
                raise
            error = defect
        finally:
            if live.started:
                await self._finish(live, batch.report, error)

    async def resume(self, send: str, *, resend_unknown: bool = False) -> None:
        """Go on with a send that did not finish: submit what was not submitted, look for what is unknown.

        Args:
            send: Its id.
            resend_unknown: Whether to submit again what may have been sent already. People may be texted twice.

        Raises:
            UnknownSendError: there is none.
            SendBusyError: it runs, in this worker or another, or has no journal.
            JournalError: its journal cannot be used, or there is nothing in it to go on with.
            ConfigurationError: the send was planned for a sandbox, and the client is not for one.
            ShuttingDownError: the app is ending.
        """
        archive = self._check_ready()
        record = await self._record(send)
        if not record.status.journalled:
            raise SendBusyError("This send has no journal to go on from. Send the rest of its report anew.")
        batch = self._sms.resume_stream(
            archive.file(send, ".db"), resend_unknown=resend_unknown, grace=self._grace
        )
        live = await archive.reclaim(record, history=self._history)
        await self._launch(live, batch, undo=partial(live.give_back, record.status))

    async def _finish(self, live: LiveSend, report: Report, error: Exception | None) -> None:
        with anyio.CancelScope(shield=True):
            await live.finish(report, error, turn=self._ending())

    @asynccontextmanager
    async def _ending(self) -> AsyncGenerator[None]:
        """The turn of one send to end, with room made for it.

        One at a time: each must find those before it ended, or all that end together would be kept.
        """
        async with self._turn:
            await self._make_room()
            yield

    async def _make_room(self) -> None:
        """Let go of the oldest that have ended; with a folder, only of what is in memory."""
        ended = [send for send, live in self._live.items() if live.ended.is_set()]
        for send in ended[: max(0, len(ended) + 1 - self._keep)]:
            del self._live[send]
            if self._folder is None:
                with suppress(SendBusyError):
                    await self._opened.forget(send)

    async def resume_interrupted(self) -> list[str]:
        """Go on with every send that the end of a program interrupted. Those of living workers are left alone.

        Returns:
            The ids of those that go on here.
        """
        resumed: list[str] = []
        for status in await self.statuses():
            if status.state is SendState.INTERRUPTED and status.resumable:
                try:
                    await self.resume(status.id)
                except SendBusyError:
                    continue  # another worker was faster
                except SmsPopError as error:
                    _log.error("The send %s cannot be resumed: %s", status.id, error)
                    continue
                resumed.append(status.id)
        return resumed

    async def stop(self, send: str) -> None:
        """Let a send dispatch nothing more. Campaigns under way settle; what was not submitted can be resumed.

        One of another worker stops within the interval of its progress.

        Raises:
            UnknownSendError: there is none.
            SendBusyError: it has ended.
        """
        if (await self._record(send)).status.ended:
            raise SendBusyError("This send has ended.")
        live = self._live.get(send)
        if live is None:
            await self._opened.ask_to_stop(send)
        else:
            live.stop(interrupted=False)

    async def forget(self, send: str) -> None:
        """Delete the state, the report and the journal of a send that has ended.

        Raises:
            UnknownSendError: there is none.
            SendBusyError: it runs.
        """
        await self._record(send)
        await self._opened.forget(send)
        self._live.pop(send, None)

    def _check_ready(self) -> Archive:
        archive = self._opened
        if not self.ready:
            raise ShuttingDownError("The app is ending. Nothing was sent; try again in a moment.")
        return archive


def _new_id(key: object) -> str:
    """An id that cannot be guessed; the same for the same key.

    Raises:
        ConfigurationError: the key is blank. It would make one send of all that have it.
    """
    if key is None:
        return secrets.token_hex(10)
    if not isinstance(key, str) or not key.strip():
        raise ConfigurationError(
            "The key of a send (Idempotency-Key) must be a text that is not blank. Leave it out for a send without one."
        )
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:20]


def _length(contacts: object) -> int | None:
    return len(contacts) if isinstance(contacts, Sized) and not isinstance(contacts, str) else None
