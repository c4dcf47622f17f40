"""``smspop resume``: send the rest of what a journal holds, and look for what may have been sent.

One command finishes everything that is not finished, in the order in which it was begun. All questions come before the
first text, so that whoever answered them may go home.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
from attrs import evolve, frozen
from cyclopts import Parameter

from smspop_async.batch.archive import read_report
from smspop_async.batch.client import SmsPop
from smspop_async.batch.report import Report
from smspop_async.batch.stream import Batch
from smspop_async.cli.account import address, require_token
from smspop_async.cli.aftermath import Aftermath, aftermath, save
from smspop_async.cli.confirm import confirmed, typed_out
from smspop_async.cli.dispatch import Errand, dispatch
from smspop_async.cli.ending import error_values, is_of_the_send, next_steps
from smspop_async.cli.exits import Exit, MisuseError
from smspop_async.cli.failures import describe
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.journal import BESIDE, WayBack, address_words, begun, path_word
from smspop_async.cli.options import TARGET, AgainCare, AgainPace, JsonFlag
from smspop_async.cli.progress import Yardstick
from smspop_async.cli.recap import Row, count, grid
from smspop_async.cli.report_file import ReportFile
from smspop_async.cli.rest import Rest, Share, check_place, take_stock, unfinished
from smspop_async.cli.screen import Screen, printable
from smspop_async.config import RateLimit, ReconcilePolicy
from smspop_async.errors import ConfigurationError
from smspop_async.journal.base import ChunkState, SendState

_REGION: Final = "ZW"


def resume(
    journal: Path,
    /,
    *,
    run: str | None = None,
    resend_unknown: bool = False,
    sandbox: bool = False,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
    report: Path | None = None,
    json: JsonFlag = False,
    pace: AgainPace = AgainPace(),  # noqa: B008 - frozen
    care: AgainCare = AgainCare(),  # noqa: B008 - frozen
    base_url: Annotated[str | None, Parameter(group=TARGET)] = None,
) -> int:
    """Go on with what a journal holds: what was not sent is sent, and nobody is texted twice.

    smspop resume welcome.db

    The list and the message are in the journal, and not asked for again. Campaigns that may have been sent are looked
    for in the account's list, and left alone where they are not found there.

    Args:
        journal: The file that was given to send --journal.
        run: The send to go on with, by its token. [default: all that are not finished, one after another]
        resend_unknown: Send to contacts of unknown outcome once more, where their campaign is not found. THEY MAY GET
            THE TEXT TWICE, and you pay twice. It asks for their number; together with --yes it does not ask.
        sandbox: Go on with a send that was begun with --sandbox, in a new sandbox inside this command.
        yes: Do not ask.
        report: Write the outcome of every row of the send to this CSV file.
        json: Write one JSON object to standard output: report, journal and exit code.
        pace: How fast.
        care: What is held back.
        base_url: The address of the API. [default: SMSPOP_BASE_URL, or https://smspop.co.zw/api]
    """
    if resend_unknown and care.no_reconcile:
        raise MisuseError(
            "--resend-unknown looks for a campaign before it is sent again: leave --no-reconcile out."
        )
    if not sandbox:
        require_token()
    screen = Screen()
    url = None if sandbox else address(base_url, screen)
    with Interruption() as interruption:
        stock = _stock(journal, screen)
        rests = unfinished(stock, journal, run)
        for rest in rests:
            check_place(rest.record, url, named=base_url is not None)
        reported = rests or _begun(stock, run)
        crowded = run is not None and sum(rest.standing.resumable for rest in stock) > 1
        place = ("--sandbox",) if url is None else address_words(url)
        options = ("--resend-unknown", *place) if resend_unknown else place
        command = _Resume(
            journal=journal,
            rests=rests,
            way_back=WayBack(journal=journal, options=options, crowded=crowded),
            base_url=url,
            again=resend_unknown,
            pace=pace,
            care=care,
            screen=screen,
            json=json,
            reported=reported,
            report_file=_report_file(report, journal, reported, idle=not rests),
        )
        return command.run(interruption, yes=yes)


def _stock(journal: Path, screen: Screen) -> list[Rest]:
    busy = screen.err.status(f"Reading {printable(str(journal))}…") if screen.live else nullcontext()
    with busy:
        return anyio.run(take_stock, journal)


def _begun(stock: Sequence[Rest], run: str | None) -> list[Rest]:
    """The sends that are meant, but for those that came to nothing before their first text."""
    meant = (rest for rest in stock if run in (None, rest.record.run))
    return [rest for rest in meant if rest.record.state is not SendState.ABANDONED]


def _report_file(
    report: Path | None, journal: Path, sends: Sequence[Rest], *, idle: bool
) -> ReportFile | None:
    if report is None:
        return None
    if len(sends) > 1:
        runs = ", ".join(rest.record.run for rest in sends)
        how_many = f"{journal} holds {len(sends)}" if idle else f"{len(sends)} are not finished"
        raise MisuseError(f"--report is of one send, and {how_many}: add --run, with one of {runs}.")
    return ReportFile(report, inputs=[Path(f"{journal}{end}") for end in BESIDE])


@frozen(kw_only=True)
class _Resume:
    """One `resume`, with everything settled that was typed."""

    journal: Path
    rests: Sequence[Rest]
    way_back: WayBack
    base_url: str | None
    """None for a sandbox of the command's own."""
    again: bool
    """Whether contacts of unknown outcome are sent to once more."""
    pace: AgainPace
    care: AgainCare
    screen: Screen
    json: bool
    reported: Sequence[Rest]
    """The sends that a report may be of: those to go on with, or, where nothing is left, those that are done."""
    report_file: ReportFile | None

    def run(self, interruption: Interruption, *, yes: bool) -> int:
        if not self.rests:
            return self._end_idle()
        for place, rest in enumerate(self.rests, 1):
            self._recap(rest, place)
        self._refuse()
        risk = self._at_risk() if self.again else Share()
        if risk.contacts:
            self.screen.say(_warning(risk), "bold yellow")
        if not yes:
            self._ask(risk.contacts)
        ended: list[Aftermath] = []
        try:
            failure = self._carry_out_all(ended, interruption)
            return self._end(ended, failure)
        except KeyboardInterrupt:  # between two sends, or while a report was written
            raise KeyboardInterrupt(f"Interrupted. To go on, type: {self._all()}") from None

    def _carry_out_all(self, ended: list[Aftermath], interruption: Interruption) -> Exception | None:
        """Carry out one send after another, and return what kept one from beginning."""
        for rest in self.rests:
            if len(self.rests) > 1:
                self.screen.say()
                self.screen.say(f"{printable(rest.record.name)} (run {rest.record.run}):", "bold")
            way_back = evolve(self.way_back, crowded=self.way_back.crowded or len(self.rests) > 1)
            ending = anyio.run(dispatch, self._errand(rest, way_back), self.screen, interruption)
            if ending.report is None:
                if ending.error is None or not ended:  # else earlier sends are to be told about first
                    raise ending.error or KeyboardInterrupt
                return ending.error
            ended.append(
                aftermath(self.screen, ending, ending.report, report_file=self.report_file, way_back=way_back)
            )
            self._tell(ended[-1])
            if _ends_all(ended[-1].report):
                break
        return None

    # What is about to happen.

    def _recap(self, rest: Rest, place: int) -> None:
        self.screen.say(grid(self._recap_rows(rest, place)))
        self.screen.say()

    def _recap_rows(self, rest: Rest, place: int) -> Iterator[Row]:
        record = rest.record
        number = f" {place} of {len(self.rests)}" if len(self.rests) > 1 else ""
        yield f"Send{number}", f"{printable(record.name)} (run {record.run}), begun {begun(record)}"
        if rest.left.contacts:
            campaigns = count(rest.left.campaigns, "campaign")
            yield "Left", f"{rest.left.contacts:,} to text in {campaigns}, of {count(record.rows, 'row')}"
        if rest.unknown.contacts:
            looked = "not looked for" if self.care.no_reconcile else "looked for"
            then = "then sent to again" if self.again else "not sent to again"
            yield "Unknown", f"{_people(rest.unknown)} may have been texted: {looked}, {then}"
        if rest.text is None:
            yield "Message", "a text for each contact"
        else:
            size = f"{rest.text.characters:,} characters in {rest.text.encoding}"
            yield "Message", f"{count(rest.text.segments, 'segment')} ({size})"
        if self._credits(rest):
            price = "one a segment a contact: assumed, the API names no price"
            yield "Credits", f"about {self._credits(rest):,} ({price})"
        yield "Sender", printable(record.sender_id)
        yield "API", self.base_url or "a sandbox of this command's own: nobody is texted"
        if self.report_file is not None:
            yield "Report", printable(str(self.report_file.shown))

    def _credits(self, rest: Rest) -> int:
        return rest.left.credits + (rest.unknown.credits if self.again else 0)

    @property
    def _all_credits(self) -> int:
        return sum(map(self._credits, self.rests))

    def _at_risk(self) -> Share:
        """Who may be texted twice."""
        return sum((rest.unknown for rest in self.rests), Share())

    def _refuse(self) -> None:
        limit = self.care.max_credits
        if limit is not None and self._all_credits > limit:
            raise ConfigurationError(
                f"Nothing was sent: the rest would take about {self._all_credits:,} credits, and --max-credits allows "
                f"{limit:,}."
            )

    def _ask(self, unknown: int) -> None:
        """Ask before anybody is texted, and separately before somebody may be texted twice.

        Raises:
            ConfigurationError: It was declined.
        """
        left = sum(rest.left.contacts for rest in self.rests)
        if unknown and not typed_out(
            f"To send to them again, type their number ({unknown}):", unknown, self.screen
        ):
            raise ConfigurationError(
                "Nothing was sent: it was not confirmed. Without --resend-unknown, only what is left is sent."
            )
        if left and not confirmed(self._question(left), self.screen, stdin_taken=False):
            raise ConfigurationError("Nothing was sent: it was not confirmed with y.")

    def _question(self, left: int) -> str:
        if self.base_url is None:
            return f"Go on with the rehearsal, {count(left, 'contact')}? Nobody is texted."
        cost = count(self._all_credits, "credit")
        return f"Text the {count(left, 'contact')} that {'is' if left == 1 else 'are'} left now, for about {cost}?"

    # The run.

    def _errand(self, rest: Rest, way_back: WayBack) -> Errand:
        record, contacts = rest.record, rest.record.contacts
        decided = contacts.get(ChunkState.DONE, 0) + contacts.get(ChunkState.FAILED, 0)
        unknown = rest.unknown.contacts
        return Errand(
            begin=lambda sms: self._begin(sms, rest),
            base_url=self.base_url,
            sender_id=record.sender_id,
            credits=self._credits(rest),
            concurrency=self.pace.concurrency or record.settings["max_concurrency"],
            timeout=self.pace.timeout,
            region=_REGION,
            grace=self.care.grace,
            yardstick=Yardstick(
                expected=rest.left.contacts + (unknown if self.again else 0),
                before=decided if self.again else decided + unknown,
                trying_again=self.again,
            ),
            way_back=way_back,
            run=record.run,
        )

    def _begin(self, sms: SmsPop, rest: Rest) -> Batch:
        return sms.resume_stream(
            self.journal,
            run=rest.record.run,
            resend_unknown=self.again,
            max_concurrency=self.pace.concurrency,
            rate_limit=self._rate_limit(rest),
            reconcile=None if self.care.no_reconcile else ReconcilePolicy(),
            grace=self.care.grace,
        )

    def _rate_limit(self, rest: Rest) -> RateLimit | None:
        """The limits that were typed over those of the send; None where none was."""
        rate, requests = self.pace.rate, self.pace.requests_per_second
        if rate is None and requests is None:
            return None
        before: Mapping[str, float | None] = rest.record.settings["rate_limit"] or {}
        return RateLimit(
            contacts_per_second=rate or before.get("contacts_per_second"),
            requests_per_second=requests or before.get("requests_per_second"),
        )

    # What became of it.

    def _tell(self, after: Aftermath) -> None:
        if self.json:
            return
        steps = next_steps(after.report, report_at=after.saved, template=True, standing=after.standing)
        try:
            after.tell(self.screen, steps)
        except OSError as failure:
            self.screen.complain(f"The result cannot be written to standard output: {describe(failure)}")

    def _end(self, ended: Sequence[Aftermath], failure: Exception | None) -> int:
        code = _worst([after.code for after in ended] + [Exit.NOT_STARTED] * (failure is not None))
        if failure is not None:
            self.screen.complain(describe(failure))
        if self.json:
            self.screen.tell_json(self._values(ended, failure, code))
        waiting = len(self.rests) - len(ended)
        if waiting:
            self.screen.say(f"\n{count(waiting, 'more send')} not gone on with. This goes on with all:")
            self.screen.say(self._all(), "bold")
        return code

    def _values(self, ended: Sequence[Aftermath], failure: Exception | None, code: Exit) -> dict[str, Any]:
        values = resume_values(code, failure)
        if len(self.rests) == 1:
            return values | ended[0].values() | {"sends": None}
        return values | {"sends": [after.values() for after in ended]}

    def _end_idle(self) -> int:
        saved, code = None, Exit.OK
        if self.report_file is not None:
            report = read_report(self.journal, run=self.reported[0].record.run)
            saved = save(self.screen, report, self.report_file)
            code = Exit.OK if saved == self.report_file.shown else Exit.NOT_CLEAN
        if self.json:
            self.screen.tell_json(resume_values(code, None) | {"sends": []})
        else:
            self._tell_idle(saved)
        return code

    def _tell_idle(self, saved: Path | None) -> None:
        journal = shlex.quote(path_word(self.journal))
        words = f"Nothing is left to send in {self.journal}, and nothing is unknown."
        self.screen.tell(f"{words} smspop report {journal} tells what became of it.")
        if saved is not None:
            self.screen.tell(f"Every row and its outcome: {printable(str(saved))}")

    def _all(self) -> str:
        return self.way_back.command(self.rests[0].record.run)


def resume_values(code: Exit, failure: Exception | None) -> dict[str, Any]:
    """The object that ``--json`` writes, before there is anything in it."""
    nothing = dict.fromkeys(("plan", "message", "report", "journal", "sends"))
    error = None if failure is None else error_values(failure, describe(failure))
    return {"exit_code": int(code), "error": error} | nothing


def _people(share: Share) -> str:
    return f"{count(share.contacts, 'person', 'people')} in {count(share.campaigns, 'campaign')}"


def _warning(risk: Share) -> str:
    return (
        f"--resend-unknown: {_people(risk)} may have been texted already. Those campaigns that the API does not list "
        "are sent once more: these people may get the text twice, and you pay twice."
    )


def _ends_all(report: Report) -> bool:
    """Whether what ended this send would end the next one too."""
    return report.cancelled or (report.stopped_by is not None and not is_of_the_send(report))


def _worst(codes: Sequence[Exit]) -> Exit:
    """The exit code of several sends: 1 only where nothing was sent by any of them."""
    for code in (Exit.INTERRUPTED, Exit.STOPPED_BY_API):
        if code in codes:
            return code
    return codes[0] if len(set(codes)) == 1 else Exit.NOT_CLEAN
