"""The fast path against the full parser, and the full parser against the phone library as it is."""

import re
from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS

from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.contacts.plan import plan_for

Spellings = Callable[[str, int], list[str]]

ZIMBABWE = Normaliser()
HEADS = [
    "",
    "+",
    "00",
    "0",
    "263",
    "+263",
    "00263",
    "2630",
    "+2630",
    "263263",
    "0263",
    "26300",
    "+00263",
    "27",
    "+27",
]
# fmt: off
WITHOUT_PLAN = {
    "AG", "AI", "AR", "AS", "AX", "BB", "BL", "BM", "BQ", "BS", "CA", "CC", "CX",
    "DM", "DO", "EH", "GD", "GG", "GU", "IM", "JE", "JM", "KN", "KY", "KZ", "LC",
    "MF", "MP", "MS", "PR", "SJ", "SX", "TA", "TC", "TT", "VA", "VC", "VG", "VI",
    "YT",
}
# fmt: on
"""Regions that share a calling code with another that comes first, and Argentina, whose trunk prefix may be empty."""


OUR_OWN_REASONS = re.compile(
    "inside|extension|hyphen|slash|decimal|beginning|too short|not 0 to 9|scientific"
)
"""What is refused here though the library would read a number out of it."""


def parsed(normaliser: Normaliser, value: object) -> str | None:
    try:
        return normaliser.parse(value)
    except InvalidNumber:
        return None


def scanned(normaliser: Normaliser, values: list[str], *, size: int = 500) -> list[str | None]:
    """The fast path's verdicts in slabs of random rows, which are too mixed to be taken for canonical."""
    numbers: list[str | None] = []
    for begin in range(0, len(values), size):
        numbers += normaliser.scan(values[begin : begin + size]).numbers
    return numbers


def scanned_in_good_company(normaliser: Normaliser, values: list[str], good: str) -> list[str | None]:
    """The same with each row among a dozen good ones, so that slabs are rewritten and rows are stepped over."""
    numbers: list[str | None] = []
    for begin in range(0, len(values), 40):
        mixed: list[str] = []
        for value in values[begin : begin + 40]:
            mixed += [good] * 12 + [value]
        numbers += normaliser.scan(mixed).numbers[12::13]
    return numbers


def disagreements(normaliser: Normaliser, values: list[str], fast: list[str | None]) -> list[tuple[str, ...]]:
    """Where the fast path decided otherwise than the full parser, which is asked only where it decided."""
    decided = [(value, number) for value, number in zip(values, fast, strict=True) if number is not None]
    return [
        (value, number, str(full))
        for value, number in decided
        if (full := parsed(normaliser, value)) != number
    ]


def test_zimbabwe_200_000_strings(spellings: Spellings) -> None:
    """Whatever the fast path decides is what the full parser decides, in slabs of every kind."""
    values = spellings("ZW", 200_000)
    mixed = scanned(ZIMBABWE, values)
    assert disagreements(ZIMBABWE, values, mixed) == []
    for good, some, same in (
        ("0770000001", values[:80_000], mixed[:80_000]),
        ("263770000001", values[80_000:], mixed[80_000:]),
    ):
        in_company = scanned_in_good_company(ZIMBABWE, some, good)
        others = [now if now != before else None for now, before in zip(in_company, same, strict=True)]
        assert disagreements(ZIMBABWE, some, others) == []
    assert sum(number is not None for number in mixed) > 20_000


def test_zimbabwe_most_valid_numbers_are_decided_fast(spellings: Spellings) -> None:
    """The fast path leaves alone what is odd, and not what is merely spelled with spaces."""
    values = spellings("ZW", 10_000)
    valid = [value for value in values if parsed(ZIMBABWE, value)]
    assert sum(number is not None for number in scanned(ZIMBABWE, valid)) > 0.7 * len(valid)


@given(
    st.lists(
        st.builds(str.__add__, st.sampled_from(HEADS), st.from_regex(r"[0-9 ().\-]{0,14}", fullmatch=True))
    )
)
def test_zimbabwe_strings_that_hypothesis_finds(values: list[str]) -> None:
    """The same law, with the search for counterexamples left to Hypothesis."""
    assert disagreements(ZIMBABWE, values, ZIMBABWE.scan(values).numbers) == []
    assert disagreements(ZIMBABWE, values, scanned_in_good_company(ZIMBABWE, values, "0770000001")) == []


@given(st.lists(st.one_of(st.text(), st.none(), st.integers(), st.floats(), st.booleans(), st.binary())))
def test_anything_at_all(values: list[object]) -> None:
    """No value of any kind breaks a scan, shifts its neighbours or is decided differently alone."""
    scan = ZIMBABWE.scan(values)
    assert [scan.numbers[offset] for offset in scan.undecided] == [None] * len(scan.undecided)
    for offset, (value, number) in enumerate(zip(values, scan.numbers, strict=True)):
        assert (number is None) == (offset in scan.undecided)
        assert number in (None, parsed(ZIMBABWE, value))


@pytest.mark.parametrize("first", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_every_supported_region(first: str, spellings: Spellings) -> None:
    """The same law wherever the library knows the numbers: no table of ours, so no region is special."""
    for region in sorted(region for region in SUPPORTED_REGIONS if region[0] == first):
        normaliser = Normaliser(region)
        values = spellings(region, 100 if region in WITHOUT_PLAN else 1000)
        mixed = scanned(normaliser, values)
        good = next((value for value, number in zip(values, mixed, strict=True) if number), "0")
        assert disagreements(normaliser, values, mixed) == []
        assert disagreements(normaliser, values, scanned_in_good_company(normaliser, values, good)) == []


def test_regions_without_a_fast_path() -> None:
    """Exactly these leave every number to the full parser."""
    assert {region for region in SUPPORTED_REGIONS if plan_for(region) is None} == WITHOUT_PLAN
    canada = Normaliser("CA")
    assert canada.scan(["+1 506 234 5678"]).undecided == [0]
    assert canada.normalise("506 234 5678") == "15062345678"


def test_zimbabwe_needs_no_guard_in_its_canonical_pattern() -> None:
    """Every condition is proven for the region most numbers are of, so the pattern only reads."""
    plan = plan_for("ZW")
    assert plan is not None
    assert "(?=" not in plan.canonical.pattern
    assert "(?!" not in plan.canonical.pattern
    assert plan.rewrites == (
        ("\n+2630", "\n263"),
        ("\n+263", "\n263"),
        ("\n00263", "\n263"),
        ("\n0", "\n263"),
        ("\n7", "\n2637"),
    )


@pytest.mark.parametrize(
    "region", ["ZW", "ZA", "GB", "US", "CA", "IT", "RU", "BR", "AR", "DE", "SG", "JP", "KZ", "SM"]
)
def test_the_full_parser_is_the_library(region: str, spellings: Spellings) -> None:
    """What both accept is one number, and what is refused though the library takes it has a reason of ours."""
    normaliser = Normaliser(region)
    for value in spellings(region, 1500):
        number, reason = None, ""
        try:
            number = normaliser.parse(value)
        except InvalidNumber as error:
            reason = error.reason
        if number is None:
            assert OUR_OWN_REASONS.search(reason) or library(value, region) is None, reason
        else:
            # A narrow space and the .0 of a spreadsheet are ours to remove; the library stumbles over them.
            bare = value.strip().replace("\u202f", "").strip("\u200b\ufeff\u202a \t\r\n.")
            assert number in (library(re.sub(r"^([^.]*)\.0?$", r"\1", bare), region), library(value, region))


def library(value: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, 0)[1:] if phonenumbers.is_valid_number(number) else None


@pytest.mark.parametrize(
    ("region", "value", "number"),
    [
        ("IT", "06 1234 5678", "390612345678"),
        ("IT", "+39 06 1234 5678", "390612345678"),
        ("GB", "07400 123456", "447400123456"),
        ("GB", "+44 (0)7400 123456", "447400123456"),
        ("JE", "07797 712345", "447797712345"),
        ("KZ", "8 771 000 9998", "77710009998"),
        ("RU", "8 912 345-67-89", "79123456789"),
        ("US", "1 201 555 0123", "12015550123"),
        ("AR", "011 15-2345-6789", "5491123456789"),
        ("ZW", "+44 7400 123456", "447400123456"),
        ("ZA", "00 263 77 000 0001", "263770000001"),
    ],
)
def test_traps_of_numbering_plans(region: str, value: str, number: str) -> None:
    """Leading zeros that belong, shared calling codes, and prefixes that move digits."""
    normaliser = Normaliser(region)
    assert normaliser.normalise(value) == normaliser.parse(value) == number
