"""Submitting one campaign: the loop around the one POST that may never be repeated blindly.

Every attempt ends in a verdict (`smspop_async.api.classify`). Only two of them lead to another attempt:

* **Unsent**: the send flag stayed down, so the server cannot have the request. Backoff with full jitter, up
  to `RetryPolicy.attempts`. A stale pooled connection is not the server's failure: it is replaced at once, at
  most as often as the pool has connections, and costs no attempt.
* **429**: turned away before the application ran. The gate that all requests of the client share closes for
  ``Retry-After``, and this campaign waits with the others. It closes after the last attempt too.

Where the intent to send must be written down first, `Submission.claim` is awaited right before each request, in the
slot in which it will leave, and `Submission.release` gives the claim back while a campaign that is proven unsent waits
for its next attempt.

Everything else is final here. An `Attempt` outlives a cancellation, so that whoever cancelled can still ask
whether the campaign may have left.
"""

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import anyio
from attrs import define, field, frozen
from yarl import URL

from smspop_async.api.classify import Accepted, Rejected, Unknown, Unsent, Verdict, classify
from smspop_async.api.gate import Gate, Sleep
from smspop_async.api.pump import Pump
from smspop_async.api.refusals import Context
from smspop_async.api.reply import NoReplyError, Reply
from smspop_async.api.retry import backoff
from smspop_async.api.sendflag import Outgoing, SendFlag
from smspop_async.api.transport import Transport
from smspop_async.config import RetryPolicy, Timeouts
from smspop_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    Delivery,
    JournalError,
    RateLimitError,
    SmsPopError,
)
from smspop_async.events import CampaignRetried, CampaignSubmitted, Observer, is_heard, notify, tell
from smspop_async.mask import Redactor, mask_name

_SMALL: Final = 8_192
"""Bytes of a reply, some 150 contacts, below which it is read in the time that waiting for a turn would cost."""
_SMALL_WITHIN: Final = 4
"""Windows of a turn of the loop in which such a reply may be read."""
_ABANDONED: Final = "The run stopped before this campaign was submitted."
_NEVER_LEFT: Final = "Nothing was sent by this request; trying it again is safe."
_MAY_HAVE_LEFT: Final = (
    "The request may have reached the server, so texts may have gone out: "
    "look for the campaign in the dashboard or in campaigns.list() before sending again."
)


@frozen(kw_only=True)
class Clock:
    """Time and chance, passed in so that tests can hold them."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    """Seconds since the epoch."""
    draw: Callable[[], float] = random.random
    """A random number in [0, 1)."""
    sleep: Sleep = anyio.sleep


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Submission:
    """One campaign, encoded."""

    name: str = field(repr=mask_name)
    body: bytes = field(repr=False)
    numbers: Sequence[str] = field(repr=False)
    message: str = field(repr=False)
    """What an error may not quote."""
    run: str = ""
    """The run that it is part of, or ""."""
    normalise: Callable[[str], str | None] | None = field(default=None, repr=False)
    claim: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    """Makes the intent to send durable; raises JournalError where it cannot, and then nothing leaves."""
    release: Callable[[], None] | None = field(default=None, repr=False)
    """Takes the intent back: nothing was sent."""


class Attempt:
    """The trace of a submission: how often it was tried, and whether the last try may have left."""

    __slots__ = ("claimed", "count", "outgoing", "reply", "throttled", "verdict")

    def __init__(self) -> None:
        self.outgoing: Outgoing | None = None
        self.reply: Reply | None = None
        self.verdict: Verdict | None = None
        """What the last request came to; None while one is under way."""
        self.count: int = 0
        self.claimed: bool = False
        """Whether the intent to send is written down."""
        self.throttled: int = 0
        """How often it was turned away by a rate limit."""

    @property
    def may_have_left(self) -> bool:
        """Whether the server may have acted: on the request under way, or on the last one."""
        if isinstance(self.verdict, Rejected | Unsent):
            return False
        return self.outgoing is not None and self.outgoing.flag is SendFlag.UP


@frozen(kw_only=True)
class Submitter:
    """What submissions share: the connection, the pace and the policy.

    Args:
        headers: Gives the headers of a request, with the token of the moment.
    """

    transport: Transport
    gate: Gate
    clock: Clock
    retry: RetryPolicy
    timeouts: Timeouts
    url: URL
    headers: Callable[[], Awaitable[Mapping[str, str]]] = field(repr=False)
    observer: Observer | None = None
    pump: Pump = field(factory=Pump, repr=False)
    _contexts: dict[tuple[str, str], Context] = field(
        factory=dict[tuple[str, str], Context], init=False, repr=False, eq=False
    )

    async def submit(
        self,
        submission: Submission,
        attempt: Attempt,
        *,
        sleep: Sleep | None = None,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Verdict:
        """Submit a campaign until there is a verdict that stands.

        Args:
            submission: The campaign.
            attempt: Filled in as it goes; survives a cancellation.
            sleep: How to wait between attempts; it may return early.
            abandoned: Whether the run stops: then nothing unsent is tried again.

        Returns:
            The verdict; nothing is raised for what the server, the network or a setting did.
        """
        sleep = sleep or self.clock.sleep
        stale = 0
        while True:
            if self.gate.wait_left:
                await self.gate.passing(sleep, abandoned=abandoned)
            if abandoned():
                return Unsent(error=ConfigurationError(_ABANDONED))
            verdict = attempt.verdict = await self._post(submission, attempt, abandoned)
            if isinstance(verdict, Unsent) and verdict.stale and stale <= self.transport.slots:
                stale += 1
                continue
            attempt.count += 1
            if isinstance(verdict, Accepted):
                return verdict
            delay = self._delay(verdict, attempt.count)
            throttled = delay is not None and isinstance(verdict, Rejected)
            if delay is not None and throttled:
                attempt.throttled += 1
                self.gate.hold(delay)
            if delay is None or attempt.count >= self.retry.attempts or abandoned():
                return verdict
            self._tell(submission, attempt, verdict.error, delay)
            if attempt.claimed and submission.release is not None:
                submission.release()
                attempt.claimed = False
            if not throttled:
                await sleep(delay)

    def _delay(self, verdict: Rejected | Unknown | Unsent, failed: int) -> float | None:
        """Seconds until this may be tried again, or None where the verdict stands."""
        if isinstance(verdict, Unknown) or isinstance(verdict.error, ConfigurationError | JournalError):
            return None
        waited = backoff(self.retry, failed, self.clock.draw())
        if isinstance(verdict, Unsent):
            return waited
        if not isinstance(verdict.error, RateLimitError):
            return None
        asked = verdict.error.retry_after
        return waited if asked is None else min(asked, self.retry.max_retry_after)

    def _tell(self, submission: Submission, attempt: Attempt, error: SmsPopError, delay: float) -> None:
        tell(
            self.observer,
            CampaignRetried,
            name=submission.name,
            attempt=attempt.count,
            delay=delay,
            reason=type(error).__name__,
            run=submission.run,
        )

    def context(
        self,
        headers: Mapping[str, str],
        *,
        message: str = "",
        normalise: Callable[[str], str | None] | None = None,
    ) -> Context:
        """What a reply to a request with these headers is read with, now."""
        authorization = headers["Authorization"]
        context = self._contexts.get((authorization, message))
        if context is None or context.normalise != normalise:
            token = authorization.partition(" ")[2]
            context = Context(
                url=str(self.url),
                redact=Redactor((token, message)),
                clock=self.clock.wall,
                normalise=normalise,
            )
            self._contexts.clear()  # the replies of a run are all read with the same
            self._contexts[authorization, message] = context
        return context

    async def _post(self, submission: Submission, attempt: Attempt, abandoned: Callable[[], bool]) -> Verdict:
        """Post once, in a slot of the pool, and say what came of it."""
        attempt.outgoing = attempt.reply = attempt.verdict = None
        transport = self.transport
        try:
            slots = transport.slot()
            if not slots.take():
                await slots.wait()
            try:
                headers = await self.headers()
                if submission.claim is not None and not attempt.claimed:
                    await submission.claim()
                    attempt.claimed = True
                    if abandoned():
                        return Unsent(error=ConfigurationError(_ABANDONED))
                outgoing = attempt.outgoing = transport.outgoing(submission.body)
                if is_heard(self.observer):
                    self._tell_submitted(submission)
                try:
                    reply = attempt.reply = await transport.post(self.url, outgoing, headers, self.timeouts)
                except NoReplyError as failure:
                    return no_reply(failure, outgoing)
            finally:
                slots.give()
        except (ConfigurationError, JournalError) as error:
            return Unsent(error=error)
        pump = self.pump
        if pump.has_lasted(_SMALL_WITHIN) if len(reply.body) < _SMALL else pump.is_full:
            try:
                await pump.turn()
            except BaseException:
                # Cancelled, but the reply is here: what it says must not be lost.
                attempt.verdict = self._read(reply, headers, submission)
                raise
        pump.begin()
        return self._read(reply, headers, submission)

    def _tell_submitted(self, submission: Submission) -> None:
        submitted = CampaignSubmitted(
            name=submission.name,
            contacts=len(submission.numbers),
            run=submission.run,
            server=self.url.host or "",
        )
        notify(self.observer, submitted)

    def _read(self, reply: Reply, headers: Mapping[str, str], submission: Submission) -> Verdict:
        context = self.context(headers, message=submission.message, normalise=submission.normalise)
        return classify(reply, submission.numbers, context)


def no_reply(failure: NoReplyError, outgoing: Outgoing) -> Unknown | Unsent:
    """What the lack of a reply means: the flag decides, never the exception."""
    if outgoing.flag is SendFlag.UP:
        return Unknown(error=connection_error(failure, Delivery.UNKNOWN, _MAY_HAVE_LEFT))
    error = connection_error(failure, Delivery.NOT_SENT, _NEVER_LEFT)
    # A server that speaks first on a fresh connection is no stale one: trying at once would not help.
    return Unsent(error=error, stale=outgoing.flag is SendFlag.STALE and outgoing.reused)


def connection_error(failure: NoReplyError, delivery: Delivery, advice: str) -> SmsPopError:
    """The public error for a request without a reply."""
    kind = APITimeoutError if failure.timeout else APIConnectionError
    words = failure.words
    return kind(f"{words[:1].upper()}{words[1:]}. {advice}", delivery=delivery)
