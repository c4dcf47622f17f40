"""What a run did: counts that add up to the rows read, and the outcome of every one of them."""

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from attrs import field, frozen

from smspop_async.api.models import Status, Summary
from smspop_async.batch.campaigns import CampaignOutcome
from smspop_async.batch.outcomes import ContactOutcome
from smspop_async.errors import Delivery, PartialFailureError, SmsPopError
from smspop_async.mask import mask_name

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "|", "%")
"""A cell that begins with one of these is run as a formula by a spreadsheet that opens the file."""
_BAD: Final = (
    Status.FAILED,
    Status.UNKNOWN,
    Status.REJECTED,
    Status.NOT_SUBMITTED,
    Status.INVALID,
)


class Rows(Protocol):
    """Where the rows of a report are."""

    def outcomes(self) -> Iterator[ContactOutcome]:
        """Iterate over the outcome of every row, in input order."""
        ...


@frozen(kw_only=True)
class Progress:
    """Where a run stands at this moment."""

    total: int
    """Rows read so far."""
    settled: int
    """Rows whose outcome is decided."""
    counts: Mapping[Status, int]
    campaigns: int
    """Campaigns decided."""
    in_flight: int
    """Campaigns under way."""
    reconciling: int
    """Campaigns of unknown outcome that are being looked for."""
    elapsed: float
    """Seconds since the run began."""
    finished: bool


@frozen(kw_only=True)
class Report:
    """The account of a run. ``sum(counts.values()) == total``, always (law 1, Conservation)."""

    run: str
    """The token in the names of the run's campaigns."""
    name: str = field(repr=mask_name)
    total: int
    """Rows read."""
    counts: Mapping[Status, int]
    """Every `Status`, also those that are 0."""
    summary: Summary
    """The merged sent and failed of all campaigns."""
    _campaigns: Sequence[CampaignOutcome] = field(
        alias="campaigns", repr=lambda campaigns: f"<{len(campaigns)}>"
    )
    discrepancies: tuple[str, ...] = field(default=(), repr=lambda notes: f"<{len(notes)}>")
    """Where the API contradicted itself, with the campaign's name."""
    stopped_by: SmsPopError | None = None
    """The error that stopped the run, or None."""
    cancelled: bool = False
    """Whether the run was cancelled or left early."""
    elapsed: float = 0.0
    """Seconds."""
    _book: Rows = field(alias="book", repr=False)

    @cached_property
    def campaigns(self) -> tuple[CampaignOutcome, ...]:
        """What became of each campaign, in the order of their submission."""
        return tuple(self._campaigns)

    def outcomes(self) -> Iterator[ContactOutcome]:
        """Iterate over the outcome of every row, in input order."""
        return self._book.outcomes()

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the outcome of every row to a CSV file (UTF-8), replacing what is there when all is written.

        Cells that a spreadsheet would run as a formula get an apostrophe in front. This blocks while it writes:
        in an event loop call it through ``anyio.to_thread.run_sync``.

        Raises:
            OSError: the file cannot be written; what was there before is untouched.
        """
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        try:
            with open(  # noqa: PTH123 - it is open already
                handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                self._write_rows(file)
            os.replace(name, target)  # noqa: PTH105 - as atomic, and either way a text
        except BaseException:
            os.unlink(name)  # noqa: PTH108
            raise

    def _write_rows(self, file: TextIO) -> None:
        writer = csv.writer(file)
        writer.writerow(("index", "line", "phone_number", "status", "detail"))
        for outcome in self.outcomes():
            line = "" if outcome.line is None else outcome.line
            number, detail = _cell(outcome.phone_number), _cell(outcome.detail)
            writer.writerow((outcome.index, line, number, outcome.status.value, detail))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, without the rows: ready for JSON, and without a phone number."""
        stopped = self.stopped_by
        return {
            "run": self.run,
            "name": self.name,
            "total": self.total,
            "counts": {status.value: count for status, count in self.counts.items()},
            "summary": {"sent": self.summary.sent, "failed": self.summary.failed},
            "campaigns": [
                {
                    "name": campaign.name,
                    "contacts": campaign.contacts,
                    "status": campaign.status.value,
                    "sent": campaign.summary.sent,
                    "failed": campaign.summary.failed,
                    "detail": campaign.detail,
                }
                for campaign in self.campaigns
            ],
            "discrepancies": list(self.discrepancies),
            "stopped_by": None
            if stopped is None
            else {
                "error": type(stopped).__name__,
                "message": str(stopped),
                "delivery": stopped.delivery.value,
            },
            "cancelled": self.cancelled,
            "elapsed": round(self.elapsed, 3),
        }

    def raise_for_failures(self) -> None:
        """Raise unless every row was sent or accepted, or left out as a duplicate or as suppressed.

        Raises:
            PartialFailureError: with this report; its cause is `stopped_by`.
        """
        bad = {status: self.counts[status] for status in _BAD if self.counts[status]}
        if not bad and self.stopped_by is None and not self.cancelled:
            return
        words = ", ".join(f"{count} {status.value.replace('_', ' ')}" for status, count in bad.items())
        told = f"{words} of {self.total} rows" if bad else f"The run was stopped after {self.total} rows"
        raise PartialFailureError(
            f"{told}; see report.outcomes(). {self._advice(all_good=not bad)}",
            report=self,
            delivery=self._delivery(all_good=not bad),
        ) from self.stopped_by

    def _delivery(self, *, all_good: bool) -> Delivery:
        # Stopped behind rows that were all sent to: there is no word for that, and this one asks to look first.
        if self.counts[Status.UNKNOWN] or (all_good and self.total):
            return Delivery.UNKNOWN
        refused = self.counts[Status.REJECTED] + self.counts[Status.FAILED]
        return Delivery.REJECTED if refused else Delivery.NOT_SENT

    def _advice(self, *, all_good: bool) -> str:
        if all_good and self.total:
            return "These have had their turn: sending to them again would text people twice. The rest was not read."
        if all_good:
            return "Nothing was sent."
        if self.counts[Status.UNKNOWN]:
            return "The unknown ones may have been texted: check the dashboard before sending to them again."
        if self.counts[Status.NOT_SUBMITTED]:
            return "Those not submitted were not texted: sending to them is safe."
        return "None of these were texted."


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
