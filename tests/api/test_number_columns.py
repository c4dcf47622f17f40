"""Columns of numbers do at once what a loop would do one by one."""

from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from smspop_async.api import number_columns
from smspop_async.api.number_columns import cut_out, is_even, is_same, listed, places

some_numbers = st.lists(st.from_regex(r"[0-9]{1,4}", fullmatch=True), min_size=1, max_size=8, unique=True)
as_bytes = some_numbers.map(lambda numbers: [number.encode() for number in numbers])


@given(numbers=some_numbers, width=st.integers(1, 4))
@example(numbers=["1", "333", "22"], width=2)
@example(numbers=["22", "333", "1"], width=2)
@example(numbers=["22", "33", "4444"], width=2)
def test_even_numbers(numbers: list[str], width: int) -> None:
    """Numbers are even if each of them has so many digits, whatever they add up to."""
    assert is_even(listed(numbers), len(numbers), width) == all(len(number) == width for number in numbers)


@given(asked=as_bytes, told=as_bytes)
@example(asked=[b"1", b"2"], told=[b"1", b"2", b"1"])
@example(asked=[b"1", b"2"], told=[b"1", b"1"])
def test_the_same_numbers(asked: list[bytes], told: list[bytes]) -> None:
    """What was told of is what was asked for if each number is there, once, and no other."""
    assert is_same(told, asked) == (sorted(told) == sorted(asked))
    assert is_same(asked[::-1], asked)


@given(asked=as_bytes, data=st.data())
def test_places(asked: list[bytes], data: st.DataObject) -> None:
    """Places are told in the order of what was asked for."""
    some = data.draw(st.permutations(asked))[: data.draw(st.integers(0, len(asked)))]
    assert places(some, asked) == sorted(map(asked.index, some))


@given(rows=st.integers(1, 9), width=st.integers(1, 4), gap=st.integers(0, 3), first=st.integers(0, 3))
def test_cutting_out(rows: int, width: int, gap: int, first: int) -> None:
    """Each piece is where the one before it ends and the gap after it, however many are cut at once."""
    pieces = [f"{row}".rjust(width, "x")[-width:].encode() for row in range(rows)]
    text = b"-" * first + (b"_" * gap).join(pieces) + b"more"
    for block in (2, 500):
        with patch.object(number_columns, "_BLOCK", block):
            assert list(cut_out(text, first, width, gap, rows)) == pieces
