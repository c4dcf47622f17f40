"""One run: a few workers that each take a chunk, submit it, write down what became of it, and take the next.

Workers *pull*. There are `max_concurrency` of them and no more tasks than that, however long the list;
nothing is read before a worker is free to send it; and a consumer that is slow to take results slows the
workers, and so the reading.

The first chunk goes alone (the canary): what is wrong with the token, the message or the sender ID is wrong
with every chunk, and then costs one request. The others start as soon as it is answered.

What the server does never raises here. A verdict is written into the `OutcomeBook`, and a verdict that
concerns every campaign stops the run: nothing more is dispatched, what is in flight is awaited, and the
rest of a source that is known to end is read on, so that every row of it gets its outcome.

Cancellation. All tasks of a run live in one shielded scope, so that a cancellation from outside reaches the
caller only. The caller (`smspop_async.batch.stream`) then stops the run, waits for the grace, and cancels
the scope. A worker that is cut off in a request asks the send flag what to write down. Whatever happens,
`_finish` gives every row that was read an outcome. A source that is known to end is read to its end before that, unless
the caller is cancelled once more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

import anyio
from anyio.lowlevel import checkpoint

from smspop_async.api.classify import Accepted, Rejected, Scope, Unknown, Unsent, Verdict
from smspop_async.api.client import ApiClient
from smspop_async.api.listing import list_pages
from smspop_async.api.models import Status
from smspop_async.batch.account import Account
from smspop_async.batch.chunks import Chunk, Part
from smspop_async.batch.dispatch import Dispatcher, Settings, Stop
from smspop_async.batch.intake import ChunkSource
from smspop_async.batch.pace import Breaker
from smspop_async.batch.reconcile import Finding, Reconciler
from smspop_async.batch.recovery import Recovery
from smspop_async.batch.report import Progress, Report
from smspop_async.cancellation import is_own
from smspop_async.config import ReconcilePolicy
from smspop_async.courier import flush
from smspop_async.errors import (
    ConfigurationError,
    ContactSourceError,
    JournalError,
    SmsPopError,
)
from smspop_async.events import (
    CampaignSplit,
    RunFinished,
    RunStarted,
    RunStopped,
    tell,
)

_NOT_DISPATCHED: Final = "the run stopped before this contact was submitted"
_HALVED: Final = "some of its contacts were refused: it was cut in two"


class Run:
    """The workers of one run and what they share.

    Args:
        client: Submits and lists campaigns.
        settings: How the run goes.
        account: Where outcomes go.
        seq: How many campaigns the send has already.
    """

    def __init__(self, *, client: ApiClient, settings: Settings, account: Account, seq: int = 0) -> None:
        self._client = client
        self._settings = settings
        self._account = account
        self._submitter = client.submitter
        self._clock = client.submitter.clock
        self._breaker = Breaker()
        self._canary: Part | None = None
        self._started = self._clock.monotonic()
        self._ended: float | None = None
        self._stop = Stop()
        self._dispatcher = Dispatcher(
            client=client, settings=settings, account=account, stop=self._stop, seq=seq
        )
        self._scope = anyio.CancelScope(shield=True)
        self._reading = anyio.CancelScope(shield=True)
        """Around reading on where the workers were cut off before they had."""
        self._intake: ChunkSource | None = None
        self._reconciler = self._make_reconciler(settings.reconcile)
        self.recovery: Recovery | None = None
        """What an earlier process has left behind; to be set before the run is executed."""
        self.unread: ContactSourceError | None = None
        """What an earlier process did not read, to be told at the end."""
        self.stopped_by: SmsPopError | None = None
        self.cancelled: bool = False
        self.crash: BaseException | None = None
        """A programming error of ours or of a callback's, or what ends the program: raised to the caller after all is
        accounted for."""
        self.finished: anyio.Event = anyio.Event()

    # What the caller does with a run.

    async def execute(self, intake: ChunkSource) -> None:
        """Run to the end. Never raises; afterwards every row that was read has an outcome.

        Args:
            intake: Where chunks come from; it is closed at the end.
        """
        self._intake = intake
        self._tell_started()
        try:
            with self._scope:
                await self._guarded(self._work, intake)
        finally:
            try:
                if self._scope.cancel_called:
                    with self._reading:
                        await self._guarded(intake.read_rest)
            finally:
                await self._conclude(intake)

    async def _conclude(self, intake: ChunkSource) -> None:
        # Whatever breaks on the way out is kept: nobody may wait for the end for ever.
        try:
            intake.enter_rest()
        except Exception as crash:  # noqa: BLE001 - as in `_guarded`
            self.crash = self.crash or crash
        self._finish()
        try:
            with anyio.CancelScope(shield=True):
                await self._guarded(intake.aclose)
                self._tell_finished()
                await flush(self._submitter.observer)
        finally:
            self.finished.set()

    def _tell_started(self) -> None:
        settings = self._settings
        tell(
            self._submitter.observer,
            RunStarted,
            run=settings.run,
            name=settings.name,
            resumed=self.recovery is not None,
        )

    def _tell_finished(self) -> None:
        book = self._account.book
        tell(
            self._submitter.observer,
            RunFinished,
            run=self._settings.run,
            total=len(book),
            statuses={status.value: rows for status, rows in book.count().items() if rows},
            elapsed=self._elapsed(),
            stopped=self.stopped or self.stopped_by is not None,
        )

    def stop(self, error: SmsPopError | None = None, *, cancelled: bool = False) -> None:
        """Dispatch nothing more. The first reason stands."""
        if self.stopped or self.finished.is_set():
            return
        self.stopped_by = error
        self.cancelled = cancelled
        self._stop.ask()
        if self._intake is not None:
            self._intake.interrupt()
        reason = type(error).__name__ if error is not None else "cancelled" if cancelled else "crash"
        tell(self._submitter.observer, RunStopped, run=self._settings.run, reason=reason)
        if cancelled and self._reconciler is not None:
            self._give_up(self._reconciler)

    def end_telling(self) -> None:
        """Nobody listens for outcomes one by one any more."""
        self._account.end_telling()

    def cut_off(self, *, at_once: bool = False) -> None:
        """End what is in flight now, whatever becomes of it.

        Args:
            at_once: Whether the rest of the source is not read, either.
        """
        self._scope.cancel()
        if at_once:
            self._reading.cancel()

    @property
    def begun(self) -> bool:
        """Whether anybody has executed it."""
        return self._intake is not None

    @property
    def stopped(self) -> bool:
        """Whether nothing more is dispatched."""
        return self._stop.asked

    def is_stopped(self) -> bool:
        """The same as `stopped`, to be asked later."""
        return self._stop.asked

    def number(self, chunks: Sequence[Chunk]) -> None:
        """Give new chunks their places among the campaigns of the run."""
        self._dispatcher.number(chunks)

    def why(self) -> str:
        """What stopped the run, or nothing."""
        if self.stopped_by is not None:
            return str(self.stopped_by)
        return "It was cancelled." if self.cancelled else ""

    @property
    def settings(self) -> Settings:
        """How the run goes."""
        return self._settings

    def progress(self) -> Progress:
        """Where the run stands."""
        book = self._account.book
        return Progress(
            total=len(book),
            settled=book.settled,
            counts=book.count(),
            campaigns=len(self._account.campaigns),
            in_flight=self._dispatcher.in_flight,
            reconciling=len(self._reconciler) if self._reconciler is not None else 0,
            elapsed=self._elapsed(),
            finished=self.finished.is_set(),
        )

    def report(self) -> Report:
        """The account of the run so far; complete once it is finished."""
        campaigns = self._account.campaigns
        return Report(
            run=self._settings.run,
            name=self._settings.name,
            total=len(self._account.book),
            counts=self._account.book.count(),
            summary=campaigns.summary,
            campaigns=campaigns,
            discrepancies=tuple(self._account.discrepancies),
            stopped_by=self.stopped_by,
            cancelled=self.cancelled,
            elapsed=self._elapsed(),
            book=self._account.book,
        )

    def _elapsed(self) -> float:
        return (self._clock.monotonic() if self._ended is None else self._ended) - self._started

    # The workers.

    async def _work(self, intake: ChunkSource) -> None:
        async with anyio.create_task_group() as tasks:
            if self._reconciler is not None:
                tasks.start_soon(self._guarded, self._reconciler.run)
            await self._guarded(self._prepare, intake)
            if self.recovery is not None:
                await self._guarded(self._recover, self.recovery)
            if self._settings.canary:
                await self._guarded(self._take_one, intake)
            async with anyio.create_task_group() as workers:
                for _ in range(self._settings.max_concurrency):
                    workers.start_soon(self._guarded, self._take_all, intake)
            if self._reconciler is not None:
                self._reconciler.close()

    async def _prepare(self, intake: ChunkSource) -> None:
        """Have all contacts written down, where that is to be done before any is sent."""
        try:
            await intake.prepare(self._account.excluded)
        finally:
            if intake.failure is not None:
                self.stop(intake.failure)

    async def _recover(self, recovery: Recovery) -> None:
        """Look for what an earlier process may have sent; where a second try was asked for, before anything else."""
        async for chunk, reason, age in recovery.unknown():
            if self.stopped:
                return
            part = self._dispatcher.part(chunk)
            self._account.hold(part, reason)
            if self._reconciler is not None:
                await self._reconciler.add(part, reason, age=age)
            else:
                await self._reconciled(part, Finding(status=Status.UNKNOWN, detail=reason, missed=True))
        if recovery.resend and self._reconciler is not None:
            await self._reconciler.idle()

    def _try_again(self, part: Part, doubt: str) -> None:
        """Put a campaign that may have been sent into a new one, as was asked for in so many words."""
        old = part.chunk
        chunk = Chunk(rows=old.rows, numbers=old.numbers, text=old.text, doubt=doubt)
        self._dispatcher.number((chunk,))
        self._account.second_try(part, chunk)
        if self.recovery is not None:
            self.recovery.again.append(chunk)

    async def _guarded(self, job: Callable[..., Awaitable[object]], *args: object) -> None:
        """Turn a programming error into a stop, so that the other workers settle what they have in flight."""
        try:
            await job(*args)
        except (Exception, BaseExceptionGroup) as crash:  # noqa: BLE001 - the caller raises it when all is accounted for
            self.crash = self.crash or _alone(crash)
            self.stop()
        except asyncio.CancelledError as stray:
            if self._scope.cancel_called or is_own(stray):
                raise
            self.crash = self.crash or _left_over(stray)
            self.stop()

    def _finish(self) -> None:
        """Give every row that was read an outcome: the last act of a run."""
        if self._reconciler is not None:
            self._give_up(self._reconciler)
        self._account.book.settle_rest(Status.NOT_SUBMITTED, _NOT_DISPATCHED)
        if self.stopped_by is None and not self.cancelled:
            self.stopped_by = self.unread
        self._ended = self._clock.monotonic()

    def _give_up(self, reconciler: Reconciler) -> None:
        for part, finding in reconciler.give_up():
            self._account.write(part, finding.status, finding.detail)

    async def _take_all(self, intake: ChunkSource) -> None:
        while await self._take_one(intake):
            pass

    async def _take_one(self, intake: ChunkSource) -> bool:
        """Take a chunk and see it through; False where there are no more."""
        chunk: Chunk | None = None
        while chunk is None:
            chunk, excluded = await intake.next()
            if intake.failure is not None:
                self.stop(intake.failure)
            if excluded:
                await self._account.excluded(excluded)
            elif chunk is None:
                return False
        if self._stop.asked:
            await checkpoint()  # reading on after a stop must not hold the loop
            await self._account.never_dispatched(chunk, _NOT_DISPATCHED)
        else:
            await self._carry(chunk)
        return True

    async def _carry(self, chunk: Chunk) -> None:
        """Submit a chunk and write down what became of it."""
        part = self._dispatcher.part(chunk)
        if self._settings.canary and self._canary is None:
            self._canary = part
        verdict = await self._dispatcher.submit(part)
        if isinstance(verdict, Accepted):
            await self._account.settled(part, verdict.settlement)
            self._breaker.accept()
        else:
            await self._carry_on(part, verdict)

    async def _carry_on(self, part: Part, verdict: Verdict | None) -> None:
        """See a chunk through that was not accepted; where the API refuses some of its contacts, halve it."""
        parts: list[Part] = []
        budget = split_budget(len(part.chunk))
        accepted = unsent = False
        while True:
            if _may_split(verdict, part.chunk) and budget > 1 and not self.stopped:
                budget -= 2
                contacts = len(part.chunk)
                tell(self._submitter.observer, CampaignSplit, name=part.name, contacts=contacts, run=part.run)
                halves = [self._dispatcher.part(half) for half in part.chunk.halves()]
                self._account.replaced(part, [half.chunk for half in halves], _HALVED)
                parts += reversed(halves)
            else:
                accepted = accepted or isinstance(verdict, Accepted)
                unsent = unsent or isinstance(verdict, Unsent)
                await self._settle(part, verdict)
            if not parts:
                break
            part = parts.pop()
            verdict = await self._dispatcher.submit(part)
        if accepted:
            self._breaker.accept()
        elif verdict is not None and not isinstance(verdict, Accepted) and self._breaker.fail(unsent=unsent):
            self.stop(verdict.error)

    # What a verdict means for the run.

    async def _settle(self, part: Part, verdict: Verdict | None) -> None:
        account = self._account
        match verdict:
            case None:
                await account.never_dispatched(part.chunk, _NOT_DISPATCHED)
            case Accepted(settlement=settlement):
                await account.settled(part, settlement)
            case Rejected(error=error, scope=scope):
                if scope in (Scope.RUN, Scope.PACE):
                    self.stop(error)
                # What was refused for a reason that concerns every campaign may be sent when that is put right, and
                # what would have been cut in two, but for the stop, can be when the send is resumed.
                again = scope in (Scope.RUN, Scope.PACE) or (self.stopped and _may_split(verdict, part.chunk))
                await account.ended(
                    part, Status.REJECTED, str(error), again=again, reason=type(error).__name__
                )
            case Unsent(error=error):
                abandoned = self.stopped and isinstance(error, ConfigurationError)
                if isinstance(error, ConfigurationError | JournalError) or part is self._canary:
                    self.stop(error)
                reason = "" if abandoned else type(error).__name__
                await account.ended(part, Status.NOT_SUBMITTED, str(error), reason=reason)
            case Unknown(error=error):
                await self._look_for(part, error)

    async def _look_for(self, part: Part, error: SmsPopError) -> None:
        reason = type(error).__name__
        if self._reconciler is None or self.cancelled:
            await self._account.ended(part, Status.UNKNOWN, str(error), reason=reason)
            return
        self._account.hold(part, str(error), reason)
        await self._reconciler.add(part, str(error))

    def _make_reconciler(self, policy: ReconcilePolicy | None) -> Reconciler | None:
        if policy is None:
            return None
        return Reconciler(
            policy=policy,
            pages=lambda: list_pages(self._client),
            clock=self._clock.monotonic,
            normalise=self._client.number_or_none,
            finish=self._reconciled,
            capacity=4 * self._settings.max_concurrency,
            observer=self._submitter.observer,
        )

    async def _reconciled(self, part: Part, finding: Finding) -> None:
        account, notes = self._account, finding.discrepancies
        # A list that could not be read is no reason to send again.
        lost = finding.status is Status.UNKNOWN and finding.missed and not self.stopped
        if lost and self.recovery is not None and self.recovery.resends(part):
            self._try_again(part, finding.detail)
            return
        if finding.status is Status.ACCEPTED:
            self._breaker.accept()
        if finding.settlement is not None:
            await account.settled(part, finding.settlement, finding.detail, notes=notes)
        else:
            await account.ended(part, finding.status, finding.detail, notes=notes)


def _left_over(stray: BaseException) -> RuntimeError:
    """What is raised where a task of somebody else was cancelled that this run had waited for."""
    crash = RuntimeError("Something that the run waited for was cancelled, and not by who started the run.")
    crash.__cause__ = stray
    return crash


def _alone(crash: BaseException) -> BaseException:
    """What ends the program (`KeyboardInterrupt`, `SystemExit`) without the groups that task groups put around it."""
    while isinstance(crash, BaseExceptionGroup) and not isinstance(crash, Exception):
        group = cast("BaseExceptionGroup[BaseException]", crash)
        crash = next(each for each in group.exceptions if not isinstance(each, Exception))
    return crash


def _may_split(verdict: Verdict | None, chunk: Chunk) -> bool:
    # A second try is not cut up: if it cannot go as it is, the first one is what may still be found.
    refused = isinstance(verdict, Rejected) and verdict.scope is Scope.CONTACTS
    return refused and len(chunk) > 1 and not chunk.doubt


def split_budget(contacts: int) -> int:
    """Extra requests that may be spent on finding the contacts at fault in a chunk.

    Small chunks can be taken apart to the last contact (2n - 2). A large one of which most is refused stops
    splitting after about a third of that many requests; what is left of it is refused whole.
    """
    return min(2 * contacts, 64 + contacts // 4)
