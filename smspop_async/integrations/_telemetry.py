"""Spans and metrics out of events: a listener that needs nothing else to be told.

**Which span is whose.** A run is told from its start to its end, and its campaigns have names of their own within it.
The events of ``campaigns.create`` bear no run, and two calls may use one name at the same time; but each call is told
within one task, from its request to its end, so that a task has at most one such campaign at a time.

**Context.** A listener is called where the event happens. So what is current when a run or a call begins is its
parent, and the span of a campaign can be made current there while it is under way: spans of an instrumented aiohttp,
records of a logger and the user's own observer then find it. What was current before is set again when the campaign
settles in that same task: set, and not detached by OpenTelemetry's token, because a campaign that had to be looked
for is settled by another task, in which the token would be refused. What is left behind in a task of a run is gone
with it.

**Exemplars.** Each measurement is recorded in the context of its span, from which the SDK takes the trace.

**Nothing is kept** beyond the campaigns under way. Spans of campaigns that never settle are ended with their run, and
a call that vanishes takes its entry with its task.

Nothing personal is told: runs and campaigns by the tokens in their names, contacts by how many they are. A name is not
told, because it is the user's own text: "Mr Moyo's overdue fees" must not go to whoever keeps the traces.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final
from weakref import WeakKeyDictionary

from attrs import define, field
from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from smspop_async.events import (
    CampaignReconciled,
    CampaignRetried,
    CampaignSettled,
    CampaignSplit,
    CampaignSubmitted,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
)
from smspop_async.integrations import _telemetry_names as names
from smspop_async.integrations._telemetry_instruments import Instruments

_Attributes = dict[str, str | int | float | bool]

_CANCELLED: Final = "cancelled"
_TOKEN: Final = re.compile(r"\[([a-z2-7]{10}-\d{4,})\]$")
_FAILED: Final[Mapping[str, str]] = {
    "rejected": "The API refused the campaign.",
    "unknown": "It is not known whether the campaign was sent.",
    "not_submitted": "The campaign was not sent.",
}
"""The outcomes of a campaign that are errors, in words that are the same for all."""


@define(kw_only=True, eq=False)
class _Flight:
    """A campaign under way."""

    span: Span
    context: Context
    """With the span in it."""
    before: Context
    """What was current in the task that submits it."""
    since: float
    posts: int = 0


@define(kw_only=True, eq=False)
class _Run:
    """A run under way."""

    span: Span
    context: Context
    """With the span in it."""
    resumed: bool
    flights: dict[str, _Flight] = field(factory=dict[str, _Flight])
    """By the campaign's name."""
    counted: Counter[str] = field(factory=Counter[str])
    """Contacts that were counted with their campaigns, by status."""
    stop_reason: str = ""


class Telemetry:
    """Listens to events, and makes spans and measurements of them.

    Args:
        tracer: Makes the spans.
        meter: Makes the instruments.
        clock: Seconds from any beginning, never going back.
    """

    def __init__(
        self, tracer: Tracer, meter: Meter, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._calls: MutableMapping[asyncio.Task[object], _Flight] = WeakKeyDictionary()
        self._instruments = Instruments(meter)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case CampaignSubmitted():
                self._submitted(event)
            case CampaignSettled():
                self._settled(event)
            case CampaignRetried() | CampaignReconciled():
                self._noted(event)
            case CampaignSplit():
                self._split(event)
            case RunStarted():
                self._started(event)
            case RunStopped():
                self._stopped(event)
            case RunFinished():
                self._finished(event)
            case _:
                pass  # a plan is no request: with a journal all of a list is planned before any of it is sent

    def end(self) -> None:
        """End every span that is open; nothing of it is measured any more."""
        for run in tuple(self._runs):
            self._abandon(run)
        for flight in tuple(self._calls.values()):
            self._let_go(flight)
        self._calls.clear()

    # Runs.

    def _started(self, event: RunStarted) -> None:
        self._abandon(event.run)  # its loop was closed over it, and now it is resumed
        attributes: _Attributes = {names.RUN_ID: event.run, names.RUN_RESUMED: event.resumed}
        span = self._tracer.start_span(names.RUN, attributes=attributes)
        context = set_span_in_context(span)
        self._runs[event.run] = _Run(span=span, context=context, resumed=event.resumed)
        attach(context)  # for good: this task is the run's own, and the tasks that it starts inherit it

    def _stopped(self, event: RunStopped) -> None:
        if (run := self._runs.get(event.run)) is not None:
            run.stop_reason = event.reason
            run.span.add_event(names.STOPPED, {names.RUN_STOPPED: event.reason})

    def _finished(self, event: RunFinished) -> None:
        run = self._runs.get(event.run)
        if run is None:
            return
        if not run.resumed:
            # The rows that no campaign was made of. A resume has them from its journal: they were counted by the
            # process that read them.
            self._instruments.count_contacts(Counter(event.statuses) - run.counted, run.context)
        error = (run.stop_reason or "stopped") if event.stopped and run.stop_reason != _CANCELLED else ""
        kind: _Attributes = {names.ERROR_TYPE: error} if error else {}
        self._instruments.measure_run(event.elapsed, kind, run.context)
        run.span.set_attributes(kind | _tally(event.total, event.statuses))
        if run.stop_reason:
            run.span.set_attribute(names.RUN_STOPPED, run.stop_reason)
        if error:
            run.span.set_status(Status(StatusCode.ERROR, f"The run was stopped: {error}."))
        self._abandon(event.run)

    def _abandon(self, run_id: str) -> None:
        """End the span of a run, and those of campaigns that did not settle, which is not supposed to happen."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            for flight in run.flights.values():
                self._let_go(flight)
            run.span.end()

    # Campaigns.

    def _submitted(self, event: CampaignSubmitted) -> None:
        flight = self._flight(event.run, event.name)
        if flight is None:
            flight = self._take_off(event)
        if flight is not None:
            flight.posts += 1
            attach(flight.context)

    def _take_off(self, event: CampaignSubmitted) -> _Flight | None:
        run, task = self._runs.get(event.run), _current_task()
        if (run is None) if event.run else (task is None):
            return None  # it began before we listened
        before = get_current() if run is None else run.context
        attributes: _Attributes = {names.CONTACTS: event.contacts}
        if event.server:
            attributes[names.SERVER_ADDRESS] = event.server
        if run is not None and (token := _TOKEN.search(event.name)):
            attributes |= {names.RUN_ID: event.run, names.CAMPAIGN_ID: token[1]}
        span = self._tracer.start_span(names.CAMPAIGN, before, SpanKind.CLIENT, attributes)
        flight = _Flight(
            span=span, context=set_span_in_context(span, before), before=before, since=self._clock()
        )
        if run is not None:
            run.flights[event.name] = flight
        elif task is not None:
            self._calls[task] = flight
        self._instruments.count_active(1, flight.context)
        return flight

    def _noted(self, event: CampaignRetried | CampaignReconciled) -> None:
        """What happens on the way; to a campaign of an earlier process, which has no span here, on that of its run."""
        flight, run = self._flight(event.run, event.name), self._runs.get(event.run)
        span = flight.span if flight is not None else run.span if run is not None else trace.INVALID_SPAN
        attributes: _Attributes = {}
        if flight is None and (token := _TOKEN.search(event.name)):
            attributes[names.CAMPAIGN_ID] = token[1]
        if isinstance(event, CampaignRetried):
            attributes |= {names.ATTEMPT: event.attempt, names.DELAY: event.delay}
            span.add_event(names.RETRIED, attributes | {names.ERROR_TYPE: event.reason})
        else:
            span.add_event(
                names.RECONCILED, attributes | {names.LOOKS: event.looks, names.FOUND: event.found}
            )

    def _split(self, event: CampaignSplit) -> None:
        if (flight := self._flight(event.run, event.name)) is not None:
            flight.span.add_event(names.SPLIT)
            self._land(event.run, event.name, "split", "", {})

    def _settled(self, event: CampaignSettled) -> None:
        if event.run and event.run not in self._runs:
            return
        outcome, error = event.outcome, event.reason
        if outcome == "accepted" or (outcome == "not_submitted" and error in ("", _CANCELLED)):
            error = ""
        else:
            error = error or outcome
        self._land(event.run, event.name, outcome, error, event.statuses)

    def _land(self, run_id: str, name: str, outcome: str, error: str, statuses: Mapping[str, int]) -> None:
        """A campaign is over; where none of its requests was seen, only the counters learn of it."""
        run, flight = self._runs.get(run_id), self._taken(run_id, name)
        context = flight.context if flight is not None else run.context if run is not None else None
        kind: _Attributes = {names.OUTCOME: outcome}
        if error:
            kind[names.ERROR_TYPE] = error
        self._instruments.count_campaign(kind, context)
        self._instruments.count_contacts(statuses, context)
        if run is not None:
            run.counted.update(statuses)
        if flight is None:
            return
        self._instruments.measure_campaign(self._clock() - flight.since, kind, flight.context)
        flight.span.set_attributes(kind | _tally(None, statuses))
        if error:
            flight.span.set_status(Status(StatusCode.ERROR, _FAILED.get(outcome)))
        self._let_go(flight)

    def _let_go(self, flight: _Flight) -> None:
        if get_current() is flight.context:
            attach(flight.before)
        self._instruments.count_active(-1, flight.context)
        if flight.posts > 1:
            flight.span.set_attribute(names.RESEND_COUNT, flight.posts - 1)
        flight.span.end()

    def _flight(self, run_id: str, name: str) -> _Flight | None:
        if run_id:
            run = self._runs.get(run_id)
            return run.flights.get(name) if run is not None else None
        task = _current_task()
        return self._calls.get(task) if task is not None else None

    def _taken(self, run_id: str, name: str) -> _Flight | None:
        if run_id:
            run = self._runs.get(run_id)
            return run.flights.pop(name, None) if run is not None else None
        task = _current_task()
        return self._calls.pop(task, None) if task is not None else None


def _current_task() -> asyncio.Task[object] | None:
    """The task in which a call is told; None where it is told by the garbage collector, outside of any loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _tally(total: int | None, statuses: Mapping[str, int]) -> _Attributes:
    """How many contacts there are, and how many of each status, as attributes."""
    attributes: _Attributes = {names.CONTACTS_WITH + status: count for status, count in statuses.items()}
    if total is not None:
        attributes[names.CONTACTS] = total
    return attributes
