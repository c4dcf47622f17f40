"""The book of outcomes: columns that give back exactly what was entered and settled."""

import pickle
import tempfile
from array import array
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smspop_async import Status
from smspop_async.api.columns import StatusColumn
from smspop_async.batch import outcomes as module
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.contacts.number_space import Lines

CELL = st.one_of(st.text(max_size=20), st.integers(10**11, 10**12).map(str))
SLAB = st.lists(CELL, min_size=0, max_size=8)


@pytest.fixture(params=["in memory", "in the temporary file", "no room for the file"])
def place(request, monkeypatch):
    """Where slabs are kept."""
    if request.param != "in memory":
        monkeypatch.setattr(module, "_SPILL", 0)
    if request.param == "no room for the file":

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", full)


@pytest.mark.usefixtures("place")
class TestBook:
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
    )
    @given(slabs=st.lists(SLAB, max_size=6), data=st.data())
    def test_rows_come_back_as_entered_in_input_order(self, slabs, data):
        """Whatever text a row is, and wherever it is kept, it comes back, with its status, detail and line."""
        book, expected = OutcomeBook(), []
        for number, slab in enumerate(slabs):
            lines = [10 * number + 2 * at for at in range(len(slab))] if number % 2 else None
            first = book.enter(slab, lines)
            assert first == len(expected)
            expected += [(text, lines[at] if lines else None) for at, text in enumerate(slab)]
        verdicts = {}
        for row in data.draw(st.permutations(range(len(expected)))):
            status, detail = data.draw(st.sampled_from(list(Status))), data.draw(st.sampled_from("abc"))
            book.settle([row], StatusColumn.of([status]), {0: detail})
            verdicts[row] = (status, detail)
        some = data.draw(st.sets(st.sampled_from(range(len(expected)))) if expected else st.just(set()))
        book.settle_all(sorted(some), Status.UNKNOWN, "anew")
        verdicts |= dict.fromkeys(some, (Status.UNKNOWN, "anew"))
        assert book.count() == {
            status: [verdict for verdict, _ in verdicts.values()].count(status) for status in Status
        }
        got = list(book.outcomes())
        assert [(o.phone_number, o.line) for o in got] == expected
        assert {o.index: (o.status, o.detail) for o in got} == verdicts
        assert book.settled == len(book) == len(expected)
        assert sum(book.count().values()) == len(expected)
        assert all(book.line(row) == expected[row][1] for row in range(len(expected)))
        copy = pickle.loads(pickle.dumps(book))
        assert list(copy.outcomes()) == got

    def test_a_settled_row_can_be_settled_anew_and_counts_once(self):
        """An UNKNOWN campaign that is found later changes its rows, not their number."""
        book = OutcomeBook()
        book.enter(["a", "b"])
        book.settle_all([0, 1], Status.UNKNOWN, "?")
        book.settle([1], StatusColumn.of([Status.SENT]), {})
        assert book.settled == 2
        assert book.count()[Status.UNKNOWN] == book.count()[Status.SENT] == 1

    def test_the_rest_is_settled_last_and_nothing_else_is_touched(self):
        """`settle_rest` gives an outcome to those who have none."""
        book = OutcomeBook()
        book.enter(["a", "b", "c"])
        book.settle_all([1], Status.SENT)
        book.settle_rest(Status.NOT_SUBMITTED, "stopped")
        book.settle_rest(Status.UNKNOWN, "never")
        assert [o.status for o in book.outcomes()] == [
            Status.NOT_SUBMITTED,
            Status.SENT,
            Status.NOT_SUBMITTED,
        ]


def test_very_many_different_details_widen_the_column(monkeypatch):
    """300 or 70,000 distinct explanations are all kept; past the bound a general one stands in."""
    count = 70_000
    book = OutcomeBook()
    book.enter([str(n) for n in range(count)])
    book.settle(
        range(count), StatusColumn.of([Status.UNKNOWN] * count), {n: f"detail {n}" for n in range(count)}
    )
    assert [o.detail for o in book.outcomes()] == [f"detail {n}" for n in range(count)]
    monkeypatch.setattr(module, "_PAIRS", 4)
    small = OutcomeBook()
    small.enter(["a", "b", "c", "d"])
    small.settle(range(4), StatusColumn.of([Status.FAILED] * 4), dict(enumerate("wxyz")))
    assert [o.detail for o in small.outcomes()][:2] == ["w", "x"]
    assert {o.detail for o in small.outcomes()} == {"w", "x", module._TOO_MANY}
    assert small.count()[Status.FAILED] == 4


def test_the_columns_must_be_of_one_length():
    """Statuses are never joined to rows by a length that differs."""
    book = OutcomeBook()
    book.enter(["a", "b"])
    with pytest.raises(ValueError, match="2 rows"):
        book.settle([0, 1], StatusColumn.of([Status.SENT]), {})


@pytest.mark.parametrize("width", range(9, 16))
def test_numbers_that_are_packed_already(place, width):
    """Rows given with their packed digits read as they were given, in memory, in the file and pickled."""
    book = OutcomeBook()
    slabs = [[f"{10 ** (width - 1) + 7 * (at + 100 * turn)}" for at in range(100)] for turn in range(3)]
    for slab in slabs:
        book.enter(slab, None, Lines("".join(f"{number}\n" for number in slab), len(slab)).packed)
    book.settle_rest(Status.SENT, "")
    for each in (book, pickle.loads(pickle.dumps(book))):
        assert [outcome.phone_number for outcome in each.outcomes()] == [*chain(*slabs)]


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([2, 3, 4], range(2, 5)),
        ([2, 4, 6], range(2, 8, 2)),  # a blank line between each two
        ([7], range(7, 8)),
        ([2, 4, 7], array("L", [2, 4, 7])),
        ([2, 2], array("L", [2, 2])),
        ([], None),
        (None, None),
    ],
)
def test_lines_at_one_distance_cost_nothing(lines: list[int] | None, kept: object) -> None:
    """A file of ten million rows with a blank line behind each has the same account as one without."""
    assert module._compact(lines) == kept
