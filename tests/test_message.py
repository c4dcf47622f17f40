"""What a text costs, against a twin that packs character by character."""

import pickle
from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import plan_campaign
from smspop_async.errors import ConfigurationError
from smspop_async.message import (
    GSM_BASIC,
    GSM_EXTENSION,
    MissingField,
    check_message,
    fields,
    measure,
    render,
    template_text,
)

gsm = st.text(alphabet=sorted(GSM_BASIC | GSM_EXTENSION), max_size=700)
any_text = st.one_of(gsm, st.text(max_size=300), st.text(alphabet="a\U0001f600é\u2019", max_size=300))


def twin(text: str) -> tuple[str, int, int]:
    """Encoding, units and segments, one unit at a time."""
    is_gsm = all(char in GSM_BASIC or char in GSM_EXTENSION for char in text)
    if is_gsm:
        widths = [2 if char in GSM_EXTENSION else 1 for char in text]
        alone, joined = 160, 153
    else:
        widths = [len(char.encode("utf-16-le", "surrogatepass")) // 2 for char in text]
        alone, joined = 70, 67
    units = sum(widths)
    encoding = "GSM-7" if is_gsm else "UCS-2"
    if units <= alone:
        return encoding, units, min(1, units)
    segments: list[int] = [0]
    for width in widths:
        if segments[-1] + width > joined:
            segments.append(0)
        segments[-1] += width
    return encoding, units, len(segments)


@given(any_text)
def test_segments_are_what_packing_gives(text: str) -> None:
    """Encoding, units and segments agree with the twin for any text."""
    cost = measure(text)
    assert (cost.encoding, cost.units, cost.segments) == twin(text)
    assert cost.characters == len(text)
    assert cost.units <= cost.segments * cost.per_segment


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments", "per_segment"),
    [
        ("", "GSM-7", 0, 0, 160),
        ("a" * 160, "GSM-7", 160, 1, 160),
        ("a" * 161, "GSM-7", 161, 2, 153),
        ("a" * 306, "GSM-7", 306, 2, 153),
        ("a" * 307, "GSM-7", 307, 3, 153),
        ("€" * 80, "GSM-7", 160, 1, 160),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3, 153),
        ("a" * 153 + "€" + "a" * 151, "GSM-7", 306, 2, 153),
        ("\u2019" * 70, "UCS-2", 70, 1, 70),
        ("\u2019" * 71, "UCS-2", 71, 2, 67),
        ("\u2019" * 134, "UCS-2", 134, 2, 67),
        ("\U0001f600" * 35, "UCS-2", 70, 1, 70),
        ("\U0001f600" * 67, "UCS-2", 134, 3, 67),
        ("a" * 66 + "\U0001f600" + "a" * 66, "UCS-2", 134, 3, 67),
        ("[é]\n", "GSM-7", 6, 1, 160),
    ],
)
def test_the_edges_of_segments(text: str, encoding: str, units: int, segments: int, per_segment: int) -> None:
    """An escape or surrogate pair that would be torn goes to the next segment whole."""
    cost = measure(text)
    assert (cost.encoding, cost.units, cost.segments, cost.per_segment) == (
        encoding,
        units,
        segments,
        per_segment,
    )


def test_the_alphabets_are_those_of_the_standard() -> None:
    """127 characters beside the escape, and ten behind it."""
    assert len(GSM_BASIC) == 127
    assert len(GSM_EXTENSION) == 10
    assert not GSM_BASIC & GSM_EXTENSION


def test_the_culprit_is_named_with_its_place_and_what_to_write_instead() -> None:
    """Unicode bill shock: which character, where, and how to be rid of it."""
    (quote, letter, face) = measure("It\u2019s á \U0001f600 \u2019").unicode_because
    assert (quote.character, quote.position, quote.name) == ("\u2019", 2, "RIGHT SINGLE QUOTATION MARK")
    assert (quote.suggestion, letter.suggestion, face.suggestion) == ("'", "a", None)
    assert measure("It's fine [€]").unicode_because == ()
    assert measure("\u200bx").unicode_because[0].suggestion == ""
    assert measure("\x01").unicode_because[0].name == "U+0001"


@given(any_text)
def test_suggestions_are_in_the_alphabet_and_culprits_are_not(text: str) -> None:
    """The first ten distinct culprits in order, each really outside and each suggestion really inside."""
    culprits = measure(text).unicode_because
    outside = list(dict.fromkeys(char for char in text if char not in GSM_BASIC | GSM_EXTENSION))
    assert [culprit.character for culprit in culprits] == outside[:10]
    for culprit in culprits:
        assert text.index(culprit.character) == culprit.position
        assert set(culprit.suggestion or "") <= GSM_BASIC | GSM_EXTENSION


def test_the_repr_does_not_show_the_text() -> None:
    """Law 7: a cost can be logged."""
    assert "secret" not in repr(measure("secret \u2019 text"))


@given(st.text(alphabet=[*sorted(GSM_BASIC - {"\n", "\r", " "}), "\u2019", "\U0001f600"], min_size=1))
def test_a_message_that_arrives_as_written_is_returned_unchanged(text: str) -> None:
    """Nothing is trimmed or replaced here."""
    assert check_message(text) is text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (None, "empty"),
        (" a", "begins with SPACE"),
        ("a\n", r"ends with U\+000A"),
        ("a\u00a0", "ends with NO-BREAK SPACE"),
        ("\ufeffa", "begins with ZERO WIDTH NO-BREAK SPACE"),
        ("a\u200b", "ends with ZERO WIDTH SPACE"),
        ("a\u2800", "ends with BRAILLE PATTERN BLANK"),
        ("a\u206f", "ends with NOMINAL DIGIT SHAPES"),
        ("\U000e0020a", "begins with TAG SPACE"),
        ("a\u200e", "ends with LEFT-TO-RIGHT MARK"),
        ("a\0", r"ends with U\+0000"),
        ("   ", "begins"),
        ("a\ud83db", "surrogate pair at position 1"),
    ],
)
def test_a_message_that_would_be_changed_is_refused(text: str, words: str) -> None:
    """What the server would trim or cannot take is said before anything is sent."""
    with pytest.raises(ConfigurationError, match=words):
        check_message(text)


class Percent(Template):
    """The usual way to have another sign."""

    delimiter = "%"


class Dotted(Template):
    """The usual way to have other names."""

    idpattern = r"[a-z.]+"


class Shouting(Template):
    """Fills in in its own way."""

    def substitute(self, *args: object, **fields: object) -> str:  # type: ignore[override]
        return super().substitute(*args, **fields).upper()  # type: ignore[arg-type]


class Named(Template):
    """Has nothing but a name of its own."""


@pytest.mark.parametrize("kind", [Percent, Dotted, Shouting])
def test_a_template_with_ways_of_its_own_is_refused(kind: type[Template]) -> None:
    """Its fields would not be found: everybody would be sent the raw text."""
    with pytest.raises(ConfigurationError, match=kind.__name__):
        template_text(kind("Dear %name"))
    with pytest.raises(ConfigurationError, match=kind.__name__):
        plan_campaign([], message=kind("Dear %name"))
    assert template_text(Named("Dear $name")) == "Dear $name"


def test_merge_fields_are_found_and_filled() -> None:
    """Names, names in braces, headers with spaces, and doubled dollars."""
    template = "Hi $name, ${First Name} pays $$5 of ${total}."
    assert fields(template) == {"name", "First Name", "total"}
    row = {"name": "Ann", "First Name": "$name", "total": "9", "other": "x"}
    assert render(template, row) == "Hi Ann, $name pays $5 of 9."
    assert fields("Costs $$5") == frozenset()


def test_a_missing_field_is_named() -> None:
    """The row's outcome can say which column it lacks, also from another process."""
    with pytest.raises(MissingField, match="'name'") as caught:
        render("Hi $name", {})
    assert caught.value.name == "name"
    assert pickle.loads(pickle.dumps(caught.value)).name == "name"


@pytest.mark.parametrize("template", ["pay $5", "pay $", "${", "${}", "$ x"])
def test_a_stray_dollar_is_refused(template: str) -> None:
    """It is said where it is and how to write it."""
    position = template.index("$")
    for call in (lambda: fields(template), lambda: render(template, {})):
        with pytest.raises(ConfigurationError, match=rf"position {position} .* \$\$"):
            call()


@pytest.mark.parametrize("blank", ["", " ", "\u00a0", "\u200b", "\ufeff", " \u200b\u2800 "])
def test_a_blank_field_counts_as_missing(blank: str) -> None:
    """Nobody is called "Dear ,": an empty cell is no value."""
    with pytest.raises(MissingField, match="'name'"):
        render("Dear $name,", {"name": blank})


VALUE = st.text().map("x".__add__)


@given(st.fixed_dictionaries({"a": VALUE, "b": VALUE}))
def test_rendering_is_literal(row: dict[str, str]) -> None:
    """Values go in as they are, whatever they hold."""
    assert render("<$a|${b}>", row) == f"<{row['a']}|{row['b']}>"
