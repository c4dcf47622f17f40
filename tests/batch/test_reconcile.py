"""Looking for campaigns of unknown outcome: what is found is proof, what is not found proves nothing."""

import json
import re
from collections.abc import AsyncGenerator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultserver import FaultServer
from rawserver import fake_numbers, raw_server
from smspop_async import ReconcilePolicy, RetryPolicy, ServerError, SmsPop, Status
from smspop_async.api.wire import Page
from smspop_async.batch.chunks import Chunk, Part
from smspop_async.batch.reconcile import Finding, Reconciler, look_times
from smspop_async.events import CampaignReconciled

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.004)


def client(raw, **options) -> SmsPop:
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(token="1|fake-token", base_url=raw.base_url, retry=retry, timeout=10, **options)


async def hang_up(listed, reconcile=SOON):
    """Send to two contacts through a server that hangs up on the POST and then lists `listed(name)`."""

    async def script(peer, request):
        if request.method == "POST":
            name.append(json.loads(request.body)["name"])
            peer.close()
        else:
            await peer.json(200, json.dumps(listed(name[0])))

    name = []
    async with raw_server(script) as raw, client(raw) as sms:
        report = await sms.send(
            fake_numbers(2), message="Hello!", sender_id="DEMO", name="Test", reconcile=reconcile
        )
    return report, raw


async def test_an_unknown_campaign_that_is_in_the_list_is_accepted():
    """Found by its name's token: ACCEPTED, because the list proves the campaign and not its contacts."""
    events = []
    server = FaultServer(["reset_after"])
    async with raw_server(server.script) as raw, client(raw, on_event=events.append) as sms:
        report = await sms.send(
            fake_numbers(6), message="Hello!", sender_id="DEMO", chunk_size=2, reconcile=SOON
        )
    assert [report.counts[s] for s in (Status.SENT, Status.ACCEPTED)] == [4, 2]
    assert server.posts == 3
    assert [event.found for event in events if isinstance(event, CampaignReconciled)] == [1]
    assert report.campaigns[0].status is Status.ACCEPTED


async def test_a_look_ends_with_the_page_that_has_the_last_one():
    """An account with thousands of campaigns is not read to its end when the newest page has what is looked for."""
    report, raw = await hang_up(
        lambda name: {"data": [{"name": name}], "next_page_url": "/api/campaigns?page=2"}
    )
    assert report.counts[Status.ACCEPTED] == 2
    assert len(raw.requests) == 2


async def test_a_listed_campaign_with_statuses_gives_them():
    """Where the list has per-contact statuses, they are used, joined by number."""
    rows = [
        {"phone_number": "263770000002", "status": "failed"},
        {"phone_number": "263770000001", "status": "sent"},
    ]
    report, _ = await hang_up(lambda name: [{"name": name, "status": "sent", "contacts": rows}])
    assert [outcome.status for outcome in report.outcomes()] == [Status.SENT, Status.FAILED]
    assert (report.summary.sent, report.summary.failed) == (1, 1)


async def test_a_listed_campaign_that_was_rejected_is_rejected():
    """A campaign that the list shows as rejected texted nobody."""
    report, _ = await hang_up(lambda name: [{"name": name, "status": "Rejected"}])
    assert report.counts[Status.REJECTED] == 2


async def test_a_campaign_that_is_listed_twice_is_flagged_loudly():
    """Twice in the list means that people were texted twice, by whatever stands between; it is said."""
    report, _ = await hang_up(lambda name: [{"name": name}, {"name": f" {name} "}])
    assert report.counts[Status.ACCEPTED] == 2
    assert any("2 times" in words for words in report.discrepancies)


@pytest.mark.parametrize(
    "listed",
    [
        {"data": [], "next_page_url": "http://127.0.0.1/?x=1"},
        {"what": "is this"},
        {"success": False, "message": "no"},
    ],
)
async def test_a_look_that_did_not_see_the_whole_list_does_not_count(listed):
    """A list without a provable end proves nothing, and the detail says that it could not be read."""
    report, raw = await hang_up(lambda _: listed)
    assert report.counts[Status.UNKNOWN] == 2
    assert all("could not be read" in outcome.detail for outcome in report.outcomes())
    assert len(raw.posts) == 1


async def test_the_same_entry_on_two_pages_is_one_campaign():
    """The list moves on while it is read, since other campaigns go out: what is seen again was not sent again."""
    report, _ = await hang_up(lambda name: [{"id": 7, "name": name}, {"id": 7, "name": name}])
    assert report.counts[Status.ACCEPTED] == 2
    assert not report.discrepancies


async def test_a_list_that_moves_while_it_is_read_is_not_whole():
    """Where an entry comes twice, another may have been passed over: that it was not found does not count."""
    report, _ = await hang_up(
        lambda _: [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, {"id": 1, "name": "x"}]
    )
    assert report.counts[Status.UNKNOWN] == 2
    assert all("could not be read" in outcome.detail for outcome in report.outcomes())


async def test_looks_that_were_due_while_the_list_was_read_are_not_made_up_for():
    """A list of a thousand pages is not read once more for each moment that has passed meanwhile."""
    now, reads, findings = 0.0, 0, []

    async def pages() -> AsyncGenerator[Page, None]:
        nonlocal now, reads
        now += 25
        reads += 1
        yield Page(campaigns=[], rows=[], next_query=None, is_last=True)

    async def finish(part: Part, finding: Finding) -> None:
        findings.append(finding)

    reconciler = Reconciler(
        policy=ReconcilePolicy(first=2.0, horizon=60.0),
        pages=pages,
        clock=lambda: now,
        normalise=None,
        finish=finish,
        capacity=9,
    )
    chunk = Chunk(rows=range(1), numbers=fake_numbers(1), text="m")
    await reconciler.add(Part(seq=1, name="n [r-0001]", token="[r-0001]", chunk=chunk), "why", age=3.0)
    reconciler.close()
    now = 6.0  # so that one look is due
    with anyio.move_on_after(0.2):
        await reconciler.run()  # it waits for the next moment then
    assert reads == 1
    now = 41.0
    with anyio.move_on_after(0.2):
        await reconciler.run()
    assert reads == 2  # 66 s since it was submitted: beyond the horizon
    assert [finding.detail for finding in findings] == ["why Looked for 2 time(s) in 69 s and not found."]


async def test_another_runs_campaign_is_not_taken_for_this_ones():
    """Only the token counts, never the label; and the detail says how often it was looked for."""
    report, _ = await hang_up(
        lambda _: [{"name": "Test [aaaaaaaaaa-0001]"}, {"name": "Test"}, {"name": None}]
    )
    assert report.counts[Status.UNKNOWN] == 2
    # A busy machine may be late for one that was due, and that one is not made up for.
    assert all(re.search(r"Looked for [123] time\(s\)", outcome.detail) for outcome in report.outcomes())


async def test_without_a_policy_nothing_is_looked_for():
    """`reconcile=None` leaves unknown campaigns alone."""
    report, raw = await hang_up(lambda name: [{"name": name}], reconcile=None)
    assert report.counts[Status.UNKNOWN] == 2
    assert len(raw.requests) == 1


async def test_a_revoked_token_ends_the_looking_at_once():
    """When the list answers 401 there is no point in asking again for a minute."""

    async def script(peer, request):
        if request.method == "POST":
            peer.close()
        else:
            await peer.json(401, "{}")

    async with raw_server(script) as raw, client(raw) as sms:
        with anyio.fail_after(10):
            report = await sms.send(
                fake_numbers(2),
                message="Hello!",
                sender_id="DEMO",
                reconcile=ReconcilePolicy(first=0.001, horizon=60),
            )
    assert report.counts[Status.UNKNOWN] == 2


async def test_leaving_a_run_ends_the_looking():
    """A run that is left does not wait for the horizon; what was looked for stays UNKNOWN."""
    server = FaultServer(["hang_up_after"])
    async with raw_server(server.script) as raw, client(raw) as sms:
        with anyio.fail_after(10):
            async with sms.stream(
                fake_numbers(4),
                message="Hello!",
                sender_id="DEMO",
                chunk_size=2,
                reconcile=ReconcilePolicy(first=50, horizon=60),
            ) as batch:
                outcomes = aiter(batch)
                await anext(outcomes)
                assert batch.progress.reconciling == 1
    assert [batch.report.counts[s] for s in (Status.UNKNOWN, Status.SENT)] == [2, 2]
    assert "not looked for" in next(batch.report.outcomes()).detail.lower()


async def test_unknown_campaigns_hold_the_run_back():
    """While many campaigns are being looked for, no further ones are burnt on a server that answers nothing."""
    server = FaultServer(["error_before"] * 500)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await sms.send(
            fake_numbers(400),
            message="Hello!",
            sender_id="DEMO",
            chunk_size=1,
            max_concurrency=2,
            reconcile=ReconcilePolicy(first=0.01, horizon=0.02),
        )
    assert server.posts <= 60
    assert isinstance(report.stopped_by, ServerError)
    assert report.counts[Status.UNKNOWN] == server.posts
    assert report.counts[Status.UNKNOWN] + report.counts[Status.NOT_SUBMITTED] == 400


def test_the_looks_are_at_2_5_10_20_40_and_60_seconds():
    """The schedule of the wire document."""
    assert list(look_times(ReconcilePolicy())) == [2, 5, 10, 20, 40, 60]


@given(first=st.floats(0.001, 100), horizon=st.floats(0.001, 1_000))
def test_a_schedule_rises_and_ends_at_the_horizon(first, horizon):
    """Looks move forward only, and the last one is at the horizon or, where that is nearer, the first look."""
    times = list(look_times(ReconcilePolicy(first=first, horizon=horizon)))
    assert times == sorted(times)
    assert times[-1] == max(first, horizon)
    assert len(times) <= 24
