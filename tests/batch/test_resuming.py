"""Going on from the journal alone: what was not sent goes out, what may have been sent is looked for, nobody twice."""

import asyncio
import json
import sqlite3
from collections import Counter

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer
from journal.byhand import begin, chunk, claim, sent, settle, small_journal
from rawserver import Peer, Request, answer_all, fake_number, fake_numbers, free_port, raw_server
from smspop_async import (
    AuthenticationError,
    ConfigurationError,
    ContactSourceError,
    InsufficientCreditsError,
    JournalError,
    RateLimit,
    RateLimitError,
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    SqliteJournal,
    Status,
    list_sends,
    read_report,
)
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.recovery import Recovery
from smspop_async.batch.resuming import Resumption, load_rows, open_resumption
from smspop_async.journal import statements, swaps
from smspop_async.journal.base import (
    ChunkState,
    LineRun,
    RejectedRow,
    SendState,
    StoredChunk,
    Verdict,
)
from smspop_async.journal.opening import own
from smspop_async.journal.sends import open_send
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.002)
SAME = {"message": "Hello!", "sender_id": "DEMO", "name": "Fees", "reconcile": SOON}
ARGUMENTS = {
    "journal": "j.db",
    "run": None,
    "resend_unknown": False,
    "max_concurrency": None,
    "rate_limit": None,
    "reconcile": SOON,
    "grace": 10.0,
}


def client(base_url: str, token: str = "1|fake-token") -> SmsPop:  # noqa: S107 - visibly fake
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(token=token, base_url=base_url, retry=retry, timeout=10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


def counts(report) -> dict[Status, int]:
    return {status: count for status, count in report.counts.items() if count}


def names(raw) -> list[str]:
    return [json.loads(post.body)["name"] for post in raw.posts]


def let_go(path) -> bool:
    own(path).close()
    return True


async def stopped(path, numbers: int = 10, actions: tuple[str, ...] = ("ok", "402"), **options):
    """A send that stops: as a rule two contacts were sent to, and the others were not."""
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        arguments = {"chunk_size": 2, "max_concurrency": 1, **SAME, **options}
        report = await sms.send(fake_numbers(numbers), journal=path, **arguments)
    return server, report


# Which send.


async def test_a_journal_is_needed(path):
    """None is made where there is none."""
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        with pytest.raises(JournalError, match="There is no journal"):
            await sms.resume(path)
        assert raw.requests == []
    assert not path.exists()


async def test_a_journal_without_a_send_is_none_to_go_on_with(path):
    """And a send that is not in it is not there."""
    own(path).close()
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        with pytest.raises(JournalError, match="There is no send in the journal"):
            await sms.resume(path)
        with pytest.raises(JournalError, match=r"There is no send 'zzzzzzzzzz' in the journal .* lists them"):
            await sms.resume(path, run="zzzzzzzzzz")
        assert raw.requests == []
    assert let_go(path)


async def test_of_several_that_are_not_finished_one_must_be_named(path):
    """Nobody guesses; the words name them all, and the one that is named is finished."""
    _, first = await stopped(path)
    _, second = await stopped(path)
    await stopped(path, actions=("ok",) * 5)
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        with pytest.raises(ConfigurationError) as caught:
            await sms.resume(path)
        assert f"2 sends in {path} are not finished: {first.run}, {second.run}." in str(caught.value)
        assert f"run='{first.run}'" in str(caught.value)
        assert raw.requests == []
        assert let_go(path)
        report = await sms.resume(path, run=second.run)
        assert report.run == second.run
        assert counts(report) == {Status.SENT: 10}
        report = await sms.resume(path)  # one is left, so that it need not be named
        assert report.run == first.run
        assert len(raw.posts) == 8


@pytest.mark.parametrize("named", [True, False])
async def test_a_send_that_is_finished_is_not_sent_again(path, named):
    """To resume twice is to be told the same twice."""
    server, live = await stopped(path, actions=("ok", "some_failed", "row_missing", "422_contacts"))
    first = server.posts
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        reports = [await sms.resume(path, run=live.run if named else None, reconcile=SOON) for _ in range(3)]
    assert server.posts == first
    for report in reports:
        assert list(report.outcomes()) == list(live.outcomes())
        assert (report.counts, report.summary) == (live.counts, live.summary)
        assert report.campaigns == live.campaigns
        assert report.discrepancies == live.discrepancies
        assert report.stopped_by is None
    assert let_go(path)


async def test_the_last_one_is_meant_where_all_are_finished(path):
    """Without a name."""
    await stopped(path, numbers=2, actions=())
    _, last = await stopped(path, numbers=4, actions=())
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path)
    assert (report.run, report.total, len(raw.posts)) == (last.run, 4, 0)


async def test_a_send_that_is_under_way_in_this_program_is_not_resumed(path):
    """The journal is shared by a program; two runs of one send are not."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        arrived.set()
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw.base_url) as sms, SqliteJournal(path) as journal:
        sending = asyncio.ensure_future(sms.send(fake_numbers(6), journal=journal, chunk_size=2, **SAME))
        await arrived.wait()
        with pytest.raises(JournalError, match="is under way already, by this process"):
            await sms.resume(journal)
        assert len(raw.posts) == 1
        release.set()
        assert counts(await sending) == {Status.SENT: 6}
        assert counts(await sms.resume(journal)) == {Status.SENT: 6}
        assert len(raw.posts) == 3


# Where to.


@pytest.mark.parametrize("turns", [0, 1, 5, 20])
async def test_two_resumes_at_once_are_one(path, turns):
    """The second is told that somebody is at it: its own account would say of people that they were not texted."""
    await stopped(path)
    release = asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw.base_url) as sms, SqliteJournal(path) as journal:
        resumes = [asyncio.ensure_future(sms.resume(journal))]
        for _ in range(turns):
            await asyncio.sleep(0)
        resumes.append(asyncio.ensure_future(sms.resume(journal)))
        # Which of them is first is up to the threads in which they look at the file.
        (refused,), (other,) = await asyncio.wait(resumes, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(JournalError, match="under way already"):
            await refused
        release.set()
        assert counts(await other) == {Status.SENT: 10}
        assert counts(await sms.resume(journal)) == {Status.SENT: 10}  # it has been let go of


async def test_what_stopped_a_send_is_no_reason_once_it_goes_on(path):
    """Whoever reads the report meanwhile, or after a crash of the resume, is not told to buy what was bought."""
    await stopped(path)
    assert "402" in str(read_report(path).stopped_by)
    seen = []

    async def look(peer: Peer, request: Request) -> None:
        seen.append(read_report(path).stopped_by)
        await answer_all(peer, request)

    async with raw_server(look) as raw, client(raw.base_url) as sms:
        await sms.resume(path)
    assert seen == [None] * 4


@pytest.mark.parametrize("there", ["https://sms.example/api", "http://192.0.2.1/api"])
@pytest.mark.filterwarnings("ignore::smspop_async.config.PlaintextTokenWarning")
async def test_what_was_planned_for_a_sandbox_does_not_reach_people(path, there):
    """A test's journal and the real address do not go together."""
    _, live = await stopped(path)
    async with client(there) as sms:
        with pytest.raises(ConfigurationError) as caught:
            await sms.resume(path)
    assert f"The send {live.run} was planned for http://127.0.0.1:" in str(caught.value)
    assert "Nothing was sent." in str(caught.value)
    assert let_go(path)
    assert list_sends(path)[0].contacts[ChunkState.PLANNED] == 8


async def test_what_was_planned_for_people_is_not_sent_to_a_sandbox(path):
    """They would stand in the journal as texted, and would not be."""
    small_journal(path, chunks=1, contacts=2)
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE send SET base_url = 'https://sms.example/api', settings = ?", (json.dumps(KEPT),)
    )
    connection.commit()
    connection.close()
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        with pytest.raises(ConfigurationError, match="Nothing was sent"):
            await sms.resume(path)
        assert raw.requests == []
    assert let_go(path)


async def test_a_sandbox_may_have_another_port_the_next_time(path):
    """Both are on this machine."""
    await stopped(path)
    async with raw_server(answer_all) as raw:
        async with client(raw.base_url.replace("127.0.0.1", "localhost")) as sms:
            assert counts(await sms.resume(path)) == {Status.SENT: 10}


# How.


async def opened(path, **changes):
    """The settings of a resumed run, without running it."""
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        run, source = await open_resumption(
            sms, Resumption(**{**ARGUMENTS, "journal": path, **changes}), None
        )
        await source.aclose()
    return run.settings


async def test_a_resume_goes_as_the_send_went(path):
    """With its pace and its policies, unless it is told otherwise."""
    limit = RateLimit(requests_per_second=1e6)
    _, live = await stopped(path, max_concurrency=3, rate_limit=limit, canary=False, adaptive=True)
    kept = await opened(path)
    assert (kept.run, kept.name, kept.sender_id) == (live.run, "Fees", "DEMO")
    assert (kept.max_concurrency, kept.rate_limit) == (3, limit)
    assert (kept.canary, kept.adaptive, kept.reconcile) == (False, True, SOON)
    other = RateLimit(contacts_per_second=5.0)
    told = await opened(path, max_concurrency=7, rate_limit=other, reconcile=None)
    assert (told.max_concurrency, told.rate_limit, told.reconcile) == (7, other, None)
    assert let_go(path)


async def test_a_send_without_a_limit_is_resumed_without_one(path):
    """And with one where it is told."""
    await stopped(path)
    assert (await opened(path)).rate_limit is None
    assert (await opened(path, rate_limit=RateLimit(contacts_per_second=9.0))).rate_limit is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrency": 0},
        {"max_concurrency": 1_001},
        {"max_concurrency": "3"},
        {"max_concurrency": True},
        {"rate_limit": 5},
        {"reconcile": 60},
        {"grace": -1},
        {"grace": float("nan")},
        {"grace": None},
        {"grace": "1"},
    ],
)
async def test_settings_that_make_no_sense_are_refused(path, wrong):
    """Before the journal is opened."""
    await stopped(path)
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        with pytest.raises(ConfigurationError):
            await sms.resume(path, **wrong)
        with pytest.raises(ConfigurationError):
            sms.resume_stream(path, **wrong)
        assert raw.requests == []


async def test_as_many_go_at_once_as_it_is_told(path):
    """`max_concurrency` of a resume is the resume's."""
    await stopped(path, numbers=40, actions=("402",))
    under_way = most = 0
    full = asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 5:
            full.set()
        if len(raw.posts) > 1:  # the canary goes alone
            await full.wait()
        under_way -= 1
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, max_concurrency=5)
    assert most == 5
    assert counts(report) == {Status.SENT: 40}


# What is sent.


async def test_only_what_was_not_sent_is_sent(path):
    """Under names that go on where the others ended, from the text and the sender in the journal."""
    server, live = await stopped(path)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path)
    # The campaign that the account could not pay has its number already.
    assert names(raw) == [f"Fees [{live.run}-{seq:04}]" for seq in (2, 3, 4, 5)]
    assert {json.loads(post.body)["sender_id"] for post in raw.posts} == {"DEMO"}
    assert {json.loads(post.body)["message"] for post in raw.posts} == {"Hello!"}
    assert server.texted == Counter(fake_numbers(10))
    assert report.run == live.run
    assert [campaign.name for campaign in report.campaigns] == [
        f"Fees [{live.run}-{seq:04}]" for seq in range(1, 6)
    ]
    assert counts(report) == {Status.SENT: 10}
    assert report.summary.sent == 10


OF_THE_ACCOUNT = {
    "credits": (lambda sandbox: setattr(sandbox, "credits", 3), InsufficientCreditsError),
    "token": (lambda sandbox: sandbox.revoke_token(), AuthenticationError),
    "inactive": (lambda sandbox: setattr(sandbox, "active", False), None),
}


@pytest.mark.parametrize("reason", OF_THE_ACCOUNT)
async def test_what_the_account_was_refused_for_is_sent_when_the_account_is_well(path, reason):
    """Credits are topped up, the token is renewed, the account is enabled: the same campaigns go out, once."""
    spoil, error = OF_THE_ACCOUNT[reason]
    async with Sandbox(token="1|fake-token", credits=1_000) as sandbox:
        spoil(sandbox)
        async with client(sandbox.api_url) as sms:
            live = await sms.send(fake_numbers(12), journal=path, chunk_size=2, max_concurrency=1, **SAME)
            assert isinstance(live.stopped_by, error or Exception)
            assert live.counts[Status.REJECTED] == 2
            (record,) = list_sends(path)
            assert ChunkState.FAILED not in record.chunks
            assert read_report(path).counts == live.counts
        sandbox.credits, sandbox.active = 1_000, True
        async with client(sandbox.api_url, sandbox.create_token()) as sms:
            report = await sms.resume(path)
        assert counts(report) == {Status.SENT: 12}
        assert report.stopped_by is None
        assert Counter(message.to for message in sandbox.messages()) == Counter(fake_numbers(12))


async def test_what_is_refused_again_is_planned_again(path):
    """As often as it takes."""
    await stopped(path)
    for _ in range(3):
        server = FaultServer(["402"])
        async with raw_server(server.script) as raw, client(raw.base_url) as sms:
            report = await sms.resume(path)
        assert isinstance(report.stopped_by, InsufficientCreditsError)
        assert counts(report) == {Status.SENT: 2, Status.REJECTED: 2, Status.NOT_SUBMITTED: 6}
        assert server.posts == 1
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        assert counts(await sms.resume(path)) == {Status.SENT: 10}


async def test_what_was_turned_away_by_the_pace_is_sent_later(path):
    """429 to the last attempt says nothing of the campaign."""
    _, live = await stopped(path, actions=("ok", "429", "429", "429"))
    assert isinstance(live.stopped_by, RateLimitError)
    server = FaultServer()
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        assert counts(await sms.resume(path)) == {Status.SENT: 10}
    assert server.texted == Counter(fake_numbers(10, 3)[:8])


@pytest.mark.parametrize("action", ["422_contacts", "200_false"])
async def test_what_the_api_refused_for_itself_stays_refused(path, action):
    """A resume does not knock again with what was turned away for what it is."""
    server, live = await stopped(path, numbers=3, actions=("ok", action, "402"))
    assert live.counts[Status.REJECTED] >= 1
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path)
    assert report.stopped_by is None
    assert [outcome.status for outcome in report.outcomes()] == [Status.SENT, Status.SENT, Status.REJECTED]


async def test_a_sender_that_was_not_the_accounts_is_put_right(path):
    """What is refused for a reason that concerns every campaign is sent when that is put right, and not before."""
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox.api_url) as sms:
        options = {**SAME, "sender_id": "NEW", "journal": path, "chunk_size": 2}
        live = await sms.send(fake_numbers(6), **options)
        assert counts(live) == {Status.REJECTED: 2, Status.NOT_SUBMITTED: 4}
        again = await sms.resume(path)
        assert counts(again) == {Status.REJECTED: 2, Status.NOT_SUBMITTED: 4}
        assert [request.status for request in sandbox.requests] == [422, 422]
        sandbox.add_sender("NEW")
        assert counts(await sms.resume(path)) == {Status.SENT: 6}
        assert Counter(message.to for message in sandbox.messages()) == Counter(fake_numbers(6))


async def test_halves_that_were_not_sent_are_sent(path):
    """A campaign that was cut in two is finished by its halves, whichever of them had its turn."""
    server, _ = await stopped(path, numbers=8, actions=("413", "ok", "402"), chunk_size=8)
    assert sum(server.texted.values()) == 4
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path)
    assert server.texted == Counter(fake_numbers(8))
    assert counts(report) == {Status.SENT: 8}


async def test_a_resume_that_cannot_connect_sends_nothing_and_says_so(path):
    """What never left is planned as before."""
    await stopped(path)
    async with client(f"http://127.0.0.1:{free_port()}/api") as sms:
        report = await sms.resume(path)
    assert report.stopped_by is not None
    assert counts(report) == {Status.SENT: 2, Status.NOT_SUBMITTED: 8}
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        assert counts(await sms.resume(path)) == {Status.SENT: 10}


# What may have been sent.


async def unknown(path, action: str, **options):
    """A send of one campaign whose outcome is unknown, and the server that knows it."""
    server, live = await stopped(path, numbers=2, actions=(action,), reconcile=None, **options)
    assert counts(live) == {Status.UNKNOWN: 2}
    return server, live


@pytest.mark.parametrize("resend", [False, True])
async def test_what_is_found_is_not_sent_again(path, resend):
    """The list has it: it was sent. Whatever was asked for, nobody is texted twice."""
    server, _ = await unknown(path, "hang_up_after")
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=resend, reconcile=SOON)
    assert counts(report) == {Status.ACCEPTED: 2}
    assert raw.posts == []
    assert server.texted == Counter(fake_numbers(2))
    assert list(read_report(path).outcomes()) == list(report.outcomes())


async def test_what_is_not_found_is_held(path):
    """That it is not in the list proves nothing; it is looked for again by the next resume."""
    server, _ = await unknown(path, "hang_up_before")
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        for _ in range(2):
            report = await sms.resume(path, reconcile=SOON)
            assert counts(report) == {Status.UNKNOWN: 2}
            assert report.stopped_by is None
        assert raw.posts == []
        assert len(raw.requests) == 2
        server.campaigns.append(report.campaigns[0].name)  # it had been waiting in the server's queue
        assert counts(await sms.resume(path, reconcile=SOON)) == {Status.ACCEPTED: 2}
    assert raw.posts == []


async def test_what_is_not_found_is_sent_again_where_that_was_asked_for(path):
    """As a new campaign with a new name, so that the two can be told apart in the list."""
    server, live = await unknown(path, "hang_up_before")
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert names(raw) == [f"Fees [{live.run}-0002]"]
    assert counts(report) == {Status.SENT: 2}
    assert [campaign.name for campaign in report.campaigns] == names(raw)
    assert list_sends(path)[0].chunks == {ChunkState.REPLACED: 1, ChunkState.DONE: 1}
    assert list(read_report(path).outcomes()) == list(report.outcomes())


async def test_a_second_try_that_is_turned_away_is_tried_again_under_its_name(path):
    """429 gives its claim back and takes it anew: it is one campaign, and what it is a try of is replaced once."""
    _, live = await unknown(path, "hang_up_before")
    server = FaultServer(["429", "ok"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert names(raw) == [f"Fees [{live.run}-0002]"] * 2
    assert counts(report) == {Status.SENT: 2}
    assert list_sends(path)[0].chunks == {ChunkState.REPLACED: 1, ChunkState.DONE: 1}


async def test_what_could_not_be_looked_for_is_not_sent_again(path):
    """The list could not be read, as in the hour in which outcomes get lost: that is not to be missing from it."""
    server, _ = await unknown(path, "hang_up_after")
    server.listing = False
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
        assert counts(report) == {Status.UNKNOWN: 2}
        assert server.texted == Counter(fake_numbers(2))
        server.listing = True
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert counts(report) == {Status.ACCEPTED: 2}
    assert raw.posts == []


async def test_what_is_sent_again_goes_first(path):
    """Those who wait longest, before the rest of the list."""
    _, live = await stopped(path, actions=("hang_up_before", "402"), reconcile=None)
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert counts(report) == {Status.SENT: 10}
    assert sorted(names(raw)) == [f"Fees [{live.run}-{seq:04}]" for seq in range(2, 7)]


@pytest.mark.parametrize("action", ["422_contacts", "402", "429", "200_false"])
async def test_a_second_try_that_is_refused_proves_nothing_of_the_first(path, action):
    """Its contacts may have been texted by the first one: they stay UNKNOWN, and the words tell both stories."""
    await unknown(path, "hang_up_before")
    server = FaultServer([action] * 9)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert counts(report) == {Status.UNKNOWN: 2}
    assert read_report(path).counts == report.counts
    assert any("the second try" in outcome.detail for outcome in report.outcomes())


async def test_a_second_try_that_never_leaves_proves_nothing_of_the_first(path):
    """Nor does one for which there is no connection."""
    server, _ = await unknown(path, "hang_up_before")
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        post = sms.submitter.transport.post

        async def unconnected(url, *rest):
            return await post(url.with_port(free_port()), *rest)

        sms.submitter.transport.post = unconnected
        report = await sms.resume(path, resend_unknown=True, reconcile=SOON)
    assert counts(report) == {Status.UNKNOWN: 2}
    assert read_report(path).counts == report.counts


async def test_without_looking_what_is_unknown_stays_so(path):
    """`reconcile=None` asks the server nothing."""
    server, _ = await unknown(path, "hang_up_after")
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, reconcile=None)
    assert counts(report) == {Status.UNKNOWN: 2}
    assert raw.requests == []


async def test_many_of_unknown_outcome_are_looked_for(path):
    """More than are read at once, all with one look at the list, in little time whatever their age."""
    server, live = await stopped(
        path, numbers=80, actions=("hang_up_after", "hang_up_before") * 9, reconcile=None, max_concurrency=1
    )
    doubted = live.counts[Status.UNKNOWN]
    assert doubted == 36
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, reconcile=SOON, max_concurrency=40)
    assert counts(report) == {Status.ACCEPTED: 18, Status.UNKNOWN: 18, Status.SENT: 44}
    assert max(server.texted.values()) == 1
    assert list(read_report(path).outcomes()) == list(report.outcomes())


async def test_a_claim_is_as_old_as_it_is_and_never_from_the_future():
    """Clocks are set back: a campaign was submitted before now all the same."""

    class Log:
        async def last_seq(self) -> int:
            return 3

        async def unknown(self, *, after: int, limit: int):
            found = {1: 90.0, 2: 250.0, 3: None, 4: 90.0}
            return [stored(seq, at) for seq, at in found.items() if seq > after][:limit]

    def stored(seq: int, at: float | None):
        verdict = Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="hung up")
        return StoredChunk(planned=chunk(seq, [seq]), verdict=verdict, token=1, claimed_at=at)

    recovery = Recovery(log=Log(), resend=True, now=lambda: 100.0)
    found = [(each.seq, reason, age) async for each, reason, age in recovery.unknown()]
    assert found == [(1, "hung up", 10.0), (2, "hung up", 0.001), (3, "hung up", 100.0)]


# Truth.


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 24),
    stops=st.lists(st.lists(st.sampled_from(ACTIONS), max_size=8), min_size=1, max_size=4),
    chunk_size=st.integers(1, 5),
    concurrency=st.integers(1, 3),
)
async def test_however_often_it_stops_nobody_is_texted_twice(
    tmp_path_factory, count, stops, chunk_size, concurrency
):
    """Stopped and resumed under any faults: nobody twice, every row once, and in the end the ledger agrees."""
    path = tmp_path_factory.mktemp("resumed") / "j.db"
    rows = [*fake_numbers(count), "junk", fake_number(1)]
    server = FaultServer(stops[0])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        options = {"chunk_size": chunk_size, "max_concurrency": concurrency, **SAME}
        report = await sms.send(rows, journal=path, **options)
        for actions in [*stops[1:], []]:
            server._actions = iter(actions)
            report = await sms.resume(path, reconcile=SOON)
            assert sum(report.counts.values()) == report.total == len(rows)
            assert [outcome.phone_number for outcome in report.outcomes()] == rows
    assert max(server.texted.values(), default=0) <= 1
    assert report.stopped_by is None
    assert not report.counts[Status.NOT_SUBMITTED]
    for outcome in report.outcomes():
        texted = server.texted[outcome.phone_number]
        if outcome.status is Status.REJECTED:
            assert not texted
        if outcome.status in (Status.SENT, Status.FAILED, Status.ACCEPTED):
            assert texted
    assert list(read_report(path).outcomes()) == list(report.outcomes())
    (record,) = list_sends(path)
    assert not {ChunkState.PLANNED, ChunkState.SUBMITTING} & record.chunks.keys()
    assert let_go(path)


# A resume that ends early.


async def test_a_resumed_stream_gives_out_what_is_decided_now(path):
    """Those of earlier processes are in the report, not in the stream."""
    await stopped(path)
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        async with sms.resume_stream(path) as batch:
            outcomes = [outcome async for outcome in batch]
    assert sorted(outcome.index for outcome in outcomes) == list(range(2, 10))
    assert counts(batch.report) == {Status.SENT: 10}


async def test_a_resumed_stream_may_be_left(path):
    """What was not sent by then is planned as before."""
    server, _ = await stopped(path, numbers=60)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        async with sms.resume_stream(path, max_concurrency=1) as batch:
            async for _ in batch:
                break
        assert sum(batch.report.counts.values()) == 60
        assert let_go(path)
        assert counts(await sms.resume(path)) == {Status.SENT: 60}
    assert server.texted == Counter(fake_numbers(60))


async def test_a_resume_that_is_cancelled_is_resumed(path):
    """The lock is free, and what was under way is looked for."""
    server, _ = await stopped(path)
    arrived = asyncio.Event()

    async def never(peer: Peer, request: Request) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with raw_server(never) as raw, client(raw.base_url) as sms:
        task = asyncio.ensure_future(sms.resume(path, grace=0))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert counts(caught.value.report) == {Status.SENT: 2, Status.UNKNOWN: 2, Status.NOT_SUBMITTED: 6}
        assert let_go(path)
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path, reconcile=SOON)
    assert counts(report) == {Status.SENT: 8, Status.UNKNOWN: 2}


@pytest.mark.parametrize("native", [True, False], ids=["asyncio", "anyio"])
@pytest.mark.parametrize("turns", [1, 3, 8, 20])
async def test_a_resume_that_is_cancelled_while_it_loads_lets_go(path, native, turns):
    """Whenever that is: before, while or after the journal is read."""
    await stopped(path, numbers=200, chunk_size=5)
    async with raw_server(answer_all) as raw, client(raw.base_url) as sms:
        scope = anyio.CancelScope()

        async def resume() -> None:
            with scope:
                await sms.resume(path, reconcile=SOON)

        task = asyncio.ensure_future(resume())
        for _ in range(turns):
            await asyncio.sleep(0)
        if native:
            task.cancel()
        else:
            scope.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with anyio.fail_after(10):
            while True:
                try:
                    assert let_go(path)
                    break
                except JournalError:
                    await asyncio.sleep(0)
        assert counts(await sms.resume(path, reconcile=SOON)).get(Status.SENT, 0) >= 195


async def test_what_stops_a_resume_is_said_before_what_was_not_read(path):
    """One reason is given: that which keeps the rest from going out now."""
    opened = own(path)
    begin(opened.connection, base_url="http://127.0.0.1/api", settings=KEPT)
    statements.plan(
        opened.connection, send=1, chunks=[chunk(1, [0]), chunk(2, [1])], rejected=[], lines=[], total=5
    )
    statements.mark(opened.connection, send=1, state=SendState.STREAMING, now=0.0)
    opened.close()
    server = FaultServer(["402"])
    async with raw_server(server.script) as raw, client(raw.base_url) as sms:
        report = await sms.resume(path)
        assert isinstance(report.stopped_by, InsufficientCreditsError)
        assert counts(report) == {Status.REJECTED: 1, Status.NOT_SUBMITTED: 4}
        report = await sms.resume(path)
        assert isinstance(report.stopped_by, ContactSourceError)
        assert counts(report) == {Status.SENT: 2, Status.NOT_SUBMITTED: 3}
        assert "up to row 5" in str(report.stopped_by)
        report = await sms.resume(path)  # and it says so each time, for those rows are still missing
        assert isinstance(report.stopped_by, ContactSourceError)
    assert server.posts == 3


KEPT = {
    "max_concurrency": 2,
    "rate_limit": None,
    "reconcile": None,
    "canary": True,
    "adaptive": False,
}


# Loading.


async def test_every_row_is_loaded_as_it_is(path):
    """Lines in part, rows left out, exceptions and explanations, and rows that wait."""
    opened = own(path)
    connection = opened.connection
    begin(connection)
    out = [
        RejectedRow(row=row, status=Status.DUPLICATE, shown=fake_number(0), detail="twice") for row in (3, 7)
    ]
    planned = [chunk(1, [0, 1, 2]), chunk(2, [4, 6]), chunk(3, [5]), chunk(4, [8])]
    lines = [LineRun(row=2, line=10), LineRun(row=5, line=20), LineRun(row=8, line=None)]
    statements.plan(connection, send=1, chunks=planned, rejected=out, lines=lines, total=10)
    for seq in (1, 2, 4):
        claim(connection, 1, seq)
    settle(connection, 1, 1, sent(3, {1: Status.FAILED}, details={1: "no credit"}))
    words = {"token": 77, "now": 0.0}
    swaps.releasing(chunk=(1 << 32) + 2, **words, status=Status.REJECTED, words="refused")(connection)
    opened.close()
    reader, book = open_send(path, "aaaaaaaaaa"), OutcomeBook()
    await load_rows(reader, book)
    reader.close()
    assert len(book) == 10
    assert [(outcome.index, outcome.status, outcome.detail, outcome.line) for outcome in book.outcomes()] == [
        (0, Status.SENT, "", None),
        (1, Status.FAILED, "no credit", None),
        (2, Status.SENT, "", 10),
        (3, Status.DUPLICATE, "twice", 11),
        (7, Status.DUPLICATE, "twice", 22),
        (8, Status.UNKNOWN, "", None),
        (
            9,
            Status.NOT_SUBMITTED,
            "read, but not yet in the journal when the process died; it was not sent",
            None,
        ),
    ]  # rows 4, 5 and 6 wait: they get their outcomes from the run
    assert book.settled == 7


async def test_a_long_send_is_loaded_in_slabs(path):
    """Pieces of many sizes, and no slab far larger than two thousand rows."""
    small_journal(path, chunks=30, contacts=333)
    reader, book = open_send(path, "aaaaaaaaaa"), OutcomeBook()
    await load_rows(reader, book)
    reader.close()
    assert len(book) == 9_990
    slabs = list(book.slabs(0))
    assert max(count for _, count, _ in slabs) < 4_000
