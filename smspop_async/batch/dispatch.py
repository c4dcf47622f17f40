"""Putting chunks on the wire: their numbers and names, the pace, the request, and what a cut-off leaves behind.

The order for each campaign: wait for the rate limit, see whether the run still goes, take a place in the pool, make
the intent durable where there is a journal, and post. A worker that is cut off in a request asks the send flag what to
write down.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

import anyio
from attrs import frozen

from smspop_async.api.classify import Accepted, Unknown, Verdict
from smspop_async.api.client import ApiClient
from smspop_async.api.models import Status
from smspop_async.api.submit import Attempt, Submission
from smspop_async.api.wire import Envelope
from smspop_async.batch.account import Account
from smspop_async.batch.chunks import Chunk, Part
from smspop_async.batch.naming import CampaignNames
from smspop_async.batch.pace import Aimd, Pacer
from smspop_async.config import RateLimit, ReconcilePolicy
from smspop_async.errors import ServerError
from smspop_async.events import CampaignPlanned, is_heard, notify

_OVERLOADED: Final = 503
_CUT_OFF: Final = "the run was cut off while this campaign was under way; it may have been sent"
_CANCELLED: Final = "cancelled"
_CUT_SHORT: Final = "the run was cut off before this campaign left"


@frozen(kw_only=True)
class Settings:
    """How a run goes."""

    run: str
    name: str
    sender_id: str
    max_concurrency: int
    rate_limit: RateLimit | None
    reconcile: ReconcilePolicy | None
    canary: bool
    adaptive: bool


class Stop:
    """That nothing more is to be dispatched: a fact to be looked at for each campaign, and an event to wait for."""

    __slots__ = ("_event", "asked")

    def __init__(self) -> None:
        self.asked: bool = False
        self._event = anyio.Event()

    def ask(self) -> None:
        """Let nothing more be dispatched."""
        self.asked = True
        self._event.set()

    def is_asked(self) -> bool:
        """The same as `asked`, to be called later."""
        return self.asked

    async def wait(self) -> None:
        """Wait until it is asked for."""
        await self._event.wait()


class Dispatcher:
    """Submits the campaigns of one run.

    Args:
        client: Submits.
        settings: How the run goes.
        account: Where outcomes go.
        stop: Asked for when nothing more is to be dispatched.
        seq: How many campaigns the send has already.
    """

    def __init__(
        self, *, client: ApiClient, settings: Settings, account: Account, stop: Stop, seq: int
    ) -> None:
        self._client = client
        self._settings = settings
        self._account = account
        self._stop = stop
        self._names = CampaignNames(settings.name, settings.run)
        self._submitter = client.submitter
        self._clock = client.submitter.clock
        self._pacer = Pacer(settings.rate_limit) if settings.rate_limit is not None else None
        self._aimd = Aimd(settings.max_concurrency) if settings.adaptive else None
        self._limiter = anyio.CapacityLimiter(settings.max_concurrency) if settings.adaptive else None
        self._envelope: Envelope | None = None
        self._seq = seq
        self.in_flight: int = 0
        """Campaigns under way."""

    def number(self, chunks: Sequence[Chunk]) -> None:
        """Give new chunks their places among the campaigns of the run."""
        for seq, chunk in enumerate(chunks, self._seq + 1):
            chunk.seq = seq
        self._seq += len(chunks)
        observer = self._submitter.observer
        if is_heard(observer):
            for chunk in chunks:
                name, _ = self._names.of(chunk.seq)
                notify(observer, CampaignPlanned(name=name, contacts=len(chunk), run=self._settings.run))

    def part(self, chunk: Chunk) -> Part:
        """Give a chunk the name of a campaign."""
        if not chunk.seq:
            self.number((chunk,))
        name, token = self._names.of(chunk.seq)
        return Part(seq=chunk.seq, name=name, token=token, chunk=chunk, run=self._settings.run)

    async def submit(self, part: Part) -> Verdict | None:
        """Submit a part and return the verdict; None where the run stopped before it was dispatched."""
        attempt = Attempt()
        try:
            if self._pacer is not None or self._limiter is not None:
                verdict = await self._dispatch_in_turn(part, attempt)
            else:
                verdict = await self._dispatch(part, attempt)
        except BaseException:
            # Cut off in the middle, or a bug: the send flag tells what to write down first.
            if isinstance(attempt.verdict, Accepted):
                self._account.write_settled(part, attempt.verdict.settlement)
            elif attempt.may_have_left:
                self._account.write(part, Status.UNKNOWN, _CUT_OFF, reason=_CANCELLED)
            else:
                self._account.write(part, Status.NOT_SUBMITTED, _CUT_SHORT, reason=_CANCELLED)
            raise
        return verdict

    async def _dispatch_in_turn(self, part: Part, attempt: Attempt) -> Verdict | None:
        """Wait for a place among those that the API bears, and for the rate limit."""
        async with self._limiter or nullcontext():
            if self._pacer is not None:
                wait = self._pacer.reserve(self._clock.monotonic(), len(part.chunk))
                if wait > 0:
                    await self._sleep(wait)
            verdict = await self._dispatch(part, attempt)
        if verdict is not None:
            self._adapt(verdict, attempt)
        return verdict

    async def _dispatch(self, part: Part, attempt: Attempt) -> Verdict | None:
        """Submit; None where the run stopped meanwhile."""
        stop = self._stop
        if stop.asked:
            return None
        self.in_flight += 1
        try:
            return await self._submitter.submit(
                self._submission(part), attempt, sleep=self._sleep, abandoned=stop.is_asked
            )
        finally:
            self.in_flight -= 1

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()

    def _submission(self, part: Part) -> Submission:
        text = part.chunk.text
        if self._envelope is None or self._envelope.message != text:
            self._envelope = Envelope(message=text, sender_id=self._settings.sender_id)
        log = self._account.log
        return Submission(
            name=part.name,
            body=self._envelope.encode(part.name, part.chunk.numbers),
            numbers=part.chunk.numbers,
            message=text,
            run=part.run,
            normalise=self._client.number_or_none,
            claim=partial(log.claim, part.seq) if log is not None else None,
            release=partial(self._account.give_back, part) if log is not None else None,
        )

    def _adapt(self, verdict: Verdict, attempt: Attempt) -> None:
        """Move the number of campaigns at once with what the API bears."""
        if self._aimd is None or self._limiter is None:
            return
        overloaded = attempt.throttled + (
            isinstance(verdict, Unknown)
            and isinstance(verdict.error, ServerError)
            and verdict.error.status == _OVERLOADED
        )
        for _ in range(overloaded):
            self._aimd.overload()
        if isinstance(verdict, Accepted):
            self._aimd.succeed()
        self._limiter.total_tokens = self._aimd.limit
