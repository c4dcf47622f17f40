"""The report of a send out of its journal, also while the send runs.

The rows stay on the disk: `Report.outcomes` reads them anew each time, in input order, in memory that does not grow
with the send.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from smspop_async.api.models import Status
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.naming import CampaignNames
from smspop_async.batch.outcomes import ContactOutcome
from smspop_async.batch.report import Report
from smspop_async.errors import Delivery, JournalError, SmsPopError
from smspop_async.journal.base import SendRecord, StoredRows
from smspop_async.journal.sends import SendReader, list_sends, open_send


@frozen(kw_only=True)
class ArchivedRows:
    """The rows of a send in a journal."""

    path: Path
    run: str

    def outcomes(self) -> Iterator[ContactOutcome]:
        """Iterate over every row, in input order.

        Raises:
            JournalError: the journal cannot be read any more.
        """
        reader = open_send(self.path, self.run)
        try:
            for rows in reader.rows():
                yield from _outcomes(rows)
        finally:
            reader.close()


def _outcomes(rows: StoredRows) -> Iterator[ContactOutcome]:
    common = rows.status, rows.detail
    for at, number in enumerate(rows.numbers):
        status, detail = rows.others.get(at, common)
        yield ContactOutcome(
            index=rows.first + at,
            phone_number=number,
            status=status,
            detail=detail,
            line=None if rows.line is None else rows.line + at,
        )


def read_report(journal: str | os.PathLike[str], *, run: str | None = None) -> Report:
    """Read the report of a send from its journal. Nothing is sent and nothing is changed.

    This blocks while it reads, also while the send goes on in another process: in an event loop call it through
    ``anyio.to_thread.run_sync``.

    Args:
        journal: The journal's file.
        run: The token of the send; None for the last one.

    Returns:
        The report as of now. Rows that are not sent yet are NOT_SUBMITTED, and UNKNOWN where their campaign is under
        way. ``elapsed`` is from the beginning of the send to the last thing that happened to a campaign.

    Raises:
        JournalError: there is no such journal or send, or it cannot be read.
    """
    path = Path(journal)
    reader = open_send(path, _meant(path, run))
    try:
        return _report(path, reader.record, reader)
    finally:
        reader.close()


def _meant(path: Path, run: str | None) -> str:
    """The token of the send that is meant; what is told of it is read afterwards, as of one moment."""
    runs = [record.run for record in list_sends(path)]
    if run in runs or (run is None and runs):
        return run or runs[-1]
    what = "no send" if run is None else f"no send {run!r}"
    raise JournalError(f"There is {what} in the journal {path}. It has: {', '.join(runs) or 'none'}.")


def _report(path: Path, record: SendRecord, reader: SendReader) -> Report:
    campaigns = CampaignBook(label=record.name, run=record.run)
    names = CampaignNames(record.name, record.run)
    for seq, contacts, verdict in reader.decided():
        campaigns.note_verdict(seq, contacts, verdict)
    counts = dict.fromkeys(Status, 0) | dict(reader.counts())
    counts[Status.NOT_SUBMITTED] += record.rows - sum(counts.values())
    return Report(
        run=record.run,
        name=record.name,
        total=record.rows,
        counts=counts,
        summary=campaigns.summary,
        campaigns=campaigns,
        discrepancies=tuple(f"{names.of(seq)[0]}: {words}" for seq, words in reader.discrepancies()),
        stopped_by=SmsPopError(record.note, delivery=_delivery(counts)) if record.note else None,
        elapsed=max(0.0, reader.last_event() - record.created_at),
        book=ArchivedRows(path=path, run=record.run),
    )


def _delivery(counts: Mapping[Status, int]) -> Delivery:
    """What may be said of what stopped a send: a journal has its words, and its rows tell the rest."""
    if counts[Status.UNKNOWN]:
        return Delivery.UNKNOWN
    return Delivery.REJECTED if counts[Status.REJECTED] else Delivery.NOT_SENT
