"""The roster and its two ledgers against a plain set, and what they take of memory."""

import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smspop_async.contacts import ledger as module
from smspop_async.contacts import roster as roster_module
from smspop_async.contacts import vector_ledger
from smspop_async.contacts.ledger import PlainNumbers
from smspop_async.contacts.number_space import LOW_BITS, PAGE_BYTES, Lines
from smspop_async.contacts.roster import Roster, ledger_at_hand
from smspop_async.contacts.vector_ledger import VectorNumbers

LEDGERS = [PlainNumbers, VectorNumbers]
both = pytest.mark.parametrize("ledger", LEDGERS)

numbers = st.one_of(
    st.integers(0, 400).map(lambda tail: f"26377{tail:07}"),
    st.integers(0, 9_999_999).map(lambda tail: f"26377{tail:07}"),
    st.sampled_from(["1" * length for length in range(9, 16)]),
    st.integers(10**8, 10**15 - 1).map(str),
    st.integers(0, 60_000).map(lambda tail: f"67377{tail:07}"),
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


def lines(chunk: list[str]) -> Lines | None:
    return Lines("".join(number + "\n" for number in chunk), len(chunk)) if chunk else None


class RosterIsASet(RuleBasedStateMachine):
    """Any order of admitting and suppressing tells new, known and suppressed numbers as two sets would.

    Both ledgers get the same, with pages at first touch for all, few or none.
    """

    @initialize(eager=st.sampled_from([0, 3, module.EAGER_PAGES]))
    def begin(self, eager: int) -> None:
        self.twin = Twin()
        self.rosters = [Roster(ledger=ledger) for ledger in LEDGERS]
        for roster in self.rosters:
            roster._known._eager = roster._suppressed._eager = eager

    @rule(chunk=chunks, with_text=st.booleans())
    def admit(self, chunk: list[str], with_text: bool = False) -> None:
        expected = self.twin.admit(chunk)
        for roster in self.rosters:
            admission = roster.admit(chunk, lines(chunk) if with_text else None)
            assert (admission.duplicates, admission.suppressed) == expected

    @rule(
        first=st.integers(0, 9_990_000),
        count=st.integers(100, 700),
        step=st.sampled_from([1, 7, 300]),
        head=st.sampled_from(["26377", "26371", "4477"]),
        again=st.lists(st.integers(0, 99), max_size=9),
    )
    def admit_a_range(self, first: int, count: int, step: int, head: str, again: list[int]) -> None:
        chunk = [f"{head}{(first + step * place) % 10**7:07}" for place in range(count)]
        for place in again:
            chunk.insert(place, chunk[place // 2])
        self.admit(chunk, with_text=True)

    @rule(chunk=st.lists(numbers, max_size=20))
    def suppress(self, chunk: list[str]) -> None:
        for roster in self.rosters:
            roster.suppress(chunk)
        self.twin.suppressed |= set(chunk)

    @invariant()
    def counts_what_was_admitted(self) -> None:
        for roster in self.rosters:
            assert len(roster) == len(self.twin.admitted)


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


def held(ledger: type[PlainNumbers], chunks_of_numbers: Iterator[list[str]]) -> tuple[Roster, int]:
    roster = Roster(ledger=ledger)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for chunk in chunks_of_numbers:
            assert roster.admit(chunk).duplicates == []
        return roster, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def pages(roster: Roster) -> int:
    """How many pages there are, in a pool and apart."""
    numbers = roster._known
    pooled = numbers._store.used // PAGE_BYTES if isinstance(numbers, VectorNumbers) else 0
    return pooled + sum(type(page) is bytearray for page in numbers._pages.values())


@both
def test_national_numbers_take_a_bit_map(ledger: type[PlainNumbers]) -> None:
    """120,000 numbers scattered over 40 million take the 6 MiB that ten million would, and no more."""
    roster, size = held(ledger, scattered(120_000))
    assert len(roster) == 120_000
    assert pages(roster) == 4_000
    assert size < 6_500_000


@both
def test_sparse_numbers_take_a_set_entry_each(ledger: type[PlainNumbers]) -> None:
    """Numbers without neighbours stay below 150 bytes each, beside the pages that are made at first touch."""
    rng = random.Random(5)
    found = [str(rng.randrange(10**11, 10**14)) for _ in range(40_000)]
    roster, size = held(ledger, iter([found[begin : begin + 500] for begin in range(0, 40_000, 500)]))
    assert pages(roster) == module.EAGER_PAGES
    assert size < module.EAGER_PAGES * (module.PAGE_BYTES + 250) + 150 * 40_000


@both
def test_neighbours_move_from_a_shard_to_a_page(
    ledger: type[PlainNumbers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as a page is no larger than the entries of its numbers, or soon after, it takes their place."""
    monkeypatch.setattr(module, "EAGER_PAGES", 0)
    roster = Roster(ledger=ledger)
    chunk = [f"26377{tail:07}" for tail in range(5_000)]
    apart = [f"26371{place:03}0001" for place in range(1_000)]
    assert roster.admit(chunk[:5] + apart).duplicates == []
    assert pages(roster) == 0
    assert roster.admit(chunk).duplicates == list(range(5))
    assert pages(roster) == 1
    assert not any(key >> LOW_BITS == 0x26377000 for shard in roster._known._shards.values() for key in shard)
    assert roster.admit(chunk + apart).duplicates == list(range(6_000))


@both
def test_neighbours_of_a_shard_that_are_none_stay_there(
    ledger: type[PlainNumbers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full shard whose numbers are far apart is counted and left as it is."""
    monkeypatch.setattr(module, "EAGER_PAGES", 0)
    monkeypatch.setattr(module, "SHARDS", 1)
    apart = [f"26{place:05}0001{place:03}" for place in range(10_000, 10_600)]
    roster = Roster(ledger=ledger)
    assert roster.admit(apart).duplicates == []
    assert roster.admit(apart).duplicates == list(range(600))
    assert pages(roster) == 0


@both
def test_numbers_of_two_countries_in_one_chunk(ledger: type[PlainNumbers]) -> None:
    """Numbers of different lengths and heads are found as well, even where two countries meet in an entry."""
    here = [f"26377{tail:07}" for tail in range(1000)]
    there = [f"67377{tail:07}" for tail in range(1000)]
    further = [f"2771{tail:07}" for tail in range(1000)]
    roster = Roster(ledger=ledger)
    assert roster.admit(here + there).duplicates == []
    assert roster.admit(further + here[:1]).duplicates == [1000]
    assert roster.admit(there[:1] + here + there[1:]).duplicates == list(range(2000))
    assert roster.admit(further).duplicates == list(range(1000))


@both
def test_neighbours_in_one_byte(ledger: type[PlainNumbers]) -> None:
    """Numbers that share a byte, and numbers that come twice in one slab, are each told apart, in any order."""
    rng = random.Random(8)
    for _ in range(20):
        roster = Roster(ledger=ledger)
        slab = [f"26377{rng.randrange(400):07}" for _ in range(300)]
        seen: set[str] = set()
        again = [at for at, number in enumerate(slab) if number in seen or seen.add(number)]
        assert roster.admit(slab, lines(slab)).duplicates == again
        assert len(roster) == len(seen)
        everyone = [f"26377{tail:07}" for tail in range(400)]
        known = [at for at, number in enumerate(everyone) if number in seen]
        assert roster.admit(everyone).duplicates == known


def test_a_full_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that the pool has no room for are plain pages, and decide the same."""
    monkeypatch.setattr(vector_ledger, "POOL_BYTES", 4096)
    roster = Roster(ledger=VectorNumbers)
    chunk = [f"26377{tail:07}" for tail in range(0, 10**6, 997)]
    assert roster.admit(chunk).duplicates == []
    assert roster.admit(chunk).duplicates == list(range(len(chunk)))
    assert len(roster._known._pages) == 100 - 4096 // PAGE_BYTES
    assert pages(roster) == 100
    assert all(roster.admit([number]).duplicates for number in chunk)
    assert [type(page) for page in roster._known._pages.values()].count(memoryview) == 4096 // PAGE_BYTES
    assert pages(roster) == 100
    assert all(roster.admit(chunk[at : at + 50]).duplicates == list(range(50)) for at in range(0, 1000, 50))


def test_heads_of_one_entry_in_one_slab() -> None:
    """Of heads that meet in one entry of the table one gets a page of the pool, and all decide the same."""
    roster = Roster(ledger=VectorNumbers)
    chunk = [f"26{network}70{tail:07}" for tail in range(50) for network in ("33", "37", "73", "77")]
    assert roster.admit(chunk).duplicates == []
    assert roster.admit(chunk).duplicates == list(range(len(chunk)))
    assert [roster.admit([number]).duplicates for number in chunk] == [[0]] * len(chunk)


@pytest.mark.parametrize("width", range(9, 16))
@both
def test_numbers_of_every_length(ledger: type[PlainNumbers], width: int) -> None:
    """A slab of one width, whichever it is, and the same numbers one by one, are the same."""
    rng = random.Random(width)
    slab = [str(rng.randrange(10 ** (width - 1), 10**width)) for _ in range(150)]
    slab += [slab[0][:-1] + digit for digit in "0123456789" if digit != slab[0][-1]]
    numbers = ledger()
    assert numbers.add(slab, lines(slab)) == []
    assert all(number in numbers for number in slab)
    assert [numbers.add([number]) for number in slab] == [[0]] * len(slab)
    assert numbers.add([*slab, "100000000"]) == list(range(len(slab)))


def test_the_plain_form_where_numpy_is_missing() -> None:
    """With the import of NumPy blocked, or on demand, the ledger is the plain one; else it is the fast one."""
    ledger_at_hand.cache_clear()
    assert type(Roster()._known) is ledger_at_hand() is VectorNumbers
    assert type(Roster(ledger=PlainNumbers)._known) is PlainNumbers
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from smspop_async.contacts.roster import Roster\n"
        "roster = Roster(['263770000002'])\n"
        "print(type(roster._known).__name__, roster.admit(['263770000001', '263770000002'] * 9).suppressed[0])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["PlainNumbers", "1"]


def test_numpy_waits_for_the_first_roster() -> None:
    """Importing the room does not import NumPy, which takes a tenth of a second."""
    assert not hasattr(roster_module, "np")
    code = "import sys, smspop_async.contacts.roster; print('numpy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"


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


@given(lists=st.lists(st.lists(chunks, max_size=4), min_size=2, max_size=4))
@both
def test_a_ledger_knows_nothing_of_those_that_were_closed(
    ledger: type[PlainNumbers], lists: list[list[list[str]]]
) -> None:
    """One after another has the memory of the one before; each finds just the duplicates of its own list."""
    for slabs in lists:
        seen, numbers = set[str](), ledger()
        for slab in slabs:
            again = [
                offset for offset, number in enumerate(slab) if number in seen or number in slab[:offset]
            ]
            assert numbers.add(slab) == again
            seen.update(slab)
        assert all(number in numbers for number in seen)
        numbers.close()


def test_memory_of_a_closed_ledger_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one has it, cleared; two at once have one each, and no more than one is kept."""
    monkeypatch.setattr(vector_ledger, "_spare", [])
    slab = [f"26377{tail * 10_007 % 10**7:07}" for tail in range(500)]
    first, second = VectorNumbers(), VectorNumbers()
    stores = [first._store, second._store]
    for numbers in (first, second):
        assert numbers.add(slab) == []
        numbers.close()
        numbers.close()
    assert vector_ledger._spare == [stores[0]]
    assert not stores[0].pool.any()
    assert not stores[0].table.any()
    third = VectorNumbers()
    assert third._store is stores[0]
    assert not third
    assert third.add(slab) == []
    assert third.add(slab) == list(range(500))


def test_memory_of_a_large_list_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process keeps between two lists does not grow with them."""
    monkeypatch.setattr(vector_ledger, "_spare", [])
    monkeypatch.setattr(vector_ledger, "_KEPT_BYTES", 100 * PAGE_BYTES)
    for heads, kept in ((101, 0), (100, 1)):
        numbers = VectorNumbers()
        numbers.add([f"26377{tail:03}0000" for tail in range(heads)])
        assert numbers._store.used == heads * PAGE_BYTES
        numbers.close()
        assert len(vector_ledger._spare) == kept


@both
def test_millions_are_let_go_of_a_little_at_a_time(ledger: type[PlainNumbers]) -> None:
    """Numbers without neighbours are in many small sets, and to drop all of them at once would hold the loop."""
    roster = Roster(ledger=ledger)
    assert not roster.let_go_of_some()
    far_apart = [f"49{151 + at % 20}{at * 7_919 % 10**8:08}" for at in range(20_000)]
    roster.admit(list(dict.fromkeys(far_apart)))
    known = roster._known
    left = [len(known._shards)]
    assert left[0] > 200
    while roster.let_go_of_some():
        left.append(len(known._shards))
    assert len(left) > 3
    assert {before - after for before, after in pairwise(left)} == {64}
    roster.close()
    assert not known._shards


def test_a_closed_ledger_takes_nobody() -> None:
    """Its memory may be another's by now."""
    numbers = VectorNumbers()
    numbers.close()
    with pytest.raises(IndexError):
        numbers.add([f"26377{tail:07}" for tail in range(500)])
