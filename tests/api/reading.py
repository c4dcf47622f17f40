"""Replies laid out in every way, and the law of reading them: the fast way may decline, and may never differ.

Its twin is the plain way, the JSON decoder and `settle`.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from attrs import asdict

from rawserver import fake_numbers
from smspop_async import Status
from smspop_async.api import classify as classifying
from smspop_async.api import expected as expecting
from smspop_async.api import number_columns, wire
from smspop_async.api.classify import Accepted, Verdict, classify
from smspop_async.api.expected import read_expected
from smspop_async.api.refusals import Context
from smspop_async.api.reply import Reply
from smspop_async.api.settle import settle
from smspop_async.mask import Redactor

SENT, FAILED = "sent", "failed"
NEVER = 10**9


def national(text: str) -> str | None:
    return "263" + text[1:] if text.startswith("0") and text[1:].isdigit() else None


CONTEXT = Context(url="http://127.0.0.1/api/campaigns", redact=Redactor(["secret"]), normalise=national)
Row = dict[str, Any]

LAYOUTS: dict[str, Callable[[str, str], Row]] = {
    "documented": lambda number, word: {"phone_number": number, "status": word},
    "status-first": lambda number, word: {"status": word, "phone_number": number},
    "something-before": lambda number, word: {"id": 7, "phone_number": number, "status": word},
    "something-between": lambda number, word: {"phone_number": number, "net": "a b", "status": word},
    "something-behind": lambda number, word: {"phone_number": number, "status": word, "cost": 1.5, "x": None},
    "something-everywhere": lambda number, word: {
        "a": -1e3, "status": word, "b": "a text, 'quoted'", "phone_number": number, "c": True
    },
    "words-that-look-like-it": lambda number, word: {
        "say": "sent?", "phone_number": number, "said": "failed or sent", "status": word, "263770999999": ""
    },
    "beyond-ascii": lambda number, word: {"phone_number": number, "net": "Télé \u20ac", "status": word},
}  # fmt: skip
"""Rows that are alike but for the number and the word: each of these is promised to be read fast."""
STYLES: dict[str, Callable[[Any], str]] = {
    "compact": lambda reply: json.dumps(reply, separators=(",", ":")),
    "spaced": json.dumps,
    "pretty": lambda reply: json.dumps(reply, indent=4),
    "pretty-on-windows": lambda reply: json.dumps(reply, indent="\t").replace("\n", "\r\n"),
    "odd-blanks": lambda reply: json.dumps(reply, separators=(" ,\t", " :\n ")),
    "unescaped": lambda reply: json.dumps(reply, ensure_ascii=False),
}
PROMISED = list(itertools.product(LAYOUTS, STYLES))
KEYS = ("success", "message", "campaign", "summary", "contacts")
ORDERS = {"documented": KEYS, "rows-first": KEYS[::-1], "rows-within": (*KEYS[3:], *KEYS[:3])}


def frame(words: Sequence[str]) -> dict[str, Any]:
    """The documented reply without its rows."""
    return {
        "success": True,
        "message": f"Successfully imported {len(words)} contacts and SMS sending completed.",
        "campaign": {"name": "x", "message": "m", "sender_id": "DEMO", "status": "approved", "x": "é"},
        "summary": {"sent": words.count(SENT), "failed": words.count(FAILED)},
    }


def write(
    rows: Sequence[object],
    words: Sequence[str],
    style: str = "compact",
    order: Sequence[str] = KEYS,
    **more: object,
) -> str:
    """A reply with these rows."""
    reply = {**frame(words), "contacts": rows, **more}
    return STYLES[style]({key: reply[key] for key in (*order, *more)})


def rows_of(numbers: Sequence[str], words: Sequence[str], layout: str = "documented") -> list[Row]:
    return [LAYOUTS[layout](number, word) for number, word in zip(numbers, words, strict=True)]


def all_sent(numbers: Sequence[str], layout: str = "documented", style: str = "compact") -> str:
    words = [SENT] * len(numbers)
    return write(rows_of(numbers, words, layout), words, style)


MIXED = [
    "263770000001",
    "100000000",
    "999999999999999",
    "26377000000",
    "2637700000011",
    "447700900001",
    "26377",
]
MIXED[-1] += "0000099999"
"""Numbers of 9 to 15 digits, some of which are the beginning of others."""
MANY = [*MIXED, *fake_numbers(6, 20)]


# The two ways, and the law.


@contextmanager
def blocks_of(rows: int) -> Iterator[None]:
    with patch.object(expecting, "_BLOCK", rows), patch.object(number_columns, "_BLOCK", rows):
        yield


def told(verdict: Verdict) -> object:
    """All that is said by a verdict, so that two can be compared (NaN and all)."""
    if not isinstance(verdict, Accepted):
        return type(verdict), type(verdict.error), str(verdict.error), getattr(verdict, "scope", None)
    settlement = verdict.settlement
    return (
        verdict.message,
        repr(asdict(verdict.campaign)),
        verdict.claimed,
        list(settlement.statuses),
        dict(settlement.details),
        settlement.numbers,
        settlement.summary,
        settlement.discrepancies,
    )


def judged(bodies: Iterable[bytes], numbers: Sequence[str], worth: int) -> list[Verdict]:
    with patch.object(classifying, "_WORTH_EXPECTING", worth):
        return [classify(Reply(status=200, headers={}, body=body), numbers, CONTEXT) for body in bodies]


def check_law(bodies: Sequence[bytes], numbers: Sequence[str]) -> int:
    """The fast way says of each body what the plain way says, or nothing. Returns how many it read."""
    fast, plain = judged(bodies, numbers, 0), judged(bodies, numbers, NEVER)
    taken = 0
    for body, one, other in zip(bodies, fast, plain, strict=True):
        assert told(one) == told(other), body
        taken += check_reading(body, numbers)
    return taken


def check_reading(body: bytes, numbers: Sequence[str]) -> bool:
    """The same of the function alone, where the reply need not be that of a success."""
    read = read_expected(body, numbers)
    if read is None:
        return False
    reply = wire.decode_object(body)
    assert reply is not None, body
    rest = {key: value for key, value in reply.items() if key != "contacts"}
    assert repr({key: value for key, value in read.frame.items() if key != "contacts"}) == repr(rest), body
    statuses = [Status.SENT] * len(numbers)
    for at in read.failed:
        assert statuses[at] is Status.SENT, "a position is told once"
        statuses[at] = Status.FAILED
    settled = settle(numbers, reply["contacts"], None, national)
    assert list(settled.statuses) == statuses, body
    assert not settled.details, body
    assert not settled.discrepancies, body
    return True


def words_for(numbers: Sequence[str], which: str) -> list[str]:
    choose = {"none": lambda at: False, "all": lambda at: True, "some": lambda at: at % 5 in (0, 1)}[which]
    return [FAILED if choose(at) else SENT for at in range(len(numbers))]


CONTACTS = {"one-length": fake_numbers(13), "mixed-lengths": MANY}
