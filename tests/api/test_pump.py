"""The pump: pieces of work are spread over the turns of the event loop, and all of them get their turn."""

import asyncio

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smspop_async.api.pump import Pump

pytestmark = pytest.mark.anyio


class Work:
    """Pieces of work with costs on a clock of their own; notes in which turn of the loop each was done."""

    def __init__(self, budget: float = 1.0) -> None:
        self.now = 0.0
        self.turn = 0
        self.done: list[tuple[int, float]] = []
        self.pump = Pump(lambda: self.now, budget)

    async def piece(self, cost: float) -> None:
        await self.pump.turn()
        self.pump.begin()
        self.now += cost
        self.done.append((self.turn, cost))

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    async def run(self, costs: list[float]) -> dict[int, float]:
        counting = asyncio.ensure_future(self.count_turns())
        async with asyncio.timeout(20):
            await asyncio.gather(*map(self.piece, costs))
        counting.cancel()
        spent: dict[int, float] = {}
        for turn, cost in self.done:
            spent[turn] = spent.get(turn, 0.0) + cost
        return spent


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.01, 2.0), max_size=40))
async def test_everybody_gets_a_turn_and_no_turn_holds_more_than_two_budgets_and_two_pieces(costs):
    """All pieces are done, and a turn of the loop stays small: the pump's own turn may straddle two of the loop's."""
    work = Work()
    spent = await work.run(costs)
    assert sorted(cost for _, cost in work.done) == sorted(costs)
    assert max(spent.values(), default=0) <= 2 * (1.0 + max(costs, default=0)) + 1e-9


async def test_equal_pieces_of_a_whole_budget_are_spread_out():
    """Sixteen pieces that each fill the budget never come three to a turn."""
    work = Work()
    spent = await work.run([1.0] * 16)
    assert len(spent) >= 8
    assert max(spent.values()) <= 2.0


async def test_small_pieces_go_straight_on_without_an_await():
    """Below the budget nobody waits: the loop does not turn between the pieces."""
    work = Work()
    for _ in range(9):
        coroutine = work.piece(0.1)
        with pytest.raises(StopIteration):
            coroutine.send(None)
    assert len(work.done) == 9


async def test_a_piece_whose_task_is_cancelled_does_not_block_the_others():
    """Those behind it are woken all the same."""
    work = Work()
    tasks = [asyncio.ensure_future(work.piece(1.0)) for _ in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results].count(asyncio.CancelledError) == 1
    assert len(work.done) == 5


async def test_a_cancelled_scope_does_not_throw_away_a_shielded_turn():
    """What must be done is waited for in a shield: an anyio cancellation waits until it is."""
    work = Work()
    await work.piece(1.0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await work.pump.turn()
        work.pump.begin()
        work.done.append((0, 0.0))
    assert len(work.done) == 2


async def test_time_that_others_spend_counts_as_well():
    """A turn of the loop in which somebody else was slow begins no further piece."""
    work = Work()
    await work.piece(0.1)
    work.now += 1.0  # the rest of the worker's step, or a callback of the application
    assert work.pump.is_full
    await work.piece(0.1)
    assert [turn for turn, _ in work.done] == [0, 0]  # nobody counts turns here
    assert work.now == pytest.approx(1.2)
    assert not work.pump.is_full


async def test_what_would_lose_by_waiting_may_begin_in_a_later_window():
    """It goes on where others wait, until the turn has lasted as many windows as it is given."""
    work = Work()
    seen = []
    for _ in range(4):
        seen.append((work.pump.is_full, work.pump.has_lasted(2), work.pump.has_lasted(3)))
        work.pump.begin()
        work.now += 0.75
    assert seen == [(False,) * 3, (False,) * 3, (True, False, False), (True, True, False)]
