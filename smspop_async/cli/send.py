"""``smspop send``: recap, question, run, report.

Everything before the run is plain blocking code on the main thread, with no event loop around it: so
Ctrl-C ends the reading of a long list at once, and there is nothing that the reading could hold up.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final

import anyio
from attrs import frozen
from cyclopts import Parameter
from rich.text import Text

from smspop_async.batch.client import SmsPop
from smspop_async.batch.plan import Plan, plan_campaign
from smspop_async.batch.report import Report
from smspop_async.batch.stream import Batch
from smspop_async.cli.account import address, require_token
from smspop_async.cli.aftermath import Aftermath, aftermath
from smspop_async.cli.confirm import confirmed
from smspop_async.cli.dispatch import Ending, Errand, dispatch
from smspop_async.cli.ending import next_steps, rehearsal_steps
from smspop_async.cli.exits import Exit, MisuseError
from smspop_async.cli.failures import describe
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.journal import BESIDE, Shelf, WayBack, address_words, shelf
from smspop_async.cli.options import (
    TARGET,
    CareOptions,
    ContactsArgument,
    JsonFlag,
    ListOptions,
    PaceOptions,
    TextOptions,
)
from smspop_async.cli.progress import Yardstick
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
from smspop_async.config import RateLimit, ReconcilePolicy
from smspop_async.errors import ConfigurationError, ContactSourceError

_DEMO_SENDER: Final = "DEMO"
_DEMO_TEXT: Final = "Hello from the SMSPop sandbox! This is a rehearsal."
_DEMO_CHUNK: Final = 100
"""Small campaigns, so that a rehearsal with a short list has a progress to be seen."""
_MANY: Final = 3_000
"""Contacts above which it is worth knowing that there is a journal."""


@frozen(kw_only=True)
class Job:
    """What is to be sent, and how."""

    contacts: Path
    message: str | Template
    sender_id: str
    name: str
    base_url: str | None
    """None for a sandbox of the run's own."""
    chunk_size: int
    region: str
    column: str | None
    suppress: Path | None
    pace: PaceOptions
    care: CareOptions
    journal: Path | None

    def begin(self, sms: SmsPop) -> Batch:
        """Begin the run."""
        pace = self.pace
        return sms.stream(
            self.contacts,
            message=self.message,
            sender_id=self.sender_id,
            name=self.name,
            chunk_size=self.chunk_size,
            max_concurrency=pace.concurrency,
            rate_limit=RateLimit(contacts_per_second=pace.rate, requests_per_second=pace.requests_per_second),
            suppress=self.suppress,
            reconcile=None if self.care.no_reconcile else ReconcilePolicy(),
            canary=not self.care.no_canary,
            adaptive=pace.adaptive,
            column=self.column,
            grace=self.care.grace,
            journal=self.journal,
        )

    def errand(self, plan: Plan, way_back: WayBack | None) -> Errand:
        """What is to be dispatched."""
        return Errand(
            begin=self.begin,
            base_url=self.base_url,
            sender_id=self.sender_id,
            credits=plan.credits,
            concurrency=self.pace.concurrency,
            timeout=self.pace.timeout,
            region=self.region,
            grace=self.care.grace,
            yardstick=Yardstick(expected=plan.valid, rows=0 if self.journal is None else plan.total),
            way_back=way_back,
        )


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
    journal: Path | None = None,
    report: Path | None = None,
    json: JsonFlag = False,
    wanted: ListOptions = ListOptions(),  # noqa: B008 - frozen
    pace: PaceOptions = PaceOptions(),  # noqa: B008 - frozen
    care: CareOptions = CareOptions(),  # noqa: B008 - frozen
    base_url: Annotated[str | None, Parameter(group=TARGET)] = None,
) -> int:
    """Send one text to every contact of a list: a recap, a question, the run, and what became of every row.

    smspop send contacts.csv --message 'Hello!' --sender BRAND1 --journal hello.db

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
        journal: Write down in this file what is sent to whom, before it is sent; it is made if there is none. After an
            interruption or a crash, smspop resume JOURNAL sends the rest, and smspop report JOURNAL tells who got it.
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
    url = None if sandbox else address(base_url, screen)
    with Interruption() as interruption:
        # Before a list is read, or typed.
        place = None if journal is None else shelf(journal, base_url=url, hold=not dry_run)
        with contacts_file(contacts, wanted.column, screen) as path:
            command = _Send(
                job=Job(
                    contacts=path,
                    message=message,
                    sender_id=_DEMO_SENDER if sender is None else sender,
                    name=name,
                    base_url=url,
                    chunk_size=wanted.chunk_size or (_DEMO_CHUNK if sandbox else CHUNK),
                    region=wanted.region,
                    column=wanted.column,
                    suppress=wanted.suppress,
                    pace=pace,
                    care=care,
                    journal=journal,
                ),
                typed=contacts,
                source=name_of(contacts),
                screen=screen,
                json=json,
                shelf=place,
                report_file=_report_file(report, (path, wanted.suppress, text.message_file), journal),
            )
            return command.run(interruption, yes=yes, dry_run=dry_run, stdin_taken=contacts == STDIN)


def _report_file(
    report: Path | None, inputs: tuple[Path | None, ...], journal: Path | None
) -> ReportFile | None:
    if report is None:
        return None
    taken = [path for path in inputs if path is not None]
    if journal is not None:
        taken += [Path(f"{journal}{end}") for end in BESIDE]
    return ReportFile(report, inputs=taken)


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
    shelf: Shelf | None
    """The journal."""
    report_file: ReportFile | None

    def run(self, interruption: Interruption, *, yes: bool, dry_run: bool, stdin_taken: bool) -> int:
        before = fingerprint(self.job.contacts)
        if self.shelf is not None:
            self.shelf.refuse_again(self.job.message, self.job.sender_id)
        plan = self._plan()
        self._recap(plan, result=dry_run and not self.json)
        self._refuse(plan)
        if dry_run:
            return self._end_dry(plan)
        if not plan.valid:
            self.screen.say(
                f"Nobody is texted: {printable(self.source)} has no contact to text.", "bold yellow"
            )
        elif not yes and not confirmed(self._question(plan), self.screen, stdin_taken=stdin_taken):
            raise ConfigurationError("Nothing was sent: it was not confirmed with y.")
        if fingerprint(self.job.contacts) != before:
            raise ContactSourceError(
                f"{self.source} has changed since the recap. Nothing was sent: begin again."
            )
        way_back = self._way_back()
        try:
            ending = anyio.run(dispatch, self.job.errand(plan, way_back), self.screen, interruption)
            if ending.report is not None:
                return self._end(plan, ending, ending.report, way_back)
        except KeyboardInterrupt:
            if not interruption.was_soft:
                raise
            raise KeyboardInterrupt(self._interrupted_late()) from None
        raise ending.error or KeyboardInterrupt  # nothing was begun

    def _way_back(self) -> WayBack | None:
        if self.shelf is None:
            return None
        url = self.job.base_url
        return self.shelf.way_back(("--sandbox",) if url is None else address_words(url))

    def _interrupted_late(self) -> str:
        words = "Interrupted after the sending, before its report was complete. Texts may have been sent"
        if self.shelf is not None:
            return f"{words}: type smspop report {self.shelf.path} to see to whom."
        return f"{words}: look in the dashboard before you type the same command again."

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
        yield from self._journal_rows(plan)
        if self.report_file is not None:
            replaces = " (replaces the one that is there)" if self.report_file.replaces else ""
            yield "Report", f"{printable(str(self.report_file.shown))}{replaces}"

    def _journal_rows(self, plan: Plan) -> Iterator[Row]:
        if self.shelf is not None:
            yield "Journal", self.shelf.remark()
            warning = self.shelf.warning(self.job.message, self.job.sender_id)
            if warning is not None:
                yield "", Text(warning, style="yellow")
        elif plan.valid > _MANY and self.job.base_url is not None:
            words = "none: with --journal send.db, an interruption or a crash can be resumed from"
            yield "Journal", Text(words, style="dim")

    def _refuse(self, plan: Plan) -> None:
        """Stop here where the list is empty, or it would cost too much."""
        limit = self.job.care.max_credits
        if not plan.total:
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
            self._tell_json({"exit_code": int(code), "error": None}, plan, {"report": None, "journal": None})
        else:
            self.screen.tell("Dry run: nothing was sent.", "bold")
        return code

    def _end(self, plan: Plan, ending: Ending, report: Report, way_back: WayBack | None) -> int:
        after = aftermath(self.screen, ending, report, report_file=self.report_file, way_back=way_back)
        try:
            self._tell(plan, after)
        except OSError as failure:
            self.screen.complain(
                f"The result cannot be written to standard output: {describe(failure)} The run is over."
            )
        return after.code

    def _tell(self, plan: Plan, after: Aftermath) -> None:
        if not self.json:
            after.tell(self.screen, self._steps(after))
            return
        values = after.values()
        head = {name: values.pop(name) for name in ("exit_code", "error")}
        self._tell_json(head, plan, values)
        if after.standing is not None and after.standing.resumable:
            self.screen.say(f"To go on: {after.standing.command}")

    def _tell_json(self, head: dict[str, Any], plan: Plan, tail: dict[str, Any]) -> None:
        self.screen.tell_json(head | {"plan": plan_values(plan), "message": cost_values(plan)} | tail)

    def _steps(self, after: Aftermath) -> Iterator[str]:
        standing = after.standing
        if self.job.base_url is None and (standing is None or not standing.resumable):
            return rehearsal_steps(self.typed, self.job.journal)
        return next_steps(
            after.report,
            report_at=after.saved,
            template=isinstance(self.job.message, Template),
            standing=standing,
        )
