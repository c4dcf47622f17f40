"""One run, against real sockets: pull, canary, pace, stop, split."""

import asyncio
import json
import re

import anyio
import pytest

from faultserver import FaultServer
from rawserver import answer_all, fake_number, fake_numbers, free_port, good_reply, raw_server, sent_numbers
from smspop_async import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    ContactSourceError,
    InsufficientCreditsError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    ServerError,
    SmsPop,
    Status,
)
from smspop_async.batch.intake import Intake
from smspop_async.events import CampaignRetried, CampaignSplit, RunStopped

pytestmark = pytest.mark.anyio


def client(raw, **options) -> SmsPop:
    retry = options.pop("retry", RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0))
    return SmsPop(token="1|fake-token", base_url=raw.base_url, retry=retry, timeout=10, **options)


async def send(sms, contacts, **options):
    return await sms.send(contacts, **{"message": "Hello!", "sender_id": "DEMO", "name": "Test", **options})


def names(raw) -> list[str]:
    return [json.loads(post.body)["name"] for post in raw.posts]


async def test_every_campaign_has_the_documented_body_and_a_name_with_run_and_sequence():
    """A chunk is exactly the documented object, and its name ends in the run's token and a four-digit sequence."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(5), chunk_size=2, max_concurrency=1)
    first = json.loads(raw.posts[0].body)
    assert first == {
        "name": f"Test [{report.run}-0001]",
        "message": "Hello!",
        "sender_id": "DEMO",
        "contact_import_method": "manual",
        "manual_contacts": "263770000001, 263770000002",
    }
    assert names(raw) == [f"Test [{report.run}-000{n}]" for n in (1, 2, 3)]
    assert re.fullmatch("[a-z2-7]{10}", report.run)
    assert [campaign.name for campaign in report.campaigns] == names(raw)


async def test_a_long_label_is_cut_and_the_token_kept():
    """A name is at most 191 characters; the label gives way, never the token."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(1), name="N" * 191)
    (name,) = names(raw)
    assert len(name) == 191
    assert name.endswith(f" [{report.run}-0001]")


async def test_the_first_chunk_goes_alone_and_a_refused_message_costs_one_request():
    """With the canary, what is wrong with every campaign is found out by one POST."""
    server = FaultServer(["402"] * 50)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(40), chunk_size=2, max_concurrency=8)
    assert server.posts == 1
    assert isinstance(report.stopped_by, InsufficientCreditsError)
    assert report.counts[Status.REJECTED] == 2
    assert report.counts[Status.NOT_SUBMITTED] == 38


async def test_the_first_chunk_goes_alone_behind_any_number_of_rows_that_are_not_sent():
    """Who is told of thousands of invalid rows has not been given the first chunk yet."""
    server = FaultServer(["402"] * 50)
    contacts = [*(f"junk {row}" for row in range(9_000)), *fake_numbers(40)]
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, contacts, chunk_size=2, max_concurrency=8)
    assert server.posts == 1
    assert [report.counts[status] for status in (Status.INVALID, Status.REJECTED)] == [9_000, 2]
    assert report.counts[Status.NOT_SUBMITTED] == 38


async def test_rows_that_are_not_sent_are_told_before_a_chunk_is_full():
    """A stream tells of them in groups, also where the source may never give another row that can be sent."""
    told = asyncio.Event()

    async def contacts():
        for row in range(5_000):
            yield f"junk {row}"
        await told.wait()
        yield fake_number(1)

    statuses = []
    with anyio.fail_after(20):
        async with (
            raw_server(answer_all) as raw,
            client(raw) as sms,
            sms.stream(contacts(), message="Hello!", sender_id="DEMO") as batch,
        ):
            async for outcome in batch:
                statuses.append(outcome.status)
                if len(statuses) == 2_000:
                    told.set()
    assert statuses == [*[Status.INVALID] * 5_000, Status.SENT]


async def test_without_a_canary_as_many_go_at_once_as_allowed_and_no_more():
    """`max_concurrency` campaigns are under way at once."""
    under_way = most = 0
    full = asyncio.Event()

    async def slow(peer, request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 4:
            full.set()
        await full.wait()
        under_way -= 1
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(24), chunk_size=2, max_concurrency=4, canary=False)
    assert most == 4
    assert report.counts[Status.SENT] == 24


async def test_a_run_makes_no_more_tasks_than_it_has_workers():
    """The number of tasks does not grow with the number of contacts."""
    most = 0

    async def watch(peer, request):
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await answer_all(peer, request)

    async with raw_server(watch) as raw, client(raw) as sms:
        await send(sms, fake_numbers(2_000), chunk_size=2, max_concurrency=3)
    # The test, the run, the reconciler, three workers with a body writer each, and four connections served.
    assert 5 <= most <= 16


async def test_a_source_is_read_only_as_fast_as_its_campaigns_go():
    """Reading is lazy: beyond what is under way, one slab has been read, and no slab is of more than 2,000 rows."""
    read = 0

    def source():
        nonlocal read
        for number in fake_numbers(20_000):
            read += 1
            yield number

    async def count(peer, request):
        seen.append(read)
        await answer_all(peer, request)

    seen = []
    async with raw_server(count) as raw, client(raw) as sms:
        report = await send(sms, source(), chunk_size=100, max_concurrency=4)
    assert seen[0] <= 1_000
    assert all(read_by_then <= 100 * (at + 6) + 2_000 for at, read_by_then in enumerate(seen))
    assert report.counts[Status.SENT] == 20_000


async def test_a_slow_consumer_slows_the_sending():
    """While nobody takes outcomes, only a few chunks are submitted."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(
            fake_numbers(1_000), message="Hello!", sender_id="DEMO", chunk_size=10, max_concurrency=2
        ) as batch:
            outcomes = aiter(batch)
            await anext(outcomes)
            for _ in range(2_000):
                await asyncio.sleep(0)
            stalled = len(raw.posts)
            rest = [outcome async for outcome in outcomes]
    assert stalled <= 12
    assert len(rest) == 999
    assert batch.report.counts[Status.SENT] == 1_000


@pytest.mark.parametrize(
    ("action", "error"), [("401", AuthenticationError), ("402", InsufficientCreditsError)]
)
async def test_what_concerns_every_campaign_stops_a_run_in_the_middle(action, error):
    """Campaigns sent before stay sent; the refused one is REJECTED; the rest is NOT_SUBMITTED; nothing raises."""
    server = FaultServer(["ok", "ok", action])
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(20), chunk_size=2, max_concurrency=1)
    assert isinstance(report.stopped_by, error)
    assert [report.counts[s] for s in (Status.SENT, Status.REJECTED, Status.NOT_SUBMITTED)] == [4, 2, 14]
    assert server.posts == 3


async def test_an_endless_source_is_not_read_on_after_a_stop():
    """A source that may never end is left alone once the run stops, and what was read is accounted for."""

    def endless():
        n = 0
        while True:
            yield fake_number(n)
            n += 1

    server = FaultServer(["402"])
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, endless(), chunk_size=5)
    assert report.counts[Status.REJECTED] == 5
    assert sum(report.counts.values()) == report.total < 2_000


async def test_a_429_is_retried_after_its_wait():
    """429 pauses the run and is tried again; in the end everybody is texted once."""
    events = []
    server = FaultServer(["429", "ok", "429", "429"])
    async with raw_server(server.script) as raw, client(raw, on_event=events.append) as sms:
        report = await send(sms, fake_numbers(6), chunk_size=2, max_concurrency=1)
    assert report.counts[Status.SENT] == 6
    assert server.posts == 6
    assert [event.reason for event in events if isinstance(event, CampaignRetried)] == ["RateLimitError"] * 3


async def test_a_rate_limit_that_never_opens_stops_the_run():
    """After as many 429 as there are attempts the run stops, and the error says so."""
    server = FaultServer(["429"] * 99)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(6), chunk_size=2)
    assert server.posts == 3
    assert isinstance(report.stopped_by, RateLimitError)
    assert [report.counts[s] for s in (Status.REJECTED, Status.NOT_SUBMITTED)] == [2, 4]


@pytest.mark.parametrize("status", [413, 422])
@pytest.mark.parametrize("bad", [{3}, {0, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {5, 6}])
async def test_a_campaign_refused_for_some_contacts_is_halved_until_they_stand_alone(status, bad):
    """A 413, or a 422 that names contacts, costs only the contacts at fault; everybody else is texted once."""
    rows = fake_numbers(10)
    refused = {rows[at] for at in bad}
    texted = []

    async def picky(peer, request):
        numbers = sent_numbers(request)
        if refused & set(numbers):
            errors = {"manual_contacts": ["The manual contacts field contains an invalid number."]}
            await peer.json(status, json.dumps({"success": False, "message": "no", "errors": errors}))
        else:
            texted.extend(numbers)
            await peer.json(200, good_reply(numbers))

    events = []
    async with raw_server(picky) as raw, client(raw, on_event=events.append) as sms:
        report = await send(sms, rows, chunk_size=10)
    outcomes = {outcome.phone_number: outcome.status for outcome in report.outcomes()}
    assert {number for number, verdict in outcomes.items() if verdict is Status.REJECTED} == refused
    assert sorted(texted) == sorted(set(rows) - refused)
    assert report.stopped_by is None
    assert len(raw.posts) <= 2 * 10
    assert len(set(names(raw))) == len(names(raw))
    assert any(isinstance(event, CampaignSplit) for event in events)


async def test_a_chunk_of_which_everybody_is_refused_stops_splitting():
    """The extra requests are bounded: a chunk of 400 refused contacts does not cost 800 requests."""
    server = FaultServer(["413"] * 5_000)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(400), chunk_size=400)
    assert report.counts[Status.REJECTED] == 400
    assert server.posts <= 1 + 64 + 100


async def test_a_422_that_names_contacts_and_something_else_is_not_split():
    """Halving cannot mend a message, so a 422 that names it too stops the run."""

    async def refuse(peer, _):
        errors = {"manual_contacts": ["bad"], "message": ["too long"]}
        await peer.json(422, json.dumps({"success": False, "message": "no", "errors": errors}))

    async with raw_server(refuse) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(4), chunk_size=2)
    assert len(raw.posts) == 1
    assert report.stopped_by is not None


async def test_a_server_that_cannot_be_reached_stops_the_run_at_the_canary():
    """Nothing is sent, nothing is unknown, and the report says why."""
    async with SmsPop(
        token="1|fake-token",
        base_url=f"http://127.0.0.1:{free_port()}/api",
        retry=RetryPolicy(attempts=2, initial_backoff=0.0),
    ) as sms:
        report = await send(sms, fake_numbers(2_000), chunk_size=10)
    assert isinstance(report.stopped_by, APIConnectionError)
    assert report.counts[Status.NOT_SUBMITTED] == 2_000


async def test_a_row_of_failures_with_nothing_accepted_stops_the_run():
    """Ten million contacts are not burnt on a server that answers every campaign with an error."""
    events = []
    server = FaultServer(["error_after"] * 500)
    async with raw_server(server.script) as raw, client(raw, on_event=events.append) as sms:
        report = await send(sms, fake_numbers(300), chunk_size=1, max_concurrency=1, reconcile=None)
    assert isinstance(report.stopped_by, ServerError)
    assert server.posts == 20
    assert [type(event) for event in events if isinstance(event, RunStopped)] == [RunStopped]


async def test_scattered_failures_do_not_stop_the_run():
    """What was accepted in between proves that the API works."""
    server = FaultServer(["ok", *["200_false"] * 15] * 4)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await send(sms, fake_numbers(64), chunk_size=1, max_concurrency=1)
    assert report.stopped_by is None
    assert server.posts == 64
    assert [report.counts[s] for s in (Status.SENT, Status.REJECTED)] == [4, 60]


async def test_a_source_that_fails_midway_stops_the_run_and_all_that_was_read_is_accounted_for():
    """`stopped_by` is the ContactSourceError with the cause; rows read before it have their outcome."""

    def broken():
        yield from fake_numbers(1_200)
        raise OSError("disk")

    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await send(sms, broken(), chunk_size=100)
    assert isinstance(report.stopped_by, ContactSourceError)
    assert isinstance(report.stopped_by.__cause__, OSError)
    assert report.total == 1_200
    assert report.counts[Status.SENT] + report.counts[Status.NOT_SUBMITTED] == 1_200


async def test_a_source_that_fails_at_once_raises_before_anything_is_sent():
    """What is wrong before anything is sent is raised, not reported."""

    def broken():
        raise OSError("disk")
        yield

    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(ContactSourceError):
            await send(sms, broken())
    assert raw.requests == []


async def test_a_token_provider_that_fails_stops_the_run():
    """No token, no request: the run stops, NOT_SUBMITTED."""

    async def provider():
        raise LookupError("vault")

    async with (
        raw_server(answer_all) as raw,
        SmsPop(token=provider, base_url=raw.base_url) as sms,
    ):
        report = await send(sms, fake_numbers(4), chunk_size=2)
    assert raw.requests == []
    assert isinstance(report.stopped_by, ConfigurationError)
    assert report.counts[Status.NOT_SUBMITTED] == 4


async def test_a_token_provider_that_fails_later_speaks_of_one_request():
    """It does not say that nothing was sent where half of the list was."""
    tokens = iter(["1|fake-token"])

    async def provider():
        return next(tokens, None) or {}["vault"]

    async with (
        raw_server(answer_all) as raw,
        SmsPop(token=provider, base_url=raw.base_url) as sms,
    ):
        report = await send(sms, fake_numbers(4), chunk_size=2)
    assert (report.counts[Status.SENT], report.counts[Status.NOT_SUBMITTED]) == (2, 2)
    assert str(report.stopped_by) == "The token provider raised KeyError. Nothing was sent by this request."


async def test_a_bug_in_the_middle_is_raised_as_itself_after_all_is_accounted_for(monkeypatch):
    """A programming error leaves as it is, never in an ExceptionGroup."""
    from smspop_async.api import submit

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(submit, "classify", broken)
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(ZeroDivisionError):
            await send(sms, fake_numbers(40), chunk_size=2)
        batch = sms.stream(fake_numbers(40), message="Hello!", sender_id="DEMO", chunk_size=2)
        with pytest.raises(ZeroDivisionError):
            async with batch:
                [outcome async for outcome in batch]
    assert batch.report.counts[Status.UNKNOWN] == 2
    assert sum(batch.report.counts.values()) == 40


async def test_a_bug_on_the_way_out_is_raised_and_holds_nobody_up(monkeypatch):
    """A run whose last act breaks still ends, as itself, with everything that was sent accounted for."""

    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(Intake, "enter_rest", broken)
    async with raw_server(answer_all) as raw, client(raw) as sms:
        batch = sms.stream(fake_numbers(4), message="Hello!", sender_id="DEMO")
        with anyio.fail_after(10), pytest.raises(ZeroDivisionError):
            async with batch:
                await batch.wait()
    assert batch.report.counts[Status.SENT] == 4


async def test_requests_keep_to_the_rate_limit():
    """The pacer is asked before each campaign: with an hour between two, only the first goes."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(
            fake_numbers(10),
            message="Hello!",
            sender_id="DEMO",
            chunk_size=5,
            rate_limit=RateLimit(requests_per_second=1 / 3600),
        ) as batch:
            outcomes = aiter(batch)
            for _ in range(5):
                await anext(outcomes)
            for _ in range(500):
                await asyncio.sleep(0)
    assert len(raw.posts) == 1
    assert [batch.report.counts[s] for s in (Status.SENT, Status.NOT_SUBMITTED)] == [5, 5]


async def test_an_observer_that_raises_does_not_hurt_the_run():
    """Observers are told; what they raise is theirs."""

    def observer(_):
        raise ValueError("mine")

    async with raw_server(answer_all) as raw, client(raw, on_event=observer) as sms:
        report = await send(sms, fake_numbers(4), chunk_size=2)
    assert report.counts[Status.SENT] == 4


async def test_adaptive_concurrency_halves_after_429_and_the_run_completes():
    """With `adaptive`, an overloaded API sees fewer campaigns at once."""
    under_way = 0
    seen = []

    async def touchy(peer, request):
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        try:
            await asyncio.sleep(0)
            if under_way > 2:
                await peer.json(429, "{}", "Retry-After: 0")
            else:
                await answer_all(peer, request)
        finally:
            under_way -= 1

    retry = RetryPolicy(attempts=200, initial_backoff=0)
    async with raw_server(touchy) as raw, client(raw, retry=retry) as sms:
        report = await send(sms, fake_numbers(300), chunk_size=5, max_concurrency=8, adaptive=True)
    assert report.counts[Status.SENT] == 300
    assert max(seen) > 4
    assert max(seen[-20:]) <= 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_size": 0},
        {"chunk_size": 50_001},
        {"chunk_size": True},
        {"max_concurrency": 0},
        {"grace": -1},
        {"grace": None},
        {"grace": "1"},
        {"grace": True},
        {"grace": float("nan")},
        {"grace": 10**400},
        {"rate_limit": 200},
        {"reconcile": 60.0},
        {"message": ""},
        {"message": " padded "},
        {"sender_id": ""},
        {"name": ""},
        {"name": "a\nb"},
    ],
)
async def test_a_wrong_setting_is_raised_before_anything_is_sent(wrong):
    """Settings are checked first, and the error names the one that is wrong."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            await send(sms, fake_numbers(2), **wrong)
    assert raw.requests == []


async def test_several_runs_share_one_client():
    """Runs side by side on one client do not disturb each other."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        reports = await asyncio.gather(
            *(send(sms, fake_numbers(50, start=100 * n), chunk_size=7) for n in range(4))
        )
    assert [report.counts[Status.SENT] for report in reports] == [50] * 4
    assert len({report.run for report in reports}) == 4


async def test_no_contacts_is_an_empty_report():
    """Nothing to send is not an error."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await send(sms, [])
    assert report.total == 0
    assert raw.requests == []
    report.raise_for_failures()


async def test_a_closed_client_says_so_before_the_source_is_touched():
    """A run on a closed client raises, and the contacts are not read."""
    sms = SmsPop(token="1|fake-token", base_url="http://127.0.0.1:9/api")
    await sms.aclose()

    def untouched():
        pytest.fail("the source was read")
        yield

    with pytest.raises(ConfigurationError, match="closed"):
        await send(sms, untouched())
