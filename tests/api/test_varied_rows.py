"""Rows that differ in more than number and word: read fast all the same, and never otherwise than by the plain way.

Where all rows are of one length the differing bytes are levelled; elsewhere a pattern splits the rows.
"""

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.reading import (
    CONTACTS,
    FAILED,
    ORDERS,
    SENT,
    STYLES,
    Row,
    blocks_of,
    check_law,
    words_for,
    write,
)
from rawserver import fake_numbers
from smspop_async.api import expected as expecting
from smspop_async.api import layouts
from smspop_async.api.expected import read_expected

Varied = Callable[[int, str, str], Row]
"""From a row's place, number and word to the row."""

EVEN: dict[str, Varied] = {
    "identifier": lambda at, number, word: {"id": 4_095 + at, "phone_number": number, "status": word},
    "identifier-behind": lambda at, number, word: {"phone_number": number, "status": word, "id": 91 - at},
    "word-first": lambda at, number, word: {"status": word, "id": 10 + at, "phone_number": number},
    "identifier-between": lambda at, number, word: {"phone_number": number, "id": 50 + at, "status": word},
    "moment": lambda at, number, word: {
        "phone_number": number, "at": f"2026-11-23 10:{at // 10}{at % 10}", "status": word, "x": None
    },
    "many-digits": lambda at, number, word: {
        "uuid": f"{at * 7_919:08x}-{at:04x}", "phone_number": number, "status": word, "cost": -1.25 - at / 100 // 0.04
    },
    "texts-that-look-like-it": lambda at, number, word: {
        "x": ("failed", "'sent'", "status", '{a":1}'.replace('"', "'"), "      ")[at % 5],
        "phone_number": number, "status": word, "y": (SENT, "what")[at % 2],
    },
    "figures-of-0": lambda at, number, word: {"a": at % 10, "phone_number": number, "b": 0.5, "status": word},
}  # fmt: skip
"""Each row as long as the others, as long as the numbers are."""
UNEVEN: dict[str, Varied] = {
    "grows": lambda at, number, word: {"id": at * 7, "phone_number": number, "status": word},
    "word-first": lambda at, number, word: {"status": word, "id": at * 7, "phone_number": number},
    "null-or-not": lambda at, number, word: {
        "phone_number": number, "status": word, "error": (None, "no such number", True, -0.5, 1e30, 12)[at % 6]
    },
    "escapes": lambda at, number, word: {
        "net": ("a/b", 'say "sent"', "back\\slash", "tab\t", "Télé", "\u20ac\U0001f600", "")[at % 7],
        "phone_number": number, "status": word,
    },
    "escapes-of-one-length": lambda at, number, word: {
        "net": chr(0xE0 + at), "phone_number": number, "status": word
    },
    "all-of-it": lambda at, number, word: {
        "a": at, "status": word, "b": ["x" * at, None][at % 2], "phone_number": number, "c": at / 7,
        "d": [True, False][at % 2],
    },
    "numbers-elsewhere": lambda at, number, word: {
        "from": number[::-1], "phone_number": number, "to": number[:at], "status": word, "was": SENT
    },
}  # fmt: skip


def rows_of(numbers: Sequence[str], words: Sequence[str], varied: Varied) -> list[Row]:
    return [varied(at, number, word) for at, (number, word) in enumerate(zip(numbers, words, strict=True))]


def rearranged(rows: list[Row], how: str) -> list[Row]:
    if how == "reversed":
        return rows[::-1]
    return random.Random(how).sample(rows, len(rows)) if how == "shuffled" else rows


ALL = {
    **{f"even, {name}": varied for name, varied in EVEN.items()},
    **{f"uneven, {name}": varied for name, varied in UNEVEN.items()},
}
in_any_order = pytest.mark.parametrize("how", ["in-order", "reversed", "shuffled"])


@pytest.mark.parametrize("style", ["compact", "pretty-on-windows", "odd-blanks", "unescaped"])
@pytest.mark.parametrize("layout", ALL)
@pytest.mark.parametrize("lengths", CONTACTS)
@in_any_order
def test_rows_that_differ_are_read_fast(layout: str, style: str, lengths: str, how: str) -> None:
    """Whatever flat values stand beside number and word, they need not be decoded."""
    numbers = CONTACTS[lengths]
    for failed, order in itertools.product(("none", "all", "some"), ORDERS.values()):
        words = words_for(numbers, failed)
        rows = rearranged(rows_of(numbers, words, ALL[layout]), how)
        body = write(rows, words, style, order).encode()
        for block in (500, 4):
            with blocks_of(block):
                assert check_law([body], numbers) == 1


@pytest.mark.parametrize("layout", EVEN)
@pytest.mark.parametrize("style", ["compact", "spaced"])
@in_any_order
def test_rows_of_one_length_need_no_pattern(
    layout: str, style: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that differ in bytes and not in length are compared, which costs a third of splitting them."""
    monkeypatch.setattr(expecting, "split_rows", lambda *_: None)
    numbers = CONTACTS["one-length"]
    for failed in ("none", "all", "some"):
        words = words_for(numbers, failed)
        rows = rearranged(rows_of(numbers, words, EVEN[layout]), how)
        for block in (500, 7):
            with blocks_of(block):
                assert check_law([write(rows, words, style).encode()], numbers) == 1


@pytest.mark.parametrize("layout", ["even, many-digits", "uneven, all-of-it", "uneven, escapes"])
@in_any_order
def test_no_row_but_the_first_comes_to_the_decoder(
    layout: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON decoder gets to see the frame of 600 rows, and not one of them."""
    numbers = fake_numbers(600)
    words = words_for(numbers, "some")
    even = {"even, many-digits": lambda at, *row: EVEN["many-digits"](at % 90, *row)}
    rows = rearranged(rows_of(numbers, words, even.get(layout, ALL[layout])), how)
    body, sizes = write(rows, words).encode(), []
    decode = json.JSONDecoder.raw_decode

    def counting(self: json.JSONDecoder, text: str, idx: int = 0) -> Any:
        sizes.append(len(text))
        return decode(self, text, idx)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    assert read_expected(body, numbers) is not None
    assert sizes == [len(write([], words)) + len("NaN")]


# Where the proof could have a hole.

NUMBERS = fake_numbers(7)


def body_of(*rows: str) -> bytes:
    """A reply of rows written by hand. NUMBER and WORD are put in: the second and the last failed."""
    written = [
        row.replace("NUMBER", number).replace("WORD", FAILED if at in (1, 6) else SENT)
        for at, (number, row) in enumerate(zip(NUMBERS, rows, strict=True))
    ]
    return ('{"success":true,"contacts":[' + ",".join(written) + "]}").encode("utf-8", "surrogatepass")


GOOD = [f'{{"id":{at + 31},"phone_number":"NUMBER","t":"ab{at}","status":"WORD"}}' for at in range(7)]
ODD_ROWS: dict[str, Callable[[str], str]] = {
    "leading-zero": lambda row: re.sub('"id":.', '"id":0', row),
    "letter-in-a-figure": lambda row: re.sub('"id":.', '"id":a', row),
    "minus": lambda row: re.sub('"id":.', '"id":-', row),
    "minus-alone": lambda row: re.sub('"id":..', '"id":-', row),
    "point": lambda row: re.sub('"id":(.).', r'"id":\1.', row),
    "point-first": lambda row: re.sub('"id":.', '"id":.', row),
    "exponent": lambda row: re.sub('"id":..', '"id":1e5', row),
    "exponent-of-nothing": lambda row: re.sub('"id":(.).', r'"id":\1e', row),
    "blank-in-a-figure": lambda row: re.sub('"id":(.).', r'"id":\1 ', row),
    "blank-before-a-figure": lambda row: re.sub('"id":.', '"id": ', row),
    "other-digits": lambda row: re.sub('"id":.', '"id":\u0663', row),
    "nothing": lambda row: re.sub('"id":..', '"id":', row),
    "two-figures": lambda row: re.sub('"id":..', '"id":1 2', row),
    "not-a-number": lambda row: re.sub('"id":..', '"id":NaN', row),
    "infinite": lambda row: re.sub('"id":..', '"id":-Infinity', row),
    "too-long-to-read": lambda row: re.sub('"id":..', f'"id":{"9" * 5_000}', row),
    "just-not-too-long-to-read": lambda row: re.sub('"id":..', f'"id":{"9" * 4_300}', row),
    "long-fraction": lambda row: re.sub('"id":..', f'"id":1.{"3" * 5_000}', row),
    "long-exponent": lambda row: re.sub('"id":..', f'"id":1e{"9" * 5_000}', row),
    "object": lambda row: re.sub('"id":..', '"id":{"phone_number":"1","status":"failed"}', row),
    "list": lambda row: re.sub('"id":..', '"id":[1,2]', row),
    "empty-list": lambda row: re.sub('"id":..', '"id":[]', row),
    "word": lambda row: re.sub('"id":..', '"id":true', row),
    "word-in-capitals": lambda row: re.sub('"id":..', '"id":True', row),
    "text": lambda row: re.sub('"id":..', '"id":"a text"', row),
    "quotation-mark": lambda row: row.replace('"ab', '""b'),
    "backslash": lambda row: row.replace('"ab', '"\\b'),
    "backslash-at-the-end": lambda row: re.sub('"ab.', r'"ab\\', row),
    "unknown-escape": lambda row: row.replace('"ab', '"\\x'),
    "short-escape": lambda row: row.replace('"ab', '"\\u12'),
    "odd-escape": lambda row: row.replace('"ab', '"\\u00g0'),
    "underscored-escape": lambda row: row.replace('"ab', '"\\u0_00'),
    "escape-with-a-prefix": lambda row: row.replace('"ab', '"\\u0x41'),
    "half-a-surrogate": lambda row: row.replace('"ab', '"\\ud800'),
    "control-character": lambda row: row.replace('"ab', '"\x1fb'),
    "line-break": lambda row: row.replace('"ab', '"a\n'),
    "delete": lambda row: row.replace('"ab', '"a\x7f'),
    "beyond-ascii": lambda row: row.replace('"ab', '"é'),
    "surrogate": lambda row: row.replace('"ab', '"\ud800'),
    "braces": lambda row: row.replace('"ab', '"},{'),
    "closed-and-opened": lambda row: row.replace('"ab', '","status":"failed","u":"'),
    "another-word": lambda row: row.replace('"ab', '"sent","status":"sent","u":"'),
    "word-twice": lambda row: row.replace('"t"', '"status"'),
    "word-under-another-key": lambda row: row.replace('"status"', '"statUs"'),
    "key-twice": lambda row: row.replace('"t"', '"id"'),
    "number-twice": lambda row: row.replace('"t":"ab', '"phone_number":"'),
    "number-of-another": lambda row: row.replace("NUMBER", NUMBERS[3]),
    "number-nobody-has": lambda row: row.replace("NUMBER", "263779999999"),
    "longer-number": lambda row: row.replace("NUMBER", "NUMBER0"),
    "two-numbers": lambda row: row.replace("NUMBER", "NUMBER,NUMBER"),
    "integer": lambda row: row.replace('"NUMBER"', "NUMBER"),
    "escaped-number": lambda row: row.replace("NUMBER", "\\u0030NUMBER"),
    "no-number": lambda row: row.replace("NUMBER", ""),
    "values-change-places": lambda row: re.sub('(..),"phone_number":"NUMBER"', r'NUMBER,"phone_number":"\1"', row),
    "keys-change-places": lambda row: row.replace("id", "?").replace("phone_number", "id").replace("?", "phone_number"),
    "members-change-places": lambda row: re.sub(r"\{(.*),(.*)\}", r"{\2,\1}", row),
    "escaped-key": lambda row: row.replace('"t"', '"\\u0074"'),
    "escaped-status": lambda row: row.replace('"status"', '"\\u0073tatus"'),
    "word-with-a-capital": lambda row: row.replace("WORD", "Sent"),
    "word-unheard-of": lambda row: row.replace("WORD", "queued"),
    "word-within-a-word": lambda row: row.replace("WORD", "sent failed"),
    "no-word": lambda row: row.replace(',"status":"WORD"', ""),
    "one-member-more": lambda row: row.replace("}", ',"more":1}'),
    "one-member-less": lambda row: re.sub('"id":..,', "", row),
    "comma-behind": lambda row: row.replace("}", ",}"),
    "no-comma": lambda row: row.replace(',"t"', '"t"'),
    "blank": lambda row: row.replace(':"ab', ': "ab'),
    "no-object": lambda row: row.strip("{}"),
    "list-of-it": lambda row: f"[{row}]",
    "null-behind": lambda row: f"{row},null",
    "row-behind": lambda row: f"{row},{row}",
    "row-behind-another": lambda row: row + ',{"phone_number":"NUMBER","status":"failed"}',
    "gone": lambda row: "",
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD_ROWS)
@pytest.mark.parametrize("base", ["alike-in-length", "grows"])
def test_odd_rows(odd: str, base: str) -> None:
    """One odd row, any of them, or all rows odd in the same way: both ways agree."""
    good = [row.replace(":3", ":1003") if base == "grows" and at > 3 else row for at, row in enumerate(GOOD)]
    change = ODD_ROWS[odd]
    bodies = [body_of(*good[:at], change(good[at]), *good[at + 1 :]) for at in range(len(good))]
    bodies += [body_of(*map(change, good)), body_of(*good[:2], *map(change, good[2:]))]
    bodies += [body.replace(b'"ab', b'"\\u00e9') for body in bodies]
    for block in (500, 3):
        with blocks_of(block):
            check_law(bodies, NUMBERS)
            check_law(bodies, NUMBERS[::-1])


SMALL = fake_numbers(4)
MIXED = [*fake_numbers(2), "100000000", "999999999999999"]


@pytest.mark.parametrize("numbers", [SMALL, MIXED, SMALL[::-1]], ids=["one-length", "mixed", "another-order"])
@pytest.mark.parametrize("block", [500, 2])
def test_every_byte_of_varied_rows(numbers: list[str], block: int) -> None:
    """Whatever single byte of a reply is another one, is left out or doubled, both ways agree."""
    asked = sorted(numbers)
    rows = [
        f'{{"i":{at + 10},"phone_number":"{number}","t":"a{at}","f":-{at}.{at},"status":"{SENT if at else FAILED}"}}'
        for at, number in enumerate(numbers)
    ]
    body = f'{{"success":true,"contacts":[{",".join(rows)}],"summary":{{"sent":3}}}}'.encode()
    bodies = [
        body[:at] + bytes([byte]) + body[at + 1 :]
        for at in range(len(body))
        for byte in {body[at] ^ 1, body[at] ^ 0x80, *b'"\\}],:09 \0-.eu'}
    ]
    bodies += [
        body[:at] + more + body[at + 1 :] for at in range(len(body)) for more in (b"", body[at : at + 1] * 2)
    ]
    with blocks_of(block):
        assert 0 < check_law(bodies, asked) < len(bodies)


values = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from([SENT, FAILED, "status", '","status":"failed', "263770000001", 0, 5, 10])
)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    count=st.integers(1, 9),
    keys=st.lists(st.sampled_from(["id", "t", "phone", "Status", "x y", "é"]), unique=True, max_size=3),
    style=st.sampled_from(sorted(STYLES)),
    block=st.sampled_from([2, 500]),
)
def test_any_values_beside(data: st.DataObject, count: int, keys: list[str], style: str, block: int) -> None:
    """Rows with any values, in any order, and rows that are missing or repeated: both ways agree."""
    numbers = data.draw(
        st.just(fake_numbers(count))
        | st.lists(st.integers(10**8, 10**15 - 1).map(str), min_size=count, max_size=count, unique=True)
    )
    words = data.draw(st.lists(st.sampled_from([SENT, FAILED]), min_size=count, max_size=count))
    order = data.draw(st.permutations(["phone_number", "status", *keys]))
    rows = []
    for number, word in zip(numbers, words, strict=True):
        row = {key: data.draw(values) for key in keys} | {"phone_number": number, "status": word}
        rows.append({key: row[key] for key in order})
    drawn = data.draw(st.permutations(rows))
    with blocks_of(block):
        readable = "é" not in keys or style == "unescaped"  # escaped keys are left to the decoder
        assert check_law([write(drawn, words, style).encode()], numbers) == readable
        check_law(
            [write(rows[1:], words, style).encode(), write([*rows, rows[0]], words, style).encode()], numbers
        )
        check_law([write([*rows[1:], rows[-1]], words, style).encode()], numbers)


# What a layout takes for a value.

SCALAR = re.compile(layouts.SCALAR)
pieces = st.sampled_from(
    [
        *'"\\019-.eE+/a {}[],:nx_é',
        "\\u",
        "00e9",
        "d800",
        "true",
        "null",
        "false",
        "NaN",
        "Infinity",
        "\0",
        "\n",
        "\x7f",
    ]
)


@settings(max_examples=1_000)
@given(
    st.lists(pieces, max_size=7).map("".join)
    | st.lists(pieces, max_size=7).map(lambda some: f'"{"".join(some)}"')
)
@example("0" * 2)
@example("-0")
@example("1" * 101)
def test_what_is_taken_for_a_value_is_one(text: str) -> None:
    """Nothing passes for a JSON value that the decoder would not read as one that is neither object nor list."""
    if SCALAR.fullmatch(text.encode()):
        assert not isinstance(json.loads(text), dict | list)
        assert "N" not in text or text.startswith('"')


@given(values)
def test_values_are_taken_for_values(value: object) -> None:
    """What an encoder makes of any flat value of usual length is known for one."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        if text not in ("Infinity", "-Infinity"):
            assert SCALAR.fullmatch(text.encode("utf-8", "surrogatepass"))


FIRST = '{"a":1,"phone_number":"263770000001","b":"x","status":"sent"}'


@pytest.mark.parametrize(
    "row",
    [
        FIRST.replace('"a"', '"phone_number"'),
        FIRST.replace('"a"', '"status"'),
        FIRST.replace('"a"', '"b"'),
        FIRST.replace('"a":1', '"phone_number":"0"'),
        FIRST.replace('"b":"x"', '"status":"sent"'),
        FIRST.replace('"a"', '"\\u0062"'),
        FIRST.replace('"a":1', '"a":{}'),
        FIRST.replace('"a":1', '"a":[1]'),
        FIRST.replace('"a":1', '"a":NaN'),
        FIRST.replace('"a":1', '"a":01'),
        FIRST.replace('"b":"x"', '"b":"\n"'),
        FIRST.replace('"263770000001"', "263770000001"),
        FIRST.replace("263", "+263"),
        FIRST.replace('"sent"', '"queued"'),
        FIRST.replace('"sent"', '"Sent"'),
        FIRST.replace('"status":"sent"', '"s":"sent"'),
        FIRST.replace('"b":"x"', '"b":"\ud800"'),
        FIRST[:-1],
        "",
    ],
)
def test_first_rows_of_which_nothing_is_learned(row: str) -> None:
    """A first row with a key twice or escaped, nested, without a number or a known word, teaches nothing."""
    assert layouts.learn(FIRST.encode(), 0) is not None
    assert layouts.learn(row.encode("utf-8", "surrogatepass"), 0) is None


def test_keys_that_differ_in_figures_are_two() -> None:
    """Two keys are the same only if they are written the same, digits included."""
    row = FIRST.replace('"a"', '"line2"').replace('"b"', '"line3"')
    assert layouts.learn(row.encode(), 0) is not None
    assert layouts.learn(row.replace("line3", "line2").encode(), 0) is None
