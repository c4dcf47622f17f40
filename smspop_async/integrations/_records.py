"""Where a send stands, as a value that goes into a file, over a wire and into a page."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self

from attrs import evolve, field, frozen

from smspop_async.api.models import Status
from smspop_async.batch.report import Progress, Report
from smspop_async.errors import SmsPopError
from smspop_async.mask import mask_name

_RAN_AWAY: Final = "The program that ran this send has ended without finishing it."
_VOID: Final = (
    "It was interrupted before all of its contacts were written down. Nothing went out: start it again."
)
_WAITING: Final = (Status.NOT_SUBMITTED.value, Status.UNKNOWN.value)


class SendState(StrEnum):
    """Where a send in the background stands."""

    RUNNING = "running"
    """Campaigns are going out, or about to."""
    FINISHED = "finished"
    """Every contact has had its turn."""
    STOPPED = "stopped"
    """The API, the contacts or somebody stopped it; what was not submitted was not texted."""
    INTERRUPTED = "interrupted"
    """The program ended first. Contacts that were not submitted were not texted."""
    FAILED = "failed"
    """A defect ended it; the log says which."""


@frozen(kw_only=True)
class SendStatus:
    """A send in the background as it stands. It holds no phone number and not the text."""

    id: str
    """Names the send to `Sends`; not the token in the names of its campaigns, which is `run`."""
    name: str = field(repr=mask_name)
    state: SendState = SendState.RUNNING
    run: str = ""
    expected: int | None = None
    """Rows that there will be, where that is known beforehand."""
    total: int = 0
    """Rows read so far."""
    settled: int = 0
    """Rows whose outcome is decided."""
    counts: Mapping[str, int] = field(factory=dict[str, int])
    """The words of `Status` to rows."""
    campaigns: int = 0
    in_flight: int = 0
    reconciling: int = 0
    elapsed: float = 0.0
    """Seconds since the run began."""
    detail: str = ""
    """Why it ended early, and what to do; safe to show."""
    error: str = ""
    """The class of the error that stopped it."""
    journalled: bool = False
    """Whether there is a journal to resume it from."""
    void: bool = False
    """Whether it ended so early that nothing of it can have gone out and nothing is left of it: the same key may start
    it again."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state is not SendState.RUNNING

    @property
    def resumable(self) -> bool:
        """Whether `Sends.resume` has something to send or to look for."""
        if not self.journalled or not self.ended:
            return False
        if self.state is SendState.INTERRUPTED or any(self.counts.get(word) for word in _WAITING):
            return True
        # What was refused for a reason that concerned every campaign goes out when that is put right.
        return bool(self.state is SendState.STOPPED and self.error and self.counts.get(Status.REJECTED.value))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state.value,
            "run": self.run,
            "expected": self.expected,
            "total": self.total,
            "settled": self.settled,
            "counts": dict(self.counts),
            "campaigns": self.campaigns,
            "in_flight": self.in_flight,
            "reconciling": self.reconciling,
            "elapsed": self.elapsed,
            "detail": self.detail,
            "error": self.error,
            "journalled": self.journalled,
            "void": self.void,
            "resumable": self.resumable,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` made.

        Raises:
            ValueError, TypeError: it is something else.
        """
        own: dict[str, Any] = {name: value for name, value in values.items() if name != "resumable"}
        own["state"] = SendState(own.get("state", ""))
        return cls(**own)

    def moved(self, progress: Progress) -> Self:
        """The status at this progress."""
        return evolve(
            self,
            total=progress.total,
            settled=progress.settled,
            counts={status.value: rows for status, rows in progress.counts.items()},
            campaigns=progress.campaigns,
            in_flight=progress.in_flight,
            reconciling=progress.reconciling,
            elapsed=round(progress.elapsed, 3),
        )

    def reported(self, report: Report, *, interrupted: bool, whole: bool) -> Self:
        """The status at the end of a run.

        Args:
            report: Of the run.
            interrupted: Whether the program ended, rather than somebody who stopped the run.
            whole: Whether its contacts were read to their end, whatever stopped it.
        """
        stop = report.stopped_by
        early = SendState.INTERRUPTED if interrupted else SendState.STOPPED
        all_read = whole or not report.cancelled or report.total == self.expected
        if report.counts[Status.NOT_SUBMITTED] == 0 and stop is None and all_read:
            state = SendState.FINISHED  # what the stop came too late for
        else:
            state = early if report.cancelled else SendState.STOPPED
        return evolve(
            self,
            state=state,
            run=report.run,
            total=report.total,
            settled=report.total,
            counts={status.value: rows for status, rows in report.counts.items()},
            campaigns=len(report.campaigns),
            in_flight=0,
            reconciling=0,
            elapsed=round(report.elapsed, 3),
            detail="" if stop is None else str(stop),
            error="" if stop is None else type(stop).__name__,
        )

    def left_behind(self) -> Self:
        """The status of a send whose program is gone."""
        return evolve(self, state=SendState.INTERRUPTED, detail=_RAN_AWAY, in_flight=0, reconciling=0)

    def voided(self) -> Self:
        """The status of a send that ended before anything of it could go out."""
        return evolve(self, journalled=False, void=True, detail=_VOID)

    def broken(self, error: Exception) -> Self:
        """The status of a send that a defect ended; its text may hold anything, so only its class is kept."""
        return evolve(
            self,
            state=SendState.FAILED,
            in_flight=0,
            reconciling=0,
            detail=str(error) if isinstance(error, SmsPopError) else "",
            error=type(error).__name__,
        )


@frozen(kw_only=True)
class Record:
    """What the folder keeps of a send."""

    event: int
    """The id of the latest event."""
    status: SendStatus

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"format": 1, "event": self.event, "status": self.status.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` made.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        return cls(event=int(values["event"]), status=SendStatus.from_dict(values["status"]))
