"""Expected rows: reading the contacts of a reply by proving that it is what was to be expected.

From a few hundred contacts a campaign upwards, decoding the rows of the reply is what a client spends its time on:
five hundred small objects are made of JSON only to find out that they say what everybody knew they
would say, in the order in which it was asked. So the question is turned round. The first row shows the layout: what
stands before, between and behind the number and the status. From that, and from the numbers that were sent, the text
of all rows is written down as it would be if everybody was sent to; the rows of the reply, with "failed" written as
"sent", are compared with it byte by byte. Joining and comparing cost a twentieth of decoding.

Nothing is believed that is not proven:

- *The layout.* The first row is decoded by the JSON decoder and must be an object with this number and this word.
  It is UTF-8, holds no other object or list, no backslash, the quoted number once and a quoted status word once. So
  these very bytes are the values, and another number or word in their place would be decoded to that one.
- *The rows.* What stands there must equal what was expected, whole, after each failed row was turned into a sent
  one. As the expected text holds exactly one status a row, each replacement was a status of one row.
- *The same rows in another order* are cut where one row meets the next. The pieces must be the numbers that
  were sent, each once, and nothing else; then each row is the first row with another number in it.
- *The frame.* The reply with a hole in place of its rows is decoded, and must be an object whose ``contacts`` is the
  list of that hole alone. The hole is a word that JSON does not have, so nothing else can be taken for it. So the
  place where rows were read is that list, and nothing else is in it.

Where any of this does not hold, the answer is None and `smspop_async.api.settle` decodes and joins row by row. The
tests compare the two on mutilated replies of every kind: the fast way may decline, and may never differ.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from attrs import frozen

from smspop_async.api.shapes import is_object
from smspop_async.api.wire import HOLE, decode_around, decode_plain

_BEGIN: Final = re.compile(rb'"contacts"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_COMMA: Final = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")
_SENT: Final = b'"sent"'
_FAILED: Final = b'"failed"'
_LONGER: Final = len(_FAILED) - len(_SENT)
_BLOCK: Final = 500
"""Rows compared at once: their text, written several times, stays in the processor's nearer memory."""
_REORDERED: Final = 1000
"""Rows from which on decoding is no slower than sorting out another order (measured)."""


@frozen(kw_only=True)
class ExpectedRows:
    """What a reply says whose rows were proven to be the expected ones."""

    frame: Mapping[str, Any]
    """The reply without its rows."""
    failed: Sequence[int]
    """Positions, in the numbers that were sent, of those whose word is "failed"; all others are "sent"."""


_Rows = tuple[Sequence[int], int]
"""The rows that failed, and where all rows end in the reply."""


@frozen(kw_only=True)
class _Layout:
    """How a row is written when its word is "sent"."""

    before: bytes
    """What stands before the number's digits."""
    after: bytes
    comma: bytes
    """What stands between two rows."""
    glue: bytes
    """From the digits of one row to those of the next."""
    sent: bytes
    """The part that holds the word: `after`, or `before` where the word comes first."""
    failed: bytes
    """The same for a row that failed."""
    sign: bytes
    """What is looked for to find rows that failed: a letter that no other row has, or else `failed` itself."""
    sign_at: int
    """Where it is in `failed`."""

    def begins(self, body: bytes, start: int) -> bool:
        """Tell whether the first row is laid out so."""
        close = body.find(b'"', start + len(self.before))
        return body.startswith(self.before, start) and body.startswith((self.sent, self.failed), close)

    def length(self, inner: bytes) -> int:
        """The length of all rows, given what stands between the first digit and the last."""
        return len(self.before) + len(inner) + len(self.after)

    def inner(self, numbers: Sequence[str]) -> bytes:
        """The rows as they would be if everybody was sent to, from the first digit to the last."""
        return self.glue.decode().join(numbers).encode()

    def frames(self, said: bytes, inner: bytes) -> bool:
        """Tell whether `said` begins with these rows. Three looks spare putting them together."""
        begin = len(self.before)
        return (
            said.startswith(inner, begin)
            and said.startswith(self.before)
            and said.startswith(self.after, begin + len(inner))
        )

    def cut(self, body: bytes, start: int, end: int) -> list[bytes]:
        """Cut the text from `start` to `end` wherever a row failed.

        Looking for one letter is ten times as fast as looking for many. Where it turns up in anything but a row
        that failed, the rest stays uncut, and the comparison will tell.
        """
        pieces: list[bytes] = []
        hit = start
        while (hit := body.find(self.sign, hit, end)) >= 0:
            begin = hit - self.sign_at
            if not body.startswith(self.failed, begin):
                break
            pieces.append(body[start:begin])
            hit = start = begin + len(self.failed)
        pieces.append(body[start:end])
        return pieces

    def failed_rows(self, pieces: Sequence[bytes], numbers: Sequence[str], length: int) -> list[int]:
        """Tell which rows failed.

        Args:
            pieces: The text of the rows, and of what follows them, cut at each row that failed.
            numbers: The number of each row.
            length: Of the rows, if everybody was sent to; a cut behind them is none of a row.
        """
        cuts: list[int] = []
        at = 0
        for piece in pieces[:-1]:
            at += len(piece)
            if at >= length:
                break
            cuts.append(at)
            at += len(self.sent)
        # Numbers are nearly always of one length. Then a division tells the row, and its number is next to the cut.
        stride = len(numbers[0]) + len(self.glue)
        rows = [cut // stride for cut in cuts]
        for at, row in enumerate(rows):
            number = numbers[row].encode() if row < len(numbers) else b"?"
            if not (pieces[at].endswith(b'"' + number) or pieces[at + 1].startswith(number + b'"')):
                break
        else:
            return rows
        starts = list(accumulate((len(number) + len(self.glue) for number in numbers), initial=0))
        return [bisect_right(starts, cut) - 1 for cut in cuts]


def read_expected(body: bytes, numbers: Sequence[str]) -> ExpectedRows | None:
    """Read a reply whose rows are laid out alike, for the numbers that were sent.

    Args:
        body: The reply.
        numbers: The distinct digits that were sent.

    Returns:
        What it says, or None where that cannot be proven without decoding every row.
    """
    begin = _BEGIN.search(body)
    if begin is None or not numbers:
        return None
    start = begin.end()
    try:
        layout = _DOCUMENTED if _DOCUMENTED.begins(body, start) else _learn(body, start)
        rows = layout and (
            _in_order(body, start, layout, numbers) or _reordered(body, start, layout, numbers)
        )
    except ValueError:  # not JSON, or not text
        return None
    if not rows:
        return None
    failed, end = rows
    frame = _frame(body[:start], body[end:])
    return None if frame is None else ExpectedRows(frame=frame, failed=failed)


def _in_order(body: bytes, start: int, layout: _Layout, numbers: Sequence[str]) -> _Rows | None:
    """Compare the rows with those of `numbers`, a block after another; None where they differ."""
    failed: list[int] = []
    at = start
    for first in range(0, len(numbers), _BLOCK):
        if first:
            if not body.startswith(layout.comma, at):
                return None
            at += len(layout.comma)
        block = numbers[first : first + _BLOCK]
        inner = layout.inner(block)
        length = layout.length(inner)
        pieces = layout.cut(body, at, at + length + _LONGER * len(block))
        if not layout.frames(layout.sent.join(pieces), inner):
            return None
        lost = layout.failed_rows(pieces, block, length)
        failed += [first + row for row in lost] if first else lost
        at += length + _LONGER * len(lost)
    return failed, at


def _reordered(body: bytes, start: int, layout: _Layout, numbers: Sequence[str]) -> _Rows | None:
    """The same for rows in another order than `numbers`; None where they are not of the same numbers."""
    if len(numbers) > _REORDERED:
        return None
    length = layout.length(layout.inner(numbers))
    pieces = layout.cut(body, start, start + length + _LONGER * len(numbers))
    text = layout.sent.join(pieces)[:length].decode()
    before, glue, after = layout.before.decode(), layout.glue.decode(), layout.after.decode()
    width = len(numbers[0])
    if len(text) == len(before) + len(after) + len(numbers) * (width + len(glue)) - len(glue):
        # Cutting by place is twice as fast as by looking for the glue.
        rows = [text[at : at + width] for at in range(len(before), len(text), width + len(glue))]
    else:
        rows = text[len(before) : len(text) - len(after)].split(glue)
    if f"{before}{glue.join(rows)}{after}" != text or len(rows) != len(numbers) or set(rows) != set(numbers):
        return None
    lost = {rows[row] for row in layout.failed_rows(pieces, rows, length)}
    failed = [at for at, number in enumerate(numbers) if number in lost] if lost else []
    return failed, start + length + _LONGER * len(failed)


def _learn(body: bytes, start: int) -> _Layout | None:
    """Take the layout from the first row.

    Raises:
        ValueError: it is not JSON.
    """
    end = body.find(b"}", start) + 1
    row = body[start:end]
    word = _SENT if _SENT in row else _FAILED
    if b"\\" in row or row.count(_SENT) + row.count(_FAILED) != 1 or row.count(b"{") + row.count(b"[") != 1:
        return None
    said = decode_plain(row)
    number = said.get("phone_number") if is_object(said) else None
    if not isinstance(number, str) or said.get("status") != word[1:-1].decode():
        return None
    quoted = f'"{number}"'.encode()
    if row.count(quoted) != 1 or not number.isdecimal():
        return None
    comma = _COMMA.match(body, end)
    before, after = row.split(quoted)
    return _layout(before + b'"', b'"' + after, comma[0] if comma else b",", word)


def _layout(before: bytes, after: bytes, comma: bytes, word: bytes) -> _Layout:
    word_first = word in before
    part = before if word_first else after
    sent, failed = part.replace(word, _SENT), part.replace(word, _FAILED)
    before, after = (sent, after) if word_first else (before, sent)
    others = before + after + comma
    sign = next((bytes((letter,)) for letter in b"failed" if letter not in others), failed)
    return _Layout(
        before=before,
        after=after,
        comma=comma,
        glue=after + comma + before,
        sent=sent,
        failed=failed,
        sign=sign,
        sign_at=failed.index(sign),
    )


_DOCUMENTED: Final = _layout(b'{"phone_number":"', b'","status":"sent"}', b",", _SENT)
"""The rows of the vendor's document: the usual case needs no learning."""


def _frame(head: bytes, tail: bytes) -> Mapping[str, Any] | None:
    """Decode the reply without its rows; None where they were not the whole of its ``contacts``."""
    try:
        frame = decode_around(head, tail)
    except (ValueError, RecursionError):
        return None
    return frame if is_object(frame) and frame.get("contacts") == [HOLE] else None
