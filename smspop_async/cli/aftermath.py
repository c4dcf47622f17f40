"""What happens when a run is over: its exit code, ``--report``, the last screen, and the same as values for JSON.

The account of who was texted is worth more than any failure to write it down, so none of those stops the telling.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

from smspop_async.batch.report import Report
from smspop_async.cli.dispatch import Ending
from smspop_async.cli.ending import error_values, final_screen, is_of_the_send, problems_of, steps_grid
from smspop_async.cli.exits import Exit, exit_of, may_have_texted
from smspop_async.cli.failures import describe, show_traceback
from smspop_async.cli.journal import Standing, WayBack, standing_of
from smspop_async.cli.report_file import ReportFile
from smspop_async.cli.screen import Screen, printable
from smspop_async.errors import Delivery


@frozen(kw_only=True)
class Aftermath:
    """How a run ended, with all that a person or a program may want to know of it."""

    code: Exit
    report: Report
    error: Exception | None
    delivered: int | None
    standing: Standing | None
    """Where the send stands in its journal, where there is one that can be read."""
    saved: Path | None
    """Where ``--report`` is."""

    def values(self) -> dict[str, Any]:
        """As plain values, without a text or a number."""
        return {
            "exit_code": int(self.code),
            "error": None if self.error is None else self._error_values(self.error),
            "report": self.report.to_dict(),
            "journal": None if self.standing is None else self.standing.values(),
        }

    def _error_values(self, error: Exception) -> dict[str, Any]:
        known = Delivery.UNKNOWN if may_have_texted(self.report) else Delivery.NOT_SENT
        return error_values(error, describe(error), otherwise=known)

    def tell(self, screen: Screen, steps: Iterable[str]) -> None:
        """Show the last screen; the command that goes on is the last line of it."""
        screen.tell()
        screen.tell(final_screen(self.report, problems_of(self.report), delivered=self.delivered))
        if self.saved is not None:
            screen.tell(f"\nEvery row and its outcome: {printable(str(self.saved))}")
        tell_steps(screen, list(steps), None if is_of_the_send(self.report) else self.standing)


def aftermath(
    screen: Screen,
    ending: Ending,
    report: Report,
    *,
    report_file: ReportFile | None,
    way_back: WayBack | None,
) -> Aftermath:
    """Settle the exit code, write ``--report``, and complain about what went wrong."""
    code = exit_of(report)
    if ending.error is not None:
        code = Exit.NOT_CLEAN if may_have_texted(report) else Exit.NOT_STARTED
        screen.complain(describe(ending.error))
        show_traceback(screen, ending.error)
    saved = None if report_file is None else save(screen, report, report_file)
    if report_file is not None and saved != report_file.shown and code is Exit.OK:
        code = Exit.NOT_CLEAN
    return Aftermath(
        code=code,
        report=report,
        error=ending.error,
        delivered=ending.delivered,
        standing=standing_of(way_back, report.run),
        saved=saved,
    )


def save(screen: Screen, report: Report, file: ReportFile) -> Path | None:
    """Write the outcome of every row, and complain where it is not where it was to be."""
    try:
        saved = file.write(report)
    except OSError as error:
        screen.complain(f"{file.option} {file.shown} cannot be written: {describe(error)}")
        return None
    if saved != file.shown:
        screen.complain(f"{file.option} {file.shown} cannot be written; the report is in {saved}.")
    return saved


def tell_steps(screen: Screen, steps: list[str], standing: Standing | None) -> None:
    """Show what to do next; the command that goes on stands alone, so that it can be copied."""
    if steps:
        screen.tell()
        screen.tell(steps_grid(steps))
    if standing is not None and standing.resumable:
        screen.tell()
        screen.tell_line(standing.command)
