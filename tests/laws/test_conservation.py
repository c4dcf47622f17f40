"""Law 1, Conservation: every input row gets exactly one outcome, under any fault, including cancellation."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, PROCESSED, UNPROCESSED, FaultServer
from rawserver import fake_number, raw_server
from smspop_async import ReconcilePolicy, RetryPolicy, SmsPop, Status

pytestmark = pytest.mark.anyio

ROWS = st.lists(
    st.one_of(
        st.integers(0, 40).map(fake_number),
        st.integers(0, 40).map(lambda n: "0" + fake_number(n)[3:]),
        st.sampled_from(["", "12", None, "2.63772E+11", "263770000001,263770000002", "a\nb", 7, object()]),
    ),
    max_size=60,
)
PATIENCE = ReconcilePolicy(first=0.001, horizon=0.003)


def check(report, rows, outcomes) -> None:
    """The account adds up, row by row."""
    outcomes = list(outcomes)
    assert sum(report.counts.values()) == report.total
    assert Counter(outcome.status for outcome in outcomes) == Counter(
        {status: count for status, count in report.counts.items() if count}
    )
    assert sorted(outcome.index for outcome in outcomes) == list(range(report.total))
    assert report.total <= len(rows)


@settings(max_examples=120, deadline=None)
@given(
    rows=ROWS,
    actions=st.lists(st.sampled_from(ACTIONS), max_size=12),
    chunk_size=st.integers(1, 9),
    concurrency=st.integers(1, 4),
    canary=st.booleans(),
    reconcile=st.sampled_from([None, PATIENCE]),
    listing=st.booleans(),
    kind=st.sampled_from(["list", "generator", "async"]),
)
async def test_every_row_gets_one_outcome_under_any_fault(
    rows, actions, chunk_size, concurrency, canary, reconcile, listing, kind
):
    """Whatever the server does, the counts of the report add up to the rows read, and each row has one outcome."""
    server = FaultServer(actions, listing=listing)
    async with raw_server(server.script) as raw, make_client(raw) as sms:
        report = await sms.send(
            SOURCES[kind](rows),
            message="Hello!",
            sender_id="DEMO",
            chunk_size=chunk_size,
            max_concurrency=concurrency,
            canary=canary,
            reconcile=reconcile,
        )
    check(report, rows, report.outcomes())
    if kind == "list" or report.stopped_by is None:
        assert report.total == len(rows)


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    actions=st.lists(st.sampled_from(ACTIONS), max_size=12),
    chunk_size=st.integers(1, 9),
    leave_after=st.one_of(st.none(), st.integers(0, 30)),
)
async def test_a_stream_gives_every_row_once_and_its_report_is_true_when_left_early(
    rows, actions, chunk_size, leave_after
):
    """A stream read to its end gives each row exactly once; left early, its report still has all rows."""
    server = FaultServer(actions)
    got = []
    async with raw_server(server.script) as raw, make_client(raw) as sms:
        async with sms.stream(
            rows, message="Hello!", sender_id="DEMO", chunk_size=chunk_size, reconcile=PATIENCE
        ) as batch:
            if leave_after != 0:
                async for outcome in batch:
                    got.append(outcome)
                    if leave_after is not None and len(got) >= leave_after:
                        break
    check(batch.report, rows, batch.report.outcomes())
    if leave_after is None:
        assert sorted(got, key=lambda outcome: outcome.index) == list(batch.report.outcomes())
    assert len({outcome.index for outcome in got}) == len(got)


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(1, 60),
    actions=st.lists(st.sampled_from(PROCESSED + UNPROCESSED), max_size=12),
    chunk_size=st.integers(1, 9),
    cancel_at=st.integers(1, 8),
    grace=st.sampled_from([0.0, 5.0]),
    kind=st.sampled_from(["list", "generator", "async"]),
)
async def test_a_cancelled_run_accounts_for_every_row(count, actions, chunk_size, cancel_at, grace, kind):
    """Cancelling re-raises, the partial report is on the exception, and nobody who was texted counts as unsent."""
    rows = [fake_number(n) for n in range(count)]
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, make_client(raw) as sms:
        task = asyncio.ensure_future(
            sms.send(
                SOURCES[kind](rows),
                message="Hello!",
                sender_id="DEMO",
                chunk_size=chunk_size,
                max_concurrency=3,
                reconcile=PATIENCE,
                grace=grace,
            )
        )
        server.on_post = lambda posts: task.cancel() if posts == cancel_at else None
        try:
            report = await task
            assert server.posts < cancel_at or report.total == count
        except asyncio.CancelledError as cancelled:
            report = cancelled.report
            assert report.cancelled
    outcomes = list(report.outcomes())
    check(report, rows, outcomes)
    if kind == "list":
        assert report.total == len(rows)
    unsent = {
        outcome.phone_number
        for outcome in outcomes
        if outcome.status in (Status.NOT_SUBMITTED, Status.REJECTED, Status.INVALID)
    }
    assert not unsent & set(server.texted)


async def _async(rows):
    for row in rows:
        yield row


SOURCES = {"list": list, "generator": iter, "async": _async}


def make_client(raw) -> SmsPop:
    return SmsPop(
        token="1|fake-token",
        base_url=raw.base_url,
        retry=RetryPolicy(attempts=2, initial_backoff=0.0, max_backoff=0.0),
        timeout=5,
    )


@settings(max_examples=40, deadline=None)
@given(
    picks=st.lists(st.integers(0, 150), max_size=150),
    fresh=st.integers(0, 150),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=8),
    chunk_size=st.integers(20, 50),
    suppressed=st.sets(st.integers(0, 150), max_size=10),
    kind=st.sampled_from(["list", "generator", "async"]),
)
async def test_every_row_of_clean_slabs_and_large_campaigns_gets_one_outcome(
    picks, fresh, actions, chunk_size, suppressed, kind
):
    """The same where rows are sorted in bulk and replies read by proof: nothing but numbers, some of them twice."""
    rows = [fake_number(1_000 + n) for n in range(fresh)] + [fake_number(n) for n in picks]
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, make_client(raw) as sms:
        report = await sms.send(
            SOURCES[kind](rows),
            message="Hello!",
            sender_id="DEMO",
            chunk_size=chunk_size,
            suppress=[fake_number(n) for n in sorted(suppressed)],
            reconcile=PATIENCE,
        )
    check(report, rows, report.outcomes())
    assert [outcome.phone_number for outcome in report.outcomes()] == rows[: report.total]
    if kind == "list" or report.stopped_by is None:
        assert report.total == len(rows)
        assert report.counts[Status.SUPPRESSED] == sum(n in suppressed for n in picks)
        assert report.counts[Status.DUPLICATE] == sum(
            n in picks[:at] and n not in suppressed for at, n in enumerate(picks)
        )
