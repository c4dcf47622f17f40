"""How a run goes on, while it does: a bar on a terminal, a line now and then elsewhere."""

from types import TracebackType
from typing import Final, Protocol, Self

from attrs import frozen
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from smspop_async.api.models import Status
from smspop_async.batch.report import Progress
from smspop_async.cli.screen import Screen

_NOT_DONE: Final = (Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED, Status.NOT_SUBMITTED)
"""Settled, but not by submitting anything: a run that was stopped does not jump to 100 %."""
_EVERY: Final = 5.0
"""Seconds of a run after which a plain line is written even if little has happened."""
_STEP: Final = 10
"""Percent after which one is written in any case."""
_MINUTE: Final = 60
_HOUR: Final = 3600
_SLOW: Final = 10
"""Contacts a second below which a fraction is worth showing."""


@frozen(kw_only=True)
class Pace:
    """Where a run stands, in the terms of the person who waits for it."""

    done: int
    """Contacts decided, of those that are submitted."""
    expected: int
    elapsed: float
    troubled: int
    """Contacts failed or rejected so far."""
    unknown: int
    """Contacts of unknown outcome."""
    looking: int
    """Campaigns of unknown outcome that are being looked for."""
    doing: str = ""
    """What is done before anything is sent; `done` and `expected` are rows of the list then."""

    @property
    def percent(self) -> int:
        """How much of the contacts is decided."""
        return 100 * self.done // self.expected if self.expected else 100

    @property
    def speed(self) -> str:
        """Contacts a second, since the beginning."""
        if not self.done or self.elapsed <= 0:
            return "…/s"
        speed = self.done / self.elapsed
        return f"{speed:,.0f}/s" if speed >= _SLOW else f"{speed:.1f}/s"

    @property
    def left(self) -> str:
        """The time that the rest takes at that speed."""
        if not self.done or (self.looking and self.done >= self.expected):
            return "…"
        return duration(max(0, self.expected - self.done) * self.elapsed / self.done)

    @property
    def remarks(self) -> str:
        """What is not as it should be; empty when all is well."""
        if self.doing:
            return self.doing
        remarks = [f"{self.troubled:,} failed"] if self.troubled else []
        if self.unknown:
            looking = ", looking them up" if self.looking else ""
            remarks.append(f"{self.unknown:,} unknown{looking}")
        return ", ".join(remarks)


@frozen(kw_only=True)
class Yardstick:
    """What the progress of a run is measured by."""

    expected: int
    """Contacts that are to be decided."""
    rows: int = 0
    """Rows of the list that are written down first, where there is a journal."""
    before: int = 0
    """Contacts that earlier processes have decided."""
    trying_again: bool = False
    """Whether contacts of unknown outcome are among those to be decided."""

    def at_first(self) -> Pace:
        """The pace of a run that has not begun."""
        doing = "reading the journal" if self.before else ""
        return Pace(
            done=0, expected=self.expected, elapsed=0.0, troubled=0, unknown=0, looking=0, doing=doing
        )

    def pace(self, progress: Progress, *, submitting: bool = True) -> Pace:
        """Measure the progress of a batch.

        Args:
            progress: Of the batch.
            submitting: Whether a campaign was submitted yet.
        """
        counts = progress.counts
        not_done = sum(counts[status] for status in _NOT_DONE)
        if self.trying_again:
            not_done += counts[Status.UNKNOWN]
        writing = not submitting and progress.total < self.rows and not progress.finished
        return Pace(
            done=progress.total if writing else max(0, progress.settled - not_done - self.before),
            expected=self.rows if writing else self.expected,
            elapsed=progress.elapsed,
            troubled=counts[Status.FAILED] + counts[Status.REJECTED],
            unknown=counts[Status.UNKNOWN],
            looking=progress.reconciling,
            doing="writing the list down" if writing else "",
        )


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``48 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


class Display(Protocol):
    """Shows the pace of a run for as long as the block lasts."""

    interval: float
    """Seconds between two looks."""

    def show(self, pace: Pace) -> None:
        """Show where the run stands."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class LiveBar:
    """A progress bar. It is drawn when it is shown, on the event loop: no thread draws behind its back."""

    interval: float = 0.125

    def __init__(self, screen: Screen) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TextColumn("{task.fields[left]} left", style="cyan"),
            TextColumn("{task.fields[remarks]}", style="yellow"),
            console=screen.err,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._task = self._bar.add_task("", total=1, speed="…/s", left="…", remarks="")

    def show(self, pace: Pace) -> None:
        """Draw it."""
        self._bar.update(
            self._task,
            total=pace.expected,
            completed=pace.done,
            speed=pace.speed,
            left=pace.left,
            remarks=pace.remarks,
        )
        self._bar.refresh()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class PlainLines:
    """Lines for a log: one for each tenth of the way, and one every few seconds."""

    interval: float = 0.25

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._percent = 0
        self._elapsed = 0.0
        self._doing = ""

    def show(self, pace: Pace) -> None:
        """Write a line if it is time for one."""
        if pace.doing != self._doing:
            self._doing, self._percent = pace.doing, 0
        step = 100 if pace.doing else _STEP  # what is done in a moment needs no lines
        if pace.percent < self._percent + step and pace.elapsed < self._elapsed + _EVERY:
            return
        unit = "rows" if pace.doing else "contacts"
        self._percent, self._elapsed = pace.percent - pace.percent % _STEP, pace.elapsed
        remarks = f"; {pace.remarks}" if pace.remarks else ""
        self._screen.say(
            f"{pace.done:,} of {pace.expected:,} {unit} ({pace.percent} %), {pace.speed}, {pace.left} left{remarks}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


def display_for(screen: Screen) -> Display:
    """The display that fits standard error."""
    return LiveBar(screen) if screen.live else PlainLines(screen)
