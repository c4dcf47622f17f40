"""Columns as bytes and back: nothing is lost, little is taken, and what a bad disk did is noticed."""

import json
import sqlite3
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawserver import fake_numbers
from smspop_async import Status
from smspop_async.api.columns import StatusColumn
from smspop_async.contacts.number_space import Lines
from smspop_async.journal import packing

DIGITS = st.text("0123456789", min_size=9, max_size=15)
POSITIONS = st.sets(st.integers(0, 2**40), min_size=1, max_size=300).map(sorted)


@given(st.lists(DIGITS, min_size=1, max_size=60))
def test_numbers_of_any_lengths_come_back(numbers):
    """Numbers of 9 to 15 digits come back in their order, whatever their lengths, odd or even, mixed or not."""
    assert packing.unpack_numbers(packing.pack_numbers(numbers)) == numbers


@pytest.mark.parametrize("digits", range(9, 16))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_numbers_of_one_length_come_back(digits, count):
    """The half byte that is left over at the end of an odd number of digits is no number."""
    numbers = ["7" * digits] * count
    assert packing.unpack_numbers(packing.pack_numbers(numbers)) == numbers


@pytest.mark.parametrize("count", [50, 500, 5_000])
def test_a_zimbabwean_number_takes_six_and_a_half_bytes(count):
    """The size that the disk is reckoned with: at most 6.6 bytes a contact, the check sum among them."""
    assert len(packing.pack_numbers(fake_numbers(count))) <= 6.6 * count


@pytest.mark.parametrize("digits", range(9, 16))
@pytest.mark.parametrize("count", [1, 2, 3, 500])
def test_numbers_that_are_packed_already_come_back(digits, count):
    """What was made for finding duplicates is taken as it is, and half a byte less a contact than the other form."""
    numbers = [f"{10 ** (digits - 1) + 7 * at}" for at in range(count)]
    rows = Lines("".join(f"{number}\n" for number in numbers), count).packed
    packed = packing.pack_numbers(numbers, rows)
    assert packing.unpack_numbers(packed) == numbers
    assert len(packed) == 5 + count * ((digits + 1) // 2)


@given(st.lists(DIGITS, min_size=1, max_size=20), st.booleans(), st.data())
def test_a_changed_bit_is_no_number(numbers, even, data):
    """SQLite has no check sums, and a number with a changed digit would be somebody else's: one bit is enough."""
    rows = Lines("".join(f"{number[:9]}\n" for number in numbers), len(numbers)).packed if even else None
    packed = bytearray(packing.pack_numbers(numbers, rows))
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="check sum"):
        packing.unpack_numbers(bytes(packed))


@given(st.lists(DIGITS, min_size=1, max_size=20), st.data())
def test_numbers_that_are_cut_off_are_no_numbers(numbers, data):
    """A blob of which the end is missing is noticed as well, also where nothing is left."""
    packed = packing.pack_numbers(numbers)
    with pytest.raises(ValueError, match="check sum"):
        packing.unpack_numbers(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(POSITIONS)
def test_rows_with_any_gaps_come_back(rows):
    """Ascending positions come back, with whatever gaps."""
    packed = packing.pack_rows(rows)
    assert list(packing.unpack_rows(rows[0], len(rows), packed)) == rows


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=200))
def test_runs_of_rows_come_back(runs):
    """Positions in runs, as duplicates leave them, come back, also where the runs are so many that they are zipped."""
    rows: list[int] = []
    at = 0
    for length, gap in runs:
        rows += range(at, at + length)
        at += length + gap
    packed = packing.pack_rows(rows)
    assert list(packing.unpack_rows(0, len(rows), packed)) == rows


@pytest.mark.parametrize("rows", [range(7, 8), range(500, 1_000), [3, 4, 5]])
def test_consecutive_rows_take_nothing(rows):
    """The rows of a plain chunk are a range before and after, and no byte in between."""
    assert packing.pack_rows(rows) is None
    assert packing.unpack_rows(rows[0], len(rows), None) == range(rows[0], rows[-1] + 1)


def test_many_gaps_are_zipped():
    """Every other row of fifty thousand takes a fraction of a byte each."""
    rows = list(range(0, 100_000, 2))
    packed = packing.pack_rows(rows)
    assert packed is not None
    assert len(packed) < len(rows) / 50
    assert packing.unpack_rows(0, len(rows), packed) == rows


@given(st.dictionaries(st.integers(0, 49_999), st.sampled_from(Status), max_size=50))
def test_exceptions_come_back(others):
    """Where contacts differ from the others, in whatever status, and in the order of their positions."""
    others = dict(sorted(others.items()))
    column = StatusColumn(common=Status.SENT, others=others, length=50_000)
    packed = packing.pack_others(column)
    assert (packed is None) == (not others)
    back = packing.unpack_others(packed)
    assert list(back.items()) == list(others.items())
    assert all(type(status) is Status for status in back.values())


def test_the_codes_on_the_disk_stay_as_they_are():
    """Journals outlive releases: the bytes of a status are fixed, and every status has some."""
    column = StatusColumn(common=Status.SENT, others=dict(enumerate(Status)), length=9)
    places = b"".join(at.to_bytes(4, "little") for at in range(9))
    codes = {
        "sent": 1, "failed": 2, "accepted": 3, "unknown": 4, "rejected": 5,
        "not_submitted": 6, "invalid": 7, "duplicate": 8, "suppressed": 9,
    }  # fmt: skip
    assert packing.pack_others(column) == places + bytes(codes[status.value] for status in Status)


def test_a_journal_can_be_carried_to_another_machine(monkeypatch):
    """Positions are written least byte first, whichever way the machine has them."""
    column = StatusColumn(common=Status.SENT, others={258: Status.FAILED}, length=300)
    monkeypatch.setattr(sys, "byteorder", "big")
    foreign = packing.pack_others(column)
    # On a machine that has them the other way round this swaps once more than the bytes need.
    assert foreign == (258).to_bytes(4, "big") + b"\x02"
    assert packing.unpack_others(foreign) == {258: Status.FAILED}


@given(st.dictionaries(st.integers(0, 49_999), st.text(max_size=30), max_size=20))
def test_explanations_come_back(details):
    """Any text explains any contact; without any there is nothing."""
    packed = packing.pack_details(details)
    assert (packed is None) == (not details)
    assert packing.unpack_details(packed) == details
    if packed is not None:
        json.loads(packed)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY_TEXT)
def test_any_text_of_python_can_be_kept(text):
    """A cell can hold half of a surrogate pair, and zeros; SQLite gives back what it was given."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (body TEXT NOT NULL UNIQUE)")
    connection.execute("INSERT INTO t VALUES (?)", (packing.pack_text(text),))
    (back,) = connection.execute("SELECT body FROM t WHERE body = ?", (packing.pack_text(text),)).fetchone()
    connection.close()
    assert packing.unpack_text(back) == text


def test_a_text_that_is_unicode_is_a_text():
    """So that a journal can be looked at with SQLite's own shell."""
    assert packing.pack_text("Grüße, €5") == "Grüße, €5"
