"""The numbers of a campaign and of its reply as columns of bytes: written as a list, cut out of a text, compared."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import compress, count
from struct import Struct
from typing import Final

_BLOCK: Final = 500
"""Pieces cut out at once, by a plan that is kept."""


def listed(numbers: Sequence[str]) -> bytes:
    """Write numbers as a list, a comma between each two."""
    return ",".join(numbers).encode()


def is_even(numbers: bytes, rows: int, width: int) -> bool:
    """Tell whether a list of so many numbers consists of numbers of this length."""
    commas = numbers[width :: width + 1].count(b",")
    return len(numbers) == rows * (width + 1) - 1 and commas == rows - 1


def cut_out(text: bytes | bytearray, first: int, width: int, gap: int, rows: int) -> Sequence[bytes]:
    """Cut so many pieces of one length out of a text, which stand in it with a gap between each two."""
    pieces: list[bytes] = []
    for row in range(0, rows, _BLOCK):
        cutter = _cutter(width, gap, min(_BLOCK, rows - row))
        pieces += cutter.unpack_from(text, first + row * (width + gap))
    return pieces


@lru_cache(maxsize=16)
def _cutter(width: int, gap: int, rows: int) -> Struct:
    return Struct(f"{width}s{gap}x" * (rows - 1) + f"{width}s")


def is_same(told: Sequence[bytes], asked: Sequence[bytes]) -> bool:
    """Tell whether what was told of is what was asked for, in any order; in `asked` nothing is there twice."""
    left = set(asked)
    left.difference_update(told)
    return not left and len(told) == len(asked)


def places(some: Sequence[bytes], asked: Sequence[bytes]) -> list[int]:
    """Tell where some of those stand that were asked for."""
    return list(compress(count(), map(set(some).__contains__, asked)))
