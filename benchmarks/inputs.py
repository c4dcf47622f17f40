"""The contacts of every run: scattered numbers, one in a hundred of which fails.

Real lists are not in numerical order, and consecutive numbers flatter whatever keeps sets of them. So contact
``i`` is the place ``i * STRIDE`` in a range of two Zimbabwean mobile prefixes. The stride shares no factor with
the size of the range (a full period): no number comes twice before all have come.

``python inputs.py FILE COUNT`` writes such a list as a CSV file: in a process of its own, whose memory nobody measures.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

HEADS = ("26377", "26371")
"""Prefixes of two mobile networks; seven digits follow."""
PER_HEAD = 10_000_000
RANGE = PER_HEAD * len(HEADS)
STRIDE = 12_360_679
"""About the golden ratio of the range, and coprime to it: 10 and 2 do not divide it."""
FAILING = "77"
"""A number that ends so is answered by "failed": one in a hundred, in every hundred consecutive contacts."""


def scattered(count: int, *, start: int = 0) -> Iterator[str]:
    """Give distinct numbers, lazily.

    Args:
        count: How many, up to 20 million.
        start: How many to leave out first, for a second list that shares none with the first.
    """
    return islice(_cycle(start), count)


def _cycle(start: int) -> Iterator[str]:
    place = start * STRIDE % RANGE
    while True:
        yield f"{HEADS[place // PER_HEAD]}{place % PER_HEAD:07}"
        place = (place + STRIDE) % RANGE


def failing(count: int, *, start: int = 0) -> int:
    """How many of the same contacts fail."""
    return sum(number.endswith(FAILING) for number in scattered(count, start=start))


def write_csv(path: Path, count: int) -> int:
    """Write a column of numbers under its name, and tell the size of the file."""
    numbers = scattered(count)
    with path.open("w") as file:
        file.write("phone_number\n")
        while some := list(islice(numbers, 10_000)):
            file.write("\n".join(some) + "\n")
    return path.stat().st_size


if __name__ == "__main__":
    print(f'{{"bytes": {write_csv(Path(sys.argv[1]), int(sys.argv[2]))}}}')
