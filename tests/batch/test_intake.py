"""From rows to chunks: junk, duplicates, suppression, templates; and the plan that foretells it."""

import asyncio
import itertools
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from string import Template

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawserver import answer_all, fake_number, fake_numbers, raw_server
from smspop_async import ConfigurationError, ContactSourceError, SmsPop, Status, plan_campaign
from smspop_async.api.pump import Pump
from smspop_async.batch.chunks import Chunker
from smspop_async.batch.intake import Intake
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.sorting import Excluded, Sorter
from smspop_async.contacts.numbers import InvalidNumber, Normaliser, Scan
from smspop_async.contacts.roster import Roster
from smspop_async.contacts.sources import ContactRows, Slab, open_rows

pytestmark = pytest.mark.anyio

JUNK = [
    None,
    "",
    "12",
    "2.63772E+11",
    "263770000001,263770000002",
    "263770000001\n263770000002",
    "٢٦٣٧٧٠٠٠٠٠٠١",
    True,
    b"263770000001",
]


async def send(contacts, message="Hello!", **options):
    async with raw_server(answer_all) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        report = await sms.send(contacts, message=message, sender_id="DEMO", **options)
    return report, [json.loads(post.body) for post in raw.posts]


async def test_junk_becomes_invalid_with_its_row_and_reason_and_stops_nothing():
    """Nothing is guessed: what is not a number is INVALID, what is one is sent."""
    rows = [fake_number(1), *JUNK, fake_number(2)]
    report, bodies = await send(rows)
    outcomes = list(report.outcomes())
    assert [outcome.status for outcome in outcomes] == [
        Status.SENT,
        *[Status.INVALID] * len(JUNK),
        Status.SENT,
    ]
    assert all(outcome.detail for outcome in outcomes[1:-1])
    assert bodies[0]["manual_contacts"] == f"{fake_number(1)}, {fake_number(2)}"


async def test_the_same_person_in_two_spellings_is_texted_once():
    """De-duplication is by number, not by text."""
    report, bodies = await send(
        ["263770000001", "0770 000 001", "+263 77 000 0001", "770000001", 263770000001]
    )
    assert [outcome.status for outcome in report.outcomes()] == [Status.SENT, *[Status.DUPLICATE] * 4]
    assert bodies[0]["manual_contacts"] == "263770000001"


async def test_suppressed_people_are_never_submitted(tmp_path):
    """A list of people who opted out holds in any spelling, from a file too."""
    path = tmp_path / "opted-out.txt"
    path.write_text("0770 000 002\n+263770000003\n")
    report, bodies = await send(fake_numbers(4), suppress=path)
    assert [outcome.status.value for outcome in report.outcomes()] == [
        "sent",
        "suppressed",
        "suppressed",
        "sent",
    ]
    assert bodies[0]["manual_contacts"] == f"{fake_number(1)}, {fake_number(4)}"


async def test_a_suppression_list_that_cannot_be_understood_stops_everything(tmp_path):
    """A line that is no number might be somebody who opted out, so nothing is sent."""
    path = tmp_path / "opted-out.txt"
    path.write_text("0770 000 002\nnot a number\n")
    async with raw_server(answer_all) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        with pytest.raises(ContactSourceError, match="line 2"):
            await sms.send(fake_numbers(4), message="Hello!", sender_id="DEMO", suppress=path)
        with pytest.raises(ContactSourceError, match=r"missing\.csv"):
            await sms.send(Path("missing.csv"), message="Hello!", sender_id="DEMO")
    assert raw.requests == []


async def opted_out() -> AsyncIterator[str]:
    yield fake_number(1)


def half_a_list() -> Iterator[str]:
    yield from fake_numbers(2)
    raise OSError("the database went away")


@pytest.mark.parametrize(
    ("suppress", "error", "words"),
    [
        (opted_out, ConfigurationError, "suppress takes no async iterable: read it first"),
        (
            half_a_list,
            ContactSourceError,
            r"suppression list failed while it was read \(OSError\). Nothing was sent",
        ),
        (lambda: 7, ContactSourceError, "suppression list cannot be read.*from int"),
        (lambda: Path("missing.txt"), ContactSourceError, r"suppression list cannot be read.*missing\.txt"),
    ],
)
async def test_what_is_wrong_with_a_suppression_list_is_said_of_it(suppress, error, words):
    """The words are about the list, not about the contacts; they do not offer to go on without a part of it."""
    async with raw_server(answer_all) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        with pytest.raises(error, match=words) as sent:
            await sms.send(fake_numbers(4), message="Hello!", sender_id="DEMO", suppress=suppress())
    with pytest.raises(error, match=words) as planned:
        plan_campaign(fake_numbers(4), message="Hello!", suppress=suppress())
    assert raw.requests == []
    for caught in (sent, planned):
        assert "rest of the contacts" not in str(caught.value)
        assert "use send" not in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError) == (suppress is half_a_list)


async def test_a_template_is_filled_from_each_row_and_equal_texts_share_a_campaign():
    """Merge fields: one campaign for each rendered text; a missing field is an INVALID row that names it."""
    rows = [
        {"phone": fake_number(1), "name": "Rudo", "day": "Monday"},
        {"phone": fake_number(2), "name": "Tatenda", "day": "Monday"},
        {"phone": fake_number(3), "name": "Rudo", "day": "Monday"},
        {"phone": fake_number(4), "day": "Monday"},
        {"phone": fake_number(5), "name": "Rudo", "day": ""},
        {"phone": "12", "name": "Rudo", "day": "Monday"},
    ]
    report, bodies = await send(rows, Template("$name, see you on ${day}"))
    assert {body["message"]: body["manual_contacts"] for body in bodies} == {
        "Rudo, see you on Monday": f"{fake_number(1)}, {fake_number(3)}",
        "Tatenda, see you on Monday": fake_number(2),
    }
    outcomes = list(report.outcomes())
    assert [outcome.status.value for outcome in outcomes] == ["sent", "sent", "sent", *["invalid"] * 3]
    assert "'name'" in outcomes[3].detail
    assert "'day'" in outcomes[4].detail


async def test_a_filled_in_text_that_would_be_changed_by_the_server_is_invalid():
    """White space around a filled-in text is refused as it is in a plain one."""
    rows = [{"phone": fake_number(1), "name": " Rudo"}, {"phone": fake_number(2), "name": "Rudo"}]
    report, bodies = await send(rows, Template("$name, hi"))
    assert [outcome.status.value for outcome in report.outcomes()] == ["invalid", "sent"]
    assert "filled-in message" in next(report.outcomes()).detail
    assert len(bodies) == 1


async def test_a_template_needs_rows_with_fields():
    """Bare numbers lack every field."""
    report, bodies = await send(fake_numbers(2), Template("Dear $name"))
    assert report.counts[Status.INVALID] == 2
    assert bodies == []


async def test_a_broken_template_is_refused_before_anything_is_sent():
    """A stray dollar is found out at once, also by the plan."""
    with pytest.raises(ConfigurationError):
        await send(fake_numbers(2), Template("That is $ 5"))
    with pytest.raises(ConfigurationError):
        plan_campaign(fake_numbers(2), message=Template("That is $ 5"))


async def test_the_documented_text_is_a_source_too():
    """The vendor's "263…, 263…" form."""
    report, bodies = await send("263770000001, 263770000002")
    assert report.counts[Status.SENT] == 2
    assert bodies[0]["manual_contacts"] == "263770000001, 263770000002"


ROW = st.one_of(
    st.integers(0, 30).map(fake_number),
    st.integers(0, 30).map(lambda n: f"0{77}{n:07}"),
    st.sampled_from(JUNK),
)


@given(rows=st.lists(ROW, max_size=60), chunk_size=st.integers(1, 9), out=st.sets(st.integers(0, 30)))
async def test_the_plan_foretells_the_run(rows, chunk_size, out):
    """Valid, invalid, duplicate, suppressed and campaigns are in the plan what they are in the report."""
    suppress = [fake_number(n) for n in sorted(out)]
    plan = plan_campaign(rows, message="Hello!", chunk_size=chunk_size, suppress=suppress)
    report, bodies = await send(rows, chunk_size=chunk_size, suppress=suppress)
    assert plan.total == report.total == len(rows)
    assert plan.valid == report.counts[Status.SENT]
    assert plan.invalid_count == len(plan.invalid) == report.counts[Status.INVALID]
    assert plan.duplicates == report.counts[Status.DUPLICATE]
    assert plan.suppressed == report.counts[Status.SUPPRESSED]
    assert plan.chunks == len(bodies)
    assert plan.credits == plan.valid
    invalid = [outcome for outcome in report.outcomes() if outcome.status is Status.INVALID]
    assert [(row.index, row.reason) for row in plan.invalid] == [(o.index, o.detail) for o in invalid]


def test_the_plan_counts_segments_and_names_the_culprit():
    """One curly quote makes a text Unicode, and a segment of it 70 characters long."""
    plan = plan_campaign(fake_numbers(3), message="It’s time " + "x" * 70)
    assert (plan.cost.encoding, plan.segments, plan.credits) == ("UCS-2", 2, 6)
    assert plan.cost.unicode_because[0].character == "’"
    assert plan.cost.unicode_because[0].position == 2


def test_the_plan_of_a_template_adds_up_what_its_texts_cost():
    """Each rendered text has its own cost; `segments` is the dearest."""
    rows = [{"phone": fake_number(n), "x": "y" * (100 * n)} for n in (1, 2)]
    plan = plan_campaign(rows, message=Template("$x"))
    assert (plan.chunks, plan.segments, plan.credits) == (2, 2, 3)


def test_the_plan_knows_the_lines_of_a_file(tmp_path):
    """Problems are named by the line of the file."""
    path = tmp_path / "people.txt"
    path.write_text("0770000001\n\n12\n")
    (row,) = plan_campaign(path, message="Hello!").invalid
    assert (row.line, row.index, row.text) == (3, 1, "12")


@pytest.mark.parametrize("size", [0, -1, "5", 50_001])
def test_the_plan_checks_its_chunk_size_as_send_does(size):
    """The same setting, the same limits."""
    with pytest.raises(ConfigurationError, match="chunk_size"):
        plan_campaign(fake_numbers(2), message="Hello!", chunk_size=size)


def test_the_plan_refuses_an_async_source():
    """It runs where there is no loop."""

    async def rows():
        yield fake_number(1)

    with pytest.raises(ConfigurationError):
        plan_campaign(rows(), message="Hello!")


def intake_of(
    contacts, *, chunk_size=500, message="Hello!", clock=time.perf_counter, **options
) -> tuple[Intake, OutcomeBook]:
    """An intake, and the book that it enters rows into."""
    book, chunker = OutcomeBook(), Chunker(chunk_size)
    sorter = Sorter(message=message, normaliser=Normaliser(), roster=Roster(), chunker=chunker, book=book)
    rows = contacts if isinstance(contacts, ContactRows) else open_rows(contacts, clock=clock)
    pump = Pump(clock)
    intake = Intake(
        rows=rows, sorter=sorter, chunker=chunker, abandoned=lambda: False, pump=pump, clock=clock, **options
    )
    return intake, book


@pytest.mark.parametrize("kind", ["slow rows", "odd spellings"])
async def test_reading_lets_the_loop_turn(kind):
    """However slow a source is, or how many numbers need the full parser, the loop turns between small slices."""
    rows = {
        "slow rows": (number for number in fake_numbers(400)),
        "odd spellings": ["(+263) " + number[3:] + "/" for number in fake_numbers(400)],
    }[kind]
    ticks = itertools.count()
    turns = 0

    async def turning():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    intake, book = intake_of(rows, chunk_size=400, clock=lambda: next(ticks) / 1_000)
    task = asyncio.ensure_future(turning())
    while (await intake.next())[0] is not None:
        pass
    task.cancel()
    await intake.aclose()
    assert len(book) == 400
    assert turns >= 19


async def test_rows_that_are_not_sent_are_handed_on_however_few_are():
    """Flat: the wrong column of a file is millions of invalid rows, and no chunk to give out with them."""
    contacts = [fake_number(1), *(f"junk {row}" for row in range(20_000)), fake_number(2)]
    intake, book = intake_of(contacts)
    given = [await intake.next()]
    while any(given[-1]):
        given.append(await intake.next())
    await intake.aclose()
    assert max(len(excluded or ()) for _, excluded in given) <= 2_000 + 8_000
    assert [row.row for _, excluded in given for row in excluded or ()] == list(range(1, 20_001))
    assert [list(chunk.rows) for chunk, _ in given if chunk is not None] == [[0, 20_001]]
    assert book.count()[Status.INVALID] == 20_000


async def test_what_is_left_of_a_template_is_given_out_some_chunks_at_a_time():
    """Good neighbour: where each row has its own text, tens of thousands of chunks wait for the end of the list."""
    people = [{"phone": number, "name": f"No. {number}"} for number in fake_numbers(2_000)]
    rows = open_rows(people, with_fields=True)
    intake, _ = intake_of(rows, message=Template("Dear $name"))
    given, most = [], 0
    while (chunk := (await intake.next())[0]) is not None:
        given += [chunk, *(at_hand := intake.at_hand())]
        most = max(most, len(at_hand))
    assert most < 100
    assert [list(chunk.rows) for chunk in given] == [[row] for row in range(2_000)]


def test_the_oldest_text_is_found_without_looking_for_it():
    """A dict is searched from its beginning, past all that was taken out: with 30,000 texts for most of a second."""
    assert isinstance(Chunker(500)._groups, OrderedDict)


class Undecided:
    """A normaliser that leaves every row to the full parser, so that a slab goes the long way."""

    def __init__(self) -> None:
        self._normaliser = Normaliser()

    def scan(self, values, text=None):
        return Scan(numbers=[None] * len(values), undecided=list(range(len(values))))

    def parse(self, value):
        return self._normaliser.parse(value)


SPELLINGS = [
    fake_number,
    lambda n: "0" + fake_number(n)[3:],
    lambda n: f"+263 77 {fake_number(n)[5:]}",
    lambda n: int(fake_number(n)),
]
CLEAN = st.tuples(st.integers(0, 25), st.sampled_from(SPELLINGS)).map(lambda drawn: drawn[1](drawn[0]))
PLAIN = st.integers(0, 25).map(fake_number)


@st.composite
def slabs(draw):
    """Slabs of a run: most hold nothing but numbers, some hold junk; with lines of a file or without."""
    kinds = st.sampled_from([PLAIN, PLAIN, CLEAN, st.one_of(CLEAN, st.sampled_from(JUNK))])
    given_out, line, lined = [], 1, draw(st.booleans())
    for _ in range(draw(st.integers(0, 7))):
        values = draw(st.lists(draw(kinds), min_size=1, max_size=12))
        texts = all(isinstance(value, str) and "\n" not in value for value in values)
        text = "".join(f"{value}\n" for value in values) if texts and draw(st.booleans()) else None
        line += draw(st.integers(0, 2))
        gap = draw(st.integers(1, 2))
        lines = [line + gap * at for at in range(len(values))] if lined else None
        given_out.append(Slab(values=values, lines=lines, text=text))
        line += gap * len(values)
    return given_out


def sorted_by(normaliser, given_out, size, suppressed):
    """All that comes of a run: its chunks, the rows excluded, and every row of the book."""
    book, chunker, roster = OutcomeBook(), Chunker(size), Roster(suppressed)
    sorter = Sorter(message="Hello!", normaliser=normaliser, roster=roster, chunker=chunker, book=book)
    chunks, excluded = [], Excluded()
    for slab in given_out:
        *turns, result = sorter.sort(slab)
        assert turns == [None] * len(turns)
        chunks += result.chunks
        excluded.extend(result.excluded)
    chunks += chunker.flush()
    book.settle_rest(Status.UNKNOWN, "to be sent")
    entered = [(o.index, o.phone_number, o.status, o.detail, o.line) for o in book.outcomes()]
    return (
        [(list(chunk.rows), list(chunk.numbers), chunk.text) for chunk in chunks],
        [
            (row.row, row.status, row.detail, line, row.shown)
            for row, line in zip(excluded, excluded.lines, strict=True)
        ],
        entered,
        len(roster),
    )


def naively(given_out, size, suppressed):
    """The same in the plainest words: the rows to be sent, cut into chunks, and what is excluded and why."""
    normaliser, seen, good, excluded, row = Normaliser(), set(), [], [], 0
    for slab in given_out:
        for value in slab.values:
            try:
                number = normaliser.parse(value)
            except InvalidNumber:
                excluded.append((row, Status.INVALID))
            else:
                if number in suppressed:
                    excluded.append((row, Status.SUPPRESSED))
                elif number in seen:
                    excluded.append((row, Status.DUPLICATE))
                else:
                    seen.add(number)
                    good.append((row, number))
            row += 1
    cuts = [good[at : at + size] for at in range(0, len(good), size)]
    return [([row for row, _ in cut], [number for _, number in cut]) for cut in cuts], excluded


@settings(max_examples=150, deadline=None)
@given(given_out=slabs(), size=st.integers(1, 9), out=st.sets(st.integers(0, 25), max_size=5))
def test_the_short_way_and_the_long_way_are_one(given_out, size, out):
    """Slabs of nothing but numbers are sorted in bulk, and nobody can tell: chunks, exclusions, book are the same."""
    suppressed = {fake_number(n) for n in out}
    short = sorted_by(Normaliser(), given_out, size, suppressed)
    assert short == sorted_by(Undecided(), given_out, size, suppressed)
    chunks, excluded = naively(given_out, size, suppressed)
    assert [(rows, numbers) for rows, numbers, _ in short[0]] == chunks
    assert [(index, status) for index, status, *_ in short[1]] == excluded
    lines = [line for slab in given_out for line in slab.lines or [None] * len(slab)]
    assert [line for *_, line in short[2]] == lines
    assert [line for _, _, _, line, _ in short[1]] == [lines[index] for index, *_ in short[1]]
    assert short[3] == sum(len(numbers) for _, numbers in chunks)


def test_slabs_of_nothing_but_numbers_take_the_short_way():
    """What is compared above are two ways: in bulk where every row is a number, row by row where one is not."""
    taken = []

    class Watched(Sorter):
        def _admit_all(self, *args):
            taken.append("short")
            return super()._admit_all(*args)

        def _admit(self, *args):
            taken.append("long")
            return super()._admit(*args)

    for normaliser, values in (
        (Normaliser(), fake_numbers(9)),
        (Normaliser(), [*fake_numbers(9), fake_number(1), "0770 000 003"]),
        (Normaliser(), [*fake_numbers(9), "12"]),
        (Undecided(), fake_numbers(9)),
    ):
        book, chunker = OutcomeBook(), Chunker(4)
        sorter = Watched(message="Hello!", normaliser=normaliser, roster=Roster(), chunker=chunker, book=book)
        list(sorter.sort(Slab(values=values)))
    assert taken == ["short", "short", "long", "long"]


@given(feeds=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=12), size=st.integers(1, 7))
def test_consecutive_rows_stay_ranges(feeds, size):
    """Rows fed as ranges come out as ranges wherever they are consecutive, in whatever slabs they came."""
    chunker, chunks, row, fed = Chunker(size), [], 0, []
    for gap, count in feeds:
        row += gap
        rows = range(row, row + count)
        fed += rows
        chunks += chunker.feed("Hello!", rows, [fake_number(n) for n in rows])
        row += count
    chunks += chunker.flush()
    assert [at for chunk in chunks for at in chunk.rows] == fed
    assert [number for chunk in chunks for number in chunk.numbers] == [fake_number(at) for at in fed]
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * len(chunks[:-1])
    if not any(gap for gap, count in feeds[1:]):
        assert all(isinstance(chunk.rows, range) for chunk in chunks)


async def test_lines_of_a_file_are_kept_by_the_short_way(tmp_path):
    """A duplicate and a suppressed number in a clean file are told by their lines, blank lines and heading counted."""
    path = tmp_path / "people.csv"
    rows = [fake_number(1), fake_number(2), "", fake_number(1), fake_number(3), fake_number(4)]
    path.write_text("phone\n" + "".join(f"{row}\n" for row in rows))
    report, bodies = await send(path, suppress=[fake_number(3)], chunk_size=2)
    told = [(outcome.line, outcome.status) for outcome in report.outcomes()]
    assert [body["manual_contacts"].split(", ") for body in bodies] == [
        [fake_number(1), fake_number(2)],
        [fake_number(4)],
    ]
    assert (5, Status.DUPLICATE) in told
    assert (6, Status.SUPPRESSED) in told
    assert [line for line, status in told if status is Status.SENT] == [2, 3, 7]


class Asked(ContactRows):
    """Gives as many rows as it is asked for, and notes how many that are."""

    finite = True

    def __init__(self, rows, *, is_threaded=False, held=0.0):
        self.size = 250
        self.is_threaded = is_threaded
        self.held = held
        self.slabs = []
        self._left = iter(rows)

    async def next_slab(self):
        rows = list(itertools.islice(self._left, self.size))
        self.slabs.append(len(rows))
        return Slab(values=rows) if rows else None

    async def aclose(self):
        pass


async def slabs_of(source, *, chunk_size=500, **options):
    """How many rows each slab had, on a clock that stands still but for what the source says it held the loop."""
    intake, book = intake_of(source, chunk_size=chunk_size, clock=lambda: 0.0, **options)
    await intake.prime()
    while (await intake.next())[0] is not None:
        pass
    assert len(book) == sum(source.slabs)
    return [count for count in source.slabs if count]


async def test_slabs_of_fast_rows_grow_and_end_where_a_campaign_does():
    """The first is short; each is twice as long as the one before, up to 8,000; none leaves a campaign half full."""
    slabs = await slabs_of(Asked(fake_numbers(40_000)), ahead=10**6)
    assert slabs[:6] == [250, 250, 1_000, 2_000, 4_000, 8_000]
    assert max(slabs) == 8_000
    assert all(total % 500 == 0 for total in list(itertools.accumulate(slabs))[1:-1])


@pytest.mark.parametrize(
    ("source", "options", "longest"),
    [
        ({}, {}, 2_000),
        ({}, {"ahead": 3_200}, 3_000),
        ({}, {"ahead": 10}, 2_000),
        ({"is_threaded": True}, {"ahead": 10**6}, 2_000),
    ],
    ids=["not-told", "few-campaigns", "small-campaigns", "read-in-a-thread"],
)
async def test_slabs_stay_within_what_may_be_read_ahead(source, options, longest):
    """A few campaigns for each worker, and 2,000 rows in any case; what a thread reads is no longer than that."""
    slabs = await slabs_of(Asked(fake_numbers(20_000), **source), **options)
    assert max(slabs) == longest


async def test_slabs_of_slow_rows_become_short():
    """Rows that hold the loop for two turns a slab are read by fewer, down to a hundred."""
    slabs = await slabs_of(Asked(fake_numbers(2_000), held=0.002))
    assert slabs[0] == 250
    assert slabs[-2] == 100
