"""The stub's replies: how their rows are laid out, and a memory of those made before.

A reply in the documented layout is made of the request's own list of numbers by two calls of `bytes.replace`: no JSON
is parsed, and no Python runs per contact. That still costs about as much as a fast client needs for its own side. So
replies are made before a contest begins (*priming*) and remembered by the list of numbers in the request; in the
contest, the stub compares the list with the remembered one, whole, and hands out the bytes that are ready.
"""

from collections.abc import Callable
from random import Random

from attrs import define, field, frozen
from inputs import FAILING

_SENT = b"sent"
_FAILED = b"failed"
_FAILING = FAILING.encode()
_HEAD = 16
"""Bytes of a list by which it is looked up, together with its length; then the whole list is compared."""
_ENTRY = 400
"""Bytes that an entry costs besides its texts, about."""

Rows = Callable[[bytes], tuple[bytes, int]]
"""From ``263…, 263…`` to the rows of the reply, and how many of them failed."""


@frozen
class Even:
    """Rows that differ in nothing but number and status, made without looking at any of them."""

    before: bytes
    between: bytes
    after: bytes
    next_row: bytes

    def __call__(self, numbers: bytes) -> tuple[bytes, int]:
        end = self.between + _SENT + self.after
        text = self.before + numbers.replace(b", ", end + self.next_row + self.before) + end
        mark = _FAILING + self.between
        text = text.replace(mark + _SENT, mark + _FAILED)
        return text, text.count(mark + _FAILED)


def reordered(numbers: bytes) -> tuple[bytes, int]:
    """The status before the number."""
    told = _told(numbers)
    return b",".join(
        [b'{"status":"%b","phone_number":"%b"}' % (word, number) for number, word in told]
    ), _failed(told)


def identified(numbers: bytes) -> tuple[bytes, int]:
    """A field that the document does not know, with another value in each row."""
    told = _told(numbers)
    first = 40_000_000 + int(told[0][0]) % 10_000_000
    return b",".join(
        [
            b'{"id":%d,"phone_number":"%b","status":"%b"}' % (place, number, word)
            for place, (number, word) in enumerate(told, first)
        ]
    ), _failed(told)


def shuffled(numbers: bytes) -> tuple[bytes, int]:
    """The documented rows in another order than the request's."""
    told = _told(numbers)
    Random(len(told)).shuffle(told)
    return b",".join(
        [b'{"phone_number":"%b","status":"%b"}' % (number, word) for number, word in told]
    ), _failed(told)


def _told(numbers: bytes) -> list[tuple[bytes, bytes]]:
    return [(number, _FAILED if number.endswith(_FAILING) else _SENT) for number in numbers.split(b", ")]


def _failed(told: list[tuple[bytes, bytes]]) -> int:
    return sum(word == _FAILED for _, word in told)


LAYOUTS: dict[str, Rows] = {
    "documented": Even(b'{"phone_number":"', b'","status":"', b'"}', b","),
    "spaced": Even(b'{"phone_number": "', b'", "status": "', b'"}', b", "),
    "reordered": reordered,
    "identified": identified,
    "shuffled": shuffled,
}


@define
class Answer:
    """A reply as it goes over the wire, and what it says."""

    numbers: bytes
    wire: bytes
    contacts: int
    failed: int
    told_in: int = -1
    """The stretch (see `stub.Served`) in which it was last given."""


def list_in(body: bytes) -> tuple[int, int]:
    """Where the value of ``manual_contacts`` begins and ends in a request: its only field that matters."""
    begin = body.index(b'"', body.index(b":", body.index(b'"manual_contacts"'))) + 1
    return begin, body.index(b'"', begin)


def answer(numbers: bytes, rows: Rows) -> Answer:
    """Answer a campaign for these numbers."""
    text, failed = rows(numbers)
    count = numbers.count(b",") + 1
    return Answer(
        numbers=numbers,
        wire=over_http(
            b'{"success":true,"message":"Successfully imported %d contacts and SMS sending completed.",'
            b'"campaign":{"name":"Benchmark","message":"Hello!","sender_id":"BRAND1","status":"approved"},'
            b'"summary":{"sent":%d,"failed":%d},"contacts":[%b]}' % (count, count - failed, failed, text)
        ),
        contacts=count,
        failed=failed,
    )


def over_http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


@define
class Memory:
    """Answers by layout and list of numbers, up to so many bytes; what does not fit is not remembered."""

    limit: int = 64 * 2**20
    size: int = 0
    _answers: dict[tuple[str, int, bytes], Answer] = field(factory=dict)

    def find(self, layout: str, body: bytes, begin: int, end: int) -> Answer | None:
        """The answer for the list that stands from `begin` to `end` in `body`."""
        found = self._answers.get((layout, end - begin, body[begin : min(begin + _HEAD, end)]))
        return found if found is not None and body.startswith(found.numbers, begin) else None

    def keep(self, layout: str, made: Answer) -> None:
        size = len(made.numbers) + len(made.wire) + _ENTRY
        if self.size + size <= self.limit:
            self.size += size
            self._answers[layout, len(made.numbers), made.numbers[:_HEAD]] = made

    def forget(self) -> None:
        self._answers.clear()
        self.size = 0
