"""``smspop report``: what became of the sends in a journal, also while one of them goes on in another process.

Nothing is sent and nothing is changed: the journal is opened for reading only.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final, Self

from attrs import evolve, frozen
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from smspop_async.api.models import Status
from smspop_async.batch.archive import read_report
from smspop_async.batch.report import Report
from smspop_async.cli.aftermath import save, tell_steps
from smspop_async.cli.ending import final_screen, next_steps, problems_of, texted
from smspop_async.cli.exits import Exit, MisuseError
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.journal import BESIDE, Standing, WayBack, address_words, begun, is_local, path_word
from smspop_async.cli.options import JsonFlag
from smspop_async.cli.recap import Row, count, grid
from smspop_async.cli.report_file import ReportFile
from smspop_async.cli.screen import Screen, printable
from smspop_async.errors import JournalError
from smspop_async.journal.base import SendRecord
from smspop_async.journal.sends import list_sends

_STATES: Final = {
    "planning": "being written down, or left so by a process that died",
    "streaming": "not read to the end of its list",
    "abandoned": "not begun",
    "finished": "finished",
}
_CANCELLED: Final = "It was cancelled."
"""What a journal says of a run that ended with Ctrl-C."""


def report(
    journal: Path,
    /,
    *,
    run: str | None = None,
    csv: Annotated[Path | None, Parameter(name="--csv")] = None,
    json: JsonFlag = False,
) -> int:
    """Tell what became of the sends in a journal. Sends nothing, needs no token, and works while a send goes on.

    With one send in the journal, or with --run, it tells all about that one; with several it lists them.

    Args:
        journal: The file that was given to send --journal.
        run: The send to tell about, by its token.
        csv: Write the outcome of every row of the send to this CSV file.
        json: Write one JSON object to standard output: report, journal and exit code.
    """
    screen = Screen()
    with Interruption():
        with _busy(screen, journal):
            accounts = [_Account.of(standing) for standing in standings(journal, run)]
        command = _Telling(journal=journal, accounts=accounts, screen=screen, json=json)
        return command.run(csv)


def standings(journal: Path, run: str | None = None) -> list[Standing]:
    """Where the sends of a journal stand, in the order of their beginnings.

    Raises:
        JournalError: there is no such journal or send, or it cannot be read.
    """
    records = list_sends(journal)
    meant = [record for record in records if run in (None, record.run)]
    if not meant:
        runs = ", ".join(record.run for record in records) or "none"
        what = "no send" if run is None else f"no send {run!r}"
        raise JournalError(f"There is {what} in the journal {journal}. It has: {runs}.")
    crowded = sum(not record.finished for record in records) > 1
    return [_standing(journal, record, crowded=crowded) for record in meant]


def _standing(journal: Path, record: SendRecord, *, crowded: bool) -> Standing:
    way_back = WayBack(journal=journal, options=address_words(record.base_url), crowded=crowded)
    return Standing(journal=journal, record=record, command=way_back.command(record.run))


def _busy(screen: Screen, journal: Path) -> AbstractContextManager[object]:
    words = f"Reading {printable(str(journal))}…"
    return screen.err.status(words) if screen.live else nullcontext()


@frozen(kw_only=True)
class _Account:
    """One send: where it stands, and its report."""

    standing: Standing
    report: Report

    @classmethod
    def of(cls, standing: Standing) -> Self:
        found = read_report(standing.journal, run=standing.record.run)
        if standing.record.note == _CANCELLED:
            found = evolve(found, cancelled=True, stopped_by=None)
        return cls(standing=standing, report=found)

    def values(self) -> dict[str, Any]:
        return {"report": self.report.to_dict(), "journal": self.standing.values()}

    @property
    def state(self) -> str:
        """How it stands, in a word or two."""
        state, found = self.standing.state, self.report
        if state != "unfinished":
            return _STATES[state]
        return "interrupted" if found.cancelled else "stopped" if found.stopped_by else "not finished"


@frozen(kw_only=True)
class _Telling:
    """One `report`."""

    journal: Path
    accounts: Sequence[_Account]
    screen: Screen
    json: bool

    def run(self, csv: Path | None) -> int:
        if csv is not None and len(self.accounts) > 1:
            runs = ", ".join(account.standing.record.run for account in self.accounts)
            raise MisuseError(
                f"--csv is of one send, and {self.journal} holds {len(self.accounts)}: add --run, with one of {runs}."
            )
        saved = None if csv is None else self._save(csv)
        code = Exit.OK if csv in (None, saved) else Exit.NOT_CLEAN
        if self.json:
            self._tell_json(code)
        elif len(self.accounts) == 1:
            self._tell_one(self.accounts[0], saved)
        else:
            self._tell_list()
        return code

    def _save(self, csv: Path) -> Path | None:
        taken = [Path(f"{self.journal}{end}") for end in BESIDE]
        file = ReportFile(csv, inputs=taken, option="--csv")
        with _busy(self.screen, self.journal):
            return save(self.screen, self.accounts[0].report, file)

    def _tell_json(self, code: Exit) -> None:
        nothing = dict.fromkeys(("plan", "message", "report", "journal", "sends"))
        values = [account.values() for account in self.accounts]
        told = values[0] if len(values) == 1 else {"sends": values}
        self.screen.tell_json({"exit_code": int(code), "error": None} | nothing | told)

    # One send.

    def _tell_one(self, account: _Account, saved: Path | None) -> None:
        screen, standing, found = self.screen, account.standing, account.report
        with _busy(screen, self.journal):
            problems = problems_of(found)
        screen.tell(grid(_head(standing)))
        screen.tell()
        words = f"{account.state[:1].upper()}{account.state[1:]}: {texted(found)}"
        style = "bold yellow" if standing.resumable else "bold"
        screen.tell(final_screen(found, problems, headline=Text(words, style)))
        if saved is not None:
            screen.tell(f"\nEvery row and its outcome: {printable(str(saved))}")
        tell_steps(screen, list(self._steps(account, saved)), standing)

    def _steps(self, account: _Account, saved: Path | None) -> Iterator[str]:
        standing = account.standing
        if standing.under_way:
            campaigns = count(standing.under_way, "campaign")
            yield f"{campaigns} under way, or left so by a process that died. While that one runs, wait for it."
        if standing.resumable and is_local(standing.record.base_url):
            yield "It went to a sandbox on this machine. Where that is gone, type --sandbox in place of --base-url."
        yield from next_steps(account.report, report_at=saved, template=True, standing=standing)

    # Several.

    def _tell_list(self) -> None:
        screen = self.screen
        screen.tell(f"{printable(str(self.journal))} holds {count(len(self.accounts), 'send')}.", "bold")
        screen.tell()
        screen.tell(_table(self.accounts))
        for account in self.accounts:
            if account.report.stopped_by is not None:
                words = f"{account.standing.record.run} {account.state}: {account.report.stopped_by}"
                screen.tell(printable(words), "yellow")
        last = self.accounts[-1].standing.record.run
        steps = [
            shlex.join(("smspop", "report", path_word(self.journal), "--run", last)) + " tells all about it."
        ]
        waiting = [account.standing for account in self.accounts if account.standing.resumable]
        if waiting:
            steps.append(f"{count(len(waiting), 'send')} not finished. This goes on with all of them:")
        tell_steps(screen, steps, None)
        if waiting:
            options = address_words(waiting[0].record.base_url)
            screen.tell()
            screen.tell_line(WayBack(journal=self.journal, options=options).command(""))


def _head(standing: Standing) -> Iterator[Row]:
    record = standing.record
    yield "Send", f"{printable(record.name)} (run {record.run}), in {printable(str(standing.journal))}"
    yield "Begun", begun(record)
    yield "Sender", printable(record.sender_id)
    yield "API", printable(record.base_url)


def _table(accounts: Sequence[_Account]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for header in ("Run", "Begun"):
        table.add_column(header, no_wrap=True)
    table.add_column("Name")
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Left", justify="right", no_wrap=True)
    table.add_column("What became of them")
    table.add_column("State")
    for account in accounts:
        record, found = account.standing.record, account.report
        table.add_row(
            record.run,
            begun(record),
            printable(record.name),
            f"{record.rows:,}",
            f"{account.standing.left:,}",
            _counts(found),
            account.state,
        )
    return table


def _counts(found: Report) -> str:
    counted = ((status, found.counts[status]) for status in Status)
    return ", ".join(f"{number:,} {status.value.replace('_', ' ')}" for status, number in counted if number)
