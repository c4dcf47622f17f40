"""The fast way of reading a reply against its plain twin: it may decline, and may never differ.

The twin is the JSON decoder and `settle`. Replies are laid out in every way that somebody's framework may choose, and
then mutilated: by hand where the proof could have a hole, at every single byte, and at random by the thousand.
"""

import itertools
import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from api.reading import (
    CONTACTS,
    CONTEXT,
    FAILED,
    KEYS,
    NEVER,
    ORDERS,
    PROMISED,
    SENT,
    Row,
    all_sent,
    blocks_of,
    check_law,
    judged,
    rows_of,
    words_for,
    write,
)
from rawserver import fake_numbers
from smspop_async.api import classify as classifying
from smspop_async.api.classify import Accepted, Unknown, classify
from smspop_async.api.expected import read_expected
from smspop_async.api.reply import Reply

MARK = '"the rows stood here"'
"""A text that somebody might put in place of the rows to decode the frame, and the same escaped."""
CODED_MARK = f'"\\u{ord(MARK[1]):04x}{MARK[2:]}'

# What is promised to be read fast.

every_layout = pytest.mark.parametrize(("layout", "style"), PROMISED)
lengths = pytest.mark.parametrize("lengths", CONTACTS)


@every_layout
@lengths
def test_layouts_that_are_read_fast(layout: str, style: str, lengths: str) -> None:
    """Any layout whose rows are alike is read without decoding them, whoever failed, wherever the rows stand."""
    numbers = CONTACTS[lengths]
    for failed, order in itertools.product(("none", "all", "some"), ORDERS.values()):
        words = words_for(numbers, failed)
        body = write(rows_of(numbers, words, layout), words, style, order).encode()
        for block in (500, 4, 1):
            with blocks_of(block):
                read = read_expected(body, numbers)
                assert read is not None
                assert list(read.failed) == [at for at, word in enumerate(words) if word == FAILED]
                assert check_law([body], numbers) == 1


@every_layout
@lengths
@pytest.mark.parametrize("rearrange", ["reversed", "first-two-swapped", "shuffled"])
def test_another_order_is_read_fast(layout: str, style: str, lengths: str, rearrange: str) -> None:
    """Rows in another order keep their words: a failure is told of the number it stands by."""
    numbers = CONTACTS[lengths]
    for failed in ("none", "all", "some"):
        pairs = list(zip(numbers, words_for(numbers, failed), strict=True))
        wrong = {number for number, word in pairs if word == FAILED}
        if rearrange == "reversed":
            pairs.reverse()
        elif rearrange == "shuffled":
            random.Random(layout + style).shuffle(pairs)
        else:
            pairs[0], pairs[1] = pairs[1], pairs[0]
        words = [word for _, word in pairs]
        body = write(rows_of([number for number, _ in pairs], words, layout), words, style).encode()
        read = read_expected(body, numbers)
        assert read is not None
        assert {numbers[at] for at in read.failed} == wrong
        assert check_law([body], numbers) == 1


@pytest.mark.parametrize("layout", ["documented", "something-everywhere"])
def test_another_order_of_many_rows_is_read_fast(layout: str) -> None:
    """Rows that stand far from where they were asked for are told apart, also many that failed."""
    numbers = fake_numbers(1_203)
    for every in (2, 97, 1_000):
        words = [FAILED if at % every == 1 else SENT for at in range(len(numbers))]
        pairs = list(zip(numbers, words, strict=True))
        random.Random(every).shuffle(pairs)
        rows = rows_of([number for number, _ in pairs], [word for _, word in pairs], layout)
        assert check_law([write(rows, words).encode()], numbers) == 1


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 1_000, 1_001, 2_345])
def test_sizes_around_a_block_are_read_fast(count: int) -> None:
    """Nothing is lost where one block ends and the next begins."""
    numbers = fake_numbers(count)
    words = [FAILED if at in (0, 499, 500, 999, 1_000, count - 1) else SENT for at in range(count)]
    for layout in ("documented", "status-first"):
        body = write(rows_of(numbers, words, layout), words, "spaced").encode()
        assert check_law([body], numbers) == 1


@pytest.mark.parametrize("layout", ["documented", "something-everywhere"])
@pytest.mark.parametrize("arranged", ["in-order", "reversed"])
def test_rows_are_not_decoded(layout: str, arranged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON decoder gets to see of 600 rows one and, twice at most, the frame: work that cannot come back unseen."""
    numbers = fake_numbers(600)
    told_of = numbers if arranged == "in-order" else numbers[::-1]
    words = words_for(numbers, "some")
    rows = rows_of(told_of, words, layout)
    body = write(rows, words).encode()
    decode, sizes = json.JSONDecoder.raw_decode, []

    def counting(self: json.JSONDecoder, text: str, idx: int = 0) -> Any:
        sizes.append(len(text))
        return decode(self, text, idx)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    reply = Reply(status=200, headers={}, body=body)
    verdict = classify(reply, numbers, CONTEXT)
    assert isinstance(verdict, Accepted)
    assert verdict.settlement.summary.failed == words.count(FAILED)
    frame_and_a_row = 2 * len(write([], words)) + len(json.dumps(rows[0])) + 128
    assert 0 < sum(sizes) <= frame_and_a_row
    sizes.clear()
    monkeypatch.setattr(classifying, "_WORTH_EXPECTING", NEVER)
    classify(reply, numbers, CONTEXT)
    assert sum(sizes) == len(body.decode()), "the plain way decodes all of it"


def test_few_contacts_are_left_to_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below `_WORTH_EXPECTING` contacts nothing is expected: the plain way is faster."""
    asked: list[int] = []

    def counting(body: bytes, numbers: Sequence[str]) -> None:
        asked.append(len(numbers))

    monkeypatch.setattr(classifying, "read_expected", counting)
    for count in (1, classifying._WORTH_EXPECTING - 1, classifying._WORTH_EXPECTING, 20):
        numbers = fake_numbers(count)
        classify(Reply(status=200, headers={}, body=all_sent(numbers).encode()), numbers, CONTEXT)
    assert asked == [classifying._WORTH_EXPECTING, 20]


@pytest.mark.parametrize(
    "success", ["false", "0", "null", '"no"', '"maybe"', "[]", '"TRUE"', "1", '" 1 "', "2"]
)
def test_proven_rows_do_not_make_a_success(success: str) -> None:
    """Rows that are as expected are believed only where the reply says that the campaign was taken."""
    numbers = fake_numbers(10)
    body = all_sent(numbers).replace('"success":true', f'"success":{success}').encode()
    assert check_law([body], numbers) == 1
    accepted = success in ('"TRUE"', "1", '" 1 "')
    assert isinstance(*judged([body], numbers, 0), Accepted if accepted else Unknown)


# Where the proof could have a hole.

NUMBERS = fake_numbers(9)
GOOD = all_sent(NUMBERS)
ROWS = GOOD[GOOD.index("[") + 1 : GOOD.rindex("]")]
FIRST, SECOND = ROWS.split("},")[0] + "}", ROWS.split("},")[1] + "}"


def reply(*members: str) -> str:
    return "{{{}}}".format(",".join(('"success":true', *members)))


def with_row(text: str, change: Callable[[str], str], which: str = FIRST) -> str:
    return text.replace(which, change(which))


def twice(row: str) -> str:
    """A reply of such rows, one of which, not the first, has "failed" for its WORD. ONE is the first NUMBER."""
    row = row.replace("ONE", NUMBERS[0])
    words = [FAILED if at == 4 else SENT for at in range(len(NUMBERS))]
    rows = (row.replace("NUMBER", n).replace("WORD", word) for n, word in zip(NUMBERS, words, strict=True))
    return reply(f'"contacts":[{",".join(rows)}]')


TRAPS: dict[str, str] = {
    # Rows that are not what they seem.
    "one-missing": GOOD.replace(FIRST + ",", ""),
    "last-missing": GOOD.replace("," + ROWS[ROWS.rindex("{") :], ""),
    "one-twice": GOOD.replace(FIRST, f"{FIRST},{FIRST}"),
    "one-twice-and-one-missing": GOOD.replace(SECOND, FIRST),
    "one-twice-with-another-word": GOOD.replace(FIRST, FIRST + "," + FIRST.replace(SENT, FAILED)),
    "one-too-many-behind": GOOD.replace("]", ',{"phone_number":"263779999999","status":"sent"}]'),
    "one-too-many-before": GOOD.replace("[", '[{"phone_number":"263779999999","status":"sent"},'),
    "odd-value-behind": GOOD.replace("]", ",5]"),
    "odd-value-before": GOOD.replace("[", "[null,"),
    "nothing-behind-a-comma": GOOD.replace("]", ",]"),
    "no-comma": GOOD.replace("},{", "}{", 1),
    "two-commas": GOOD.replace("},{", "},,{", 1),
    "semicolon": GOOD.replace("},{", "};{", 1),
    "other-blanks-once": GOOD.replace("},{", "}, {", 1),
    "other-number": GOOD.replace(NUMBERS[4], "263779999999"),
    "longer-number": GOOD.replace(NUMBERS[4], NUMBERS[4] + "0"),
    "number-of-another-twice": GOOD.replace(NUMBERS[4], NUMBERS[5]),
    "number-with-a-plus": GOOD.replace(NUMBERS[4], "+" + NUMBERS[4]),
    "numbers-with-a-plus": GOOD.replace('":"2637', '":"+2637'),
    "number-as-an-integer": GOOD.replace(f'"{NUMBERS[4]}"', NUMBERS[4]),
    "numbers-as-integers": GOOD.replace('"2637', "2637").replace('","status', ',"status'),
    "number-in-other-digits": GOOD.replace(NUMBERS[0], "".join(chr(0x660 + int(d)) for d in NUMBERS[0])),
    "number-escaped": GOOD.replace(f'"{NUMBERS[0]}', '"\\u0032' + NUMBERS[0][1:]),
    "numbers-escaped": GOOD.replace('":"2637', '":"\\u0032637'),
    "word-escaped": GOOD.replace('"sent"', '"\\u0073ent"', 1),
    "words-escaped": GOOD.replace('"sent"', '"\\u0073ent"'),
    "key-escaped": GOOD.replace('"status"', '"\\u0073tatus"', 1),
    "keys-escaped": GOOD.replace('"status"', '"\\u0073tatus"'),
    "slash-escaped": GOOD.replace('"status"', '"x":"\\/","status"'),
    "word-in-capitals": GOOD.replace('"sent"', '"Sent"', 1),
    "words-in-capitals": GOOD.replace('"sent"', '"SENT"'),
    "word-unheard-of": GOOD.replace('"sent"', '"queued"', 1),
    "last-word-unheard-of": with_row(GOOD, lambda row: row.replace(SENT, "queued"), SECOND),
    "words-unheard-of": GOOD.replace('"sent"', '"queued"'),
    "word-is-null": GOOD.replace('"sent"', "null", 1),
    "words-end-in-a-quoted-one": GOOD.replace('"sent"', '"not \\"sent"'),
    "words-end-in-a-quoted-failed": GOOD.replace('"sent"', '"\\"failed"'),
    "words-end-in-a-quoted-one-behind-a-backslash": GOOD.replace('"sent"', '"\\\\\\"sent"'),
    "words-end-in-a-quoted-one-and-stand-first": GOOD.replace(
        '{"phone_number":', '{"status":"not \\"sent","phone_number":'
    ).replace(',"status":"sent"', ""),
    "word-has-a-blank": GOOD.replace('"sent"', '"sent "', 1),
    "word-is-a-list": GOOD.replace('"sent"', '["sent"]', 1),
    "words-are-lists": GOOD.replace('"sent"', '["sent"]'),
    "word-under-another-key": GOOD.replace('"status":"sent"', '"state":"sent"'),
    "word-is-a-key": GOOD.replace('"status":"sent"', '"sent":"status"'),
    "number-is-a-key": with_row(GOOD, lambda row: f'{{"{NUMBERS[0]}":"phone_number","status":"sent"}}'),
    "no-word": GOOD.replace(',"status":"sent"', "", 1),
    "no-words": GOOD.replace(',"status":"sent"', ""),
    "two-words": GOOD.replace('"status":"sent"', '"status":"failed","status":"sent"'),
    "two-words-the-other-way-round": GOOD.replace('"status":"sent"', '"status":"sent","status":"failed"'),
    "two-words-the-last-unheard-of": GOOD.replace('"status":"sent"', '"status":"sent","status":"queued"'),
    "two-words-the-first-unheard-of": GOOD.replace('"status":"sent"', '"status":"queued","status":"sent"'),
    "two-words-once": GOOD.replace('"status":"sent"', '"status":"sent","status":"failed"', 1),
    "two-numbers": GOOD.replace('"phone_number":', '"phone_number":"263779999999","phone_number":'),
    "two-numbers-the-other-way-round": GOOD.replace('","status"', '","phone_number":"263779999999","status"'),
    "two-numbers-of-ours": GOOD.replace('","status"', f'","phone_number":"{NUMBERS[3]}","status"'),
    "number-twice-in-a-row": with_row(GOOD, lambda row: row.replace("{", f'{{"id":"{NUMBERS[0]}",')),
    "numbers-twice-in-all-rows": reply(
        '"contacts":[{}]'.format(
            ",".join(f'{{"id":"{n}","phone_number":"{n}","status":"sent"}}' for n in NUMBERS)
        )
    ),
    "nested-row": GOOD.replace('"status":"sent"', '"more":{"a":1},"status":"sent"'),
    "nested-at-the-end": GOOD.replace('"status":"sent"', '"status":"sent","more":{"a":1}'),
    "nested-number": GOOD.replace('{"phone_number"', '{"to":{"phone_number"').replace('"sent"}', '"sent"}}'),
    "brace-in-a-text": GOOD.replace('"status":"sent"', '"a":"}","status":"sent"'),
    "rows-are-lists": GOOD.replace('{"phone', '[{"phone').replace('"sent"}', '"sent"}]'),
    "rows-in-a-list-of-lists": GOOD.replace('"contacts":[', '"contacts":[[').replace("]", "]]"),
    "rows-are-a-map": GOOD.replace('"contacts":[', '"contacts":{"0":[').replace("]", "]}"),
    "different-extra-fields": write(
        [{**row, "id": at} for at, row in enumerate(rows_of(NUMBERS, [SENT] * 9))], [SENT] * 9
    ),
    "control-character": GOOD.replace('"status"', '"x":"\x01","status"'),
    "line-break-in-a-text": GOOD.replace('"status"', '"x":"\n","status"'),
    "not-a-number": GOOD.replace('"status"', '"x":NaN,"status"'),
    "infinite": GOOD.replace('"status"', '"x":-Infinity,"status"'),
    "number-too-long-to-read": GOOD.replace('"status"', '"x":%s,"status"' % ("9" * 5_000)),
    "leading-zero": GOOD.replace('"status"', '"x":01,"status"'),
    "comma-at-the-end-of-a-row": GOOD.replace('"sent"}', '"sent",}'),
    "single-quotes": GOOD.replace('"sent"', "'sent'"),
    "comment": GOOD.replace("},{", "}/**/,{"),
    "form-feed": GOOD.replace("},{", "}\f,{"),
    "no-break-space": GOOD.replace("},{", "}\u00a0,{"),
    # "failed" where it is no row's word.
    "failed-before": GOOD.replace('"message":"', '"message":"","status":"failed"},{"phone_number":"').replace(
        "SMS", ""
    ),
    "failed-behind": GOOD.replace("]", '],"more":[{"x":"","status":"failed"},{"x":"","status":"failed"}]'),
    "failed-right-behind": GOOD.replace("]", '],"more":{"x":"","status":"failed"}'),
    "failed-row-behind": GOOD.replace("]", f",{SECOND.replace(SENT, FAILED)}]"),
    "failed-and-failed-behind": with_row(GOOD, lambda row: row.replace(SENT, FAILED)).replace(
        "]", '],"more":{"x":"","status":"failed"}'
    ),
    "failed-as-a-key-in-all-rows": GOOD.replace('{"phone', '{"failed":1,"phone'),
    "failed-as-another-value": GOOD.replace('{"phone', '{"before":"failed","phone'),
    # Where the number or the word stands twice in a row, and it is the other one that changes.
    "another-word-before": twice('{"x":"WORD","phone_number":"NUMBER","status":"sent"}'),
    "another-word-behind": twice('{"phone_number":"NUMBER","status":"sent","x":"WORD"}'),
    "another-word-and-an-escaped-one": twice('{"phone_number":"NUMBER","status":"\\u0073ent","x":"WORD"}'),
    "another-number-before": twice('{"x":"NUMBER","phone_number":"ONE","status":"WORD"}'),
    "another-number-behind": twice('{"phone_number":"ONE","x":"NUMBER","status":"WORD"}'),
    "another-number-and-an-integer": twice('{"x":"NUMBER","phone_number":ONE,"status":"WORD"}'),
    "another-number-and-an-escaped-one": twice('{"x":"NUMBER","phone_number":"ONE","status":"WORD"}').replace(
        f'"phone_number":"{NUMBERS[0]}', f'"phone_number":"\\u0032{NUMBERS[0][1:]}'
    ),
    # The frame.
    "no-frame": f"[{ROWS}]",
    "frame-is-a-list": f'["contacts",[{ROWS}]]',
    "contacts-in-a-list": f'[{{"contacts":[{ROWS}]}}]',
    "rows-elsewhere": reply(f'"campaign":{{"contacts":[{ROWS}]}}'),
    "rows-elsewhere-and-none-here": reply(f'"campaign":{{"contacts":[{ROWS}]}}', '"contacts":[]'),
    "rows-elsewhere-and-others-here": reply(
        f'"campaign":{{"contacts":[{ROWS}]}}', f'"contacts":[{ROWS.replace(SENT, FAILED)}]'
    ),
    "others-here-and-rows-elsewhere": reply(
        f'"contacts":[{ROWS.replace(SENT, FAILED)}]', f'"campaign":{{"contacts":[{ROWS}]}}'
    ),
    "contacts-again-later": GOOD[:-1] + ',"contacts":[]}',
    "contacts-again-later-as-an-object": GOOD[:-1] + ',"contacts":{}}',
    "contacts-again-later-with-rows": GOOD[:-1] + f',"contacts":[{ROWS.replace(SENT, FAILED)}]}}',
    "contacts-again-later-escaped": GOOD[:-1] + ',"\\u0063ontacts":[]}',
    "contacts-earlier": '{"contacts":[],' + GOOD[1:],
    "contacts-earlier-as-a-text": '{"contacts":"[",' + GOOD[1:],
    "contacts-earlier-with-rows": f'{{"contacts":[{ROWS.replace(SENT, FAILED)}],' + GOOD[1:],
    "key-that-ends-so": reply(f'"x\\"contacts":[{ROWS}]'),
    "key-that-ends-so-and-contacts": reply(f'"x\\"contacts":[{ROWS}]', '"contacts":[]'),
    "key-in-a-text": reply(f'"message":"\\"contacts\\":[{ROWS}]"'),
    "text-that-ends-in-the-key": reply(f'"message":"contacts":[{ROWS}]'),
    "text-opened-by-the-key": f'{{"success":true,"message":"x"contacts":[{ROWS}]}}',
    "rows-in-the-message": reply('"message":{}'.format(json.dumps(f'"contacts":[{ROWS}]')), '"contacts":[]'),
    "key-in-another-case": GOOD.replace('"contacts"', '"Contacts"'),
    "rows-within-an-object": GOOD.replace('"contacts":[', '"contacts":{"x":[').replace("]", "]}"),
    "list-not-closed": GOOD.replace("]", ""),
    "list-closed-by-a-brace": GOOD.replace("]}", "}}"),
    "list-closed-twice": GOOD.replace("]", "]]"),
    "object-not-closed": GOOD[:-1],
    "more-behind": GOOD + "x",
    "another-object-behind": GOOD + GOOD,
    "blank-behind": GOOD + " \r\n",
    "nul-behind": GOOD + "\0",
    "comma-at-the-end": GOOD[:-1] + ",}",
    "comma-comma": GOOD[:-1] + ", ,}",
    "nan-in-the-frame": GOOD[:-1] + ',"x":NaN}',
    "deep-frame": GOOD[:-1] + ',"x":{}{}}}'.format("[" * 100_000, "]" * 100_000),
    "deep-row": GOOD.replace('"status"', '"x":{}{},"status"'.format("[" * 100_000, "]" * 100_000)),
    "deep-and-never-closed": GOOD.replace('"contacts":[', '"contacts":' + "[" * 100_000),
    "key-and-blanks-by-the-thousand": '"contacts"' * 5_000 + " " * 5_000 + GOOD,
    "lists-in-the-rows": GOOD.replace('"status"', '"x":[1,[2]],"status"'),
    "numbers-in-lists": GOOD.replace('"phone_number":', '"phone_number":[').replace(
        '","status"', '"],"status"'
    ),
    # What might stand for the rows while the frame is decoded.
    "nan-in-place-of-rows": reply('"contacts":[NaN]'),
    "nan-in-the-real-contacts": reply(f'"old":{{"contacts":[{ROWS}]}}', '"contacts":[NaN]'),
    "nan-in-a-later-contacts": GOOD[:-1] + ',"contacts":[NaN]}',
    "nan-in-earlier-real-contacts": reply('"\\u0063ontacts":[NaN]', f'"old":{{"contacts":[{ROWS}]}}'),
    "minus-nan-before": GOOD.replace('"contacts":[', '"contacts":[-'),
    "minus-behind": GOOD.replace("]", "-]"),
    "name-behind": GOOD.replace("]", "aN]"),
    "infinity-in-the-real-contacts": reply(f'"old":{{"contacts":[{ROWS}]}}', '"contacts":[-Infinity]'),
    "names-of-constants-in-a-text": GOOD.replace("SMS", "NaN, Infinity, true, null"),
    "null-in-the-real-contacts": reply(f'"old":{{"contacts":[{ROWS}]}}', '"contacts":[null]'),
    "marker-in-place-of-rows": reply(f'"contacts":[{MARK}]'),
    "marker-before": GOOD.replace('"message":', f'"x":{MARK},"message":'),
    "marker-behind": GOOD[:-1] + f',"x":{MARK}}}',
    "marker-in-a-text": GOOD.replace("SMS", MARK[1:-1]),
    "marker-in-a-later-contacts": GOOD[:-1] + f',"contacts":[{MARK}]}}',
    "marker-in-the-real-contacts": reply(f'"old":{{"contacts":[{ROWS}]}}', f'"contacts":[{MARK}]'),
    "marker-escaped-in-a-later-contacts": GOOD[:-1] + f',"contacts":[{CODED_MARK}]}}',
    "marker-escaped-in-the-real-contacts": reply(
        f'"old":{{"contacts":[{ROWS}]}}', f'"contacts":[{CODED_MARK}]'
    ),
    "marker-escaped-in-earlier-real-contacts": reply(
        f'"\\u0063ontacts":[{CODED_MARK}]', f'"old":{{"contacts":[{ROWS}]}}'
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("block", [500, 2])
def test_trap(trap: str, block: int) -> None:
    """No reply that was made to mislead the proof is read otherwise than by the decoder."""
    with blocks_of(block):
        check_law([TRAPS[trap].encode("utf-8", "surrogatepass")], NUMBERS)


def utf16_row(number: str) -> bytes:
    """A row in UTF-16 that holds, as the bytes of other characters, the ASCII text of a number and of a word."""
    hidden = f'"{number}" "sent" '
    return b"".join(
        (
            f'{{"phone_number":"{NUMBERS[0]}","status":"sent","x":"'.encode("utf-16-be"),
            hidden.encode() + b" " * (len(hidden) % 2),
            '"}'.encode("utf-16-be"),
        )
    )


def stitched(rows: Iterable[bytes]) -> bytes:
    return GOOD[: GOOD.index("[") + 1].encode() + b",".join(rows) + b"]}"


EACH = [row.encode() + b"}" for row in ROWS[:-1].split("},")]
BOM = b"\xef\xbb\xbf"
ENCODINGS: dict[str, bytes] = {
    "byte-order-mark": BOM + GOOD.encode(),
    "two-byte-order-marks": BOM * 2 + GOOD.encode(),
    "byte-order-mark-before-each-row": stitched(BOM + row for row in EACH),
    "byte-order-mark-before-the-first-row": stitched([BOM + EACH[0], *EACH[1:]]),
    "rows-in-utf-16": stitched(map(utf16_row, NUMBERS)),
    "utf-16": GOOD.encode("utf-16"),
    "utf-16-be": GOOD.encode("utf-16-be"),
    "utf-16-le": GOOD.encode("utf-16-le"),
    "utf-32": GOOD.encode("utf-32"),
    "latin-1": GOOD.replace("SMS", "é").encode("latin-1"),
    "latin-1-in-the-rows": GOOD.replace('"status"', '"x":"é","status"').encode("latin-1"),
    "surrogate": GOOD.replace("SMS", "\ud800").encode("utf-8", "surrogatepass"),
    "surrogates-in-the-rows": GOOD.replace('"status"', '"x":"\ud800","status"').encode(
        "utf-8", "surrogatepass"
    ),
    "surrogate-for-a-number": GOOD.replace(NUMBERS[0], "\ud800").encode("utf-8", "surrogatepass"),
    "overlong": GOOD.encode().replace(b"SMS", b"\xc0\xaf"),
    "empty": b"",
    "nul": b"\0" * 50,
    "nothing-but-the-key": b'"contacts":[',
    "ends-in-a-number": GOOD.encode()[: GOOD.index(NUMBERS[0]) + 5],
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_encodings(case: str) -> None:
    """Bytes in any encoding, or in several, are read as the decoder reads the whole of them."""
    check_law([ENCODINGS[case]], NUMBERS)


def test_utf_16_text_that_holds_rows_as_other_characters() -> None:
    """A reply in UTF-16 whose text holds, byte by byte, the ASCII of a list of contacts."""
    for blank in ("", " "):
        hidden = f'"contacts":[{ROWS}]{blank}'.encode()
        for mark in (MARK, CODED_MARK):
            head = '{"success":true,"x":"'.encode("utf-16-be")
            tail = f'","contacts":[{mark}]}}'.encode("utf-16-be")
            check_law([head + hidden + tail, head + b"\0" + hidden + tail], NUMBERS)


def test_row_may_not_be_nested_deeper_than_the_whole_reply_can_be_read() -> None:
    """A row that is just readable alone, and not within its reply, is not believed."""
    numbers = fake_numbers(2)
    limit = sys.getrecursionlimit()
    bodies = []
    for depth in [*range(limit - 120, limit + 5), *range(1_400, 1_510, 3)]:
        row = '{"phone_number":"%s","status":"sent","x":' + "[" * depth + "]" * depth + "}"
        bodies.append(reply('"contacts":[{}]'.format(",".join(row % number for number in numbers))).encode())
    check_law(bodies, numbers)


# Every byte, and thousands of random changes.

SMALL = [*fake_numbers(2), "100000000", "999999999999999"]
FRAGMENTS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b" ", b"\n", b"\0", b"\x01", b"\xff", b"\xc3\xa9", b"-",
    b"\xef\xbb\xbf", b'"sent"', b'"failed"', b'"contacts":[', b'"contacts":[]', b"null", b"NaN", b"\\u0073", b'"x":1,',
    MARK.encode(), CODED_MARK.encode(), b'{"phone_number":"263770000001","status":"failed"},', b'"status":"failed",',
    b'"phone_number":"263770000002",', b"},{", b'"],"contacts":["', b'"]}',
]  # fmt: skip
shortened = pytest.mark.parametrize("layout", ["documented", "something-everywhere"])
in_blocks = pytest.mark.parametrize("block", [500, 2])


def small_body(layout: str) -> bytes:
    """A reply of four rows, as short as it can be."""
    words = [SENT, FAILED, SENT, SENT]
    rows = json.dumps(rows_of(SMALL, words, layout), separators=(",", ":"), ensure_ascii=False)
    return f'{{"success":true,"contacts":{rows},"summary":{{"sent":3}}}}'.encode()


@shortened
@in_blocks
def test_every_byte_replaced(layout: str, block: int) -> None:
    """Whatever single byte of a reply is another one, both ways agree."""
    body = small_body(layout)
    bodies = [
        body[:at] + bytes([byte]) + body[at + 1 :]
        for at in range(len(body))
        for byte in {body[at] ^ 1, body[at] ^ 0x80, *b'"\\}],:03 \0e'}
    ]
    with blocks_of(block):
        assert 0 < check_law(bodies, SMALL) < len(bodies)


@shortened
@in_blocks
def test_every_byte_left_out_and_every_end(layout: str, block: int) -> None:
    """However short a reply falls, at whichever byte, both ways agree."""
    body = small_body(layout)
    bodies = [body[:at] + body[at + count :] for at in range(len(body)) for count in (1, 2, len(body))]
    with blocks_of(block):
        check_law(bodies, SMALL)


@shortened
def test_every_place_with_something_put_in(layout: str) -> None:
    """Whatever stands at whichever place of a reply where nothing should, both ways agree."""
    body = small_body(layout)
    bodies = [body[:at] + odd + body[at:] for at in range(len(body) + 1) for odd in FRAGMENTS]
    assert check_law(bodies, SMALL) > 0


def numbers_lists() -> st.SearchStrategy[list[str]]:
    mixed = st.lists(st.integers(10**8, 10**15 - 1).map(str), min_size=1, max_size=14, unique=True)
    return st.integers(1, 14).map(fake_numbers) | mixed


@frozen
class Written:
    """A reply, and for whom it is."""

    numbers: list[str]
    rows: list[Any]
    words: list[str]
    style: str
    order: Sequence[str]

    def body(self, rows: Sequence[object] | None = None) -> bytes:
        return write(self.rows if rows is None else rows, self.words, self.style, self.order).encode()


@st.composite
def written(draw: st.DrawFn) -> Written:
    numbers = draw(numbers_lists())
    words = draw(
        st.just([SENT] * len(numbers))
        | st.just([FAILED] * len(numbers))
        | st.lists(st.sampled_from([SENT, FAILED]), min_size=len(numbers), max_size=len(numbers))
    )
    layout, style = draw(st.sampled_from(PROMISED))
    order = draw(st.permutations(KEYS))
    return Written(numbers, rows_of(numbers, words, layout), words, style, order)


def other_number(number: str, chance: random.Random) -> str:
    at = chance.randrange(len(number))
    return number[:at] + str(chance.randrange(10)) + number[at + 1 :]


def one_row(
    change: Callable[[Row, random.Random], object],
) -> Callable[[list[Any], random.Random], list[Any]]:
    """Change a row, any."""

    def changed(rows: list[Any], chance: random.Random) -> list[Any]:
        at = chance.randrange(len(rows))
        return [*rows[:at], change(rows[at], chance), *rows[at + 1 :]]

    return changed


def put(rows: list[Any], row: object, chance: random.Random) -> list[Any]:
    at = chance.randrange(len(rows) + 1)
    return [*rows[:at], row, *rows[at:]]


CHANGES: list[Callable[[list[Any], random.Random], list[Any]]] = [
    lambda rows, chance: chance.sample(rows, len(rows)),
    lambda rows, chance: rows[::-1],
    lambda rows, chance: put(rows, chance.choice(rows), chance),
    lambda rows, chance: put(rows, {**chance.choice(rows), "phone_number": "263779999999"}, chance),
    lambda rows, chance: put(rows, chance.choice([None, 5, [], {}, "sent", MARK, float("nan")]), chance),
    lambda rows, chance: [{**row, "id": at} for at, row in enumerate(rows)],
    lambda rows, chance: [dict(reversed(row.items())) for row in rows],
    lambda rows, chance: [{**row, "phone_number": int(row["phone_number"])} for row in rows],
    lambda rows, chance: [{**row, "status": row["status"].upper()} for row in rows],
    lambda rows, chance: [{**row, "note": {"phone_number": row["phone_number"]}} for row in rows],
    one_row(lambda row, chance: {**row, "phone_number": other_number(row["phone_number"], chance)}),
    one_row(lambda row, chance: {**row, "phone_number": int(row["phone_number"])}),
    one_row(lambda row, chance: {**row, "phone_number": "+" + row["phone_number"]}),
    one_row(lambda row, chance: {**row, "status": {SENT: FAILED, FAILED: SENT}[row["status"]]}),
    one_row(lambda row, chance: {**row, "status": chance.choice(["Sent", None, "queued", "", 5, ["sent"]])}),
    one_row(lambda row, chance: {**row, "x": chance.choice([SENT, FAILED, "}", "\\", row["phone_number"]])}),
    one_row(lambda row, chance: dict(reversed(row.items()))),
    one_row(lambda row, chance: {key: value for key, value in row.items() if key != "status"}),
]


def mangled(body: bytes, chance: random.Random) -> bytes:
    """Bytes changed, left out, put in, moved and repeated."""
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        near = min(end, start + chance.randrange(1, 4))
        body = chance.choice(
            [
                body[:start] + bytes([chance.randrange(256)]) + body[start + 1 :],
                body[:start] + body[near:],
                body[:start] + chance.choice(FRAGMENTS) + body[start:],
                body[:start] + chance.choice(FRAGMENTS) + body[near:],
                body[:start] + body[end:],
                body[:end] + body[start:],
                body[:end],
                body[end:] + body[:start],
            ]
        )
    return body


@settings(max_examples=150, deadline=None)
@given(reply=written(), block=st.sampled_from([1, 2, 3, 500]), seed=st.integers(0, 2**32))
def test_no_mutilation_is_read_otherwise(reply: Written, block: int, seed: int) -> None:
    """Whatever is done to the rows or to the bytes of a reply in any layout, both ways agree."""
    chance = random.Random(seed)
    whole = reply.body()
    bodies = [reply.body(change(reply.rows, chance)) for change in CHANGES]
    bodies += [mangled(whole, chance) for _ in range(20)]
    bodies += [mangled(body, chance) for body in bodies[: len(CHANGES)]]
    with blocks_of(block):
        assert read_expected(whole, reply.numbers) is not None
        check_law([whole, *bodies], reply.numbers)
        check_law([whole], [*reply.numbers, "263778888888"])
        if len(reply.numbers) > 1:
            check_law([whole], reply.numbers[1:])
            check_law([whole], reply.numbers[::-1])


@given(body=st.binary(max_size=80), count=st.integers(0, 3))
def test_any_bytes(body: bytes, count: int) -> None:
    """No bytes raise, with the beginning of a reply before them or without."""
    head = GOOD[: GOOD.index(NUMBERS[1])].encode()
    check_law([body, b'"contacts":[' + body, head + body, body + GOOD.encode()], fake_numbers(count))
