"""The report out of the journal: the same as the one that was returned, at any time, in flat memory."""

import asyncio
import csv
import pickle
import tracemalloc
from collections import Counter

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer
from journal.byhand import NOW, begin, chunk, claim, sent, settle, small_journal
from rawserver import answer_all, fake_number, fake_numbers, raw_server
from smspop_async import (
    Delivery,
    JournalError,
    PartialFailureError,
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    SqliteJournal,
    Status,
    Summary,
    list_sends,
    read_report,
)
from smspop_async.batch import archive
from smspop_async.journal import opening, statements
from smspop_async.journal.base import RejectedRow, SendState
from smspop_async.journal.opening import own

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.002)
SAME = {"message": "Hello!", "sender_id": "DEMO", "name": "Fees", "reconcile": SOON}


def client(raw) -> SmsPop:
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(token="1|fake-token", base_url=raw.base_url, retry=retry, timeout=10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


def essence(outcome) -> tuple:
    """An outcome, without the words that only a live run has for what it did not come to."""
    detail = "" if outcome.status is Status.NOT_SUBMITTED else outcome.detail
    return outcome.index, outcome.phone_number, outcome.status, outcome.line, detail


CELLS = st.one_of(
    st.integers(1, 30).map(fake_number),
    st.sampled_from(["junk", "half \ud800 a pair", "", "0770000003", "\0"]),
)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(CELLS, min_size=1, max_size=40),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=14),
    chunk_size=st.integers(1, 7),
    concurrency=st.integers(1, 4),
    endless=st.booleans(),
)
async def test_the_journal_says_what_the_report_says(
    tmp_path_factory, rows, actions, chunk_size, concurrency, endless
):
    """Under any faults: every row, every count, every campaign, every contradiction, and what stopped it."""
    path = tmp_path_factory.mktemp("archive") / "j.db"
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, client(raw) as sms:
        source = (row for row in rows) if endless else rows
        options = {"chunk_size": chunk_size, "max_concurrency": concurrency, **SAME}
        async with sms.stream(source, suppress=[fake_number(7)], journal=path, **options) as batch:
            given_out = [outcome async for outcome in batch]
    live, read = batch.report, read_report(path)
    outcomes = list(live.outcomes())
    assert sorted(outcome.index for outcome in given_out) == [outcome.index for outcome in outcomes]
    assert [essence(outcome) for outcome in read.outcomes()] == [essence(outcome) for outcome in outcomes]
    assert (read.run, read.name, read.total) == (live.run, live.name, live.total)
    assert (read.counts, read.summary) == (live.counts, live.summary)
    assert str(read.stopped_by or "") == str(live.stopped_by or "")
    if read.stopped_by is not None and (live.counts[Status.UNKNOWN] or live.counts[Status.REJECTED]):
        assert read.stopped_by.delivery is not Delivery.NOT_SENT
    assert Counter(read.discrepancies) == Counter(live.discrepancies)
    # A campaign that waits to be submitted as it is, once more, is none yet in the journal.
    missing = [campaign for campaign in live.campaigns if campaign not in read.campaigns]
    assert {campaign.status for campaign in missing} <= {Status.REJECTED, Status.NOT_SUBMITTED}
    assert len(read.campaigns) + len(missing) == len(live.campaigns)


async def test_a_report_can_be_read_while_the_send_goes_on(path):
    """At every request: the counts add up, what is under way is UNKNOWN, what is to come NOT_SUBMITTED."""
    seen = []
    server = FaultServer(["ok", "some_failed"], on_post=lambda _: seen.append(read_report(path)))
    async with raw_server(server.script) as raw, client(raw) as sms:
        await sms.send(["junk", *fake_numbers(20)], journal=path, chunk_size=2, max_concurrency=1, **SAME)
    for at, report in enumerate(seen):
        assert sum(report.counts.values()) == report.total == 21
        assert report.counts[Status.INVALID] == 1
        assert report.counts[Status.UNKNOWN] == 2
        assert report.counts[Status.NOT_SUBMITTED] == 18 - 2 * at
        assert len(report.campaigns) == at
        assert report.stopped_by is None
    assert seen[-1].summary == Summary(sent=17, failed=1)


@pytest.mark.parametrize("endless", [False, True])
async def test_a_report_that_is_read_in_another_thread_is_true_at_all_times(path, endless):
    """Rows arrive, campaigns are claimed and settled meanwhile: no count below 0, and they add up to the rows."""
    reports = []
    done = anyio.Event()

    async def look() -> None:
        while not done.is_set():
            try:
                reports.append(await anyio.to_thread.run_sync(read_report, path))
            except JournalError as error:
                if not any(words in str(error) for words in ("no journal", "no send", "is empty")):
                    raise

    async with raw_server(answer_all) as raw, client(raw) as sms, anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        numbers = ["junk", *fake_numbers(3_000)] * 2
        source = (number for number in numbers) if endless else numbers
        async with sms.stream(source, journal=path, chunk_size=20, **SAME) as batch:
            await batch.wait()
        done.set()
    assert reports
    for report in reports:
        assert min(report.counts.values()) >= 0
        assert sum(report.counts.values()) == report.total
    assert [report.total for report in reports] == sorted(report.total for report in reports)


# Which.


def three_sends(path) -> None:
    opened = own(path)
    for run, name, rows in (("aaaaaaaaaa", "One", 1), ("bbbbbbbbbb", "Two", 2), ("cccccccccc", "Three", 3)):
        send = begin(opened.connection, run, name=name)
        planned = [chunk(1, range(rows))]
        statements.plan(opened.connection, send=send, chunks=planned, rejected=[], lines=[], total=rows)
    opened.close()


def test_the_last_send_is_meant_unless_one_is_named(path):
    """By its token."""
    three_sends(path)
    assert (read_report(path).name, read_report(str(path), run="bbbbbbbbbb").total) == ("Three", 2)
    with pytest.raises(JournalError) as caught:
        read_report(path, run="zzzzzzzzzz")
    assert str(caught.value) == (
        f"There is no send 'zzzzzzzzzz' in the journal {path}. It has: aaaaaaaaaa, bbbbbbbbbb, cccccccccc."
    )


def test_a_journal_without_a_send_has_no_report(path):
    """And one that is not there has none, and is not made."""
    with pytest.raises(JournalError, match="There is no journal"):
        read_report(path)
    assert not path.exists()
    own(path).close()
    with pytest.raises(JournalError, match=r"There is no send in the journal .*\. It has: none\."):
        read_report(path)


# What.


def test_a_report_is_worked_out_from_what_stands_there(path):
    """Rows that were lost are NOT_SUBMITTED; the time is from the beginning to the last change of a campaign."""
    opened = own(path)
    connection = opened.connection
    send = begin(connection)
    left_out = [RejectedRow(row=4, status=Status.INVALID, shown="junk", detail="no number")]
    planned = [chunk(1, [0, 1]), chunk(2, [2]), chunk(3, [3])]
    statements.plan(connection, send=send, chunks=planned, rejected=left_out, lines=[], total=9)
    claim(connection, send, 1, now=NOW + 1)
    verdict = sent(2, {1: Status.FAILED}, summary=Summary(sent=1, failed=1), discrepancies=("odd", "strange"))
    settle(connection, send, 1, verdict, now=NOW + 5)
    claim(connection, send, 3, now=NOW + 7)
    statements.finish(connection, send=send, words="It was cancelled.", now=NOW)
    opened.close()
    report = read_report(path)
    assert report.counts == dict.fromkeys(Status, 0) | {
        Status.SENT: 1, Status.FAILED: 1, Status.UNKNOWN: 1, Status.INVALID: 1, Status.NOT_SUBMITTED: 5,
    }  # fmt: skip
    assert report.total == 9
    assert report.summary == Summary(sent=1, failed=1)
    assert [(campaign.name, campaign.contacts) for campaign in report.campaigns] == [
        ("Fees [aaaaaaaaaa-0001]", 2)
    ]
    assert report.discrepancies == ("Fees [aaaaaaaaaa-0001]: odd", "Fees [aaaaaaaaaa-0001]: strange")
    assert str(report.stopped_by) == "It was cancelled."
    assert report.elapsed == 7.0
    assert [outcome.index for outcome in report.outcomes()] == list(range(9))
    with pytest.raises(PartialFailureError):
        report.raise_for_failures()


def test_a_send_that_never_began_took_no_time(path):
    """Nothing happened, and a clock that was set back makes no time negative."""
    small_journal(path, chunks=1, contacts=2)
    report = read_report(path)
    assert report.elapsed == 0.0
    opened = own(path)
    claim(opened.connection, 1, 1, now=NOW - 100)
    opened.close()
    assert read_report(path).elapsed == 0.0


def test_a_send_that_was_given_up_has_no_campaigns(path):
    """Its rows were not submitted, and the report says why."""
    small_journal(path, chunks=3, contacts=5)
    opened = own(path)
    statements.mark(opened.connection, send=1, state=SendState.ABANDONED, now=NOW, note="the list broke off")
    opened.close()
    report = read_report(path)
    assert report.counts[Status.NOT_SUBMITTED] == report.total == 15
    assert report.campaigns == ()
    assert str(report.stopped_by) == "the list broke off"
    assert {outcome.detail for outcome in report.outcomes()} == {"the list broke off"}


def test_outcomes_are_read_anew_each_time(path, tmp_path):
    """They are not kept: a report is small, can be pickled, and a file of its rows can be written again and again."""
    small_journal(path, chunks=2, contacts=3)
    report = pickle.loads(pickle.dumps(read_report(path)))
    assert list(report.outcomes()) == list(report.outcomes())
    report.write_csv(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phone_number"] for row in rows] == [fake_number(row) for row in range(6)]
    assert {row["status"] for row in rows} == {"not_submitted"}


def test_a_journal_is_let_go_of_however_the_reading_ends(path):
    """To the end, broken off, by an error: no connection stays open."""
    small_journal(path, chunks=2, contacts=3)
    report = read_report(path)
    outcomes = report.outcomes()
    next(outcomes)
    assert len(opening._known) == 1
    outcomes.close()
    assert opening._known == {}
    list(report.outcomes())
    assert opening._known == {}
    with pytest.raises(JournalError):
        read_report(path, run="zzzzzzzzzz")
    opened = own(path)
    opened.connection.execute("DROP TABLE rejected")
    opened.close()
    for read in (lambda: list(report.outcomes()), lambda: read_report(path)):
        with pytest.raises(JournalError, match="cannot be used"):
            read()
    path.unlink()
    with pytest.raises(JournalError, match="There is no journal"):
        list(report.outcomes())
    assert opening._known == {}


def test_a_send_that_vanished_is_told(path):
    """Another journal of the same name has other sends."""
    small_journal(path, chunks=1)
    report = read_report(path)
    path.unlink()
    three_sends(path)
    opened = own(path)
    opened.connection.execute("DELETE FROM send WHERE run = 'aaaaaaaaaa'")
    opened.close()
    with pytest.raises(JournalError, match="has no send 'aaaaaaaaaa'"):
        list(report.outcomes())


def test_a_long_report_is_read_in_flat_memory(path):
    """A hundred thousand rows, and no more of them in memory than a few pieces."""
    small_journal(path, chunks=200, contacts=500)
    report = read_report(path)
    tracemalloc.start()
    try:
        count = sum(1 for _ in report.outcomes())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 1_500_000


def test_a_report_of_an_archive_shows_no_number(path):
    """Its repr may be logged (law 7)."""
    small_journal(path, chunks=1, contacts=3)
    report = read_report(path)
    assert fake_number(1) not in repr(report)
    assert archive.ArchivedRows(path=path, run=report.run) == report._book


async def test_the_sends_of_a_journal_are_listed_while_it_is_open(path):
    """By whoever asks."""
    async with raw_server(answer_all) as raw, client(raw) as sms, SqliteJournal(path) as journal:
        lists = [fake_numbers(4, 10 * at) for at in range(1, 4)]
        await asyncio.gather(*(sms.send(some, journal=journal, **SAME) for some in lists))
        assert list_sends(path) == await journal.sends()
        assert all(record.finished for record in list_sends(path))
