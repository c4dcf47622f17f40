"""Going on with a send from its journal alone: no list, no message and no name is asked for again."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread
from attrs import evolve, frozen

from smspop_async.api.client import ApiClient
from smspop_async.batch.account import Account, Emit
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.dispatch import Settings
from smspop_async.batch.engine import Run
from smspop_async.batch.intake import ChunkSource
from smspop_async.batch.job import JournalLike, check_pace, journal_of
from smspop_async.batch.journaled import Keeper, StoredSource
from smspop_async.batch.naming import CampaignNames
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.recovery import Recovery
from smspop_async.config import RateLimit, ReconcilePolicy, is_loopback
from smspop_async.errors import ConfigurationError, ContactSourceError, JournalError
from smspop_async.journal.base import ChunkState, SendRecord, SendState, StoredRows
from smspop_async.journal.sends import SendReader, check_journal
from smspop_async.journal.sqlite import SendLog, SqliteJournal

_AT_ONCE: Final = 500
"""Rows that are entered between two turns of the event loop."""
_SLAB: Final = 2_000
_PIECES: Final = 250
"""Pieces of rows that are kept until they are entered: each is a few objects, and Python's collector counts them."""


@frozen(kw_only=True)
class Resumption:
    """The arguments of `SmsPop.resume`."""

    journal: JournalLike
    run: str | None
    resend_unknown: bool
    max_concurrency: int | None
    rate_limit: RateLimit | None
    reconcile: ReconcilePolicy | None
    grace: float

    def __attrs_post_init__(self) -> None:
        journal_of(self.journal)
        check_pace(
            1 if self.max_concurrency is None else self.max_concurrency,
            self.rate_limit,
            self.reconcile,
            self.grace,
        )

    def settings(self, record: SendRecord) -> Settings:
        """Settings of the run that goes on with a send."""
        stored = record.settings
        settings = Settings(
            run=record.run,
            name=record.name,
            sender_id=record.sender_id,
            max_concurrency=self.max_concurrency or stored["max_concurrency"],
            rate_limit=None if stored["rate_limit"] is None else RateLimit(**stored["rate_limit"]),
            reconcile=self.reconcile,
            canary=stored["canary"],
            adaptive=stored["adaptive"],
        )
        return settings if self.rate_limit is None else evolve(settings, rate_limit=self.rate_limit)


async def open_resumption(
    client: ApiClient, resumption: Resumption, emit: Emit | None
) -> tuple[Run, ChunkSource]:
    """Open everything that the rest of a send needs.

    Raises:
        ConfigurationError: which send is meant is not clear, or it was planned for a sandbox.
        JournalError: the journal cannot be used, or there is nothing in it to go on with.
    """
    client.submitter.transport.slot()
    journal = journal_of(resumption.journal)
    await anyio.to_thread.run_sync(check_journal, journal.path)
    async with journal:
        record = choose(await journal.sends(), resumption.run, journal)
        _check_place(record, client.url(""))
        log = await journal.reopen(record.run)
        try:
            account, run = await _loaded(client, resumption, record, log, emit)
            await log.begin_again()
            await journal.__aenter__()  # for the run, until its source is closed
        except BaseException:
            log.let_go()
            raise
    run.recovery = Recovery(log=log, resend=resumption.resend_unknown, now=client.submitter.clock.wall)
    source = StoredSource(
        log=log,
        keeper=Keeper(journal=journal, log=log, why=run.why),
        stopped=run.is_stopped,
        heard=account.is_heard,
        ready=run.recovery.again,
    )
    run.unread = _unread(record)
    return run, source


def choose(records: Sequence[SendRecord], run: str | None, journal: SqliteJournal) -> SendRecord:
    """The send that is meant: the one of this token, the only one that is not finished, or else the last.

    Raises:
        ConfigurationError: several are not finished.
        JournalError: there is none, or it was abandoned before anything of it was sent.
    """
    if run is not None:
        records = [record for record in records if record.run == run]
    open_ones = [record for record in records if not record.finished]
    if len(open_ones) > 1:
        runs = ", ".join(record.run for record in open_ones)
        raise ConfigurationError(
            f"{len(open_ones)} sends in {journal.path} are not finished: {runs}. "
            f"Say which one: run='{open_ones[0].run}'."
        )
    whole = [record for record in records if record.state is not SendState.ABANDONED]
    if open_ones or whole:
        return (open_ones or whole)[-1]
    if records:
        raise JournalError(
            f"There is nothing to resume in {journal.path}: {records[-1].note}. Send the list again; "
            "that texts nobody twice."
        )
    what = f"no send {run!r}" if run is not None else "no send"
    raise JournalError(
        f"There is {what} in the journal {journal.path}: `smspop report {journal.path}` lists them."
    )


async def _loaded(
    client: ApiClient, resumption: Resumption, record: SendRecord, log: SendLog, emit: Emit | None
) -> tuple[Account, Run]:
    settings = resumption.settings(record)
    campaigns = CampaignBook(label=settings.name, run=settings.run)
    account = Account(
        book=OutcomeBook(), campaigns=campaigns, emit=emit, observer=client.submitter.observer, log=log
    )
    run = Run(client=client, settings=settings, account=account, seq=await log.last_seq())
    log.failed = run.stop
    reader = await anyio.to_thread.run_sync(log.reader)
    try:
        await load_rows(reader, account.book)
        await _load_campaigns(reader, account, settings)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(reader.close)
    return account, run


async def load_rows(reader: SendReader, book: OutcomeBook) -> None:
    """Enter every row of a send into a book, and settle those that are not waiting to be sent."""
    rows = reader.rows()
    loading = _Loading(book)
    while pieces := await anyio.to_thread.run_sync(_some, rows):
        for piece in pieces:
            loading.add(piece)
    loading.flush()


def _some(rows: Iterator[StoredRows]) -> list[StoredRows]:
    """Read on, so many rows that entering them does not hold the loop."""
    pieces: list[StoredRows] = []
    count = 0
    for piece in rows:
        pieces.append(piece)
        count += len(piece.numbers)
        if count >= _AT_ONCE:
            break
    return pieces


class _Loading:
    """Gathers pieces of rows into slabs: a list with a duplicate in every other row is a million pieces."""

    def __init__(self, book: OutcomeBook) -> None:
        self._book = book
        self._numbers: list[str] = []
        self._lines: list[int] = []
        self._pieces: list[StoredRows] = []

    def add(self, piece: StoredRows) -> None:
        if self._numbers and (piece.line is None) != (not self._lines):
            self.flush()
        self._numbers += piece.numbers
        if piece.line is not None:
            self._lines += range(piece.line, piece.line + len(piece.numbers))
        self._pieces.append(piece)
        if len(self._numbers) >= _SLAB or len(self._pieces) >= _PIECES:
            self.flush()

    def flush(self) -> None:
        self._book.enter(self._numbers, self._lines or None)
        for piece in self._pieces:
            self._settle(piece)
        self._numbers, self._lines, self._pieces = [], [], []

    def _settle(self, piece: StoredRows) -> None:
        if piece.waiting:
            return
        first, book = piece.first, self._book
        book.settle_all(range(first, first + len(piece.numbers)), piece.status, piece.detail)
        for offset, (status, detail) in piece.others.items():
            book.settle_all((first + offset,), status, detail)


async def _load_campaigns(reader: SendReader, account: Account, settings: Settings) -> None:
    decided = reader.decided()
    while some := await anyio.to_thread.run_sync(lambda: list(islice(decided, _SLAB))):
        for seq, contacts, verdict in some:
            if verdict.state is ChunkState.UNKNOWN:
                continue  # it is being looked for once more
            account.campaigns.note_verdict(seq, contacts, verdict)
    names = CampaignNames(settings.name, settings.run)
    for seq, words in await anyio.to_thread.run_sync(lambda: list(reader.discrepancies())):
        account.discrepancies.append(f"{names.of(seq)[0]}: {words}")


def _unread(record: SendRecord) -> ContactSourceError | None:
    """What to say of a source that was not read to its end."""
    if record.state is not SendState.STREAMING:
        return None
    return ContactSourceError(
        f"The contacts had been read up to row {record.rows:,} when the send was ended; those are accounted for. "
        "The rows after that are not in the journal: send them by themselves."
    )


def _check_place(record: SendRecord, base_url: str) -> None:
    """Texts that were planned for a sandbox must not reach people, and people must not be texted in a sandbox only."""
    planned, now = (is_loopback(urlsplit(url).hostname or "") for url in (record.base_url, base_url))
    if planned is not now:
        raise ConfigurationError(
            f"The send {record.run} was planned for {record.base_url}, and this client sends to {base_url}: one of the "
            "two is on this machine, a sandbox, and the other is not. Nothing was sent. Resume it with the base_url it "
            "was planned for, or send the list anew."
        )
