"""The column of statuses is a list of statuses, whatever it keeps inside."""

import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import Status
from smspop_async.api.columns import StatusColumn

lists = st.lists(st.sampled_from(Status), max_size=30) | st.lists(
    st.sampled_from([Status.SENT, Status.SENT, Status.FAILED]), max_size=30
)
ends = st.none() | st.integers(-40, 40)
slices = st.builds(slice, ends, ends, st.none() | st.integers(-4, 4).filter(bool))


def made(statuses: list[Status], common: Status | None) -> StatusColumn:
    """A column made of a list, or put together by hand with any status as the common one."""
    if common is None:
        return StatusColumn.of(statuses)
    others = {at: status for at, status in enumerate(statuses) if status is not common}
    return StatusColumn(common=common, others=others, length=len(statuses))


columns = st.builds(
    lambda statuses, common: (made(statuses, common), statuses), lists, st.none() | st.sampled_from(Status)
)


@given(pair=columns)
def test_column_is_its_list(pair: tuple[StatusColumn, list[Status]]) -> None:
    """Length, iteration, truth, members and counts are those of the list, also of what it does not hold."""
    column, statuses = pair
    assert len(column) == len(statuses)
    assert list(column) == list(iter(column)) == statuses
    assert list(reversed(column)) == statuses[::-1]
    assert bool(column) is bool(statuses)
    for value in (*Status, "sent", "failed", "nothing of the kind", None, 5):
        assert column.count(value) == statuses.count(value)
        assert (value in column) is (value in statuses)
    assert sum(column.count(status) for status in Status) == len(column)
    assert column.sent_and_failed() == (statuses.count(Status.SENT), statuses.count(Status.FAILED))


@given(pair=columns, at=st.integers(-35, 35), cut=slices)
def test_column_is_indexed_and_cut_like_its_list(
    pair: tuple[StatusColumn, list[Status]], at: int, cut: slice
) -> None:
    """Any index, negative ones too, and any slice give what the list gives; beyond the ends is an IndexError."""
    column, statuses = pair
    assert list(column[cut]) == statuses[cut]
    if -len(statuses) <= at < len(statuses):
        assert column[at] is statuses[at]
    else:
        with pytest.raises(IndexError):
            column[at]


@given(pair=columns, start=st.integers(-35, 35), stop=st.integers(-35, 35))
def test_column_finds_what_its_list_finds(
    pair: tuple[StatusColumn, list[Status]], start: int, stop: int
) -> None:
    """`index` finds the first, within the bounds, or raises ValueError."""
    column, statuses = pair
    for status in Status:
        if status in statuses[start:stop]:
            assert column.index(status, start, stop) == statuses.index(status, start, stop)
        else:
            with pytest.raises(ValueError):  # noqa: PT011 - as a list's, of which the words are nobody's promise
                column.index(status, start, stop)


@given(one=columns, other=columns)
def test_columns_are_equal_when_their_statuses_are(
    one: tuple[StatusColumn, list[Status]], other: tuple[StatusColumn, list[Status]]
) -> None:
    """A column equals a list, a tuple and a column of the same statuses, from either side, and no other."""
    (column, statuses), (second, theirs) = one, other
    same = statuses == theirs
    assert (column == second) is same
    assert (column != second) is not same
    assert (column == theirs) is same
    assert (theirs == column) is same
    assert column == tuple(statuses)
    assert column == [status.value for status in statuses], "a status is its word"
    assert column == made(statuses, Status.UNKNOWN)
    assert column != [*statuses, Status.SENT]
    if statuses:
        assert column != statuses[:-1]


@pytest.mark.parametrize("other", [None, 5, object(), {}, {Status.SENT}, iter([])])
def test_what_is_no_sequence_is_not_equal(other: object) -> None:
    """Comparing with anything is harmless."""
    assert StatusColumn.of([]) != other
    assert StatusColumn.of([Status.SENT]) != other


def test_like_a_list_it_has_no_hash() -> None:
    """What equals a list cannot be a key."""
    with pytest.raises(TypeError):
        hash(StatusColumn.of([]))


@pytest.mark.parametrize("at", ["0", 1.0, None])
def test_index_must_be_a_number(at: object) -> None:
    """As with a list, anything but a whole number or a slice is a TypeError."""
    with pytest.raises(TypeError):
        StatusColumn.of([Status.SENT])[at]  # type: ignore[call-overload]


@given(pair=columns)
def test_column_pickles(pair: tuple[StatusColumn, list[Status]]) -> None:
    """It crosses a process boundary whole."""
    column, statuses = pair
    assert pickle.loads(pickle.dumps(column)) == statuses


def test_what_nearly_all_have_costs_nothing() -> None:
    """Ten million contacts of one status take as much memory as one, and are counted without being looked at."""
    column = StatusColumn(common=Status.SENT, others={5: Status.FAILED}, length=10**7)
    assert column.count(Status.SENT) == 10**7 - 1
    assert column[-1] is Status.SENT
    assert column[5] is Status.FAILED
    assert sys.getsizeof(column) + sys.getsizeof(column.others) < 1_000
    assert StatusColumn.of([Status.SENT] * 500 + [Status.FAILED]).others == {500: Status.FAILED}
    assert StatusColumn.of([Status.REJECTED] * 500).others == {}
    assert StatusColumn.of([]).others == {}
