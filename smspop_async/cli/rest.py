"""What is left of the sends in a journal: which, how much, at what cost, and whether it may go where it would.

A journal remembers where its texts were to go. `check_place` compares that with where they would go now, because the
address of the API comes from the environment of the terminal, and the next morning that is another one.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from smspop_async.cli.journal import Standing, WayBack, address_words, is_local
from smspop_async.errors import ConfigurationError, JournalError
from smspop_async.journal.base import ChunkState, SendRecord, SendState, StoredChunk
from smspop_async.journal.sends import check_journal
from smspop_async.journal.sqlite import SqliteJournal
from smspop_async.message import MessageCost, measure

_AT_ONCE: Final = 256


@frozen(kw_only=True)
class Share:
    """Some of the contacts of a send, and what they take."""

    contacts: int = 0
    campaigns: int = 0
    credits: int = 0
    """About."""

    def __add__(self, other: "Share") -> "Share":
        return Share(
            contacts=self.contacts + other.contacts,
            campaigns=self.campaigns + other.campaigns,
            credits=self.credits + other.credits,
        )


@frozen(kw_only=True)
class Rest:
    """What is left of one send."""

    standing: Standing
    text: MessageCost | None = None
    """What a text takes; None where each contact has one of its own."""
    left: Share = Share()
    """To be sent to."""
    unknown: Share = Share()
    """Of unknown outcome."""

    @property
    def record(self) -> SendRecord:
        """The send."""
        return self.standing.record


async def take_stock(path: Path) -> list[Rest]:
    """Read what is left of every send of a journal that no other process holds.

    What a process that died left under way is of unknown outcome from here on.

    Raises:
        JournalError: it cannot be used, or there is nothing in it.
    """
    check_journal(path)
    async with SqliteJournal(path) as journal:
        records = await journal.sends()
        crowded = sum(not record.finished for record in records) > 1
        return [await _rest(journal, record, crowded=crowded) for record in records]


async def _rest(journal: SqliteJournal, record: SendRecord, *, crowded: bool) -> Rest:
    way_back = WayBack(journal=journal.path, options=address_words(record.base_url), crowded=crowded)
    standing = Standing(journal=journal.path, record=record, command=way_back.command(record.run))
    if record.finished:
        return Rest(standing=standing)
    log = await journal.reopen(record.run)
    count = _Count(record.message)
    await count.read(log.planned)
    await count.read(log.unknown)
    return Rest(
        standing=standing,
        text=measure(record.message) if count.plain else None,
        left=count.shares[ChunkState.PLANNED],
        unknown=count.shares[ChunkState.UNKNOWN],
    )


class _Count:
    """Counts contacts and what they take, chunk by chunk."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._segments: tuple[str, int] = (message, measure(message).segments)
        self.plain = True
        """Whether all have the same text: none is made of a template."""
        self.shares: defaultdict[ChunkState, Share] = defaultdict(Share)

    async def read(self, read: Callable[..., Awaitable[list[StoredChunk]]]) -> None:
        after = 0
        while chunks := await read(after=after, limit=_AT_ONCE):
            after = chunks[-1].planned.seq
            for chunk in chunks:
                self._add(chunk)

    def _add(self, chunk: StoredChunk) -> None:
        text, contacts = chunk.planned.text, len(chunk.planned.numbers)
        if text != self._segments[0]:
            self._segments = (text, measure(text).segments)
        self.plain = self.plain and text == self._message
        share = Share(contacts=contacts, campaigns=1, credits=contacts * self._segments[1])
        self.shares[chunk.verdict.state] += share


def unfinished(stock: Sequence[Rest], path: Path, run: str | None) -> list[Rest]:
    """The sends to go on with, in the order of their beginnings; none where all is done.

    Args:
        stock: All sends of the journal.
        path: The journal.
        run: The token of the one that is meant.

    Raises:
        JournalError: there is no such send, or the last one went wrong before anything of it was sent.
    """
    meant = [rest for rest in stock if run in (None, rest.record.run)]
    if not meant:
        runs = ", ".join(rest.record.run for rest in stock) or "none"
        what = "no send" if run is None else f"no send {run!r}"
        raise JournalError(f"There is {what} in the journal {path}. It has: {runs}.")
    rests = [rest for rest in meant if rest.standing.resumable]
    last = meant[-1].record
    if not rests and last.state is SendState.ABANDONED:
        raise JournalError(
            f"There is nothing to resume in {path}: {last.note.rstrip('.')}. Send the list again; that texts nobody "
            "twice."
        )
    return rests


def check_place(record: SendRecord, base_url: str | None, *, named: bool) -> None:
    """Refuse to go on somewhere else than where the send was begun.

    Args:
        record: The send.
        base_url: Where it would go; None for a sandbox of the command's own.
        named: Whether that was typed with the command.

    Raises:
        ConfigurationError: it would reach people from a sandbox, the other way round, or a place that was not named.
    """
    begun_at, here = record.base_url, base_url or "a sandbox"
    if is_local(begun_at) and base_url is not None and not is_local(base_url):
        raise ConfigurationError(
            f"The send {record.run} was begun in a sandbox at {begun_at}, and would now text people through {here}. "
            f"Nothing was sent. To go on in the sandbox, add --base-url {begun_at} (or --sandbox, where that one is "
            "gone); to text people, send the list anew, with another --journal."
        )
    if not is_local(begun_at) and (base_url is None or is_local(base_url)):
        raise ConfigurationError(
            f"The send {record.run} was begun at {begun_at}; in a sandbox, its people would be written down as texted. "
            f"Nothing was sent. To go on, add --base-url {begun_at}"
        )
    if base_url is not None and begun_at != base_url and not named:
        raise ConfigurationError(
            f"The send {record.run} was begun at {begun_at}, and would now go to {here}. Nothing was sent. To go on "
            f"there, add --base-url {begun_at}   To change the place on purpose, add --base-url {here}"
        )
