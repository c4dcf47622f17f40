"""Slabs whose heads are read by columns, against the full parser and against what one row alone would give."""

import random
import re
from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS

from smspop_async.contacts import numbers
from smspop_async.contacts.heads import Heads
from smspop_async.contacts.numbers import InvalidNumber, Normaliser, Scan
from smspop_async.contacts.plan import plan_for
from smspop_async.contacts.spelling import UNDECIDABLE, bare_cells, bare_lines, bare_spelling

Spellings = Callable[[str, int], list[str]]

ZIMBABWE = Normaliser()
GAPS = ("", "", " ", " ", "-", ") ", "\u00a0", "\u2011", "  ")
NASTY = (
    *("", " ", "-", "+", "0", "?", "\t", "()", "\u200b", "\ud800", "x" * 70, "0" * 300, "9" * 15, "1 " * 40),
    *("0771234567\n", "\n0771234567", "0771234567\n0771234567", "0771234567\r\n", "\r", "077\t1234567"),
    *("-0771234567", " -0771234567", "(-0771234567", ")-0771234567", "--0771234567", "+-263771234567"),
    *("077--1234567", "0771234567-", "077 - 1234567", "+263-77-123-4567", "\u20110771234567", "0-771234567"),
    *("077\uff11234567", "\u0660771234567", "07712\u0663\u0664567", "\uff0b263771234567", "\u00b2771234567"),
    *("077123456", "07712345678", "77123456", "7712345678", "2637712345678", "0026377123456", "077O234567"),
    *(
        "0771234567 ext 5",
        "0771234567x5",
        "0771234567/0772345678",
        "0771234567, 0772345678",
        "tel:0771234567",
    ),
    *("26+3771234567", "0771234567+", "++263771234567", "+0771234567", "+771234567", "00+263771234567"),
    *("+27821234567", "0027821234567", "00447400123456", "27821234567", "+447400123456", "0012015550123"),
    *(
        "0263771234567",
        "2630771234567",
        "+2630771234567",
        "002630771234567",
        "263263771234567",
        "00771234567",
    ),
    *("077.123.4567", "0771234567.0", "077123456.7", "771234567.", "2.63771E+11", ".771234567", "0242123456"),
    *("0741234567", "741234567", "+263741234567", "0242 123456", "8644123456", "08644123456", "80012345"),
    *("0771234567\x0b", "\x0c771234567", "0771234567\x85", "077\u20281234567", "\x000771234567", "\x1f"),
)
ODD_REGIONS = ("ZW", "ZA", "AT", "IT", "BR", "RU", "US", "GB", "IN", "FR", "HU", "AU", "SG", "NG", "JP", "TR")


def parsed(normaliser: Normaliser, value: object) -> str | None:
    try:
        return normaliser.parse(value)
    except InvalidNumber:
        return None


def separated(rng: random.Random, text: str) -> str:
    """The text in three groups, as people write it."""
    gap, (first, second) = rng.choice(GAPS), sorted(rng.sample(range(1, len(text)), 2))
    return "(" * (")" in gap) + gap.join((text[:first], text[first:second], text[second:]))


def mobile_number(rng: random.Random, region: str) -> str:
    """A mobile number of the region, or a near miss of one."""
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    digits = phonenumbers.national_significant_number(number)
    kept = digits[: rng.choice((2, 3, 4, len(digits)))]
    return kept + "".join(rng.choices("0123456789", k=len(digits) - len(kept)))


def known_heads(region: str) -> list[str]:
    """Whatever may stand before a number of a region, whether or not it means the calling code there."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    code = str(metadata.country_code)
    trunk = metadata.national_prefix or "0"
    abroad = metadata.international_prefix if metadata.international_prefix.isdigit() else "00"
    return [code, f"+{code}", f"{abroad}{code}", trunk, "", f"+{code}{trunk}", f"{abroad}{code}{trunk}"]


def decides_as_the_parser(normaliser: Normaliser, rows: list[str], scan: Scan) -> int:
    """Asserts it, and tells how many rows were decided."""
    assert len(scan.numbers) == len(rows)
    assert scan.undecided == [at for at, number in enumerate(scan.numbers) if number is None]
    assert scan.lines is None or scan.lines.text == "".join(f"{number}\n" for number in scan.numbers)
    for row, number in zip(rows, scan.numbers, strict=True):
        if number is not None:
            assert number == parsed(normaliser, row), (row, number)
    return len(rows) - len(scan.undecided)


@pytest.fixture
def by_columns(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each slab that was tried by columns, whether that decided it."""
    path, decided = numbers._by_columns, []

    def watched(*args: object) -> Scan | None:
        scan = path(*args)  # type: ignore[arg-type]
        decided.append(scan is not None)
        return scan

    monkeypatch.setattr(numbers, "_by_columns", watched)
    return decided


def test_zimbabwe_200_000_rows_in_mixed_slabs(by_columns: list[bool]) -> None:
    """All spellings at random, and nasty ones in no row, one row or many, are decided as the full parser would."""
    rng = random.Random("mixed")
    heads = known_heads("ZW")
    decided = rows = 0
    while rows < 200_000:
        some = rng.sample(heads, rng.randrange(1, len(heads) + 1))
        size = rng.choice((31, 32, 100, 500, 501))
        firsts = rng.choice((("77",), ("71", "73", "77", "78"), ("77", "242", "8")))
        slab = []
        for _ in range(size):
            national = f"{rng.choice(firsts)}{rng.randrange(10**7):07}"[:9]
            slab.append(separated(rng, rng.choice(some) + national))
        for at in rng.sample(range(size), min(size, rng.choice((0, 0, 1, 1, 3, 20, 90)))):
            slab[at] = rng.choice(NASTY)
        decided += decides_as_the_parser(ZIMBABWE, slab, ZIMBABWE.scan(slab))
        rows += size
    assert decided > 120_000
    assert sum(by_columns) > 150


@pytest.mark.parametrize("first", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_every_supported_region(first: str, spellings: Spellings) -> None:
    """The same law in every region, with its own heads, its mobile numbers and near misses, and others among them."""
    rng = random.Random(f"mixed {first}")
    for region in sorted(region for region in SUPPORTED_REGIONS if region[0] == first):
        plan, normaliser = plan_for(region), Normaliser(region)
        if plan is None or plan.heads is None:
            continue
        heads, others = known_heads(region), spellings(region, 200)
        for odd in (0, 1, 8, 40):
            slab = [separated(rng, rng.choice(heads) + mobile_number(rng, region)) for _ in range(200)]
            for at in rng.sample(range(200), odd):
                slab[at] = rng.choice((rng.choice(others), rng.choice(NASTY)))
            decides_as_the_parser(normaliser, slab, normaliser.scan(slab))


@pytest.mark.parametrize("region", ODD_REGIONS)
def test_mixed_slabs_are_decided_by_columns(region: str, by_columns: list[bool]) -> None:
    """In regions large and odd, spellings with the heads that are proven there need no other way."""
    heads, normaliser, rng = compiled(region), Normaliser(region), random.Random(region)
    made: list[str] = []
    while len(made) < 300:
        spelled = member(rng, heads) + mobile_number(rng, region)
        if parsed(normaliser, spelled):
            made.append(separated(rng, spelled))
    assert (
        decides_as_the_parser(normaliser, made, normaliser.scan(made)) > 270
    )  # Canada's are not its neighbour's
    assert by_columns == [True]


def compiled(region: str) -> Heads:
    plan = plan_for(region)
    assert plan is not None
    assert plan.heads is not None
    return plan.heads


def member(rng: random.Random, heads: Heads) -> str:
    """One of the heads, read from the compiled form."""
    bit = 1 << rng.randrange(sum(heads.by_length.values()).bit_count())
    chars = [next(char for char in range(256) if table[char] & bit) for table in heads.columns]
    return bytes(chars)[::-1].decode().strip()


def test_zimbabwe_knows_all_common_heads() -> None:
    """Every head that a person would write is proven there, before mobile numbers of the one length there is."""
    heads, rng = compiled("ZW"), random.Random("heads")
    assert {member(rng, heads) for _ in range(200)} == {"263", "+2630", "+263", "00263", "0", ""}
    assert heads.national == 9


def test_no_region_has_more_heads_than_a_byte_has_bits() -> None:
    """Each head has a bit of its own, and most regions have heads."""
    found = [plan.heads for region in SUPPORTED_REGIONS if (plan := plan_for(region)) and plan.heads]
    assert len(found) > 180
    assert max(sum(heads.by_length.values()) for heads in found) < 256


cells = st.one_of(
    st.builds(
        str.__add__,
        st.sampled_from(("", "0", "263", "+263", "00263", "+2630", "0263", "+", "00", "+0")),
        st.from_regex(r"7[0-9]{6,9}", fullmatch=True),
    ),
    st.text(alphabet="0237+ -()\n\t\r.?", max_size=18),
    st.sampled_from(NASTY),
)


@given(st.lists(cells, min_size=1, max_size=20), st.integers(min_value=0, max_value=20))
@example(["12\n45", "0771234567", "771234567"], 20)
@example(["0771234567", "0771234567\n"], 20)
@example(["", "7712345670\n771234567"], 20)
def test_one_line_for_each_value(values: list[str], strange: int) -> None:
    """Where heads are replaced, line by line, it is in the value's own line, and only one of the known heads."""
    text = compiled("ZW").canonical(bare_cells("\n".join(values) + "\n"), len(values), strange)
    if text is None:
        return
    lines = text.split("\n")[:-1]
    assert not any("\n" in value for value in values)
    assert len(lines) == len(values)
    assert sum(line.startswith(UNDECIDABLE) for line in lines) <= strange
    for value, line in zip(values, lines, strict=True):
        bare = bare_lines(value + "\n")[:-1]
        head, national = bare[:-9], bare[-9:]
        if head in ("263", "+2630", "+263", "00263", "0", "") and re.fullmatch("[0-9]{9}", national):
            assert line == "263" + national
        else:
            assert not line.isdigit()


@given(st.lists(st.one_of(cells, st.text(max_size=20)), min_size=1, max_size=10))
def test_bare_cells_are_bare_lines(values: list[str]) -> None:
    """Both speak of the same bare spellings: a cell that might be one is exactly the value's own."""
    text = "".join(value.replace("\n", "") + "\n" for value in values)
    for value, cell, line in zip(
        text.split("\n"), bare_cells(text).decode().split("\t"), bare_lines(text).split("\n"), strict=True
    ):
        number = cell.removeprefix("+")
        assert (number.isdigit()) == (line.isascii() and line.removeprefix("+").isdigit())
        if number.isdigit():
            assert cell == line == bare_spelling(value)


@given(st.lists(cells, max_size=12), st.randoms(use_true_random=False))
def test_zimbabwe_slabs_that_hypothesis_finds(odd: list[str], rng: random.Random) -> None:
    """The same law as above, with the search for counterexamples left to Hypothesis, among rows that are good."""
    good = ["0771234567", "+263 77 123 4567", "(077) 123 4567", "771234567", "077-123-4567", "00263771234567"]
    slab = [*odd, *good * 10]
    rng.shuffle(slab)
    decides_as_the_parser(ZIMBABWE, slab, ZIMBABWE.scan(slab))


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_one_nasty_row_changes_no_other(nasty: str, by_columns: list[bool]) -> None:
    """Its neighbours are still decided by columns, each at its own place."""
    wanted = [f"26377{tail:07}" for tail in range(99)]
    heads = ("+263", "00263", "0", "", "263", "+2630")
    slab = [f"{heads[at % 6]}{number[3:]}" for at, number in enumerate(wanted)]
    slab[50] = nasty
    scan = ZIMBABWE.scan(slab)
    assert decides_as_the_parser(ZIMBABWE, slab, scan) >= 98
    assert scan.numbers[:50] + scan.numbers[51:] == wanted[:50] + wanted[51:]
    assert by_columns[-1]


def test_a_few_rows_of_a_width_are_a_grid_as_they_are() -> None:
    """Rows of one width are not padded, whichever head they have, and one that no head fits is no reason to."""
    for head in ("263", "+263", "00263", "0", "", "+2630"):
        wanted = [f"26377{tail:07}" for tail in range(64)]
        slab = [head + number[3:] for number in wanted]
        assert ZIMBABWE.scan(slab).numbers == wanted
        slab[7] = "x" + slab[7][1:]
        assert ZIMBABWE.scan(slab).undecided == [7]


def test_half_a_head_is_none() -> None:
    """Whole slabs of one width, in which what stands before the numbers is the end of a head or more than one."""
    known = ("263", "+2630", "+263", "00263", "0")
    halves = {head[at:] for head in known for at in range(len(head))}
    for head in sorted(halves | {f"+{head}" for head in known} | {f"0{head}" for head in known}):
        for tail in ("771234567", "0771234567"):
            slab = [head + tail] * 40
            decides_as_the_parser(ZIMBABWE, slab, ZIMBABWE.scan(slab))


def test_dots_are_separators_too(by_columns: list[bool]) -> None:
    """Dotted rows are made bare, dots in the wrong place are left to the parser, and the others are not slowed down."""
    slab = ["077.123.4567", "+263.77.123.4567", "771234567.0", "0771234567"] * 20
    assert ZIMBABWE.scan(slab).numbers == ["263771234567"] * 80
    slab[9] = "077123456.7"
    assert ZIMBABWE.scan(slab).undecided == [9]
    assert by_columns == [True, True]


def test_mixed_rows_take_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean rows of all spellings are searched for nothing: the first few tell that they are not canonical."""
    matched: list[int] = []
    path = numbers._not_canonical
    monkeypatch.setattr(numbers, "_not_canonical", lambda *args: matched.append(1) or path(*args))
    for name in ("_plain", "_stepped", "_found"):
        monkeypatch.delattr(numbers, name)
    heads = ("+263", "00263", "0", "", "+263 ", "(0) ", "+263 (0)", "00 263 ", "0-")
    slab = [f"{heads[at % 9]}77{'- '[at % 2]}000 {at:04}" for at in range(900)]
    assert ZIMBABWE.scan(slab).numbers == [f"26377000{at:04}" for at in range(900)]
    assert len(matched) == 1
