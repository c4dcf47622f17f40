"""The roster against a plain set, and what it takes of memory."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smspop_async.contacts import roster as module
from smspop_async.contacts.roster import Roster

numbers = st.one_of(
    st.integers(0, 400).map(lambda tail: f"26377{tail:07}"),
    st.integers(0, 9_999_999).map(lambda tail: f"26377{tail:07}"),
    st.sampled_from(["1" * length for length in range(9, 16)]),
    st.integers(10**8, 10**15 - 1).map(str),
    st.integers((1 << 29) * 491 - 3, (1 << 29) * 491 + 3).map(str),
)
chunks = st.lists(numbers, max_size=200)


class Twin:
    """The same in sets of texts."""

    def __init__(self) -> None:
        self.admitted: set[str] = set()
        self.suppressed: set[str] = set()

    def admit(self, chunk: list[str]) -> tuple[list[int], list[int]]:
        duplicates: list[int] = []
        suppressed: list[int] = []
        for offset, number in enumerate(chunk):
            if number in self.suppressed:
                suppressed.append(offset)
            elif number in self.admitted:
                duplicates.append(offset)
            else:
                self.admitted.add(number)
        return duplicates, suppressed


class RosterIsASet(RuleBasedStateMachine):
    """Any order of admitting and suppressing tells new, known and suppressed numbers as two sets would."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin()
        self.roster = Roster()

    @rule(chunk=chunks)
    def admit(self, chunk: list[str]) -> None:
        admission = self.roster.admit(chunk)
        assert (admission.duplicates, admission.suppressed) == self.twin.admit(chunk)

    @rule(first=st.integers(0, 9_990_000), count=st.integers(100, 700), step=st.sampled_from([1, 7, 300]))
    def admit_a_range(self, first: int, count: int, step: int) -> None:
        self.admit([f"26377{(first + step * place) % 10**7:07}" for place in range(count)])

    @rule(chunk=st.lists(numbers, max_size=20))
    def suppress(self, chunk: list[str]) -> None:
        self.roster.suppress(chunk)
        self.twin.suppressed |= set(chunk)

    @invariant()
    def counts_what_was_admitted(self) -> None:
        assert len(self.roster) == len(self.twin.admitted)


TestRosterIsASet = RosterIsASet.TestCase


@given(chunks, st.lists(numbers, max_size=20))
def test_suppressed_comes_before_duplicate(chunk: list[str], suppressed: list[str]) -> None:
    """A number that must not be texted is SUPPRESSED at every place it stands, first or again."""
    roster = Roster(suppressed)
    admission = roster.admit(chunk + chunk)
    assert admission.suppressed == [
        offset for offset, number in enumerate(chunk + chunk) if number in set(suppressed)
    ]
    assert not set(admission.suppressed) & set(admission.duplicates)


def test_a_number_suppressed_after_it_was_admitted() -> None:
    """It stays counted, and is SUPPRESSED from then on."""
    roster = Roster()
    assert roster.admit(["263770000001"]).duplicates == []
    roster.suppress(["263770000001", "263770000002"])
    assert roster.admit(["263770000001", "263770000002"]).suppressed == [0, 1]
    assert len(roster) == 1


def test_lengths_are_kept_apart() -> None:
    """A number is not another one with a zero more."""
    chunk = ["1" + "0" * zeros for zeros in range(8, 15)]
    roster = Roster()
    assert roster.admit(chunk).duplicates == []
    assert roster.admit(chunk).duplicates == list(range(7))


def scattered(count: int) -> Iterator[list[str]]:
    """A full-period stride through four mobile ranges, in chunks of 500."""
    place = 1
    for _ in range(count // 500):
        chunk = []
        for _ in range(500):
            place = (place + 7_368_787) % 40_000_000
            chunk.append(f"2637{'1378'[place // 10_000_000]}{place % 10_000_000:07}")
        yield chunk


def held(chunks_of_numbers: Iterator[list[str]]) -> tuple[Roster, int]:
    roster = Roster()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for chunk in chunks_of_numbers:
            assert roster.admit(chunk).duplicates == []
        return roster, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_national_numbers_take_a_bit_map() -> None:
    """120,000 numbers scattered over 40 million take the 5 MiB that ten million would, and no more."""
    roster, size = held(scattered(120_000))
    assert len(roster) == 120_000
    assert size < 8_000_000
    pages = sum(map(len, roster._known._blocks.values()))
    assert pages <= 40_000_000 // (1 << module.PAGE_BITS) + 8


def test_sparse_numbers_take_a_set_entry_each() -> None:
    """Numbers without neighbours stay below 150 bytes each, beside the pages that are made at first touch."""
    rng = random.Random(5)
    found = [str(rng.randrange(10**11, 10**14)) for _ in range(40_000)]
    roster, size = held(iter([found[begin : begin + 500] for begin in range(0, 40_000, 500)]))
    assert pages(roster) == module.EAGER_PAGES
    assert size < module.EAGER_PAGES * (module.PAGE_BYTES + 1_000) + 150 * 40_000


def test_numbers_of_two_blocks_in_one_chunk() -> None:
    """Pages of another block than the first number's are found as well."""
    here = [f"26377{tail:07}" for tail in range(1000)]
    there = [f"2771{tail:07}" for tail in range(1000)]
    roster = Roster()
    assert roster.admit(here + there).duplicates == []
    assert roster.admit(there[:1] + here + there[1:]).duplicates == list(range(2000))
    assert len(roster._known._blocks) == 2


def pages(roster: Roster) -> int:
    return sum(map(len, roster._known._blocks.values()))


def test_neighbours_of_a_shard_that_are_none_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full shard whose numbers are far apart is counted and left as it is."""
    monkeypatch.setattr(module, "EAGER_PAGES", 0)
    apart = [str(10**12 + (place << module.PAGE_BITS) * module.SHARDS) for place in range(600)]
    roster = Roster()
    assert roster.admit(apart).duplicates == []
    assert roster.admit(apart).duplicates == list(range(600))
    assert pages(roster) == 0


def test_a_long_suppression_list_is_kept_in_pages_too() -> None:
    """Opted-out numbers are found among many, each at its own bit."""
    opted_out = [f"26377{tail:07}" for tail in range(0, 4000, 2)]
    roster = Roster(opted_out)
    chunk = [f"26377{tail:07}" for tail in range(4000)]
    assert roster.admit(chunk).suppressed == list(range(0, 4000, 2))
    assert len(roster) == 2000


@pytest.mark.parametrize("chunk", [[], ()])
def test_an_empty_chunk(chunk: list[str]) -> None:
    """Nothing admits nothing."""
    admission = Roster(["263770000001"]).admit(chunk)
    assert (admission.duplicates, admission.suppressed) == ([], [])
