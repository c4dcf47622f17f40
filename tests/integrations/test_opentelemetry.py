"""OpenTelemetry: what is told of runs and campaigns, checked with the SDK's exporters in memory."""

import asyncio
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from smspop_async import (
    InsufficientCreditsError,
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    SmsPopError,
    Status,
    ValidationError,
)
from smspop_async.events import (
    CampaignPlanned,
    CampaignReconciled,
    CampaignRetried,
    CampaignSettled,
    CampaignSplit,
    CampaignSubmitted,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    notify,
)
from smspop_async.integrations import _telemetry_names
from smspop_async.integrations.opentelemetry import Instrumentation, instrument, uninstrument
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Dear parent, the fees of Tendai are due"
LABEL = "Fees of Mr Moyo 0772 345 678"
WORDS = {"message": TEXT, "sender_id": "BRAND1"}
SOON = ReconcilePolicy(first=0.001, horizon=0.002)
FAILS, REFUSED = "263770009901", "263770009903"


def people(count: int, start: int = 1) -> list[str]:
    return [f"26377000{number:04}" for number in range(start, start + count)]


class Backend:
    """Where everything arrives."""

    def __init__(self, *processors: SpanProcessor) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        for processor in (SimpleSpanProcessor(self.exporter), *processors):
            self.tracers.add_span_processor(processor)
        self.meters = MeterProvider([self.reader])

    def begin(self) -> Instrumentation:
        return instrument(tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        spans = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)
        return [span for span in spans if name in (None, span.name)]

    def collect(self) -> dict[str, list[Any]]:
        """The points of each metric; exemplars are given out once."""
        data = self.reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data is not None else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        return self.collect().get(name, [])

    def counts(self, name: str, attribute: str) -> dict[str, int]:
        return {point.attributes[attribute]: point.value for point in self.points(name)}

    def contacts(self) -> dict[str, int]:
        return self.counts("smspop.contacts", "smspop.contact.status")

    def campaigns(self) -> dict[str, int]:
        return self.counts("smspop.campaigns", "smspop.campaign.outcome")

    def in_flight(self) -> int:
        return sum(point.value for point in self.points("smspop.active_campaigns"))

    def everything(self) -> str:
        """All that leaves the program, as text."""
        data = self.reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.spans()), data.to_json() if data else ""])


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    with backend.begin():
        yield backend
    backend.tracers.shutdown()
    backend.meters.shutdown()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[SmsPop]:
    async with client(sandbox) as sms:
        yield sms


def client(sandbox: Sandbox, **options: Any) -> SmsPop:
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(sandbox.token, base_url=sandbox.api_url, retry=retry, timeout=10, **options)


async def send(sms: SmsPop, contacts: list[str], **options: Any) -> Any:
    return await sms.send(contacts, **{**WORDS, "name": LABEL, "reconcile": SOON, **options})


def events(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


# What a run looks like.


async def test_a_run_is_a_span_and_its_campaigns_are_its_children(backend: Backend, sms: SmsPop) -> None:
    """The caller's span, the run and its campaigns are one trace, with tokens, counts and no error."""
    with backend.tracers.get_tracer("app").start_as_current_span("request") as request:
        report = await send(sms, people(5), chunk_size=2, max_concurrency=2)
        assert trace.get_current_span() is request
    (run,) = backend.spans("smspop.run")
    campaigns = backend.spans("smspop.campaign")
    assert parent_of(run) == request.get_span_context().span_id
    assert {parent_of(campaign) for campaign in campaigns} == {id_of(run)}
    assert dict(run.attributes or {}) == {
        "smspop.run.id": report.run,
        "smspop.run.resumed": False,
        "smspop.contacts.total": 5,
        "smspop.contacts.sent": 5,
    }
    assert sorted(campaign.attributes["smspop.campaign.id"] for campaign in campaigns) == [
        f"{report.run}-000{seq}" for seq in (1, 2, 3)
    ]
    assert dict(campaigns[0].attributes or {}) == {
        "smspop.run.id": report.run,
        "smspop.campaign.id": f"{report.run}-0001",
        "smspop.campaign.outcome": "accepted",
        "smspop.contacts.total": 2,
        "smspop.contacts.sent": 2,
    } | server_of(campaigns[0])
    assert {span.status.status_code for span in (run, *campaigns)} == {StatusCode.UNSET}
    assert {campaign.kind for campaign in campaigns} == {SpanKind.CLIENT}
    assert run.kind is SpanKind.INTERNAL
    assert run.instrumentation_scope is not None
    assert run.instrumentation_scope.name == "smspop_async"
    assert backend.contacts() == {"sent": 5}
    assert backend.campaigns() == {"accepted": 3}
    assert backend.in_flight() == 0


def server_of(span: ReadableSpan) -> dict[str, Any]:
    """The host, where the event has told it."""
    return {key: value for key, value in (span.attributes or {}).items() if key == "server.address"}


async def test_a_stream_is_a_run_as_well(backend: Backend, sms: SmsPop) -> None:
    """A stream is told as a send is, also one over a source that may never end."""

    async def source() -> AsyncIterator[str]:
        for number in people(3):
            yield number

    async with sms.stream(source(), **WORDS, chunk_size=2) as batch:
        assert [outcome.status async for outcome in batch] == [Status.SENT] * 3
    (run,) = backend.spans("smspop.run")
    assert [parent_of(campaign) for campaign in backend.spans("smspop.campaign")] == [id_of(run)] * 2


async def test_contacts_that_failed_or_were_never_submitted_are_counted(
    backend: Backend, sms: SmsPop
) -> None:
    """The counter adds up to the rows read: what the API said of contacts, and the rows no campaign was made of."""
    report = await send(sms, [*people(2), FAILS, people(1)[0], "12"], suppress=[people(2)[1]])
    counts = {status.value: rows for status, rows in report.counts.items() if rows}
    assert (
        backend.contacts()
        == counts
        == {
            "sent": 1,
            "failed": 1,
            "duplicate": 1,
            "invalid": 1,
            "suppressed": 1,
        }
    )
    (campaign,) = backend.spans("smspop.campaign")
    assert campaign.attributes["smspop.contacts.failed"] == 1
    assert campaign.status.status_code is StatusCode.UNSET, "the API did what it was asked to"


async def test_durations_are_in_seconds_in_buckets_of_their_own(backend: Backend, sms: SmsPop) -> None:
    """Runs and campaigns are measured, in the buckets that are advised."""
    report = await send(sms, people(3), chunk_size=1)
    (run,) = backend.points("smspop.run.duration")
    (campaign,) = backend.points("smspop.campaign.duration")
    assert (run.count, run.sum) == (1, report.elapsed)
    assert campaign.count == 3
    assert 0 < campaign.min <= campaign.max <= report.elapsed
    assert campaign.explicit_bounds == _telemetry_names.CAMPAIGN_BUCKETS
    assert run.explicit_bounds == _telemetry_names.RUN_BUCKETS
    assert dict(campaign.attributes) == {"smspop.campaign.outcome": "accepted"}
    assert dict(run.attributes) == {}


async def test_a_measurement_leads_to_its_trace(backend: Backend, sms: SmsPop) -> None:
    """The exemplars of histograms and counters carry the trace of the campaign or the run that was measured."""
    await send(sms, people(1))
    (run,), (campaign,) = backend.spans("smspop.run"), backend.spans("smspop.campaign")
    whose = {
        "smspop.campaign.duration": campaign,
        "smspop.campaigns": campaign,
        "smspop.contacts": campaign,
        "smspop.run.duration": run,
    }
    points = backend.collect()
    for name, span in whose.items():
        (point,) = points[name]
        (exemplar,) = point.exemplars
        assert exemplar.trace_id == span.get_span_context().trace_id, name
        assert exemplar.span_id == id_of(span), name


# What can happen to a campaign.


@pytest.mark.parametrize("times", [1, 2])
async def test_a_campaign_that_was_turned_away_is_one_span(
    backend: Backend, sms: SmsPop, sandbox: Sandbox, times: int
) -> None:
    """A 429 and the next attempt are an event on the span, which counts the requests and is no error."""
    sandbox.fail_next(429, retry_after=0, times=times)
    await send(sms, people(1))
    (campaign,) = backend.spans("smspop.campaign")
    assert [dict(event.attributes) for event in campaign.events] == [
        {"smspop.retry.attempt": attempt, "smspop.retry.delay": 0.0, "error.type": "RateLimitError"}
        for attempt in range(1, times + 1)
    ]
    assert events(campaign) == ["smspop.campaign.retried"] * times
    assert campaign.attributes["http.request.resend_count"] == times
    assert campaign.status.status_code is StatusCode.UNSET
    assert backend.campaigns() == {"accepted": 1}


async def test_a_campaign_that_is_cut_in_two_ends_and_its_halves_begin(backend: Backend, sms: SmsPop) -> None:
    """A split ends the span with that outcome; nothing is counted twice."""
    report = await send(sms, [*people(3), REFUSED])
    campaigns = backend.spans("smspop.campaign")
    outcomes = [campaign.attributes["smspop.campaign.outcome"] for campaign in campaigns]
    assert outcomes == ["split", "accepted", "split", "accepted", "rejected"]
    assert [events(campaign) for campaign in campaigns if events(campaign)] == [["smspop.campaign.split"]] * 2
    assert [campaign.status.status_code for campaign in campaigns] == [StatusCode.UNSET] * 4 + [
        StatusCode.ERROR
    ]
    assert backend.campaigns() == Counter(outcomes)
    assert backend.contacts() == {"sent": 3, "rejected": 1}
    assert report.counts[Status.SENT] == 3
    assert backend.in_flight() == 0
    (run,) = backend.spans("smspop.run")
    assert run.status.status_code is StatusCode.UNSET, "the run did what can be done"


async def test_a_campaign_that_was_looked_for_and_found(
    backend: Backend, sms: SmsPop, sandbox: Sandbox
) -> None:
    """A campaign of unknown outcome keeps its span until it is found, and says so; the others are its siblings."""
    sandbox.fail_next("reset_after")
    await send(sms, people(6), chunk_size=2, max_concurrency=1, canary=False)
    (run,), (campaign, *others) = backend.spans("smspop.run"), backend.spans("smspop.campaign")
    assert [parent_of(span) for span in (campaign, *others)] == [id_of(run)] * 3
    (found,) = campaign.events
    assert found.name == "smspop.campaign.reconciled"
    assert dict(found.attributes) == {"smspop.reconcile.looks": 1, "smspop.reconcile.found": 1}
    assert campaign.attributes["smspop.campaign.outcome"] == "accepted"
    assert campaign.attributes["smspop.contacts.accepted"] == 2
    assert campaign.status.status_code is StatusCode.UNSET
    assert backend.contacts() == {"accepted": 2, "sent": 4}


async def test_a_campaign_that_was_not_found_is_an_error(
    backend: Backend, sms: SmsPop, sandbox: Sandbox
) -> None:
    """Where nobody can tell whether people were texted, the span is an error; the run is not."""
    sandbox.fail_next("reset_before")
    await send(sms, people(2))
    (campaign,), (run,) = backend.spans("smspop.campaign"), backend.spans("smspop.run")
    assert events(campaign) == ["smspop.campaign.reconciled"]
    assert campaign.events[0].attributes["smspop.reconcile.found"] == 0
    assert campaign.attributes["smspop.campaign.outcome"] == "unknown"
    assert campaign.attributes["error.type"]
    assert campaign.status.status_code is StatusCode.ERROR
    assert campaign.status.description == "It is not known whether the campaign was sent."
    assert run.status.status_code is StatusCode.UNSET
    assert backend.contacts() == {"unknown": 2}


async def test_a_run_that_is_refused(backend: Backend, sms: SmsPop, sandbox: Sandbox) -> None:
    """What stops a run is on its span by the class of the error, and on the metrics."""
    sandbox.fail_next("no_credits")
    report = await send(sms, people(6), chunk_size=2)
    assert isinstance(report.stopped_by, InsufficientCreditsError)
    (campaign,), (run,) = backend.spans("smspop.campaign"), backend.spans("smspop.run")
    assert campaign.status.status_code is run.status.status_code is StatusCode.ERROR
    assert campaign.status.description == "The API refused the campaign."
    assert run.status.description == "The run was stopped: InsufficientCreditsError."
    assert (
        run.attributes["error.type"] == run.attributes["smspop.run.stop_reason"] == "InsufficientCreditsError"
    )
    assert events(run) == ["smspop.run.stopped"]
    assert dict(backend.points("smspop.run.duration")[0].attributes) == {
        "error.type": "InsufficientCreditsError"
    }
    assert backend.contacts() == {"rejected": 2, "not_submitted": 4}


async def test_a_run_that_is_cancelled(backend: Backend, sms: SmsPop, sandbox: Sandbox) -> None:
    """A cancellation is the caller's will and no error; a campaign that was cut off is one, and its span is ended."""
    sandbox.fail_next("hang_before")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: send(sms, people(4), chunk_size=2, grace=0))
        await sandbox.wait_for_requests(count=1)
        tasks.cancel_scope.cancel()
    (campaign,), (run,) = backend.spans("smspop.campaign"), backend.spans("smspop.run")
    assert campaign.attributes["smspop.campaign.outcome"] == "unknown"
    assert campaign.status.status_code is StatusCode.ERROR
    assert run.attributes["smspop.run.stop_reason"] == "cancelled"
    assert "error.type" not in run.attributes
    assert run.status.status_code is StatusCode.UNSET
    assert backend.contacts() == {"unknown": 2, "not_submitted": 2}
    assert backend.in_flight() == 0


async def test_a_run_that_is_resumed(backend: Backend, sms: SmsPop, sandbox: Sandbox, tmp_path: Path) -> None:
    """A resume is a run of the same id; it counts what it settles, and what it finds of before is told on its span."""
    journal = tmp_path / "journal.db"
    sandbox.fail_next("reset_after")
    sandbox.fail_next("no_credits")
    first = await send(
        sms, ["12", *people(6)], chunk_size=2, max_concurrency=1, reconcile=None, journal=journal
    )
    assert backend.contacts() == {"unknown": 2, "rejected": 2, "not_submitted": 2, "invalid": 1}
    sandbox.credits = 100
    second = await sms.resume(journal, reconcile=SOON)
    assert second.counts[Status.INVALID] == 1
    runs = backend.spans("smspop.run")
    assert [run.attributes["smspop.run.id"] for run in runs] == [first.run] * 2
    assert [run.attributes["smspop.run.resumed"] for run in runs] == [False, True]
    (found,) = runs[1].events
    assert found.attributes["smspop.campaign.id"] == f"{first.run}-0001"
    assert found.attributes["smspop.reconcile.found"] == 1
    again = [span for span in backend.spans("smspop.campaign") if parent_of(span) == id_of(runs[1])]
    assert [span.attributes["smspop.campaign.outcome"] for span in again] == ["accepted"] * 2
    assert backend.contacts() == {
        "unknown": 2,
        "rejected": 2,
        "not_submitted": 2,
        "invalid": 1,
        "accepted": 2,
        "sent": 4,
    }


# Calls of campaigns.create.


async def test_a_call_is_a_span_of_the_callers(backend: Backend, sms: SmsPop) -> None:
    """`campaigns.create` is a campaign below the caller's current span, which is current again afterwards."""
    with backend.tracers.get_tracer("app").start_as_current_span("request") as request:
        await sms.campaigns.create(name=LABEL, contacts=people(2), **WORDS)
        assert trace.get_current_span() is request
    (campaign,) = backend.spans("smspop.campaign")
    assert parent_of(campaign) == request.get_span_context().span_id
    assert dict(campaign.attributes or {}) == {
        "smspop.contacts.total": 2,
        "smspop.contacts.sent": 2,
        "smspop.campaign.outcome": "accepted",
    } | server_of(campaign)
    assert backend.spans("smspop.run") == []


async def test_a_call_outside_of_any_span_leaves_nothing_current(backend: Backend, sms: SmsPop) -> None:
    """After a call the context is as it was, so that spans made later are not its children."""
    before = context.get_current()
    await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    await sms.campaigns.with_raw_response.create(name=LABEL, contacts=people(1), **WORDS)
    assert context.get_current() is before
    assert [parent_of(span) for span in backend.spans()] == [None] * 2


@pytest.mark.parametrize(
    ("fault", "outcome", "error", "says"),
    [
        ("no_credits", "rejected", SmsPopError, "The API refused the campaign."),
        ("html", "unknown", SmsPopError, "It is not known whether the campaign was sent."),
    ],
)
async def test_a_call_that_fails(
    backend: Backend,
    sms: SmsPop,
    sandbox: Sandbox,
    fault: str,
    outcome: str,
    error: type[Exception],
    says: str,
) -> None:
    """What a call raises is an error on its span, described in words that are always the same."""
    sandbox.fail_next(fault)
    with pytest.raises(error):
        await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    (campaign,) = backend.spans()
    assert campaign.attributes["smspop.campaign.outcome"] == outcome
    assert campaign.attributes["error.type"]
    assert (campaign.status.status_code, campaign.status.description) == (StatusCode.ERROR, says)


async def test_a_call_that_is_cancelled(backend: Backend, sms: SmsPop, sandbox: Sandbox) -> None:
    """A call that was cut off ends its span, and leaves nothing in flight and nothing current."""
    sandbox.fail_next("hang_before")
    before = context.get_current()
    call = asyncio.create_task(sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS))
    await sandbox.wait_for_requests(count=1)
    assert backend.in_flight() == 1
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    (campaign,) = backend.spans()
    assert campaign.attributes["smspop.campaign.outcome"] == "unknown"
    assert backend.in_flight() == 0
    assert context.get_current() is before


async def test_a_call_that_never_got_to_a_request_is_counted_and_has_no_span(
    backend: Backend, sandbox: Sandbox
) -> None:
    """A closed client sends nothing: there is nothing to trace, and one more campaign was not submitted."""
    sms = client(sandbox)
    await sms.aclose()
    with pytest.raises(SmsPopError):
        await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    assert backend.spans() == []
    assert backend.campaigns() == {"not_submitted": 1}


async def test_concurrent_calls_of_one_name_do_not_mix(
    backend: Backend, sms: SmsPop, sandbox: Sandbox
) -> None:
    """Twelve calls at once, of one name, have a span each, below the span of their own caller."""
    sandbox.fail_next("latency", seconds=0.01, times=6)
    tracer = backend.tracers.get_tracer("app")

    async def call(size: int) -> None:
        with tracer.start_as_current_span(f"request {size}"):
            await sms.campaigns.create(name=LABEL, contacts=people(size), **WORDS)

    async with anyio.create_task_group() as tasks:
        for size in range(1, 13):
            tasks.start_soon(call, size)
    requests = {id_of(span): span.name for span in backend.spans() if span.name != "smspop.campaign"}
    found = {
        requests[parent_of(span) or 0]: span.attributes["smspop.contacts.sent"]
        for span in backend.spans("smspop.campaign")
    }
    assert found == {f"request {size}": size for size in range(1, 13)}


async def test_concurrent_runs_do_not_mix(backend: Backend, sms: SmsPop) -> None:
    """Runs at once, on one client and under one label, have their own campaigns and their own caller."""
    tracer = backend.tracers.get_tracer("app")
    runs: dict[str, str] = {}

    async def run(size: int) -> None:
        with tracer.start_as_current_span(f"request {size}"):
            report = await send(sms, people(size * 2), chunk_size=2)
        runs[report.run] = f"request {size}"

    async with anyio.create_task_group() as tasks:
        for size in range(1, 6):
            tasks.start_soon(run, size)
    requests = {id_of(span): span.name for span in backend.spans() if span.name.startswith("request")}
    spans = {id_of(span): span for span in backend.spans("smspop.run")}
    assert {
        span.attributes["smspop.run.id"]: requests[parent_of(span) or 0] for span in spans.values()
    } == runs
    children = Counter(parent_of(span) for span in backend.spans("smspop.campaign"))
    assert {
        span.attributes["smspop.contacts.total"]: children[span_id] for span_id, span in spans.items()
    } == {size * 2: size for size in range(1, 6)}


# What is current meanwhile.


async def test_the_request_and_the_observer_find_the_span_of_their_campaign(
    backend: Backend, sandbox: Sandbox
) -> None:
    """What instruments aiohttp, logs or observes while a campaign is under way finds its span; else that of the run."""
    requests: list[int] = []
    planned: set[int] = set()
    heard: dict[str, set[int]] = {"plain": set(), "async": set()}

    async def on_request(*_: object) -> None:
        requests.append(id_of(trace.get_current_span()))

    def plain(event: Event) -> None:
        if isinstance(event, CampaignSubmitted):
            heard["plain"].add(id_of(trace.get_current_span()))
        elif isinstance(event, RunStarted | CampaignPlanned):
            planned.add(id_of(trace.get_current_span()))

    async def late(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        if isinstance(event, CampaignSubmitted):
            heard["async"].add(id_of(trace.get_current_span()))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(on_request)
    async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
        async with client(sandbox, session=session, on_event=plain) as sms:
            await send(sms, people(6), chunk_size=1, max_concurrency=3)
            await send(sms.with_options(on_event=late), people(6), chunk_size=1, max_concurrency=3)
            await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    campaigns = [id_of(span) for span in backend.spans("smspop.campaign")]
    assert sorted(requests) == sorted(campaigns)
    assert planned == {id_of(backend.spans("smspop.run")[0])}
    assert heard == {"plain": {*campaigns[:6], campaigns[-1]}, "async": set(campaigns[6:12])}


async def test_a_source_is_read_within_the_run(backend: Backend, sms: SmsPop) -> None:
    """What the source of the contacts does, such as a query, belongs to the run and to none of its campaigns."""
    found: set[int] = set()

    async def source() -> AsyncIterator[str]:
        for number in people(400):
            yield number
            found.add(id_of(trace.get_current_span()))

    async with sms.stream(source(), **WORDS, chunk_size=20, max_concurrency=2) as batch:
        await batch.wait()
    (run,) = backend.spans("smspop.run")
    # The first slab is read before the run begins.
    assert found <= {id_of(run), 0}
    assert id_of(run) in found


# What must not be told.


async def test_nothing_personal_leaves_the_program(
    backend: Backend, sandbox: Sandbox, tmp_path: Path
) -> None:
    """No number, token, text or label is in any span or metric, whatever happens."""
    journal = tmp_path / "journal.db"
    async with client(sandbox) as sms:
        for fault in ("html", "reset_after", 500, "success_false", 429):
            sandbox.fail_next(fault)
        await send(sms, [*people(12), FAILS, REFUSED], chunk_size=3, max_concurrency=1)
        sandbox.fail_next(403, category="political")
        await send(sms, people(5), chunk_size=2, journal=journal)
        await sms.resume(journal)
        sandbox.fail_next(422, errors={"manual_contacts": [f"{people(1)[0]} is wrong"]})
        with pytest.raises(ValidationError):
            await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    told = backend.everything()
    assert len(backend.spans()) > 10
    secrets = [TEXT, "Tendai", sandbox.token, sandbox.token.partition("|")[2], LABEL, "Moyo"]
    for secret in (*secrets, *people(12), FAILS, REFUSED, *(number[3:] for number in people(12))):
        assert secret not in told


# What must not hurt.


class Broken(SpanExporter):
    """An exporter that fails."""

    def export(self, spans: object) -> SpanExportResult:
        raise OSError("the collector is away")


class Rude(SpanProcessor):
    """A processor that raises where it is told not to."""

    def on_start(self, span: object, parent_context: object = None) -> None:
        raise ZeroDivisionError


async def test_an_exporter_that_raises_does_not_hurt(sms: SmsPop, caplog: pytest.LogCaptureFixture) -> None:
    """Spans that cannot be exported are the SDK's to complain of; people are texted all the same."""
    backend = Backend(SimpleSpanProcessor(Broken()))
    with backend.begin():
        report = await send(sms, people(4), chunk_size=1)
    assert report.counts[Status.SENT] == 4
    assert "Exception while exporting Span" in caplog.text
    assert len(backend.spans()) == 5, "the other exporter has them"


async def test_a_processor_that_raises_does_not_hurt(sms: SmsPop, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the SDK raises is logged once for each kind of event, and goes no further."""
    backend = Backend(Rude())
    with backend.begin():
        report = await send(sms, people(40), chunk_size=1)
        await sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS)
    assert report.counts[Status.SENT] == 40
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 0 < len(warnings) < 4
    assert backend.in_flight() == 0


# Beginning and end.


def clear(backend: Backend) -> list[ReadableSpan]:
    spans = backend.spans()
    backend.exporter.clear()
    return spans


async def test_instrumenting_twice_tells_once(sms: SmsPop, caplog: pytest.LogCaptureFixture) -> None:
    """A second call changes nothing, and says so where it was given providers."""
    backend, other = Backend(), Backend()
    first = backend.begin()
    try:
        assert instrument() is first
        assert not caplog.records
        assert other.begin() is first
        assert "not used" in caplog.text
        await send(sms, people(1))
        assert len(clear(backend)) == 2
    finally:
        uninstrument()
    uninstrument()
    first.end()
    await send(sms, people(1))
    assert (backend.spans(), other.spans()) == ([], [])
    with other.begin() as second:
        assert second is not first
        first.end()
        await send(sms, people(1))
    assert len(other.spans()) == 2


async def test_the_end_ends_spans_that_are_open(sms: SmsPop, sandbox: Sandbox) -> None:
    """What is under way when the instrumentation ends is ended as it stands, and told no more."""
    backend = Backend()
    sandbox.fail_next("hang", times=2)
    async with anyio.create_task_group() as tasks:
        with backend.begin():
            tasks.start_soon(lambda: send(sms, people(2), grace=0))
            tasks.start_soon(lambda: sms.campaigns.create(name=LABEL, contacts=people(1), **WORDS))
            await sandbox.wait_for_requests(count=2)
            assert backend.in_flight() == 2
        assert Counter(span.name for span in backend.spans()) == {"smspop.run": 1, "smspop.campaign": 2}
        assert backend.in_flight() == 0
        tasks.cancel_scope.cancel()
    assert len(backend.spans()) == 3


async def test_a_run_that_began_before_is_not_told(sms: SmsPop, sandbox: Sandbox) -> None:
    """Half a story is none: of a run whose beginning was missed nothing is told."""
    backend = Backend()
    sandbox.fail_next("latency", seconds=0.05)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: send(sms, [*people(3), "12", REFUSED], chunk_size=1, max_concurrency=1))
        await sandbox.wait_for_requests(count=1)
        begun = backend.begin()
    begun.end()
    assert backend.spans() == []
    assert backend.reader.get_metrics_data() is None


# What the events of the library do not bring about, and somebody else's might.


@pytest.fixture
def told(backend: Backend) -> Backend:
    """A backend for events that are made by hand; those of runs are told in the test's own context."""
    return backend


async def in_a_task(*events: Event) -> None:
    async def tell() -> None:
        for event in events:
            notify(None, event)

    await asyncio.create_task(tell())


RUN = "abcdefghij"
NAME = f"Label [{RUN}-0001]"
FINISHED = RunFinished(run=RUN, total=2, statuses={"sent": 2}, elapsed=1.5, stopped=False)


async def test_campaigns_that_never_settle_end_with_their_run(told: Backend) -> None:
    """Memory is bounded: a run that is over leaves no span open and nothing in flight."""
    await in_a_task(
        RunStarted(run=RUN, name="Label"), CampaignSubmitted(name=NAME, contacts=2, run=RUN), FINISHED
    )
    campaign, run = sorted(told.spans(), key=lambda span: span.name)
    assert parent_of(campaign) == id_of(run)
    assert "smspop.campaign.outcome" not in campaign.attributes
    assert told.in_flight() == 0


async def test_a_run_whose_loop_was_closed_over_it_is_ended_by_its_resumption(told: Backend) -> None:
    """A run that begins again before it was finished leaves no span behind."""
    started = RunStarted(run=RUN, name="Label")
    await in_a_task(started, CampaignSubmitted(name=NAME, contacts=2, run=RUN), started, FINISHED)
    assert Counter(span.name for span in told.spans()) == {"smspop.run": 2, "smspop.campaign": 1}
    assert told.in_flight() == 0


async def test_the_host_and_the_reason_are_told_where_events_have_them(told: Backend) -> None:
    """The server and the class of the error are attributes by the names of the semantic conventions."""
    await in_a_task(
        CampaignSubmitted(name="x", contacts=1, server="sms.example"),
        CampaignSettled(
            name="x", contacts=1, outcome="rejected", statuses={"rejected": 1}, reason="InvalidSenderError"
        ),
    )
    (campaign,) = told.spans()
    assert campaign.attributes["server.address"] == "sms.example"
    assert campaign.attributes["error.type"] == "InvalidSenderError"
    assert dict(told.points("smspop.campaigns")[0].attributes) == {
        "smspop.campaign.outcome": "rejected",
        "error.type": "InvalidSenderError",
    }


@pytest.mark.parametrize(("reason", "failed"), [("", False), ("cancelled", False), ("APITimeoutError", True)])
async def test_a_campaign_that_did_not_leave_is_an_error_where_there_was_one(
    told: Backend, reason: str, failed: bool
) -> None:
    """That a run or a caller has stopped is no error of the campaign; that it could not be sent is."""
    settled = CampaignSettled(
        name="x", contacts=1, outcome="not_submitted", statuses={"not_submitted": 1}, reason=reason
    )
    await in_a_task(CampaignSubmitted(name="x", contacts=1), settled)
    (campaign,) = told.spans()
    assert (campaign.status.status_code is StatusCode.ERROR) == failed
    assert ("error.type" in campaign.attributes) == failed


async def test_a_run_that_was_stopped_without_a_word_is_an_error(told: Backend) -> None:
    """A run that ended early, and did not say why, has an error that says just that."""
    finished = RunFinished(run=RUN, total=2, statuses={"sent": 2}, elapsed=1.5, stopped=True)
    await in_a_task(RunStarted(run=RUN, name="Label"), finished)
    assert told.spans()[0].attributes["error.type"] == "stopped"


async def test_events_without_a_beginning_are_passed_over(told: Backend) -> None:
    """Whatever is told of what nobody has seen begin makes no span and raises nothing."""
    await in_a_task(
        CampaignSubmitted(name=NAME, contacts=2, run=RUN),
        CampaignRetried(name=NAME, attempt=1, delay=1.0, reason="RateLimitError", run=RUN),
        CampaignRetried(name="x", attempt=1, delay=1.0, reason="RateLimitError"),
        CampaignSplit(name=NAME, contacts=2, run=RUN),
        CampaignReconciled(name=NAME, looks=1, found=1, run=RUN),
        CampaignSettled(name=NAME, contacts=2, outcome="accepted", run=RUN),
        RunStopped(run=RUN, reason="crash"),
        FINISHED,
    )
    assert told.spans() == []
    assert told.reader.get_metrics_data() is None


def test_a_call_outside_of_any_loop_is_passed_over() -> None:
    """The collector of garbage ends a call that was left half-way where no loop runs: it has no task, and no span."""
    backend = Backend()
    with backend.begin():
        notify(None, CampaignSubmitted(name="x", contacts=1))
        notify(None, CampaignSettled(name="x", contacts=1, outcome="unknown", statuses={"unknown": 1}))
    assert backend.spans() == []
    assert backend.contacts() == {"unknown": 1}


# Absence.


def python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_absent_it_costs_nothing() -> None:
    """Nothing of OpenTelemetry is imported before `instrument` is called, also by importing it."""
    code = "import smspop_async.integrations.opentelemetry, sys; from smspop_async import SmsPop; {}"
    loaded = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    assert python(code.format(loaded)) == "[]"


def test_absent_it_is_asked_for_by_the_name_of_the_extra() -> None:
    """Where the package is not installed, the error names what to install."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from smspop_async.integrations.opentelemetry import instrument, uninstrument\n"
        "uninstrument()\n"
        "for _ in range(2):\n"
        "    try: instrument()\n"
        "    except ImportError as error: print(error)"
    )
    assert (
        python(code).splitlines()
        == ["instrument() needs opentelemetry-api, which is not installed: pip install 'smspop-async[otel]'."]
        * 2
    )


def test_a_broken_installation_is_not_taken_for_an_absent_one() -> None:
    """Another module that is missing is named as what it is."""
    code = (
        "import sys; sys.modules['smspop_async.integrations._telemetry_names'] = None\n"
        "from smspop_async.integrations.opentelemetry import instrument\n"
        "try: instrument()\n"
        "except ImportError as error: print(type(error).__name__, '[otel]' in str(error))"
    )
    assert python(code) == "ModuleNotFoundError False"


def test_without_an_sdk_it_does_nothing_and_no_harm() -> None:
    """With the API alone, and no provider set, runs go as they go."""
    code = (
        "import asyncio\n"
        "from smspop_async import SmsPop\n"
        "from smspop_async.integrations.opentelemetry import instrument\n"
        "from smspop_async.sandbox import Sandbox\n"
        "async def main():\n"
        "    async with Sandbox() as sandbox, SmsPop(sandbox.token, base_url=sandbox.api_url) as sms:\n"
        "        report = await sms.send(['263770000001'], message='Hi', sender_id='DEMO')\n"
        "        print(report.summary.sent)\n"
        "with instrument(): asyncio.run(main())"
    )
    assert python(code) == "1"


def test_the_page_has_every_name() -> None:
    """Whoever builds a dashboard finds each name of spans, events, attributes and metrics in the documentation."""
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    values = [
        value for name, value in vars(_telemetry_names).items() if name.isupper() and isinstance(value, str)
    ]
    assert len(values) > 20
    assert not [value for value in values if f"`{value}" not in page]
    assert set(re.findall(r"`(smspop\.[a-z_.]+[a-z_])", page)) <= set(values)
