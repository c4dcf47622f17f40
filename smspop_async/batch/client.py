"""``SmsPop``: the client of `smspop_async.api` with the batching layer on top."""

from string import Template

from smspop_async.api.client import ApiClient
from smspop_async.batch.account import Emit
from smspop_async.batch.engine import Run
from smspop_async.batch.intake import ChunkSource
from smspop_async.batch.job import Job, JournalLike, open_job
from smspop_async.batch.report import Report
from smspop_async.batch.resuming import Resumption, open_resumption
from smspop_async.batch.stream import Batch
from smspop_async.config import RateLimit, ReconcilePolicy
from smspop_async.contacts.sources import Contacts

_STREAM_BUFFER = 4


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
        journal: JournalLike | None = None,
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
            journal: A file (it is made if there is none), or a `SqliteJournal`, from which `resume` can finish this
                send whatever happens to the process. All contacts are written down before any is sent.

        Returns:
            The report, whatever the server did. What stopped the run early is in ``report.stopped_by``.

        Raises:
            ConfigurationError: a setting is wrong. Nothing was sent.
            ContactSourceError: contacts or suppression list cannot be read at all. Nothing was sent.
            JournalError: the journal cannot be used, or holds this very send and it is not finished. Nothing was sent.
            asyncio.CancelledError: the call was cancelled; the partial report is its ``.report``.
        """
        job = Job(
            contacts=contacts, message=message, sender_id=sender_id, name=name, chunk_size=chunk_size,
            max_concurrency=max_concurrency, rate_limit=rate_limit, suppress=suppress, reconcile=reconcile,
            canary=canary, adaptive=adaptive, column=column, grace=grace, journal=journal,
        )  # fmt: skip
        async with self._batch(job, buffer=None, whole=True) as batch:
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
        journal: JournalLike | None = None,
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
            journal: As for `send`; contacts of a source that may never end are written down as they are sent.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        job = Job(
            contacts=contacts, message=message, sender_id=sender_id, name=name, chunk_size=chunk_size,
            max_concurrency=max_concurrency, rate_limit=rate_limit, suppress=suppress, reconcile=reconcile,
            canary=canary, adaptive=adaptive, column=column, grace=grace, journal=journal,
        )  # fmt: skip
        return self._batch(job, buffer=_STREAM_BUFFER, whole=False)

    async def resume(
        self,
        journal: JournalLike,
        *,
        run: str | None = None,
        resend_unknown: bool = False,
        max_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
        reconcile: ReconcilePolicy | None = ReconcilePolicy(),  # noqa: B008 - frozen
        grace: float = 10.0,
    ) -> Report:
        """Finish a send from its journal: what was not sent goes out, what may have been sent is looked for.

        A campaign that was under way when the process died is UNKNOWN. It is looked for in the list of campaigns, and
        held where it is not found: that proves nothing, for a request can wait in the server's queue.

        Args:
            journal: The journal's file.
            run: The token of the send, where several in the journal are not finished.
            resend_unknown: Whether campaigns that are not found are sent once more. **People may be texted twice, and
                billed twice.**
            max_concurrency: Campaigns under way at once; None for as many as before.
            rate_limit: Contacts and requests per second; None for the limit it had.
            reconcile: When to look for campaigns of unknown outcome; None does not look.
            grace: Seconds that campaigns under way may still take when this call is cancelled.

        Returns:
            The report of the whole send, with what earlier processes did of it.

        Raises:
            ConfigurationError: a setting is wrong, several sends are not finished, or the send was planned for a
                sandbox and this client is not for one. Nothing was sent.
            JournalError: the journal cannot be used, or there is nothing to resume. Nothing was sent.
            asyncio.CancelledError: the call was cancelled; the partial report is its ``.report``.
        """
        resumption = Resumption(
            journal=journal, run=run, resend_unknown=resend_unknown, max_concurrency=max_concurrency,
            rate_limit=rate_limit, reconcile=reconcile, grace=grace,
        )  # fmt: skip
        async with self._resumed(resumption, buffer=None) as batch:
            await batch.wait()
        return batch.report

    def resume_stream(
        self,
        journal: JournalLike,
        *,
        run: str | None = None,
        resend_unknown: bool = False,
        max_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
        reconcile: ReconcilePolicy | None = ReconcilePolicy(),  # noqa: B008 - frozen
        grace: float = 10.0,
    ) -> Batch:
        """Finish a send as `resume` does, and give out the outcomes that are decided now.

        Args:
            journal: As for `resume`, and so are the others.
            run: The token of the send.
            resend_unknown: Whether people may be texted twice.
            max_concurrency: Campaigns under way at once.
            rate_limit: Contacts and requests per second.
            reconcile: When to look for campaigns of unknown outcome.
            grace: Seconds that campaigns under way may still take when the block is left early.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        resumption = Resumption(
            journal=journal, run=run, resend_unknown=resend_unknown, max_concurrency=max_concurrency,
            rate_limit=rate_limit, reconcile=reconcile, grace=grace,
        )  # fmt: skip
        return self._resumed(resumption, buffer=_STREAM_BUFFER)

    def _batch(self, job: Job, *, buffer: int | None, whole: bool) -> Batch:
        async def prepare(emit: Emit | None) -> tuple[Run, ChunkSource]:
            return await open_job(self, job, emit, whole=whole)

        return Batch(prepare, grace=job.grace, buffer=buffer)

    def _resumed(self, resumption: Resumption, *, buffer: int | None) -> Batch:
        async def prepare(emit: Emit | None) -> tuple[Run, ChunkSource]:
            return await open_resumption(self, resumption, emit)

        return Batch(prepare, grace=resumption.grace, buffer=buffer)
