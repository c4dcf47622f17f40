"""The places of the requests under way: never more than there are, in the order of asking, and none is lost."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.api.slots import Slots

pytestmark = pytest.mark.anyio


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_free_places_are_taken_without_waiting() -> None:
    """So many as there are, and then no more until one is given back."""
    slots = Slots(2)
    assert [slots.take() for _ in range(3)] == [True, True, False]
    slots.give()
    assert [slots.take() for _ in range(2)] == [True, False]


async def test_places_go_to_who_waited_longest() -> None:
    """A place that is given back is never free while somebody waits: nobody overtakes."""
    slots, order = Slots(1), list[int]()
    assert slots.take()

    async def wait(name: int) -> None:
        await slots.wait()
        order.append(name)

    waiting = [asyncio.ensure_future(wait(name)) for name in range(3)]
    await turns()
    for served in range(3):
        slots.give()
        assert not slots.take()
        await turns()
        assert order == list(range(served + 1))
    slots.give()
    assert slots.take()
    await asyncio.gather(*waiting)


async def test_place_given_to_one_who_is_cancelled_is_passed_on() -> None:
    """The place was given, and its taker is cancelled before it wakes: the next one has it."""
    slots = Slots(1)
    assert slots.take()
    first, second = asyncio.ensure_future(slots.wait()), asyncio.ensure_future(slots.wait())
    await turns()
    slots.give()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    slots.give()
    assert slots.take()


async def test_block_gives_its_place_back() -> None:
    """Also when it raises."""
    slots = Slots(1)
    with suppress(LookupError):
        async with slots:
            assert not slots.take()
            raise LookupError
    assert slots.take()


@given(
    count=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "give", "cancel", "turn"]), st.integers(0, 5)), max_size=40
    ),
)
def test_no_place_is_lost_or_made(count: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is asked for, given back and cancelled in whatever order: held and free are as many as there were."""

    async def play() -> None:
        slots, holding, waiting = Slots(count), 0, list[asyncio.Task[None]]()

        async def wait() -> None:
            nonlocal holding
            if not slots.take():
                await slots.wait()
            holding += 1

        for step, which in steps:
            if step == "ask":
                waiting.append(asyncio.ensure_future(wait()))
            elif step == "give" and holding:
                holding -= 1
                slots.give()
            elif step == "cancel" and waiting:
                waiting[which % len(waiting)].cancel()
            else:
                await turns()
            assert holding <= count
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        free = 0
        while slots.take():
            free += 1
        assert holding + free == count

    asyncio.run(play())
