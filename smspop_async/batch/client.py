"""``SmsPop``: the client of `smspop_async.api` with the batching layer on top."""

import random
from string import Template

import anyio
from attrs import frozen

from smspop_async.api.client import ApiClient
from smspop_async.batch.account import Account, Emit
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.chunks import CHUNK_LIMIT, Chunker
from smspop_async.batch.engine import Run, Settings
from smspop_async.batch.intake import FIRST_SLAB, Intake, Sorter, check_count, check_run
from smspop_async.batch.naming import new_run
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.report import Report
from smspop_async.batch.stream import Batch
from smspop_async.config import RateLimit, ReconcilePolicy
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.roster import Roster
from smspop_async.contacts.sources import Contacts, load_suppression, open_rows
from smspop_async.errors import ConfigurationError

_CHOICE = random.SystemRandom()
_STREAM_BUFFER = 4


@frozen(kw_only=True)
class _Job:
    """The arguments of `SmsPop.send` and `SmsPop.stream`, checked when it is made."""

    contacts: Contacts
    message: str | Template
    sender_id: str
    name: str
    chunk_size: int
    max_concurrency: int
    rate_limit: RateLimit | None
    suppress: Contacts | None
    reconcile: ReconcilePolicy | None
    canary: bool
    adaptive: bool
    column: str | None
    grace: float

    def __attrs_post_init__(self) -> None:
        check_run(name=self.name, message=self.message, sender_id=self.sender_id)
        check_count("chunk_size", self.chunk_size, CHUNK_LIMIT)
        check_count("max_concurrency", self.max_concurrency, 1_000)
        _check_kind("rate_limit", self.rate_limit, RateLimit)
        _check_kind("reconcile", self.reconcile, ReconcilePolicy)
        if not self.grace >= 0:
            raise ConfigurationError(f"grace must be 0 seconds or more; it is {self.grace!r}.")

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


class SmsPop(ApiClient):
    """An asyncio client of the SMSPop API: pooled, lazy, bound to the event loop of its first request.

    ``campaigns.create`` is one campaign, ``send`` and ``stream`` are any number of contacts.

    Args:
        token: The API token, or an async callable that gives the one to use now. Default: ``SMSPOP_TOKEN``.
        base_url: The API's address. Default: ``SMSPOP_BASE_URL``, or ``https://smspop.co.zw/api``.
        timeout: Seconds in all, a `Timeouts`, or an ``aiohttp.ClientTimeout``. Default: connect 15, read 140,
            total 150.
        retry: What to do about requests that are proven unsent.
        max_connections: How many requests may be under way at once.
        session: An aiohttp session whose connection pool is borrowed; it is never closed here.
        default_region: The region (ISO 3166-1) in which a national number is read.
        on_event: Told what happens; see `smspop_async.events`.
        ssl: As aiohttp's ``ssl``: an ``SSLContext``, a fingerprint, or False to skip verification.
        proxy: The URL of an HTTP proxy. The environment's proxies are never used.

    Raises:
        ConfigurationError: a setting is missing or malformed.
    """

    async def send(
        self,
        contacts: Contacts,
        *,
        message: str | Template,
        sender_id: str,
        name: str = "Campaign",
        chunk_size: int = 500,
        max_concurrency: int = 8,
        rate_limit: RateLimit | None = None,
        suppress: Contacts | None = None,
        reconcile: ReconcilePolicy | None = ReconcilePolicy(),  # noqa: B008 - frozen
        canary: bool = True,
        adaptive: bool = False,
        column: str | None = None,
        grace: float = 10.0,
    ) -> Report:
        """Send one message to any number of contacts, and report what became of every one of them.

        Args:
            contacts: An iterable or async iterable of numbers or of mapping rows, the documented ``"263…,
                263…"`` text, or a ``Path`` to a .csv, .txt or .xlsx file.
            message: The text, or a ``string.Template`` filled from the fields of each row.
            sender_id: One of the account's sender IDs.
            name: The label of the campaigns; each is named ``"{name} [{run}-{seq}]"``.
            chunk_size: Contacts in one campaign, 1 to 50,000.
            max_concurrency: Campaigns under way at once, at most.
            rate_limit: Contacts and requests per second, at most.
            suppress: Numbers that must not be texted, in any form that `contacts` takes except an async
                iterable.
            reconcile: When to look for campaigns of unknown outcome; None leaves them unknown.
            canary: Whether the first chunk goes alone, so that a refusal costs one request.
            adaptive: Whether 429 and 503 lower the number of campaigns at once, and successes raise it again.
            column: The column of the number in mapping rows and files, where its name is unusual.
            grace: Seconds that campaigns under way may still take when this call is cancelled.

        Returns:
            The report, whatever the server did. What stopped the run early is in ``report.stopped_by``.

        Raises:
            ConfigurationError: a setting is wrong. Nothing was sent.
            ContactSourceError: contacts or suppression list cannot be read at all. Nothing was sent.
            asyncio.CancelledError: the call was cancelled; the partial report is its ``.report``.
        """
        job = _Job(
            contacts=contacts, message=message, sender_id=sender_id, name=name, chunk_size=chunk_size,
            max_concurrency=max_concurrency, rate_limit=rate_limit, suppress=suppress, reconcile=reconcile,
            canary=canary, adaptive=adaptive, column=column, grace=grace,
        )  # fmt: skip
        async with self._batch(job, buffer=None) as batch:
            await batch.wait()
        return batch.report

    def stream(
        self,
        contacts: Contacts,
        *,
        message: str | Template,
        sender_id: str,
        name: str = "Campaign",
        chunk_size: int = 500,
        max_concurrency: int = 8,
        rate_limit: RateLimit | None = None,
        suppress: Contacts | None = None,
        reconcile: ReconcilePolicy | None = ReconcilePolicy(),  # noqa: B008 - frozen
        canary: bool = True,
        adaptive: bool = False,
        column: str | None = None,
        grace: float = 10.0,
    ) -> Batch:
        """Send as `send` does, and give out the outcomes as they are decided.

        ``async with sms.stream(…) as batch: async for outcome in batch: …``. Leaving the block early
        dispatches nothing more and lets what is under way settle within `grace` seconds; ``batch.report``
        is true either way. A slow consumer slows the sending.

        Args:
            contacts: As for `send`, and so are the others.
            message: The text or template.
            sender_id: One of the account's sender IDs.
            name: The label of the campaigns.
            chunk_size: Contacts in one campaign.
            max_concurrency: Campaigns under way at once.
            rate_limit: Contacts and requests per second.
            suppress: Numbers that must not be texted.
            reconcile: When to look for campaigns of unknown outcome.
            canary: Whether the first chunk goes alone.
            adaptive: Whether concurrency follows what the API bears.
            column: The column of the number.
            grace: Seconds that campaigns under way may still take when the block is left early.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        job = _Job(
            contacts=contacts, message=message, sender_id=sender_id, name=name, chunk_size=chunk_size,
            max_concurrency=max_concurrency, rate_limit=rate_limit, suppress=suppress, reconcile=reconcile,
            canary=canary, adaptive=adaptive, column=column, grace=grace,
        )  # fmt: skip
        return self._batch(job, buffer=_STREAM_BUFFER)

    def _batch(self, job: _Job, *, buffer: int | None) -> Batch:
        async def prepare(emit: Emit | None) -> tuple[Run, Intake]:
            return await self._prepare(job, emit)

        return Batch(prepare, grace=job.grace, buffer=buffer)

    async def _prepare(self, job: _Job, emit: Emit | None) -> tuple[Run, Intake]:
        """Open everything a run needs; what is wrong here is raised, because nothing was sent yet."""
        self.submitter.transport.slot()  # the wrong loop or a closed client, before the source is touched
        book, chunker = OutcomeBook(), Chunker(job.chunk_size)
        roster = await open_roster(job.suppress, self.normaliser)
        settings = job.settings()
        account = Account(
            book=book,
            campaigns=CampaignBook(label=settings.name, run=settings.run),
            emit=emit,
            observer=self.submitter.observer,
        )
        run = Run(client=self, settings=settings, account=account)
        rows = open_rows(
            job.contacts,
            size=FIRST_SLAB,
            column=job.column,
            with_fields=isinstance(job.message, Template),
        )
        sorter = Sorter(
            message=job.message, normaliser=self.normaliser, roster=roster, chunker=chunker, book=book
        )
        intake = Intake(
            rows=rows,
            sorter=sorter,
            chunker=chunker,
            abandoned=lambda: run.stopped and not rows.finite,
            pump=self.submitter.pump,
        )
        try:
            await intake.prime()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await intake.aclose()
            raise
        return run, intake


async def open_roster(suppress: Contacts | None, normaliser: Normaliser) -> Roster:
    """Read the suppression list, in a worker thread.

    Raises:
        ContactSourceError: it cannot be read, or a line of it is not a phone number.
        ConfigurationError: it is an async iterable.
    """
    if suppress is None:
        return Roster()
    return await anyio.to_thread.run_sync(lambda: Roster(load_suppression(suppress, normaliser)))


def _check_kind(setting: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(
            f"{setting} must be a {kind.__name__} or None; it is a {type(value).__name__}."
        )
