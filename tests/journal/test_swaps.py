"""Changes of many chunks with one statement: the same as one by one, and nobody's loss is another's."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.byhand import NOW, begin, chunk, in_memory, sent
from smspop_async.api.models import Status
from smspop_async.journal import statements
from smspop_async.journal.base import ChunkState, StaleClaimError, Verdict
from smspop_async.journal.commit import GroupCommit, _Order
from smspop_async.journal.opening import own
from smspop_async.journal.schema import chunk_id
from smspop_async.journal.swaps import Swap, claiming, releasing, settling, swap

pytestmark = pytest.mark.anyio

CHUNKS = 5
VERDICTS = (
    sent(2),
    sent(2, {1: Status.FAILED}, details={1: "no credit"}, detail="odd", discrepancies=("one", "two")),
    Verdict(state=ChunkState.DONE, status=Status.ACCEPTED, detail="found"),
    Verdict(state=ChunkState.FAILED, status=Status.REJECTED, detail="refused \ud800"),
    Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="hung up"),
)


@pytest.fixture
def journal():
    with closing(in_memory()) as connection:
        yield connection


def lay_out(connection: sqlite3.Connection, chunks: int = CHUNKS) -> None:
    assert begin(connection) == 1
    planned = [chunk(seq, [2 * seq, 2 * seq + 1]) for seq in range(1, chunks + 1)]
    statements.plan(connection, send=1, chunks=planned, rejected=[], lines=[], total=2 * chunks + 2)


def everything(connection: sqlite3.Connection) -> tuple[list, list]:
    chunks = connection.execute("SELECT * FROM chunk ORDER BY id").fetchall()
    events = connection.execute("SELECT chunk_id, at, state, note FROM chunk_event ORDER BY chunk_id, id")
    return chunks, events.fetchall()


def states(connection: sqlite3.Connection) -> list[str]:
    return [state for (state,) in connection.execute("SELECT state FROM chunk ORDER BY id")]


def one(kind: str, seq: int, token: int, verdict: Verdict) -> Swap:
    at = chunk_id(1, seq)
    if kind == "claim":
        return claiming(chunk=at, token=token, now=NOW + token)
    if kind == "release":
        return releasing(chunk=at, token=token, now=NOW, status=Status.NOT_SUBMITTED, words="it waits")
    return settling(chunk=at, token=token, now=NOW, verdict=verdict)


CHANGES = st.builds(
    one,
    st.sampled_from(["claim", "claim", "release", "settle", "settle"]),
    st.integers(1, CHUNKS),
    st.integers(1, 2),
    st.sampled_from(VERDICTS),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(CHANGES, max_size=8), max_size=6))
def test_a_group_is_the_same_as_its_orders_one_by_one(groups):
    """Whatever is ordered, stale or not, of whichever chunks: what is written, and who is told of a stale claim."""
    with closing(in_memory()) as together, closing(in_memory()) as apart:
        lay_out(together)
        lay_out(apart)
        commit = GroupCommit.__new__(GroupCommit)
        commit._connection = together
        for group in groups:
            orders = [_Order(act=act) for act in group]
            commit._commit(orders)
            for order in orders:
                try:
                    order.act(apart)
                except StaleClaimError:
                    assert isinstance(order.error, StaleClaimError)
                else:
                    assert order.error is None
        assert everything(together) == everything(apart)


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 140])
def test_any_number_is_changed_at_once(count, journal):
    """Also where the statement is filled up, and where one statement does not hold them."""
    lay_out(journal, count + 1)
    swap(journal, [claiming(chunk=chunk_id(1, seq), token=9, now=NOW) for seq in range(1, count + 1)])
    assert states(journal) == ["submitting"] * count + ["planned"]


def test_a_change_finds_nothing_where_there_is_no_such_chunk(journal):
    """What a statement is filled up with is no chunk, and neither is what was never planned."""
    lay_out(journal)
    with pytest.raises(StaleClaimError, match="was not submitted"):
        claiming(chunk=chunk_id(1, CHUNKS + 1), token=9, now=NOW)(journal)
    with pytest.raises(StaleClaimError, match="was not submitted"):
        claiming(chunk=0, token=0, now=NOW)(journal)
    assert states(journal) == ["planned"] * CHUNKS


async def test_a_chunk_that_was_never_planned_concerns_its_order_alone(journal):
    """A group of changes is one statement, which does not find it: who asked is told, and the others are made."""
    lay_out(journal)
    commit = GroupCommit.__new__(GroupCommit)
    commit._connection = journal
    orders = [_Order(act=claiming(chunk=chunk_id(1, seq), token=9, now=NOW)) for seq in (1, CHUNKS + 1, 2)]
    commit._commit(orders)
    assert [type(order.error) for order in orders] == [type(None), StaleClaimError, type(None)]
    assert states(journal) == ["submitting"] * 2 + ["planned"] * (CHUNKS - 2)
    assert not journal.in_transaction


def test_what_else_a_table_does_not_allow_is_no_stale_claim(journal):
    """It is a failure of the journal."""
    lay_out(journal)
    journal.execute("CREATE TRIGGER no BEFORE UPDATE ON chunk BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        claiming(chunk=chunk_id(1, 1), token=9, now=NOW)(journal)


async def test_one_stale_claim_in_a_group_is_told_to_its_worker_alone(tmp_path):
    """Two workers claim the same chunk in one group, others theirs: one of the two loses, and the rest is durable."""
    opened = own(tmp_path / "j.db")
    lay_out(opened.connection)
    commit = GroupCommit(opened.connection, opened.path, opened.close)
    try:
        claims = [claiming(chunk=chunk_id(1, seq), token=at, now=NOW) for at, seq in enumerate([1, 2, 2, 3])]
        told = await asyncio.gather(*map(commit.run, claims), return_exceptions=True)
        assert [type(error) for error in told] == [type(None), type(None), StaleClaimError, type(None)]
        assert commit.failure is None
        after = await commit.run(
            lambda connection: connection.execute("SELECT state, token FROM chunk").fetchall()
        )
        assert after == [
            ("submitting", 0),
            ("submitting", 1),
            ("submitting", 3),
            ("planned", 0),
            ("planned", 0),
        ]
    finally:
        await commit.aclose()
