"""How long a server takes, drawn at random, and the best that a client can make of it. Pure.

Real servers are slow now and then, by much: a client that sends in waves waits for the slowest of every wave. What
`list_schedule` computes is the least that any client with so many slots needs when it hands out campaigns in order and
cannot know beforehand how long each will take: a slot that becomes free takes the next one.
"""

import heapq
from collections.abc import Iterable, Iterator
from random import Random

SHAPE = 1.5
"""Of the Pareto distribution: below 2 its variance is infinite, which is what "heavy tail" means."""
LEAST = 0.100
"""Seconds of the fastest reply: so many that what is measured is the waiting, not what the client computes when replies
come together. The median is 1.6 times as much, the mean three times (less, for the cap)."""
MOST = 1.5
"""Seconds at which draws are capped, so that a run ends."""


def pareto(seed: int) -> Iterator[float]:
    """Draw heavy-tailed seconds, the same for the same seed."""
    random = Random(seed)
    while True:
        yield min(LEAST * random.paretovariate(SHAPE), MOST)


def list_schedule(seconds: Iterable[float], slots: int) -> list[float]:
    """When each of the jobs ends that are handed to the slots in order, each to the slot that is free first.

    Args:
        seconds: How long each job takes.
        slots: How many run at once.

    Returns:
        The moment of each end, from the start, in the order of the jobs; the greatest is when all is done.
    """
    free = [0.0] * slots
    ends = []
    for taken in seconds:
        end = free[0] + taken
        heapq.heapreplace(free, end)
        ends.append(end)
    return ends
