"""What ``send`` and ``stream`` are asked to do, and the opening of everything that it needs.

What is wrong here is raised, because nothing was sent yet.
"""

import os
import random
from collections.abc import Mapping
from string import Template
from typing import Any, Final

import anyio
from attrs import asdict, field, frozen

from smspop_async.api.client import ApiClient
from smspop_async.batch.account import Account, Emit
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.chunks import CHUNK_LIMIT, Chunker
from smspop_async.batch.dispatch import Settings
from smspop_async.batch.engine import Run
from smspop_async.batch.intake import FIRST_SLAB, ChunkSource, Intake, check_count, check_run
from smspop_async.batch.journaled import AheadSource, AlongSource, Keeper, Planner
from smspop_async.batch.naming import new_run
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.sorting import Sorter
from smspop_async.batch.suppression import read_roster
from smspop_async.config import RateLimit, ReconcilePolicy, check_grace
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.roster import Roster
from smspop_async.contacts.sources import Contacts, open_rows
from smspop_async.errors import ConfigurationError
from smspop_async.journal.base import SendPlan
from smspop_async.journal.sqlite import SqliteJournal
from smspop_async.mask import mask_name

_CHOICE = random.SystemRandom()
_CHUNKS_AHEAD: Final = 4
"""Campaigns for each worker whose rows may be read at once."""

JournalLike = str | os.PathLike[str] | SqliteJournal
"""A journal, or the path of one."""


@frozen(kw_only=True)
class Job:
    """The arguments of `SmsPop.send` and `SmsPop.stream`, checked when it is made."""

    contacts: Contacts = field(repr=False)
    message: str | Template = field(repr=False)
    sender_id: str
    name: str = field(repr=mask_name)
    chunk_size: int
    max_concurrency: int
    rate_limit: RateLimit | None
    suppress: Contacts | None = field(repr=False)
    reconcile: ReconcilePolicy | None
    canary: bool
    adaptive: bool
    column: str | None
    grace: float
    journal: JournalLike | None

    def __attrs_post_init__(self) -> None:
        check_run(name=self.name, message=self.message, sender_id=self.sender_id)
        check_count("chunk_size", self.chunk_size, CHUNK_LIMIT)
        check_pace(self.max_concurrency, self.rate_limit, self.reconcile, self.grace)
        if self.journal is not None:
            journal_of(self.journal)

    def settings(self) -> Settings:
        """Settings of a new run."""
        return Settings(
            run=new_run(_CHOICE.choice),
            name=self.name,
            sender_id=self.sender_id,
            max_concurrency=self.max_concurrency,
            rate_limit=self.rate_limit,
            reconcile=self.reconcile,
            canary=self.canary,
            adaptive=self.adaptive,
        )


def check_pace(
    max_concurrency: int, rate_limit: RateLimit | None, reconcile: ReconcilePolicy | None, grace: float
) -> None:
    """Refuse settings of a run that make no sense.

    Raises:
        ConfigurationError: and which it is.
    """
    check_count("max_concurrency", max_concurrency, 1_000)
    _check_kind("rate_limit", rate_limit, RateLimit)
    _check_kind("reconcile", reconcile, ReconcilePolicy)
    check_grace(grace)


def journal_of(value: JournalLike | None) -> SqliteJournal:
    """The journal that was given, or one of the path that was given.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(value, SqliteJournal):
        return value
    if isinstance(value, str | os.PathLike) and str(value):
        return SqliteJournal(value)
    raise ConfigurationError(f"journal must be a path or a SqliteJournal; it is a {type(value).__name__}.")


async def open_job(client: ApiClient, job: Job, emit: Emit | None, *, whole: bool) -> tuple[Run, ChunkSource]:
    """Open everything that a new run needs.

    Args:
        client: Submits.
        job: What to do.
        emit: Told about outcomes.
        whole: Whether a journal gets all contacts before any is sent, also those of a source that may never end.

    Raises:
        ConfigurationError: a setting is wrong.
        ContactSourceError: the source or the suppression list cannot be read.
        JournalError: the journal cannot be used.
    """
    client.submitter.transport.slot()  # the wrong loop or a closed client, before the source is touched
    book, chunker = OutcomeBook(), Chunker(job.chunk_size, packs=job.journal is not None)
    roster = await open_roster(job.suppress, client.normaliser)
    settings = job.settings()
    account = Account(
        book=book,
        campaigns=CampaignBook(label=settings.name, run=settings.run),
        emit=emit,
        observer=client.submitter.observer,
    )
    run = Run(client=client, settings=settings, account=account)
    rows = open_rows(
        job.contacts, size=FIRST_SLAB, column=job.column, with_fields=isinstance(job.message, Template)
    )
    intake = Intake(
        rows=rows,
        sorter=Sorter(
            message=job.message, normaliser=client.normaliser, roster=roster, chunker=chunker, book=book
        ),
        chunker=chunker,
        abandoned=lambda: run.stopped and not rows.finite,
        pump=client.submitter.pump,
        ahead=_CHUNKS_AHEAD * job.max_concurrency * job.chunk_size,
    )
    try:
        await intake.prime()
        if job.journal is None:
            return run, intake
        return run, await _journaled(client, job, run, account, intake, ahead=whole or rows.finite)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await intake.aclose()
        raise


async def _journaled(
    client: ApiClient, job: Job, run: Run, account: Account, intake: Intake, *, ahead: bool
) -> ChunkSource:
    journal = await journal_of(job.journal).__aenter__()
    try:
        log = await journal.begin(_plan(client, job, run), streaming=not ahead)
    except BaseException:
        await journal.__aexit__(None, None, None)
        raise
    log.failed = run.stop
    account.log = log
    planner = Planner(log=log, book=account.book)
    keeper = Keeper(journal=journal, log=log, why=run.why)
    if ahead:
        return AheadSource(
            intake=intake,
            planner=planner,
            log=log,
            keeper=keeper,
            number=run.number,
            stopped=run.is_stopped,
            heard=account.is_heard,
        )
    return AlongSource(
        intake=intake, planner=planner, log=log, keeper=keeper, number=run.number, stopped=run.is_stopped
    )


def _plan(client: ApiClient, job: Job, run: Run) -> SendPlan:
    message = job.message.template if isinstance(job.message, Template) else job.message
    return SendPlan(
        run=run.settings.run,
        name=job.name,
        sender_id=job.sender_id,
        message=message,
        base_url=client.url(""),
        settings=stored_settings(run.settings),
    )


def stored_settings(settings: Settings) -> Mapping[str, Any]:
    """Pace and policy of a run, as a journal keeps them."""
    return {
        "max_concurrency": settings.max_concurrency,
        "rate_limit": None if settings.rate_limit is None else asdict(settings.rate_limit),
        "reconcile": None if settings.reconcile is None else asdict(settings.reconcile),
        "canary": settings.canary,
        "adaptive": settings.adaptive,
    }


async def open_roster(suppress: Contacts | None, normaliser: Normaliser) -> Roster:
    """Read the suppression list, in a worker thread.

    Raises:
        ContactSourceError: it cannot be read, or a line of it is not a phone number.
        ConfigurationError: it is an async iterable.
    """
    if suppress is None:
        return Roster()
    return await anyio.to_thread.run_sync(read_roster, suppress, normaliser)


def _check_kind(setting: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(
            f"{setting} must be a {kind.__name__} or None; it is a {type(value).__name__}."
        )
