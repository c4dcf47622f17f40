"""Numbers to digits: what is accepted, what is refused, and in which words."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.contacts import numbers
from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.contacts.spelling import EDGES, bare_spelling
from smspop_async.errors import ConfigurationError

CANONICAL = "263770000001"
normaliser = Normaliser()

SPELLINGS = [
    "263770000001",
    "+263770000001",
    "00263770000001",
    "0770000001",
    "770000001",
    "+263 77 000 0001",
    "+263 (0)77 000 0001",
    "(+263) 77 000 0001",
    "0770-000-001",
    "0770\u2010000\u2013001",
    "077.000.0001",
    "07.70.00.00.01",
    "077/0000001",
    "077\u00a0000\u00a00001",
    "077\u202f000\u202f0001",
    "263770000001.0",
    "770000001.0",
    "0770000001.",
    "\ufeff0770000001",
    "\u202a+263 77 000 0001\u202c",
    "\u200b0770000001\u200d",
    "\t0770000001\r\n",
    "\u2003 0770000001\u3000",
    263770000001,
    770000001,
    263770000001.0,
    770000001.0,
]


@pytest.mark.parametrize("value", SPELLINGS, ids=repr)
def test_every_spelling_of_a_number_is_the_same_number(value: object) -> None:
    """Formats, separators and invisible edges make no second person of the first."""
    assert normaliser.normalise(value) == CANONICAL
    assert normaliser.parse(value) == CANONICAL


REFUSED = [
    (None, "empty"),
    ("", "empty"),
    (" \u200b ", "empty"),
    (True, "not text but bool"),
    (b"263770000001", "not text but bytes"),
    (["263770000001"], "not text but list"),
    (object(), "not text but object"),
    (-263770000001, "negative"),
    (-1.0, "negative"),
    (10**40, "too long"),
    (10**5000, "too long"),
    (2637700000.5, "fraction"),
    (2.0**53, "digits may be lost"),
    (float("nan"), "fraction"),
    (float("inf"), "fraction"),
    ("2.63770E+11", "scientific notation"),
    ("2,6377e11", "scientific notation"),
    ("263770000001, 263770000002", "comma"),
    ("263770000001;", "comma or semicolon"),
    ("263770000001\n263770000002", "line break"),
    ("26377\r0000001", "line break"),
    ("26377\t0000001", "a tab"),
    ("26377\x000000001", "control character"),
    ("26377\u20280000001", "line break"),
    ("\u0662\u0666\u0663\u0667\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0661", "not 0 to 9"),
    ("0770 CALLME", "letters"),
    ("tel:0770000001", "letters"),
    ("0770000001 ext 5", "extension"),
    ("0770000001x5", "extension"),
    ("0770000001#5", "extension"),
    ("0770000001 , ; ext. 5", "extension"),
    ("0770000001" + " " * 900 + "x5", "extension"),
    ("0770000001" + " " * 900 + "y", "letters"),
    ("0770000001" + " " * 500_000 + "y", "too long: 500011 characters"),  # quadratic, this would take a day
    ("," * 500_000, "too long: 500000 characters"),
    ("0770000001,5", "comma"),
    ("077000\u200b0001", "U+200B (zero width space)"),
    ("'0770000001", "U+0027 (apostrophe)"),
    ("0770000001?", "U+003F"),
    ("0770000001\ue000", "unnamed character"),
    ("-770000001", "hyphen"),
    ("\u2013 770000001", "hyphen"),
    ("0770000001/2", "slash"),
    ("770000001.5", "decimal point"),
    ("770000001.00", "decimal point"),
    ("770+000001", "+ that is not at the beginning"),
    ("++263770000001", "+ that is not at the beginning"),
    ("()-.", "no digit"),
    ("+", "no digit"),
    ("12", "too short: 2 digits, a phone number has 9 to 15"),
    ("1", "too short: 1 digit, a"),
    ("0770001", "too short: 7 digits"),
    ("2637700000012345", "too long: 16 digits"),
    ("9" * 40, "too long: 40 digits"),
    ("9" * 400, "too long: 400 digits"),
    ("263120000001", "no such number"),
    ("+999770000001", "calling code"),
    ("+290 20000", "too short: 8 digits"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_no_number_is_refused_with_its_own_reason(value: object, reason: str) -> None:
    """Each kind of damage has words of its own, the fast path leaves it alone, and nothing is guessed."""
    with pytest.raises(InvalidNumber, match=re.escape(reason)) as caught:
        normaliser.normalise(value)
    assert normaliser.scan([value]).undecided == [0]
    assert str(caught.value) == caught.value.reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason


@given(st.one_of(st.text(), st.text(alphabet="0123456789+-(). /,;xE\n\t\u00a0", max_size=20)))
def test_a_reason_never_shows_the_number(text: str) -> None:
    """Law 7: no four digits of what was refused stand in the reason."""
    number, reason = "263770000001", ""
    try:
        number = normaliser.normalise(text)
    except InvalidNumber as error:
        reason = error.reason
    assert re.fullmatch("[0-9]{9,15}", number)
    for run in re.findall("[0-9]{4,}", reason):
        assert run not in text or f"U+{run}" in reason


@given(st.text(alphabet=EDGES, max_size=5), st.text(alphabet=EDGES, max_size=5))
def test_edges_do_not_matter(before: str, behind: str) -> None:
    """White space of every kind, and what cannot be seen, is removed at both ends."""
    assert bare_spelling(f"{before}0770000001{behind}") == "0770000001"


def test_all_white_space_of_unicode_is_an_edge() -> None:
    """The list of edges holds every character that Python calls white space."""
    assert {chr(code) for code in range(0x11000) if chr(code).isspace()} <= set(EDGES)


def test_a_canonical_slab_comes_back_as_it_is() -> None:
    """The common case copies nothing: the very list is returned."""
    values: list[object] = [f"26377{tail:07}" for tail in range(2000)]
    scan = normaliser.scan(values)
    assert scan.numbers is values
    assert scan.undecided == []
    assert normaliser.scan(tuple(values)).numbers == values


def test_a_slab_keeps_its_order_and_names_what_it_leaves() -> None:
    """Decided and undecided rows stand at their own offsets, whatever their kind."""
    values = [
        CANONICAL,
        None,
        "0770000002",
        "+27 82 000 0000",
        770000003,
        "2.6E+11",
        f"{CANONICAL}\n{CANONICAL}",
        "x" * 99,
    ]
    scan = normaliser.scan(values)
    assert scan.numbers == [CANONICAL, None, "263770000002", None, "263770000003", None, None, None]
    assert scan.undecided == [1, 3, 5, 6, 7]
    assert normaliser.parse(values[3]) == "27820000000"
    assert normaliser.scan([]).numbers == []


@pytest.mark.parametrize("every", [3, 50])
def test_plain_rows_among_canonical_ones(every: int) -> None:
    """A few plain rows are stepped over and many are searched; the numbers are the same."""
    wanted = [f"26377{tail:07}" for tail in range(600)]
    values = ["0" + number[3:] if place % every == 0 else number for place, number in enumerate(wanted)]
    assert normaliser.scan(values).numbers == wanted


@pytest.mark.parametrize(
    "make", [int, float, "+{}".format, "00{}".format, lambda n: "0" + n[3:], lambda n: n[3:]]
)
def test_whole_columns_of_one_spelling(make: object) -> None:
    """A column as one program exports it is decided without the full parser."""
    wanted = [f"26377{tail:07}" for tail in range(600)]
    assert normaliser.scan([make(number) for number in wanted]).numbers == wanted  # type: ignore[operator]


def test_an_element_with_line_breaks_does_not_fool_the_joined_match() -> None:
    """Two numbers in one element, and an element that ends in a line break, are not two rows and not canonical."""
    for values in (
        [f"{CANONICAL}\n{CANONICAL}"],
        [CANONICAL, CANONICAL + "\n"],
        [CANONICAL + "\n", ""],
        ["\n", CANONICAL],
    ):
        scan = normaliser.scan(values)
        assert [number for number in scan.numbers if number] == [
            value for value in values if value == CANONICAL
        ]
        assert len(scan.numbers) == len(values)


def test_subclasses_of_text_and_numbers_count_by_their_value() -> None:
    """What a subclass prints itself as is not its value."""

    class Loud(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "loud"

    class Few(int):
        def __repr__(self) -> str:
            return "few"

    assert normaliser.normalise(Loud("0770000001")) == CANONICAL
    assert normaliser.parse(Loud("0770000001")) == CANONICAL
    assert normaliser.scan([Few(770000001), Loud("0770000001")]).numbers == [CANONICAL, CANONICAL]


@pytest.mark.parametrize(
    ("region", "hint"), [("XX", ""), ("ZWE", "ZW"), ("", ""), ("Zimbabwe", ""), (None, "")]
)
def test_an_unknown_region_is_a_configuration_error(region: object, hint: str) -> None:
    """The error names the region that was given and near ones."""
    with pytest.raises(ConfigurationError, match="Unknown region") as caught:
        Normaliser(region)  # type: ignore[arg-type]
    assert hint in str(caught.value)


def test_a_region_is_read_in_any_case() -> None:
    """Lower case is not a mistake worth stopping for."""
    assert Normaliser(" gb ").region == "GB"
    assert repr(Normaliser("gb")) == "Normaliser('GB')"


def test_the_numbers_of_a_scan_are_not_shown() -> None:
    """Law 7: the repr of a scan holds no number."""
    assert CANONICAL not in repr(normaliser.scan([CANONICAL]))


def test_all_plain_spellings_in_one_slab_need_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each spelling of a mobile number is made canonical where it stands, also beside all others."""
    searched: list[str] = []
    monkeypatch.setattr(numbers, "_found", lambda plan, bare: searched.append(bare) or [])
    heads = ("263", "+263", "00263", "0", "", "+263 ", "(0) ", "+263 (0)", "00 263 ")
    values = [f"{heads[at % 9]}77{'- '[at % 2]}000 {at:04}" for at in range(900)]
    scan = Normaliser("ZW").scan(values)
    assert scan.numbers == [f"26377000{at:04}" for at in range(900)]
    assert searched == []
