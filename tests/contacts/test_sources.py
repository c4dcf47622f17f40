"""Rows from memory: every kind of source, none waited for in full, none lost before a failure."""

import asyncio
import math
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.contacts.async_rows import LINGER
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.rows import BUDGET
from smspop_async.contacts.sources import (
    ContactRows,
    Slab,
    load_suppression,
    open_rows,
    read_numbers,
    read_slabs,
)
from smspop_async.errors import ConfigurationError, ContactSourceError

pytestmark = pytest.mark.anyio

NUMBERS = [f"26377{tail:07}" for tail in range(1234)]


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def slabs_of(rows: ContactRows) -> list[Slab]:
    slabs = []
    while (slab := await rows.next_slab()) is not None:
        slabs.append(slab)
    assert await rows.next_slab() is None
    await rows.aclose()
    await rows.aclose()
    return slabs


def values_of(slabs: list[Slab]) -> list[object]:
    return [value for slab in slabs for value in slab.values]


async def numbers_later(numbers: list[object]) -> AsyncIterator[object]:
    for number in numbers:
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize(
    ("make", "finite"),
    [
        (list, True),
        (tuple, True),
        (", ".join, True),
        (lambda numbers: ",".join(numbers) + ", ", True),
        (dict.fromkeys, None),
        (lambda numbers: dict.fromkeys(numbers).keys(), True),
        (iter, False),
        (lambda numbers: (number for number in numbers), False),
        (lambda numbers: map(str, numbers), False),
        (numbers_later, False),
    ],
)
async def test_every_kind_of_source_gives_the_same_rows(
    make: Callable[[list[str]], object], finite: bool | None
) -> None:
    """In order, none lost, none twice, in slabs of the size asked for; and it is known which of them end."""
    contacts = make(NUMBERS)
    if finite is None:
        with pytest.raises(ContactSourceError, match="single mapping"):
            open_rows(contacts)
        return
    rows = open_rows(contacts, size=100, clock=Clock())
    assert rows.finite is finite
    slabs = await slabs_of(rows)
    assert values_of(slabs) == NUMBERS
    assert {len(slab) for slab in slabs[:-1]} == {100}
    assert all(slab.lines is None and slab.fields is None for slab in slabs)


@given(st.lists(st.sampled_from(["263770000001", "", " ", "x", "0770000001 "])))
def test_a_comma_string_has_a_row_for_each_piece(pieces: list[str]) -> None:
    """An empty piece in the middle is a row, for it may be a number that was lost; one trailing comma is none."""
    found = values_of(list(read_slabs(",".join(pieces))))
    wanted = [piece.strip() for piece in pieces]
    if wanted and not wanted[-1]:
        wanted.pop()
    assert found == wanted


@pytest.mark.parametrize(
    ("contacts", "words"),
    [
        ("people.csv", r"Path\(…\)"),
        ("lists/People.XLSX", r"Path\(…\)"),
        ({"phone": "263770000001"}, "single mapping"),
        (b"263770000001", "bytes"),
        (263770000001, "int"),
        (None, "NoneType"),
        (SimpleNamespace(itertuples=None, __iter__=None), "data frame"),
    ],
)
def test_what_cannot_be_meant_is_refused(contacts: object, words: str) -> None:
    """A mistake is named before anything is read, with the way to mend it, and without a number."""
    for read in (open_rows, lambda source: list(read_slabs(source))):
        with pytest.raises(ContactSourceError, match=words) as caught:
            read(contacts)
        assert "770000001" not in str(caught.value)


def test_an_iterable_that_cannot_be_iterated() -> None:
    """A failing ``__iter__`` is the source's failure, with its cause."""

    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise ZeroDivisionError

    with pytest.raises(ContactSourceError, match="ZeroDivisionError") as caught:
        open_rows(Broken())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_rows_of_every_kind() -> None:
    """Numbers stand for themselves, records are looked into, the rest is left for the verdict INVALID."""
    rows = [
        "0770000001",
        770000002,
        770000003.0,
        None,
        {"Name": "A", "Phone Number": "0770000004", "Age": 7, "Note": None},
        {"name": "B"},
        {1: "x", "TO": "0770000005"},
        SimpleNamespace(phone_number="0770000006"),
        ("0770000007", "C"),
    ]
    (slab,) = await slabs_of(open_rows(rows, with_fields=True))
    assert slab.values == [
        *("0770000001", 770000002, 770000003.0, None),
        *("0770000004", None, "0770000005", "0770000006", ("0770000007", "C")),
    ]
    assert slab.fields is not None
    assert slab.fields[4] == {"Name": "A", "Phone Number": "0770000004", "Age": "7"}
    assert [dict(fields) for fields in slab.fields[5:]] == [
        {"name": "B"},
        {"1": "x", "TO": "0770000005"},
        {},
        {},
    ]
    (plain,) = await slabs_of(open_rows(rows))
    assert plain.values == slab.values
    assert plain.fields is None
    (no_mapping,) = await slabs_of(open_rows([("a",)], with_fields=True))
    assert no_mapping.fields is None


@pytest.mark.parametrize(
    "name",
    ["phone_number", "Phone Number", "PHONE", "Mobile", "msisdn", "Cell-Phone", "Tel.", "WhatsApp", "To"],
)
def test_well_known_names(name: str) -> None:
    """Case, spaces and punctuation of a header do not matter."""
    assert values_of(list(read_slabs([{"Name": "A", name: "1"}]))) == ["1"]


def test_the_best_name_wins_and_a_column_wins_over_it() -> None:
    """A contact's name is not its number though both headers are known; the caller's word is the last."""
    row = {"Contact": "Ann", "Office line": "3", "Mobile": "1", "Phone": "2"}
    assert values_of(list(read_slabs([row]))) == ["2"]
    assert values_of(list(read_slabs([row], column="Mobile"))) == ["1"]
    assert values_of(list(read_slabs([row], column="office_line"))) == ["3"]
    assert values_of(list(read_slabs([row], column="fax"))) == [None]
    assert values_of(list(read_slabs([SimpleNamespace(fax="4")], column="fax"))) == ["4"]


def test_rows_with_many_kinds_of_keys() -> None:
    """What is remembered about the keys of rows stays small and right."""
    rows = [{"phone": str(place), f"extra{place}": "x"} for place in range(200)]
    assert values_of(list(read_slabs(rows))) == [str(place) for place in range(200)]


def test_a_row_whose_own_code_fails_is_a_row_at_fault() -> None:
    """One bad record does not end the run: it is passed on, to be INVALID."""

    class Bad:
        @property
        def phone_number(self) -> str:
            raise ZeroDivisionError

    bad = Bad()
    assert values_of(list(read_slabs([bad, "1"]))) == [bad, "1"]


def failing(count: int) -> Iterator[str]:
    yield from NUMBERS[:count]
    raise ZeroDivisionError("263770000001")


async def failing_later(count: int) -> AsyncIterator[str]:
    for number in NUMBERS[:count]:
        yield number
    raise ZeroDivisionError("263770000001")


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("source", [failing, failing_later])
async def test_what_was_read_before_a_failure_is_handed_on(
    source: Callable[[int], object], count: int
) -> None:
    """Conservation: the failure comes behind the last row, names their count, and shows none of them."""
    rows = open_rows(source(count), size=100, clock=Clock())
    values: list[object] = []

    async def read_on() -> None:
        while slab := await rows.next_slab():
            values.extend(slab.values)

    with pytest.raises(ContactSourceError, match=f"after {count} rows") as caught:
        await read_on()
    assert values == NUMBERS[:count]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "26377" not in str(caught.value)
    with pytest.raises(ContactSourceError):
        await rows.next_slab()
    await rows.aclose()


def test_a_failure_ends_the_plain_reading_too() -> None:
    """The same without an event loop."""
    slabs = read_slabs(failing(150), size=100)
    assert values_of([next(slabs), next(slabs)]) == NUMBERS[:150]
    with pytest.raises(ContactSourceError, match="after 150 rows"):
        next(slabs)


def test_base_exceptions_are_not_wrapped() -> None:
    """An interrupt is no failure of the source."""

    def interrupted() -> Iterator[str]:
        yield "1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(read_slabs(interrupted()))


async def test_a_slow_generator_gives_what_it_has() -> None:
    """Once the budget is spent, no more is pulled: the loop has other work."""
    clock = Clock()

    def slow() -> Iterator[str]:
        for number in NUMBERS[:5]:
            clock.now += BUDGET
            yield number

    slabs = await slabs_of(open_rows(slow(), size=100, clock=clock))
    assert [len(slab) for slab in slabs] == [1, 1, 1, 1, 1]
    assert values_of(slabs) == NUMBERS[:5]


async def test_an_async_iterable_that_lingers_gives_what_it_has() -> None:
    """A slab is handed on a little after its first row, however many rows it was to have."""
    clock = Clock()

    async def slow() -> AsyncIterator[str]:
        for number in NUMBERS[:10]:
            clock.now += LINGER * 0.6
            yield number

    slabs = await slabs_of(open_rows(slow(), size=100, clock=clock))
    assert [len(slab) for slab in slabs] == [3, 3, 3, 1]
    assert values_of(slabs) == NUMBERS[:10]


async def test_an_async_iterable_that_never_waits_does_not_hold_the_loop() -> None:
    """Other tasks run while a slab is filled by an iterator that has no await of its own."""
    clock = Clock()
    ticks = 0

    async def busy() -> AsyncIterator[str]:
        for number in NUMBERS:
            clock.now += BUDGET
            yield number

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        rows = open_rows(busy(), size=300, clock=clock)
        assert len(await rows.next_slab() or ()) == 300
        group.cancel_scope.cancel()
    assert ticks > 250


async def test_rows_read_before_a_cancelled_wait_are_not_lost() -> None:
    """Whoever cancels a wait still gets the rows that were read for it."""
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[str]:
        yield NUMBERS[0]
        yield NUMBERS[1]
        waiting.set()
        await asyncio.Event().wait()

    rows = open_rows(stuck(), size=10)
    task = asyncio.ensure_future(rows.next_slab())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    taken = rows.taken()
    assert taken is not None
    assert taken.values == NUMBERS[:2]
    assert rows.taken() is None
    assert open_rows(["1"]).taken() is None


class Opened:
    """An iterable that makes iterators which say whether they were closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        try:
            yield from NUMBERS
        finally:
            self.closed += 1

    async def later(self) -> AsyncIterator[str]:
        try:
            for number in NUMBERS:
                yield number
        finally:
            self.closed += 1


async def test_who_makes_the_iterator_closes_it() -> None:
    """An iterator that was made here is closed here; a generator that was handed in stays the caller's."""
    iterable = Opened()
    rows = open_rows(iterable, size=10)
    await rows.next_slab()
    await rows.aclose()
    assert iterable.closed == 1
    generator = iter(iterable)
    rows = open_rows(generator, size=10, clock=Clock())
    await rows.next_slab()
    await rows.aclose()
    assert iterable.closed == 1
    assert next(generator) == NUMBERS[10]
    slabs = read_slabs(iterable, size=10)
    next(slabs)
    slabs.close()  # type: ignore[attr-defined]
    assert iterable.closed == 2


async def test_who_makes_the_async_iterator_closes_it() -> None:
    """The same for async iterables."""
    iterable = Opened()

    class Later:
        def __aiter__(self) -> AsyncIterator[str]:
            return iterable.later()

    rows = open_rows(Later(), size=10)
    await rows.next_slab()
    await rows.aclose()
    assert iterable.closed == 1
    assert await rows.next_slab() is None
    generator = iterable.later()
    rows = open_rows(generator, size=10)
    await rows.next_slab()
    await rows.aclose()
    assert iterable.closed == 1
    await generator.aclose()


async def test_an_async_iterable_needs_a_loop() -> None:
    """It cannot be read by a plain loop, and the error says by what it can."""
    with pytest.raises(ConfigurationError, match="event loop"):
        next(read_slabs(numbers_later([])))


def test_slabs_do_not_show_their_rows() -> None:
    """Law 7: the repr of a slab holds no number."""
    (slab,) = read_slabs(["263770000001"], with_fields=True)
    assert "770000001" not in repr(slab)


def test_read_numbers_says_which_rows_have_none() -> None:
    """Places count over slabs, from 1; a file's lines are its own."""
    contacts = ["0770000001", "x", *NUMBERS[:600], None]
    numbers, problems = read_numbers(contacts, Normaliser())
    assert numbers == ["263770000001", *NUMBERS[:600]]
    assert [place for place, _ in problems] == [2, 603]
    assert "letters" in problems[0][1]


def test_a_suppression_list(tmp_path: Path) -> None:
    """Every number of it is read, in any spelling, and through a thread."""
    path = tmp_path / "opted-out.txt"
    path.write_text("# opted out\n0770 000 001\n+27 82 000 0000\n")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(load_suppression(path, Normaliser())))
    thread.start()
    thread.join()
    assert found == ["263770000001", "27820000000"]


def test_a_suppression_that_is_no_number_stops(tmp_path: Path) -> None:
    """Passing it over would text somebody who opted out; the line is named, the number is not."""
    path = tmp_path / "opted-out.txt"
    path.write_text("0770000001\n\n2.63770E+11\n")
    with pytest.raises(ContactSourceError, match=r"opted-out.txt, line 3 .* scientific") as caught:
        list(load_suppression(path, Normaliser()))
    assert caught.value.line == 3
    with pytest.raises(ContactSourceError, match="Row 2 "):
        list(load_suppression(["0770000001", ""], Normaliser()))


async def test_what_a_data_frame_puts_where_there_is_nothing_is_nothing() -> None:
    """A field that is missing is no field, in whatever way it is missing, and whole numbers stay whole."""

    class NotATime:
        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    class NotAvailable:
        def __ne__(self, other: object) -> Self:  # type: ignore[override]
            return self

        def __bool__(self) -> bool:
            raise TypeError("boolean value of NA is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    class Odd:
        def __ne__(self, other: object) -> bool:
            raise ValueError

        def __str__(self) -> str:
            return "odd"

        __hash__ = None  # type: ignore[assignment]

    row = {"phone": "0770000001", "a": math.nan, "b": NotATime(), "c": NotAvailable(), "d": None, "e": Odd()}
    more = {"f": 3.0, "g": 2.5, "h": math.inf, "i": Decimal("3.0"), "j": True, "k": ""}
    (slab,) = await slabs_of(open_rows([{**row, **more}], with_fields=True))
    assert slab.fields is not None
    said = {"e": "odd", "f": "3", "g": "2.5", "h": "inf", "i": "3.0", "j": "True", "k": ""}
    assert slab.fields[0] == {"phone": "0770000001", **said}


async def test_a_field_that_cannot_be_written_is_a_field_that_is_not_there() -> None:
    """A value's own code may fail; then its row lacks what the text needs, and the others go out."""

    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError

    (slab,) = await slabs_of(open_rows([{"phone": "0770000001", "n": Broken(), "m": 1}], with_fields=True))
    assert slab.fields is not None
    assert slab.fields[0] == {"phone": "0770000001", "m": "1"}


async def test_rows_do_not_wait_for_the_next_one_of_an_async_iterable() -> None:
    """Who reads a queue is not kept from texting one person until there is another; and no row is lost meanwhile."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def from_queue() -> AsyncIterator[str]:
        while True:
            yield await queue.get()

    rows = open_rows(from_queue(), size=100)
    try:
        for number in NUMBERS[:3]:
            queue.put_nowait(number)
        slab = await rows.next_slab()
        assert slab is not None
        assert slab.values == NUMBERS[:3]
        queue.put_nowait(NUMBERS[3])
        for _ in range(5):
            await asyncio.sleep(0)  # it is read, for it was being waited for, and no further one
        queue.put_nowait(NUMBERS[4])
        for _ in range(5):
            await asyncio.sleep(0)
        assert queue.qsize() == 1
        slab = await rows.next_slab()
        assert slab is not None
        assert slab.values == NUMBERS[3:5]
    finally:
        await rows.aclose()


async def test_an_async_iterable_may_have_tasks_and_limits_around_its_rows() -> None:
    """All of its steps are made by one task, whoever asks for slabs."""
    tasks = set()

    async def guarded() -> AsyncIterator[str]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            with anyio.fail_after(60):
                for number in NUMBERS[:30]:
                    tasks.add(asyncio.current_task())
                    yield number
            group.cancel_scope.cancel()

    rows = open_rows(guarded(), size=10)
    slabs = [await asyncio.ensure_future(rows.next_slab()) for _ in range(4)]
    assert values_of([slab for slab in slabs if slab is not None]) == NUMBERS[:30]
    assert len(tasks) == 1
    await rows.aclose()


async def test_an_async_iterable_that_ends_the_program_ends_it() -> None:
    """`sys.exit` in a generator comes out where its rows are waited for, and what it gave before is not lost."""

    async def leaving() -> AsyncIterator[str]:
        yield NUMBERS[0]
        sys.exit("enough")

    rows = open_rows(leaving(), size=10)
    with pytest.raises(SystemExit, match="enough"):
        await rows.next_slab()
    taken = rows.taken()
    assert taken is not None
    assert taken.values == NUMBERS[:1]
    await rows.aclose()


async def test_an_async_iterator_that_cannot_be_closed_says_so() -> None:
    """As one of a plain iterable does: what was made here and does not end is a defect to be told."""

    class Stubborn:
        def __aiter__(self) -> AsyncIterator[str]:
            return self.rows()

        async def rows(self) -> AsyncIterator[str]:
            try:
                for number in NUMBERS:
                    yield number
            finally:
                raise ZeroDivisionError

    rows = open_rows(Stubborn(), size=10)
    await rows.next_slab()
    with pytest.raises(ZeroDivisionError):
        await rows.aclose()


async def test_an_async_iterator_that_does_not_hear_of_its_end_is_left() -> None:
    """One that swallows the cancellation is asked for no further row."""
    asked = 0

    async def deaf() -> AsyncIterator[str]:
        nonlocal asked
        yield NUMBERS[0]
        while True:
            asked += 1
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            yield NUMBERS[1]

    rows = open_rows(deaf(), size=10)
    await rows.next_slab()
    with anyio.fail_after(10):
        await rows.aclose()
    assert asked == 1


async def test_an_async_iterable_reads_in_the_context_of_who_waits() -> None:
    """A query that it makes belongs to the run whose rows it reads, also where the first came before that began."""
    run: ContextVar[str] = ContextVar("run", default="none")
    seen = []

    async def asking() -> AsyncIterator[str]:
        for number in NUMBERS[:4]:
            seen.append(run.get())
            yield number

    rows = open_rows(asking(), size=1)
    for name in ("none", "one", "two"):
        run.set(name)
        await rows.next_slab()
    await rows.aclose()
    assert seen == ["none", "one", "two"]
