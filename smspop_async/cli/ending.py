"""The last screen of ``send``: what became of whom, what stopped it, and what to type next."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen
from rich.console import Group
from rich.table import Table
from rich.text import Text

from smspop_async.api.models import Status
from smspop_async.batch.outcomes import ContactOutcome
from smspop_async.batch.report import Report
from smspop_async.cli.exits import may_have_texted
from smspop_async.cli.journal import Standing
from smspop_async.cli.progress import duration
from smspop_async.cli.recap import count, grid, line_of
from smspop_async.cli.screen import printable
from smspop_async.errors import (
    AccountInactiveError,
    AuthenticationError,
    ContentRejectedError,
    Delivery,
    InsufficientCreditsError,
    InvalidSenderError,
    SmsPopError,
    ValidationError,
)
from smspop_async.mask import mask_number

_MEANINGS: Final = {
    Status.SENT: ("green", "the API says it was sent"),
    Status.ACCEPTED: ("green", "the campaign exists; its reply was lost"),
    Status.FAILED: ("red", "the API says it failed"),
    Status.REJECTED: ("red", "the API refused the campaign; not texted"),
    Status.UNKNOWN: ("yellow", "may have been texted: do not send again before you know"),
    Status.NOT_SUBMITTED: ("yellow", "the run stopped before; not texted"),
    Status.INVALID: ("red", "no phone number, or no value for a merge field; not texted"),
    Status.DUPLICATE: ("", "stands further up; not texted twice"),
    Status.SUPPRESSED: ("", "on the suppression list; not texted"),
}
_PROBLEMS: Final = (Status.UNKNOWN, Status.FAILED, Status.REJECTED, Status.INVALID)
_ROWS_EACH: Final = 3
_KINDS: Final = 8
_DISCREPANCIES: Final = 5


@frozen(kw_only=True)
class Problem:
    """Rows that have the same status for the same reason."""

    status: Status
    detail: str
    rows: int
    first: tuple[ContactOutcome, ...] = field(repr=False)
    """The first few of them, in the order of the list."""


def problems_of(report: Report) -> list[Problem]:
    """What went wrong, by kind: reads all outcomes, and only when there is something to find."""
    if not any(report.counts[status] for status in _PROBLEMS):
        return []
    rows: dict[tuple[Status, str], int] = {}
    first: dict[tuple[Status, str], list[ContactOutcome]] = {}
    for outcome in report.outcomes():
        if outcome.status in _PROBLEMS:
            kind = (outcome.status, outcome.detail)
            rows[kind] = rows.get(kind, 0) + 1
            if rows[kind] <= _ROWS_EACH and (kind in first or len(first) < _KINDS):
                first.setdefault(kind, []).append(outcome)
    ranked = sorted(first, key=lambda kind: _PROBLEMS.index(kind[0]))
    return [
        Problem(status=status, detail=detail, rows=rows[status, detail], first=tuple(first[status, detail]))
        for status, detail in ranked
    ]


def final_screen(
    report: Report, problems: list[Problem], *, delivered: int | None = None, headline: Text | None = None
) -> Group:
    """The counts, what stopped the run, discrepancies and problems.

    Args:
        report: Of the send.
        problems: Of the report.
        delivered: Texts that the sandbox of a rehearsal has sent.
        headline: The first line, where it is not that of a run that has just ended.
    """
    parts: list[Text | Table] = [headline or _headline(report), _counts(report)]
    if delivered is not None:
        parts.append(
            Text(f"This was a rehearsal: the sandbox holds {count(delivered, 'text')}, and nobody got one.")
        )
    if report.stopped_by is not None:
        parts.append(_stop(report.stopped_by))
    parts += [
        Text(f"Discrepancy: {printable(words)}", style="yellow")
        for words in report.discrepancies[:_DISCREPANCIES]
    ]
    if len(report.discrepancies) > _DISCREPANCIES:
        parts.append(
            Text(f"and {len(report.discrepancies) - _DISCREPANCIES:,} more (see --json)", style="yellow")
        )
    if problems:
        parts += [Text(), _problem_table(problems)]
    return Group(*parts)


def texted(report: Report) -> str:
    """Who was texted, in how many campaigns, and the token of the run."""
    sent = report.counts[Status.SENT] + report.counts[Status.ACCEPTED]
    return f"{count(sent, 'contact')} texted, {count(len(report.campaigns), 'campaign')} (run {report.run})"


def _headline(report: Report) -> Text:
    words = (
        "Interrupted after" if report.cancelled else "Stopped after" if report.stopped_by else "Finished in"
    )
    style = "bold yellow" if report.cancelled or report.stopped_by else "bold"
    return Text(f"{words} {duration(report.elapsed)}: {texted(report)}", style)


def _counts(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for status, (style, meaning) in _MEANINGS.items():
        if report.counts[status]:
            table.add_row(f"{report.counts[status]:,}", Text(status.value.replace("_", " "), style), meaning)
    table.add_row(f"{report.total:,}", "rows", "")
    return table


def _stop(error: SmsPopError) -> Text:
    return Text.assemble(("Stopped by: ", "bold red"), printable(str(error)))


def _problem_table(problems: list[Problem]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    table.add_column("Number", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Why")
    for problem in problems:
        for at, outcome in enumerate(problem.first):
            table.add_row(
                f"{line_of(outcome.line, outcome.index):,}",
                printable(mask_number(outcome.phone_number)),
                problem.status.value,
                "the same" if at else printable(problem.detail) or _MEANINGS[problem.status][1],
            )
        if problem.rows > len(problem.first):
            table.add_row(
                "",
                "",
                "",
                Text(f"and {count(problem.rows - len(problem.first), 'more row', 'more rows')}", "dim"),
            )
    return table


def next_steps(
    report: Report, *, report_at: Path | None, template: bool, standing: Standing | None = None
) -> Iterator[str]:
    """What to do, and type, next; nothing where all is done.

    Args:
        report: Of the send.
        report_at: Where ``--report`` is.
        template: Whether the text has merge fields.
        standing: Where the send stands in its journal; the command that goes on with it is shown below the steps.
    """
    counts = report.counts
    if report.stopped_by is not None:
        yield from _remedy(report.stopped_by)
    if counts[Status.UNKNOWN]:
        yield (
            f"Unknown contacts may have been texted. Look for campaigns named [{report.run}-… in the dashboard, or "
            "type: smspop campaigns"
        )
    if standing is not None and standing.resumable and not is_of_the_send(report):
        yield from _the_journal(standing)
    elif counts[Status.NOT_SUBMITTED] and not may_have_texted(report):
        yield "Nobody was texted: when that is mended, type the same command again."
    elif counts[Status.NOT_SUBMITTED] and report_at is None and standing is not None:
        yield "To send it otherwise to those who were not texted, and to nobody else, take them from the report:"
        yield standing.csv_command
    elif counts[Status.NOT_SUBMITTED]:
        yield from _the_rest(report_at, template=template)
    elif (counts[Status.FAILED] or counts[Status.INVALID]) and report_at is None:
        if standing is None:
            yield "Next time, --report out.csv keeps every row and its outcome."
        else:
            yield f"Every row and its outcome: {standing.csv_command}"


def is_of_the_send(report: Report) -> bool:
    """Whether what stopped a send is its own text or sender: going on with it would be refused again."""
    return isinstance(report.stopped_by, ContentRejectedError | ValidationError)


def _the_journal(standing: Standing) -> Iterator[str]:
    if "--resend-unknown" in standing.command:
        yield "This goes on as it was begun, with the risk that people get the text twice:"
    elif standing.left and standing.unknown:
        yield (
            f"{count(standing.left, 'contact')} left. This sends to them, texts nobody twice, and looks for the "
            "unknown campaigns once more:"
        )
    elif standing.left:
        yield f"{count(standing.left, 'contact')} left. This sends to them, and texts nobody twice:"
    else:
        yield (
            "This looks for the unknown campaigns once more, and sends nothing; with --resend-unknown it sends to them "
            "again, which may text them twice:"
        )


def rehearsal_steps(source: str, journal: Path | None) -> Iterator[str]:
    """What to type for the real thing."""
    kept = "--report out.csv" if journal is None else "--journal real.db"
    yield "To send it for real, make a token in the dashboard (API Tokens -> Create), then:"
    yield "export SMSPOP_TOKEN='…'"
    yield f"smspop send {shlex.quote(source)} --message 'Your text' --sender YOURID {kept}"


def _the_rest(report_at: Path | None, *, template: bool) -> Iterator[str]:
    if report_at is None:
        yield (
            "Without --report there is no list of who was texted: do not type the same command again, or those "
            "who were texted get it twice. The dashboard has the numbers of each campaign."
        )
        return
    yield f"Rows that are not_submitted in {report_at} were not texted: it is safe to send to them."
    if not template:
        # The columns before the detail hold no comma in such a row, so awk reads them rightly.
        yield f"""awk -F, '$4=="not_submitted" {{print $3}}' {shlex.quote(os.fspath(report_at))} > rest.txt"""
        yield "smspop send rest.txt …   (with the same message and sender)"


def _remedy(error: SmsPopError) -> Iterator[str]:
    match error:
        case AuthenticationError():
            yield "Make a token in the dashboard (API Tokens -> Create), then: export SMSPOP_TOKEN='…'"
        case InsufficientCreditsError():
            yield "Buy credits in the dashboard; --max-credits keeps a run from beginning without them."
        case InvalidSenderError():
            yield "Use one of the account's sender IDs: --sender ID"
        case ContentRejectedError():
            yield "Change the text: the same one would be refused again."
        case AccountInactiveError():
            yield "Ask the vendor's support to enable the account."
        case _:
            return


def steps_grid(steps: list[str]) -> Table:
    """Lay out the steps under one label."""
    return grid(("Next" if at == 0 else "", printable(step)) for at, step in enumerate(steps))


def error_values(
    error: BaseException, text: str, *, otherwise: Delivery = Delivery.NOT_SENT
) -> dict[str, Any]:
    """An error as plain values, in the words that were shown for it.

    Args:
        error: What went wrong.
        text: The words.
        otherwise: What is known about the texts, where the error does not say.
    """
    delivery = error.delivery if isinstance(error, SmsPopError) else otherwise
    return {"error": type(error).__name__, "message": text, "delivery": delivery.value}
