"""``smspop send``: recap, question, run, report.

Everything before the run is plain blocking code on the main thread, with no event loop around it: so
Ctrl-C ends the reading of a long list at once, and there is nothing that the reading could hold up.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from string import Template
from typing import Annotated, Final

import anyio
from attrs import frozen
from cyclopts import Parameter

from smspop_async.batch.plan import Plan, plan_campaign
from smspop_async.batch.report import Report
from smspop_async.cli.account import address, require_token
from smspop_async.cli.confirm import confirmed
from smspop_async.cli.dispatch import Ending, Job, dispatch
from smspop_async.cli.ending import (
    error_values,
    final_screen,
    next_steps,
    problems_of,
    rehearsal_steps,
    steps_grid,
)
from smspop_async.cli.exits import Exit, MisuseError, exit_of, may_have_texted
from smspop_async.cli.failures import describe, show_traceback
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
from smspop_async.cli.sources import CHUNK, STDIN, contacts_file, fingerprint, message_of, name_of
from smspop_async.errors import ConfigurationError, ContactSourceError

_DEMO_SENDER: Final = "DEMO"
_DEMO_TEXT: Final = "Hello from the SMSPop sandbox! This is a rehearsal."
_DEMO_CHUNK: Final = 100
"""Small campaigns, so that a rehearsal with a short list has a progress to be seen."""


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

    smspop send contacts.csv --message 'Hello!' --sender BRAND1 --report out.csv

    Args:
        contacts: A .csv, .txt or .xlsx file, or - for standard input, one number a line (the question is then
            asked on the terminal itself; where there is none, add --yes).
        text: What is sent.
        sender: One of the account's sender IDs. [default: DEMO with --sandbox]
        name: The label of the campaigns; each gets the run and its place in it behind the label.
        sandbox: Rehearse: send to a sandbox inside this command. Nobody is texted, no account is needed, and
            SMSPOP_TOKEN and SMSPOP_BASE_URL are left alone. A message and a sender come with it.
        yes: Do not ask.
        dry_run: Show the recap and end there.
        report: Write the outcome of every row to this CSV file.
        json: Write one JSON object to standard output: plan, report and exit code.
        wanted: Who gets it.
        pace: How fast.
        care: What is held back.
        base_url: The address of the API. [default: SMSPOP_BASE_URL, or https://smspop.co.zw/api]
    """
    if sender is None and not sandbox:
        raise MisuseError("There is no sender. Add --sender ID, with one of the account's sender IDs.")
    message = message_of(text, default=_DEMO_TEXT if sandbox else None)
    if not (sandbox or dry_run):
        require_token()
    screen = Screen()
    with Interruption() as interruption, contacts_file(contacts, screen) as path:
        command = _Send(
            job=Job(
                contacts=path,
                message=message,
                sender_id=_DEMO_SENDER if sender is None else sender,
                name=name,
                base_url=None if sandbox else address(base_url, screen),
                chunk_size=wanted.chunk_size or (_DEMO_CHUNK if sandbox else CHUNK),
                region=wanted.region,
                column=wanted.column,
                suppress=wanted.suppress,
                pace=pace,
                care=care,
            ),
            typed=contacts,
            source=name_of(contacts),
            screen=screen,
            json=json,
            report_file=_report_file(report, (path, wanted.suppress, text.message_file)),
        )
        return command.run(interruption, yes=yes, dry_run=dry_run, stdin_taken=contacts == STDIN)


def _report_file(report: Path | None, inputs: tuple[Path | None, ...]) -> ReportFile | None:
    return (
        None if report is None else ReportFile(report, inputs=[path for path in inputs if path is not None])
    )


@frozen(kw_only=True)
class _Send:
    """One `send`, with everything settled that was typed."""

    job: Job
    typed: str
    """CONTACTS, as it was typed."""
    source: str
    """What to call it."""
    screen: Screen
    json: bool
    report_file: ReportFile | None

    def run(self, interruption: Interruption, *, yes: bool, dry_run: bool, stdin_taken: bool) -> int:
        before = fingerprint(self.job.contacts)
        plan = self._plan()
        self._recap(plan, result=dry_run and not self.json)
        self._refuse(plan)
        if dry_run:
            return self._end_dry(plan)
        if not yes and not confirmed(self._question(plan), self.screen, stdin_taken=stdin_taken):
            raise ConfigurationError("Nothing was sent: it was not confirmed with y.")
        if fingerprint(self.job.contacts) != before:
            raise ContactSourceError(
                f"{self.source} has changed since the recap. Nothing was sent: begin again."
            )
        ending = anyio.run(dispatch, self.job, plan, self.screen, interruption)
        if ending.report is None:
            raise ending.error or KeyboardInterrupt  # nothing was begun
        try:
            return self._end(plan, ending, ending.report)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "Interrupted after the run, before its report was complete. Texts may have been sent: look in "
                "the dashboard before you type the same command again."
            ) from None

    def _plan(self) -> Plan:
        job = self.job
        busy = (
            self.screen.err.status(f"Reading {printable(self.source)}…")
            if self.screen.live
            else nullcontext()
        )
        with busy:
            return plan_campaign(
                job.contacts,
                message=job.message,
                chunk_size=job.chunk_size,
                default_region=job.region,
                suppress=job.suppress,
                column=job.column,
            )

    def _recap(self, plan: Plan, *, result: bool) -> None:
        say = self.screen.tell if result else self.screen.say
        say(grid(self._recap_rows(plan)))
        if plan.invalid:
            say()
            say(problem_table(plan.invalid[:PROBLEMS_SHOWN]))
            if plan.invalid_count > PROBLEMS_SHOWN:
                say(f"and {count(plan.invalid_count - PROBLEMS_SHOWN, 'more row')}: smspop check lists them")
        say()

    def _recap_rows(self, plan: Plan) -> Iterator[Row]:
        job = self.job
        yield from contact_rows(plan, self.source)
        yield from message_rows(plan, job.message)
        campaigns = count(plan.chunks, "campaign")
        yield (
            "Campaigns",
            f"{campaigns} of up to {job.chunk_size:,} contacts, {job.pace.concurrency} at a time",
        )
        yield "Sender", printable(job.sender_id)
        yield "API", job.base_url or "a sandbox of this command's own: nobody is texted"
        if self.report_file is not None:
            replaces = " (replaces the one that is there)" if self.report_file.replaces else ""
            yield "Report", f"{printable(str(self.report_file.shown))}{replaces}"

    def _refuse(self, plan: Plan) -> None:
        """Stop here where there is nobody to text, or it would cost too much."""
        limit = self.job.care.max_credits
        if not plan.valid:
            raise ContactSourceError(f"Nothing was sent: {self.source} has no contact to text.")
        if limit is not None and plan.credits > limit:
            raise ConfigurationError(
                f"Nothing was sent: it would take about {plan.credits:,} credits, and --max-credits allows {limit:,}."
            )

    def _question(self, plan: Plan) -> str:
        if self.job.base_url is None:
            return f"Rehearse with {count(plan.valid, 'contact')}? Nobody is texted."
        return f"Text {count(plan.valid, 'contact')} now, for about {count(plan.credits, 'credit')}?"

    def _end_dry(self, plan: Plan) -> int:
        code = Exit.NOT_CLEAN if plan.invalid_count else Exit.OK
        if self.json:
            self.screen.tell_json(self._values(plan, Ending(report=None, error=None), code))
        else:
            self.screen.tell("Dry run: nothing was sent.", "bold")
        return code

    def _end(self, plan: Plan, ending: Ending, report: Report) -> int:
        code = exit_of(report)
        if ending.error is not None:
            code = Exit.NOT_CLEAN if may_have_texted(report) else Exit.NOT_STARTED
            self.screen.complain(describe(ending.error))
            show_traceback(self.screen, ending.error)
        saved = self._save(report)
        if self.report_file is not None and saved != self.report_file.shown and code is Exit.OK:
            code = Exit.NOT_CLEAN
        try:
            self._tell(plan, ending, report, saved, code)
        except OSError as failure:
            self.screen.complain(
                f"The result cannot be written to standard output: {describe(failure)} The run is over."
            )
        return code

    def _save(self, report: Report) -> Path | None:
        """Write ``--report``, and say so; a failure must not hide what became of the run."""
        if self.report_file is None:
            return None
        try:
            saved = self.report_file.write(report)
        except OSError as error:
            self.screen.complain(f"--report {self.report_file.shown} cannot be written: {describe(error)}")
            return None
        if saved != self.report_file.shown:
            self.screen.complain(
                f"--report {self.report_file.shown} cannot be written; the report is in {saved}."
            )
        return saved

    def _tell(self, plan: Plan, ending: Ending, report: Report, saved: Path | None, code: Exit) -> None:
        if self.json:
            self.screen.tell_json(self._values(plan, ending, code))
            return
        self.screen.tell()
        self.screen.tell(final_screen(report, problems_of(report), delivered=ending.delivered))
        if saved is not None:
            self.screen.tell(f"\nEvery row and its outcome: {printable(str(saved))}")
        steps = list(
            next_steps(report, report_at=saved, template=isinstance(self.job.message, Template))
            if self.job.base_url is not None
            else rehearsal_steps(self.typed)
        )
        if steps:
            self.screen.tell()
            self.screen.tell(steps_grid(steps))

    def _values(self, plan: Plan, ending: Ending, code: Exit) -> dict[str, object]:
        error = ending.error
        return {
            "exit_code": int(code),
            "error": None if error is None else error_values(error, describe(error)),
            "plan": plan_values(plan),
            "message": cost_values(plan),
            "report": None if ending.report is None else ending.report.to_dict(),
        }
