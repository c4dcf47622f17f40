"""``smspop send``: recap, question, run, report.

Everything before the run is plain blocking code on the main thread, with no event loop around it: so
Ctrl-C ends the reading of a long list at once, and there is nothing that reading could hold up.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final

import anyio
from attrs import frozen
from cyclopts import Parameter

from smspop_async.batch.plan import Plan, plan_campaign
from smspop_async.cli.account import address, require_token
from smspop_async.cli.confirm import confirmed
from smspop_async.cli.dispatch import Ending, Job, dispatch
from smspop_async.cli.ending import error_values, final_screen, next_steps, problems_of, steps_grid
from smspop_async.cli.exits import Exit, MisuseError, exit_of, exit_of_error, may_have_texted
from smspop_async.cli.failures import tell_failure
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.options import (
    TARGET,
    CareOptions,
    ContactsArgument,
    JsonFlag,
    ListOptions,
    PaceOptions,
    TextOptions,
)
from smspop_async.cli.recap import (
    PROBLEMS_SHOWN,
    Row,
    contact_rows,
    cost_values,
    count,
    grid,
    message_rows,
    plan_values,
    problem_table,
)
from smspop_async.cli.report_file import ReportFile
from smspop_async.cli.screen import Screen, printable
from smspop_async.cli.sources import STDIN, contacts_file, fingerprint, message_of
from smspop_async.errors import ConfigurationError, ContactSourceError

_DEMO_SENDER: Final = "DEMO"
_DEMO_TEXT: Final = "Hello from the SMSPop sandbox! This is a rehearsal."
_CHUNK: Final = 500
_SANDBOX_CHUNK: Final = 100


def send(
    contacts: ContactsArgument,
    /,
    *,
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
    sender: str | None = None,
    name: str = "Campaign",
    sandbox: bool = False,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
    dry_run: bool = False,
    report: Path | None = None,
    json: JsonFlag = False,
    wanted: ListOptions = ListOptions(),  # noqa: B008 - frozen
    pace: PaceOptions = PaceOptions(),  # noqa: B008 - frozen
    care: CareOptions = CareOptions(),  # noqa: B008 - frozen
    base_url: Annotated[str | None, Parameter(group=TARGET)] = None,
) -> int:
    """Send one text to every contact of a list: a recap, a question, the run, and what became of every row.

    Args:
        contacts: A .csv, .txt or .xlsx file, or - for standard input, one number a line (the question is then
            asked on the terminal itself; where there is none, add --yes).
        text: What is sent.
        sender: One of the account's sender IDs. [default: DEMO with --sandbox]
        name: The label of the campaigns; each gets the run and its place in it behind the label.
        sandbox: Rehearse: send to a sandbox inside this command. Nobody is texted; no account is needed, and a
            message and a sender come with it.
        yes: Do not ask.
        dry_run: Show the recap and end there.
        report: Write the outcome of every row to this CSV file.
        json: Write one JSON object to standard output: plan, report and exit code.
        wanted: Who gets it.
        pace: How fast.
        care: What is held back.
        base_url: The address of the API. [default: SMSPOP_BASE_URL, or https://smspop.co.zw/api]
    """
    screen = Screen()
    sender = sender or (_DEMO_SENDER if sandbox else None)
    if sender is None:
        raise MisuseError("There is no sender. Add --sender ID, with one of the account's sender IDs.")
    message = message_of(text, default=_DEMO_TEXT if sandbox else None)
    with contacts_file(contacts, screen) as path:
        job = Job(
            contacts=path,
            message=message,
            sender_id=sender,
            name=name,
            base_url=None if sandbox else address(base_url, screen),
            chunk_size=wanted.chunk_size or (_SANDBOX_CHUNK if sandbox else _CHUNK),
            region=wanted.region,
            column=wanted.column,
            suppress=wanted.suppress,
            pace=pace,
            care=care,
        )
        inputs = [path for path in (path, wanted.suppress, text.message_file) if path is not None]
        command = _Send(
            job=job,
            source="standard input" if contacts == STDIN else path.name,
            screen=screen,
            json=json,
            report_file=None if report is None else ReportFile(report, inputs=inputs),
        )
        if not (sandbox or dry_run):
            require_token()
        with Interruption() as interruption:
            return command.run(interruption, yes=yes, dry_run=dry_run, stdin_taken=contacts == STDIN)


@frozen(kw_only=True)
class _Send:
    """One `send`, everything that was typed settled."""

    job: Job
    source: str
    screen: Screen
    json: bool
    report_file: ReportFile | None

    def run(self, interruption: Interruption, *, yes: bool, dry_run: bool, stdin_taken: bool) -> int:
        before = fingerprint(self.job.contacts)
        plan = self._plan()
        self._recap(plan, result=dry_run)
        self._refuse(plan)
        if dry_run:
            return self._rehearsed(plan)
        if not yes and not confirmed(self._question(plan), self.screen, stdin_taken=stdin_taken):
            raise DeclinedError
        if fingerprint(self.job.contacts) != before:
            raise ContactSourceError(
                f"{self.source} was changed since the recap. Nothing was sent: type the command again."
            )
        ending = anyio.run(dispatch, self.job, plan, self.screen, interruption)
        return self._end(plan, ending)
