"""The events of sends, streams, resumes and calls: each at its moment, with its counts."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer
from rawserver import Peer, Request, answer_all, fake_numbers, free_port, good_reply, raw_server, sent_numbers
from smspop_async import ReconcilePolicy, RetryPolicy, SmsPop, SmsPopError, Status
from smspop_async.api import campaigns, submit
from smspop_async.batch import account, dispatch, engine, reconcile
from smspop_async.courier import Courier
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
    listen,
)

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.002)
WORDS = {"message": "Hello!", "sender_id": "DEMO"}


def client(raw: Any, **options: Any) -> SmsPop:
    retry = options.pop("retry", RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0))
    return SmsPop(token="1|fake-token", base_url=raw.base_url, retry=retry, timeout=10, **options)


async def send(sms: SmsPop, contacts: Any, **options: Any) -> Any:
    return await sms.send(contacts, **{**WORDS, "name": "Test", "reconcile": SOON, **options})


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.fixture
def heard() -> list[Event]:
    return []


# What is told of a run that goes well.


async def test_the_events_of_a_send(heard: list[Event]) -> None:
    """A run begins, each campaign is planned, submitted and settled, and the run ends; each with its counts."""
    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        report = await send(sms, fake_numbers(3), chunk_size=2, max_concurrency=1)
    run = report.run
    first, second = f"Test [{run}-0001]", f"Test [{run}-0002]"
    finished = heard.pop()
    assert heard == [
        RunStarted(run=run, name="Test"),
        CampaignPlanned(name=first, contacts=2, run=run),
        CampaignSubmitted(name=first, contacts=2, run=run, **server_of(heard[2])),
        CampaignSettled(name=first, contacts=2, outcome="accepted", statuses={"sent": 2}, run=run),
        CampaignPlanned(name=second, contacts=1, run=run),
        CampaignSubmitted(name=second, contacts=1, run=run, **server_of(heard[5])),
        CampaignSettled(name=second, contacts=1, outcome="accepted", statuses={"sent": 1}, run=run),
    ]
    assert finished == RunFinished(
        run=run, total=3, statuses={"sent": 3}, elapsed=report.elapsed, stopped=False
    )


def server_of(event: Any) -> dict[str, str]:
    return {"server": event.server}


async def test_the_moment_of_each_event() -> None:
    """A campaign is submitted before its request arrives and settled after its reply; the run ends last."""
    heard: list[str] = []

    async def script(peer: Peer, request: Request) -> None:
        heard.append("request")
        await peer.json(200, good_reply(sent_numbers(request)))

    def note(what: object) -> None:
        heard.append(type(what).__name__)

    async with raw_server(script) as raw, client(raw, on_event=note) as sms:
        async with sms.stream(fake_numbers(1), **WORDS) as batch:
            async for outcome in batch:
                note(outcome)
            heard.append("end of the stream")
    assert heard == [
        "RunStarted",
        "CampaignPlanned",
        "CampaignSubmitted",
        "request",
        "CampaignSettled",
        "ContactOutcome",
        "RunFinished",
        "end of the stream",
    ]


async def test_with_a_journal_all_is_planned_before_anything_is_submitted(
    heard: list[Event], tmp_path
) -> None:
    """The plan of a journaled send is complete, and written down, before its first request."""
    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        await send(sms, fake_numbers(5), chunk_size=2, max_concurrency=1, journal=tmp_path / "x.db")
    assert kinds(heard) == [
        "RunStarted",
        *["CampaignPlanned"] * 3,
        *["CampaignSubmitted", "CampaignSettled"] * 3,
        "RunFinished",
    ]


async def test_a_source_without_an_end_is_planned_as_it_goes(heard: list[Event], tmp_path) -> None:
    """A stream with a journal over a source that may never end plans each campaign right before it is sent."""

    async def source() -> AsyncIterator[str]:
        for number in fake_numbers(4):
            yield number

    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        journal = tmp_path / "x.db"
        async with sms.stream(source(), **WORDS, chunk_size=2, max_concurrency=1, journal=journal) as batch:
            await batch.wait()
    assert kinds(heard) == [
        "RunStarted",
        *["CampaignPlanned", "CampaignSubmitted", "CampaignSettled"] * 2,
        "RunFinished",
    ]


async def test_rows_that_are_never_submitted_are_in_the_end_of_the_run(heard: list[Event]) -> None:
    """Invalid, duplicate and suppressed rows are part of no campaign, and of the counts of the run."""
    numbers = fake_numbers(2)
    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        await send(sms, [*numbers, numbers[0], "12"], suppress=numbers[1:])
    assert [event.contacts for event in heard if isinstance(event, CampaignSettled)] == [1]
    assert isinstance(heard[-1], RunFinished)
    assert heard[-1].total == 4
    assert heard[-1].statuses == {"sent": 1, "duplicate": 1, "invalid": 1, "suppressed": 1}


async def test_a_run_of_nothing_begins_and_ends(heard: list[Event]) -> None:
    """A list in which nobody can be texted is a run without campaigns."""
    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        await send(sms, ["12"])
    assert kinds(heard) == ["RunStarted", "RunFinished"]


async def test_what_is_wrong_before_a_run_is_told_to_nobody(heard: list[Event]) -> None:
    """A send that raises has not begun."""
    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        with pytest.raises(SmsPopError):
            await send(sms, fake_numbers(1), chunk_size=0)
        with pytest.raises(SmsPopError):
            await send(sms, 5)
        with pytest.raises(SmsPopError):
            await sms.campaigns.create(name="x", contacts=["12"], **WORDS)
    assert heard == []


# What is told of what goes wrong.


async def test_the_events_of_a_retry(heard: list[Event]) -> None:
    """A campaign that was turned away is submitted again after the retry was told, and settles once."""
    async with raw_server(FaultServer(["429", "429"]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            await send(sms, fake_numbers(1))
    assert kinds(heard) == [
        "RunStarted",
        "CampaignPlanned",
        *["CampaignSubmitted", "CampaignRetried"] * 2,
        "CampaignSubmitted",
        "CampaignSettled",
        "RunFinished",
    ]
    retried = [event for event in heard if isinstance(event, CampaignRetried)]
    assert [(event.attempt, event.delay, event.reason) for event in retried] == [
        (1, 0.0, "RateLimitError"),
        (2, 0.0, "RateLimitError"),
    ]
    assert len({event.name for event in heard if hasattr(event, "contacts")}) == 1


async def test_the_events_of_a_split(heard: list[Event]) -> None:
    """A campaign that is cut in two never settles: its halves are planned, submitted and settled instead of it."""
    async with raw_server(FaultServer(["422_contacts"]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            report = await send(sms, fake_numbers(5))
    assert kinds(heard) == [
        "RunStarted",
        "CampaignPlanned",
        "CampaignSubmitted",
        "CampaignSplit",
        *["CampaignPlanned"] * 2,
        *["CampaignSubmitted", "CampaignSettled"] * 2,
        "RunFinished",
    ]
    (split,) = [event for event in heard if isinstance(event, CampaignSplit)]
    assert split == CampaignSplit(name=f"Test [{report.run}-0001]", contacts=5, run=report.run)
    assert sum(event.contacts for event in heard if isinstance(event, CampaignSettled)) == 5


@pytest.mark.parametrize(
    ("action", "found", "outcome", "status"),
    [("reset_after", 1, "accepted", "accepted"), ("hang_up_before", 0, "unknown", "unknown")],
)
async def test_the_events_of_a_campaign_that_was_looked_for(
    heard: list[Event], action: str, found: int, outcome: str, status: str
) -> None:
    """A campaign of unknown outcome settles after it was looked for, as what was found."""
    async with raw_server(FaultServer([action]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            await send(sms, fake_numbers(2))
    assert kinds(heard)[-3:] == ["CampaignReconciled", "CampaignSettled", "RunFinished"]
    reconciled, settled = heard[-3:-1]
    assert isinstance(reconciled, CampaignReconciled)
    assert isinstance(settled, CampaignSettled)
    assert reconciled.found == found
    assert reconciled.looks >= 1
    assert (settled.outcome, settled.statuses) == (outcome, {status: 2})


async def test_without_looking_it_settles_as_unknown_at_once(heard: list[Event]) -> None:
    """Where nothing is looked for, nothing is told of it."""
    async with raw_server(FaultServer(["reset_after"]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            await send(sms, fake_numbers(2), reconcile=None)
    assert kinds(heard)[-2:] == ["CampaignSettled", "RunFinished"]
    assert heard[-2].outcome == "unknown"


async def test_the_events_of_a_run_that_is_stopped(heard: list[Event]) -> None:
    """What stops a run is told before the campaign that it was met with settles, and the end says that it was."""
    async with raw_server(FaultServer(["402"]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            await send(sms, fake_numbers(6), chunk_size=2)
    assert kinds(heard) == [
        "RunStarted",
        "CampaignPlanned",
        "CampaignSubmitted",
        "RunStopped",
        "CampaignSettled",
        "RunFinished",
    ]
    assert heard[3].reason == "InsufficientCreditsError"
    assert (heard[4].outcome, heard[4].statuses) == ("rejected", {"rejected": 2})
    assert (heard[5].stopped, heard[5].statuses) == (True, {"rejected": 2, "not_submitted": 4})


async def test_the_events_of_a_run_that_is_cancelled(heard: list[Event]) -> None:
    """A cancellation stops the run; what is cut off settles as what is known of it, and the run ends."""

    async def hang(peer: Peer, request: Request) -> None:
        await asyncio.get_running_loop().create_future()

    async with raw_server(hang) as raw, client(raw, on_event=heard.append) as sms:
        task = asyncio.create_task(send(sms, fake_numbers(4), chunk_size=2, grace=0))
        await raw.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert kinds(heard)[-3:] == ["RunStopped", "CampaignSettled", "RunFinished"]
    assert heard[-3].reason == "cancelled"
    assert heard[-2].outcome == "unknown"
    assert heard[-1].statuses == {"unknown": 2, "not_submitted": 2}


async def test_the_events_of_a_run_whose_source_fails(heard: list[Event]) -> None:
    """A source that breaks stops the run by the error's name."""

    def source() -> Any:
        yield from fake_numbers(3000)
        raise OSError

    async with raw_server(answer_all) as raw, client(raw, on_event=heard.append) as sms:
        await send(sms, source(), chunk_size=500)
    assert [event.reason for event in heard if isinstance(event, RunStopped)] == ["ContactSourceError"]
    assert heard[-1].stopped


async def test_the_events_of_a_crash(heard: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug stops the run and is told as one, without its words; every row is accounted for."""

    def explode(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "_may_split", explode)
    async with raw_server(FaultServer(["400"]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            with pytest.raises(ZeroDivisionError):
                await send(sms, fake_numbers(3))
    assert [event.reason for event in heard if isinstance(event, RunStopped)] == ["crash"]
    assert isinstance(heard[-1], RunFinished)
    assert sum(heard[-1].statuses.values()) == heard[-1].total == 3


# Resuming.


async def test_the_events_of_a_resume(heard: list[Event], tmp_path) -> None:
    """A resume is a run of the same token; what was planned before is not planned again, and its counts are whole."""
    journal = tmp_path / "x.db"
    async with raw_server(FaultServer(["reset_after", "402"]).script) as raw:
        async with client(raw) as sms:
            first = await send(
                sms,
                ["12", *fake_numbers(6)],
                chunk_size=2,
                max_concurrency=1,
                reconcile=None,
                journal=journal,
            )
        async with client(raw, on_event=heard.append) as sms:
            report = await sms.resume(journal, reconcile=SOON, max_concurrency=1)
    assert report.run == first.run
    assert heard[0] == RunStarted(run=first.run, name="Test", resumed=True)
    assert Counter(kinds(heard)) == {
        "RunStarted": 1,
        "CampaignReconciled": 1,
        "CampaignSubmitted": 2,
        "CampaignSettled": 3,
        "RunFinished": 1,
    }
    assert isinstance(heard[-1], RunFinished)
    assert heard[-1].statuses == {"sent": 4, "accepted": 2, "invalid": 1}


async def test_the_events_of_a_second_try(heard: list[Event], tmp_path) -> None:
    """Contacts that are sent once more, as was asked for, are in a campaign that is planned anew."""
    journal = tmp_path / "x.db"
    async with raw_server(FaultServer(["hang_up_before"]).script) as raw:
        async with client(raw) as sms:
            await send(sms, fake_numbers(2), reconcile=None, journal=journal)
        async with client(raw, on_event=heard.append) as sms:
            report = await sms.resume(journal, reconcile=SOON, resend_unknown=True)
    assert kinds(heard) == [
        "RunStarted",
        "CampaignReconciled",
        "CampaignPlanned",
        "CampaignSubmitted",
        "CampaignSettled",
        "RunFinished",
    ]
    assert heard[1].name == f"Test [{report.run}-0001]"
    assert {event.name for event in heard[2:5]} == {f"Test [{report.run}-0002]"}


# Calls of campaigns.create.


@pytest.mark.parametrize(
    ("action", "outcome", "statuses"),
    [
        ("ok", "accepted", {"sent": 3}),
        ("some_failed", "accepted", {"sent": 1, "failed": 2}),
        ("403", "rejected", {"rejected": 3}),
        ("error_before", "unknown", {"unknown": 3}),
        ("hang_up_after", "unknown", {"unknown": 3}),
    ],
)
async def test_the_events_of_a_call(
    heard: list[Event], action: str, outcome: str, statuses: dict[str, int]
) -> None:
    """A call is submitted and settles as what is raised or returned, and is part of no run."""
    async with raw_server(FaultServer([action]).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            with suppress(SmsPopError):
                await sms.campaigns.create(name="Parcels", contacts=fake_numbers(3), **WORDS)
    submitted, settled = heard
    assert (submitted.name, submitted.contacts, submitted.run) == ("Parcels", 3, "")
    assert (settled.name, settled.contacts, settled.run) == ("Parcels", 3, "")
    assert (settled.outcome, settled.statuses) == (outcome, statuses)


async def test_a_call_of_a_closed_client_settles_as_not_submitted(heard: list[Event]) -> None:
    """What never got to a request was not submitted, and is told all the same."""
    async with raw_server(answer_all) as raw:
        sms = client(raw, on_event=heard.append)
        await sms.aclose()
        with pytest.raises(SmsPopError):
            await sms.campaigns.create(name="Parcels", contacts=fake_numbers(1), **WORDS)
    (settled,) = heard
    assert settled.outcome == "not_submitted"


# Under any fault.


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    actions=st.lists(st.sampled_from(ACTIONS), max_size=12),
    chunk_size=st.integers(1, 6),
    concurrency=st.integers(1, 4),
    options=st.fixed_dictionaries({}, optional={"canary": st.just(False), "reconcile": st.none()}),
    journaled=st.booleans(),
)
async def test_the_events_of_a_run_tell_one_story_under_any_fault(
    tmp_path_factory, actions, chunk_size, concurrency, options, journaled
) -> None:
    """Whatever happens: it begins and ends once; what is submitted was planned, and settles or is split, once.

    The counts of campaigns add up to their contacts, and those of the run are those of the report.
    """
    heard: list[Any] = []
    if journaled:
        options = {**options, "journal": tmp_path_factory.mktemp("journal") / "x.db"}
    contacts = [*fake_numbers(11), fake_numbers(1)[0], "12"]
    async with raw_server(FaultServer(actions).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            report = await send(sms, contacts, chunk_size=chunk_size, max_concurrency=concurrency, **options)
    assert isinstance(heard[0], RunStarted)
    assert isinstance(heard[-1], RunFinished)
    assert Counter(map(type, heard))[RunStarted] == Counter(map(type, heard))[RunFinished] == 1
    assert {event.run for event in heard} == {report.run}
    stopped = [event.reason for event in heard if isinstance(event, RunStopped)]
    assert stopped == ([type(report.stopped_by).__name__] if report.stopped_by is not None else [])
    assert heard[-1].stopped == bool(stopped)
    assert heard[-1].total == report.total
    assert heard[-1].statuses == {status.value: rows for status, rows in report.counts.items() if rows}
    told: Counter[str] = Counter()
    for story in stories_of(heard).values():
        told.update(check_story(story, stopped=bool(stopped)))
    # Rows of which no campaign was made, or whose campaign was planned and not begun, are the rest.
    rest = Counter(heard[-1].statuses) - told
    assert not told - Counter(heard[-1].statuses)
    assert set(rest) <= {"duplicate", "invalid", "not_submitted"}
    outcomes = Counter(campaign.status.value for campaign in report.campaigns)
    assert outcomes == Counter(event.outcome for event in heard if isinstance(event, CampaignSettled))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    actions=st.lists(st.sampled_from(ACTIONS), max_size=8),
    chunk_size=st.integers(1, 4),
    concurrency=st.integers(1, 4),
    cut_at=st.integers(1, 5),
    grace=st.sampled_from([0.0, 5.0]),
    journaled=st.booleans(),
)
async def test_the_events_of_a_run_tell_one_story_wherever_it_is_cut_off(
    tmp_path_factory, actions, chunk_size, concurrency, cut_at, grace, journaled
) -> None:
    """Cancelled at any request, a run ends once, and what was submitted settles once, before the end."""
    heard: list[Any] = []
    options = {"journal": tmp_path_factory.mktemp("journal") / "x.db"} if journaled else {}
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, client(raw, on_event=heard.append) as sms:
        task = asyncio.create_task(
            send(
                sms,
                fake_numbers(11),
                chunk_size=chunk_size,
                max_concurrency=concurrency,
                grace=grace,
                reconcile=ReconcilePolicy(first=0.001, horizon=0.01),
                **options,
            )
        )
        server.on_post = lambda count: task.cancel() if count == cut_at else None
        with suppress(asyncio.CancelledError):
            await task
    assert [type(event) for event in (heard[0], heard[-1])] == [RunStarted, RunFinished]
    stopped = [event for event in heard if isinstance(event, RunStopped)]
    assert len(stopped) == heard[-1].stopped
    told: Counter[str] = Counter()
    for story in stories_of(heard).values():
        told.update(check_story(story, stopped=bool(stopped)))
    rest = Counter(heard[-1].statuses) - told
    assert not told - Counter(heard[-1].statuses)
    assert set(rest) <= {"not_submitted"}


def stories_of(heard: list[Any]) -> dict[str, list[Any]]:
    """The events of each campaign."""
    stories: dict[str, list[Any]] = {}
    for event in heard:
        if hasattr(event, "name") and not isinstance(event, RunStarted):
            stories.setdefault(event.name, []).append(event)
    return stories


def check_story(story: list[Any], *, stopped: bool) -> dict[str, int]:
    """What is told of one campaign is in order; returns how many of its contacts have which status."""
    planned, *rest = story
    assert isinstance(planned, CampaignPlanned)
    assert all(event.contacts == planned.contacts for event in story if hasattr(event, "contacts"))
    if not rest:
        assert stopped, "what is planned is submitted, unless the run stops"
        return {}
    *way, end = rest
    assert isinstance(end, CampaignSettled | CampaignSplit)
    previous: type | None = None
    for event in way:
        assert isinstance(event, CampaignSubmitted | CampaignRetried | CampaignReconciled)
        assert previous is not CampaignReconciled
        assert isinstance(event, CampaignSubmitted) or previous is CampaignSubmitted
        previous = type(event)
    if isinstance(end, CampaignSplit):
        return {}
    assert sum(end.statuses.values()) == end.contacts
    assert all(end.statuses.values())
    return dict(end.statuses)


# Those who are told.


async def test_an_async_observer_has_heard_all_when_the_run_is_over() -> None:
    """It hears what a plain one does, in the same order, and the end of the run before `send` returns."""
    plain: list[Event] = []
    late: list[Event] = []

    async def observer(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        late.append(event)

    end = listen(plain.append)
    try:
        async with raw_server(FaultServer(["429", "reset_after"]).script) as raw:
            async with client(raw, on_event=observer) as sms:
                await send(sms, fake_numbers(8), chunk_size=1)
                assert late == plain
                await sms.campaigns.create(name="x", contacts=fake_numbers(1), **WORDS)
        assert late == plain
    finally:
        end()
    assert len(late) > 20


async def test_a_slow_observer_does_not_slow_the_run() -> None:
    """All campaigns go out while the observer is still at the first event."""
    go_on = anyio.Event()
    heard: list[Event] = []

    async def observer(event: Event) -> None:
        await go_on.wait()
        heard.append(event)

    def listener(event: Event) -> None:
        if isinstance(event, RunFinished):
            assert heard == []
            go_on.set()

    end = listen(listener)
    try:
        async with raw_server(answer_all) as raw, client(raw, on_event=observer) as sms:
            with anyio.fail_after(30):
                report = await send(sms, fake_numbers(40), chunk_size=1)
    finally:
        end()
    assert report.counts[Status.SENT] == 40
    assert isinstance(heard[-1], RunFinished)


async def test_a_hanging_observer_is_let_go_of_with_the_client() -> None:
    """Neither the end of a run nor that of the client waits for it for ever."""

    async def hang(event: Event) -> None:
        await asyncio.get_running_loop().create_future()

    async with raw_server(answer_all) as raw, client(raw, on_event=hang) as sms:
        courier = sms.submitter.observer
        assert isinstance(courier, Courier)
        courier._parting = 0.0
        with anyio.fail_after(30):
            for _ in range(2):
                report = await send(sms, fake_numbers(2))
                assert report.counts[Status.SENT] == 2
            await sms.aclose()
    assert courier._task is not None
    assert courier._task.done()
    assert courier.left_out == 0, "which the log was told"


async def test_an_observer_that_cancels_its_task_does_not_hurt_the_run() -> None:
    """An async observer that cancels the current task cancels itself, at each event anew."""
    heard: list[Event] = []

    async def observer(event: Event) -> None:
        heard.append(event)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.lowlevel.checkpoint()

    async with raw_server(answer_all) as raw, client(raw, on_event=observer) as sms:
        report = await send(sms, fake_numbers(5), chunk_size=1)
    assert report.counts[Status.SENT] == 5
    assert len(heard) == 2 + 3 * 5


async def test_a_plain_observer_that_cancels_the_current_task_loses_no_row() -> None:
    """It cancels a worker of the run, which is its own fault; the run ends, and every row has its outcome."""

    def observer(event: Event) -> None:
        if isinstance(event, CampaignSettled):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    async with raw_server(answer_all) as raw, client(raw, on_event=observer) as sms:
        with anyio.fail_after(30):
            report = await send(sms, fake_numbers(5), chunk_size=1)
    assert sum(report.counts.values()) == report.total == 5
    assert report.counts[Status.SENT] >= 1


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_an_observer_that_raises_does_not_hurt_the_run(kind: str, caplog) -> None:
    """A run of many campaigns with an observer that always raises is a run as any other, and few lines of log."""

    def plain(event: Event) -> None:
        raise ValueError

    async def late(event: Event) -> None:
        raise ValueError

    observer = plain if kind == "plain" else late
    async with raw_server(answer_all) as raw, client(raw, on_event=observer) as sms:
        report = await send(sms, fake_numbers(30), chunk_size=1)
    assert report.counts[Status.SENT] == 30
    assert len(caplog.records) == 5, "one for each kind of event"


# Nobody.


async def test_where_nobody_listens_no_event_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Without an observer, a listener or a log at DEBUG, nothing is made to be told."""
    made: list[str] = []
    kinds = list(Event.__args__)
    for module in (engine, dispatch, account, reconcile, submit, campaigns):
        for kind in kinds:
            if hasattr(module, kind.__name__):
                monkeypatch.setattr(module, kind.__name__, counting(kind, made))

    async def everything(on_event: Any) -> None:
        actions = ["429", "422_contacts", "reset_after", "ok", "402"]
        async with raw_server(FaultServer(actions).script) as raw, client(raw, on_event=on_event) as sms:
            journal = tmp_path / f"{on_event is None}.db"
            await send(sms, fake_numbers(40), chunk_size=10, max_concurrency=1, journal=journal)
            await sms.resume(journal, reconcile=SOON)
            await sms.campaigns.create(name="x", contacts=fake_numbers(1), **WORDS)

    await everything(None)
    assert made == []
    await everything(lambda event: None)
    assert set(made) == {kind.__name__ for kind in kinds}, "they are made there, and counted"


def counting(kind: Any, made: list[str]) -> Any:
    def make(**facts: Any) -> Any:
        made.append(kind.__name__)
        return kind(**facts)

    return make


# Why.


@pytest.mark.parametrize(
    ("actions", "outcome", "reason"),
    [
        (["ok"], "accepted", ""),
        (["403"], "rejected", "AccountInactiveError"),
        (["400"], "rejected", "APIStatusError"),
        (["error_before"], "unknown", "ServerError"),
        (["hang_up_before"], "unknown", "APIConnectionError"),
        (["reset_after"], "accepted", ""),
        (["429"] * 3, "rejected", "RateLimitError"),
    ],
)
async def test_a_campaign_that_was_not_accepted_says_why(
    heard: list[Event], actions: list[str], outcome: str, reason: str
) -> None:
    """The class of the error is told with the outcome, also after the campaign was looked for in vain."""
    async with raw_server(FaultServer(actions).script) as raw:
        async with client(raw, on_event=heard.append) as sms:
            await send(sms, fake_numbers(1))
    (settled,) = [event for event in heard if isinstance(event, CampaignSettled)]
    assert (settled.outcome, settled.reason) == (outcome, reason)
    assert {event.server for event in heard if isinstance(event, CampaignSubmitted)} == {"127.0.0.1"}


async def test_a_campaign_that_could_not_be_sent_says_why(heard: list[Event]) -> None:
    """A server that cannot be reached is the reason, for a run and for a call."""
    sms = SmsPop(
        "1|fake-token",
        base_url=f"http://127.0.0.1:{free_port()}/api",
        retry=RetryPolicy(attempts=1),
        on_event=heard.append,
    )
    async with sms:
        await send(sms, fake_numbers(1))
        with pytest.raises(SmsPopError):
            await sms.campaigns.create(name="x", contacts=fake_numbers(1), **WORDS)
    settled = [event for event in heard if isinstance(event, CampaignSettled)]
    assert [(event.outcome, event.reason) for event in settled] == [
        ("not_submitted", "APIConnectionError")
    ] * 2


async def test_a_campaign_that_was_cut_off_says_so(heard: list[Event]) -> None:
    """A cancellation is the reason of what it has cut off, for a run and for a call."""

    async def hang(peer: Peer, request: Request) -> None:
        await asyncio.get_running_loop().create_future()

    async with raw_server(hang) as raw, client(raw, on_event=heard.append) as sms:
        calls = [
            send(sms, fake_numbers(1), grace=0),
            sms.campaigns.create(name="x", contacts=fake_numbers(1), **WORDS),
        ]
        for call in calls:
            raw.arrived.clear()
            task = asyncio.create_task(call)
            await raw.arrived.wait()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    settled = [event for event in heard if isinstance(event, CampaignSettled)]
    assert [(event.outcome, event.reason) for event in settled] == [("unknown", "cancelled")] * 2
