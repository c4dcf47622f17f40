"""Law 6, Good neighbour: all workers together do little work in one turn of the event loop."""

import math

import pytest
from attrs import evolve

from rawserver import fake_number
from smspop_async import SmsPop, Status
from smspop_async.api.pump import BUDGET, Pump
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

COST = BUDGET / 3


class Counted(Pump):
    """A pump whose every piece takes a third of the budget, and which counts them by turns of the loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = [0]
        super().__init__(clock=lambda: self.now)

    def begin(self) -> None:
        super().begin()
        self.now += COST
        self.turns[-1] += 1

    def _next_turn(self) -> None:
        self.turns.append(0)
        super()._next_turn()


async def test_no_turn_of_the_loop_does_more_than_its_budget() -> None:
    """Sixteen campaigns at once, read, sorted and settled: no turn does more pieces than fit into two windows, and one.

    A reply of hundreds is read in the first window only; what is pulled behind it may still begin in a second.
    """
    contacts = [fake_number(row) for row in range(8_000)]
    pump = Counted()
    async with (
        Sandbox(magic=False) as sandbox,
        SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms,
    ):
        sms._submitter = evolve(sms._submitter, pump=pump)
        report = await sms.send(
            contacts, message="Hello!", sender_id="BRAND1", chunk_size=200, max_concurrency=16
        )
    assert report.counts[Status.SENT] == len(contacts)
    pieces = len(report.campaigns)
    assert sum(pump.turns) > pieces  # every reply and every slab took its turn
    assert max(pump.turns) <= math.ceil(2 * BUDGET / COST) + 1
    assert max(pump.turns) > 1  # and a turn is made use of
