"""A journal as the commands see it: what it holds, what is left, and the exact command that goes on with it.

What a person does after a crash is to type the same command again. With a list that matters this is what texts
people twice, so `Shelf.refuse_again` does not let it happen where the journal knows better.
"""

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from attrs import field, frozen

from smspop_async.cli.recap import count
from smspop_async.cli.screen import printable
from smspop_async.config import BASE_URL_VARIABLE, DEFAULT_BASE_URL, is_loopback
from smspop_async.errors import ConfigurationError, JournalError
from smspop_async.journal.base import ChunkState, SendRecord, SendState
from smspop_async.journal.sends import check_journal, list_sends
from smspop_async.journal.sqlite import SqliteJournal

BESIDE: Final = ("", "-wal", "-shm", "-journal", ".lock")
"""What the names of a journal's files end with."""


@frozen(kw_only=True)
class WayBack:
    """How to go on with a send that ended early."""

    journal: Path
    options: tuple[str, ...] = ()
    """What `resume` needs beyond the journal."""
    crowded: bool = False
    """Whether other sends of the journal are not finished either, so that this one must be named."""

    def command(self, run: str) -> str:
        """The line to type, quoted for a shell."""
        chosen = ("--run", run) if self.crowded else ()
        return shlex.join(("smspop", "resume", path_word(self.journal), *chosen, *self.options))


def path_word(path: Path) -> str:
    """A path that is not taken for an option."""
    word = os.fspath(path)
    return f"./{word}" if word.startswith("-") else word


def address_words(base_url: str) -> tuple[str, ...]:
    """The option that names the address of the API, where it is not the usual one of every terminal."""
    usual = (os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL).rstrip("/")
    return () if base_url == usual == DEFAULT_BASE_URL else ("--base-url", base_url)


def is_local(base_url: str) -> bool:
    """Whether an address of the API is on this machine: a sandbox."""
    return is_loopback(urlsplit(base_url).hostname or "")


@frozen(kw_only=True)
class Standing:
    """Where a send of a journal stands."""

    journal: Path
    record: SendRecord
    command: str
    """What goes on with it."""

    @property
    def left(self) -> int:
        """Contacts that a resume sends to."""
        return self.record.contacts.get(ChunkState.PLANNED, 0)

    @property
    def unknown(self) -> int:
        """Contacts that may have been texted."""
        return sum(self.record.contacts.get(state, 0) for state in _DOUBTFUL)

    @property
    def unknown_campaigns(self) -> int:
        """The campaigns in which they are."""
        return sum(self.record.chunks.get(state, 0) for state in _DOUBTFUL)

    @property
    def amounts(self) -> str:
        """What is left and unknown, in words."""
        words = [f"{count(self.left, 'contact')} left"] if self.left else []
        if self.unknown:
            words.append(f"{self.unknown:,} unknown")
        return ", ".join(words)

    @property
    def under_way(self) -> int:
        """Campaigns that are, or were when their process died, under way."""
        return self.record.chunks.get(ChunkState.SUBMITTING, 0)

    @property
    def resumable(self) -> bool:
        """Whether there is something to go on with."""
        return not self.record.finished and self.record.state is not SendState.PLANNING

    @property
    def state(self) -> str:
        """In a word: ``planning``, ``streaming``, ``abandoned``, ``unfinished`` or ``finished``.

        A list that is not read to its end may have more contacts than the journal knows, so it is never ``finished``.
        """
        if self.resumable:
            return "unfinished"
        return "finished" if self.record.state is SendState.PLANNED else self.record.state.value

    @property
    def csv_command(self) -> str:
        """What writes its rows to a file."""
        words = ("smspop", "report", path_word(self.journal), "--run", self.record.run, "--csv", "out.csv")
        return shlex.join(words)

    def values(self) -> dict[str, Any]:
        """As plain values, without a text or a number."""
        record = self.record
        return {
            "path": os.fspath(self.journal),
            "run": record.run,
            "name": record.name,
            "sender_id": record.sender_id,
            "base_url": record.base_url,
            "begun_at": datetime.fromtimestamp(record.created_at, UTC).isoformat(timespec="seconds"),
            "state": self.state,
            "rows": record.rows,
            "left": self.left,
            "unknown": self.unknown,
            "resumable": self.resumable,
            "resume": self.command if self.resumable else None,
        }


_DOUBTFUL: Final = (ChunkState.UNKNOWN, ChunkState.SUBMITTING)


def begun(record: SendRecord) -> str:
    """When a send was begun, in local time."""
    return datetime.fromtimestamp(record.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def standing_of(way_back: WayBack | None, run: str) -> Standing | None:
    """Where a send stands after its run; None where there is no journal, or it cannot be read any more."""
    if way_back is None:
        return None
    try:
        records = list_sends(way_back.journal)
    except JournalError:
        return None
    for record in records:
        if record.run == run:
            return Standing(journal=way_back.journal, record=record, command=way_back.command(run))
    return None


@frozen(kw_only=True)
class Shelf:
    """The journal of a new send, as it is before."""

    path: Path
    base_url: str | None
    """Where the new send goes; None for a sandbox of its own."""
    records: Sequence[SendRecord] = field(repr=False)

    @property
    def unfinished(self) -> Sequence[SendRecord]:
        """The sends in it that a resume would go on with."""
        return [record for record in self.records if not record.finished]

    def way_back(self, options: tuple[str, ...]) -> WayBack:
        """How to go on with the new send."""
        return WayBack(journal=self.path, options=options, crowded=bool(self.unfinished))

    def refuse_again(self, message: str | Template, sender_id: str) -> None:
        """See that an unfinished send is not begun from the start again.

        Raises:
            ConfigurationError: it would be.
        """
        same = [each for each in self._of(message, sender_id) if not each.finished]
        if same:
            record = same[-1]
            options = ("--sandbox",) if self.base_url is None else address_words(record.base_url)
            way = WayBack(journal=self.path, options=options, crowded=len(self.unfinished) > 1)
            amounts = Standing(journal=self.path, record=record, command="").amounts
            raise ConfigurationError(
                f"Nothing was sent: {self.path} holds an unfinished send of this text, begun {begun(record)} "
                f"({amounts}). To begin anew all the same, give another --journal. To go on with it, and text nobody "
                f"twice, type: {way.command(record.run)}"
            )

    def remark(self) -> str:
        """What it is, for the recap."""
        if not self.records:
            return f"{printable(str(self.path))} (new)"
        more = f", {len(self.unfinished)} not finished" if self.unfinished else ""
        return f"{printable(str(self.path))} (holds {count(len(self.records), 'send')} already{more})"

    def warning(self, message: str | Template, sender_id: str) -> str | None:
        """What to say where the journal holds a send of the same text already."""
        texted = [each for each in self._of(message, sender_id) if each.contacts.get(ChunkState.DONE)]
        if not texted:
            return None
        done = count(texted[-1].contacts[ChunkState.DONE], "contact")
        return f"This text went to {done} on {begun(texted[-1])}: who is in both lists gets it again"

    def _of(self, message: str | Template, sender_id: str) -> Sequence[SendRecord]:
        """The sends of this text to this place."""
        text = message.template if isinstance(message, Template) else message
        return [
            record
            for record in self.records
            if (record.message, record.sender_id) == (text, sender_id) and self._is_here(record)
        ]

    def _is_here(self, record: SendRecord) -> bool:
        return record.base_url == self.base_url if self.base_url is not None else is_local(record.base_url)


def shelf(path: Path, *, base_url: str | None, hold: bool) -> Shelf:
    """Look at the journal of a new send before anything else is done.

    Args:
        path: Where it is, or will be.
        base_url: Where the new send goes; None for a sandbox of its own.
        hold: Whether to see that no other process has it, and that it can be written.

    Raises:
        JournalError: it cannot be used.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        _check_folder(path.absolute().parent, path)
        return Shelf(path=path, base_url=base_url, records=())
    check_journal(path)
    records = anyio.run(held_sends, path) if hold else list_sends(path)
    return Shelf(path=path, base_url=base_url, records=records)


def _check_folder(folder: Path, path: Path) -> None:
    if not folder.is_dir():
        raise JournalError(
            f"The journal {path} cannot be made: there is no folder {folder}. Nothing was sent."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise JournalError(
            f"The journal {path} cannot be made: the folder {folder} cannot be written. Nothing was sent."
        )


async def held_sends(path: Path) -> list[SendRecord]:
    """The sends of a journal that no other process holds; what a dead one left under way is unknown from here on.

    Raises:
        JournalError: another process holds it, or it cannot be used.
    """
    async with SqliteJournal(path) as journal:
        return await journal.sends()
