"""Looking for campaigns of unknown outcome in the API's list, by the token in their names.

One look serves all campaigns that are waiting: it reads the list once, to its end or until all are found.
What it finds is proof: the campaign exists. What it does not find proves nothing, for a request can sit in
the server's queue and run later; such contacts stay UNKNOWN, and the detail says how often and how long
they were looked for. A look that broke off, or that did not reach a proven last page, does not even count
as a look.

The schedule is pure (`Pending`); the loop around it is `Reconciler`.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

import anyio
from attrs import define, field, frozen

from smspop_async.api.models import Status
from smspop_async.api.settle import Settlement, settle
from smspop_async.api.wire import Page
from smspop_async.batch.chunks import Part
from smspop_async.config import ReconcilePolicy
from smspop_async.errors import AuthenticationError, SmsPopError
from smspop_async.events import CampaignReconciled, Observer, tell

_REFUSED: Final = frozenset({"rejected", "refused", "declined", "denied"})
"""Status words of a campaign that was refused (assumed: the document shows "approved" alone)."""
_FAR: Final = 3600.0
_LOOKED: Final = re.compile(r"(?: (?:Looked for \d+ time|Not looked for\.).*)+$", re.DOTALL)


def look_times(policy: ReconcilePolicy) -> Iterator[float]:
    """Seconds after the failure at which to look: with the defaults 2, 5, 10, 20, 40 and 60."""
    at = policy.first
    yield at
    at *= 2.5
    while at < policy.horizon:
        yield at
        at *= 2
    yield max(policy.horizon, policy.first)


@define(kw_only=True, eq=False)
class Pending:
    """A campaign that is being looked for."""

    part: Part
    reason: str
    since: float
    due: Iterator[float]
    next_look: float
    looks: int = 0
    """Looks that saw the whole list and did not find it."""
    overlooked: int = 0
    """Looks that failed."""


@frozen(kw_only=True)
class Finding:
    """What the looking ended with."""

    status: Status
    """ACCEPTED, REJECTED or UNKNOWN."""
    detail: str
    settlement: Settlement | None = None
    missed: bool = False
    """Whether a whole list was seen at least once, and did not have it."""
    discrepancies: tuple[str, ...] = field(default=())


def find(pending: Sequence[Pending], rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Match listed campaigns to pending ones: position in `pending` to the rows that bear its token."""
    wanted = {campaign.part.token: at for at, campaign in enumerate(pending)}
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = row.get("name")
        if isinstance(name, str):
            _, bracket, rest = name.rstrip().rpartition("[")
            if (at := wanted.get(bracket + rest)) is not None:
                found.setdefault(at, []).append(row)
    return found


class _Seen:
    """The entries of a list that were read, so far as they have ids."""

    def __init__(self) -> None:
        self._ids: set[object] = set()
        self.is_moving = False
        """Whether one came again: the list moves while it is read, so that others may have been passed over."""

    def new(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those that were not read before."""
        new: list[Mapping[str, Any]] = []
        for row in rows:
            key = row.get("id")
            if isinstance(key, str | int):
                if key in self._ids:
                    self.is_moving = True
                    continue
                self._ids.add(key)
            new.append(row)
        return new


def judge(
    pending: Pending, rows: Sequence[Mapping[str, Any]], normalise: Callable[[str], str | None] | None
) -> Finding:
    """What the listed rows of a campaign prove."""
    notes: tuple[str, ...] = ()
    if len(rows) > 1:
        words = f"the campaign is in the list {len(rows)} times: its contacts were texted more than once"
        notes = (f"{words}; ask SMSPop's support about it",)
    row = rows[0]
    statuses = {str(other.get("status", "")).strip().lower() for other in rows}
    if statuses <= _REFUSED:
        return Finding(
            status=Status.REJECTED,
            detail=f"found in the list of campaigns as refused ({pending.reason})",
            discrepancies=notes,
        )
    contacts: object = row.get("contacts")
    if contacts and isinstance(contacts, list | Mapping):
        settlement = settle(pending.part.chunk.numbers, cast("object", contacts), None, normalise)
        return Finding(
            status=Status.ACCEPTED,
            detail="found in the list of campaigns",
            settlement=settlement,
            discrepancies=notes,
        )
    return Finding(
        status=Status.ACCEPTED,
        detail="found in the list of campaigns; its per-contact statuses are not listed",
        discrepancies=notes,
    )


def not_found(pending: Pending, now: float) -> Finding:
    """The words for a campaign that was looked for in vain."""
    if pending.looks:
        looked = f"looked for {pending.looks} time(s) in {now - pending.since:.0f} s and not found"
    elif pending.overlooked:
        looked = (
            f"looked for {pending.overlooked} time(s), but the list of campaigns could not be read to its end"
        )
    else:
        looked = "not looked for"
    detail = f"{pending.reason} {looked[:1].upper()}{looked[1:]}."
    return Finding(status=Status.UNKNOWN, detail=detail, missed=pending.looks > 0)


def reason_of(detail: str) -> str:
    """Why a campaign is unknown, without what an earlier `not_found` added about the looking."""
    return _LOOKED.sub("", detail)


class Reconciler:
    """Looks for pending campaigns until each is found or its horizon has passed.

    Args:
        policy: When to look.
        pages: Reads the list of campaigns, page by page; it ends without an error only at a proven end.
        clock: Seconds on a monotonic clock.
        normalise: Spelling to digits, for per-contact statuses in the list.
        finish: Told what the looking for a campaign ended with.
        capacity: How many campaigns may be looked for at once: `add` waits beyond that, which slows the run
            down.
        observer: Told about each campaign found.
    """

    def __init__(
        self,
        *,
        policy: ReconcilePolicy,
        pages: Callable[[], AsyncGenerator[Page, None]],
        clock: Callable[[], float],
        normalise: Callable[[str], str | None] | None,
        finish: Callable[[Part, Finding], Awaitable[None]],
        capacity: int,
        observer: Observer | None = None,
    ) -> None:
        self._policy = policy
        self._pages = pages
        self._clock = clock
        self._normalise = normalise
        self._finish = finish
        self._capacity = capacity
        self._observer = observer
        self._pending: list[Pending] = []
        self._closing = False
        self._changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._pending)

    async def add(self, part: Part, reason: str, *, age: float = 0.0) -> None:
        """Begin to look for a campaign; returns when there is room for another one.

        Args:
            part: The campaign.
            reason: Why its outcome is unknown.
            age: Seconds since it was submitted. What should have happened meanwhile happens at once, as one look.
        """
        since = self._clock() - age
        due = (at for at in look_times(self._policy) if at > age)
        first = 0.0 if age else next(due)
        self._pending.append(
            Pending(part=part, reason=reason, since=since, due=due, next_look=since + max(first, age))
        )
        self._wake()
        while len(self._pending) >= self._capacity and not self._closing:
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until nothing is being looked for."""
        while self._pending:
            await self._changed.wait()

    def close(self) -> None:
        """Nothing more will be added: `run` ends when all is settled."""
        self._closing = True
        self._wake()

    def give_up(self) -> Iterator[tuple[Part, Finding]]:
        """End the looking as it stands, and give out what was still being looked for."""
        self.close()
        while self._pending:
            pending = self._pending.pop(0)
            yield pending.part, not_found(pending, self._clock())
        self._wake()

    async def run(self) -> None:
        """Look when looks are due, until closed and done."""
        while self._pending or not self._closing:
            changed = self._changed
            wait = min((p.next_look for p in self._pending), default=self._clock() + _FAR) - self._clock()
            if wait > 0:
                with anyio.move_on_after(wait):
                    await changed.wait()
            else:
                await self._look()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _look(self) -> None:
        """Read the list once for everybody who is waiting, and schedule the next look of those whose turn it was."""
        wanted = list(self._pending)
        rows: dict[int, list[Mapping[str, Any]]] = {}
        seen = _Seen()
        whole = True
        hopeless = False
        try:
            async with aclosing(self._pages()) as pages:
                async for page in pages:
                    for at, listed in find(wanted, seen.new(page.rows)).items():
                        rows.setdefault(at, []).extend(listed)
                    if len(rows) == len(wanted):  # a doubled campaign would be its neighbour in the list
                        break
        except SmsPopError as error:
            whole = False
            hopeless = isinstance(error, AuthenticationError)
        whole = whole and not seen.is_moving
        for at, pending in enumerate(wanted):
            if pending not in self._pending:
                continue  # given up meanwhile
            if at in rows:
                await self._found(pending, rows[at])
            elif hopeless:
                pending.overlooked += 1
                await self._end(pending, not_found(pending, self._clock()))
            elif pending.next_look <= self._clock():
                await self._missed(pending, whole=whole)

    async def _found(self, pending: Pending, rows: Sequence[Mapping[str, Any]]) -> None:
        looks = pending.looks + 1
        self._tell(pending.part, looks, len(rows))
        await self._end(pending, judge(pending, rows, self._normalise))

    async def _missed(self, pending: Pending, *, whole: bool) -> None:
        pending.looks += whole
        pending.overlooked += not whole
        # Moments that passed while the list was read are not made up for: it may have a thousand pages.
        now = self._clock()
        due = next((due for due in pending.due if pending.since + due > now), None)
        if due is not None:
            pending.next_look = pending.since + due
            return
        self._tell(pending.part, pending.looks, 0)
        await self._end(pending, not_found(pending, self._clock()))

    def _tell(self, part: Part, looks: int, found: int) -> None:
        tell(self._observer, CampaignReconciled, name=part.name, looks=looks, found=found, run=part.run)

    async def _end(self, pending: Pending, finding: Finding) -> None:
        if pending in self._pending:
            self._pending.remove(pending)
            await self._finish(pending.part, finding)
            self._wake()
