"""How the rows of a reply are laid out, learned from the first of them.

The first row is matched whole with a part of JSON's grammar: one flat object, whose keys hold no escapes and differ
from each other, and whose values are texts, figures and the three words of JSON, none so long that a decoder might
refuse it. Of what matches it is known where each key and each value stands, and that the decoder would read just
these. So in a row written like that one, other digits are another number, and another word is another status.

A layout says nothing of the other rows. That they are laid out so, and in which values they differ, is proven by
`smspop_async.api.expected` and `smspop_async.api.patterns`.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

from attrs import frozen

from smspop_async.api.guessed_rows import GuessedRows

SENT: Final = b'"sent"'
FAILED: Final = b'"failed"'
LONGER: Final = len(FAILED) - len(SENT)
"""By how much a row that failed is longer."""
_BLANKS: Final = rb"[ \t\r\n]*+"
_KEY: Final = rb'"[^"\\\x00-\x1f]*+"'
_TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_FIGURE: Final = rb"-?(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]{1,99}+)?(?:[eE][+-]?[0-9]{1,9}+)?"
SCALAR: Final = rb"(?>[1-9][0-9]{0,99}+(?![0-9.eE])|%b|%b|true|false|null)" % (_TEXT, _FIGURE)
"""A value that is neither object nor list. Most are integers, so these are tried first, and in the shortest way."""
_MEMBER: Final = rb"(%b)%b:%b(%b)" % (_KEY, _BLANKS, _BLANKS, SCALAR)
_MEMBERS: Final = re.compile(_MEMBER)
_COMMA: Final = re.compile(rb"%b,%b" % (_BLANKS, _BLANKS))
_ROW: Final = re.compile(rb"\{%b(?:%b%b)*+%b%b\}" % (_BLANKS, _MEMBER, _COMMA.pattern, _MEMBER, _BLANKS))
_PHONE_NUMBER: Final = re.compile(rb'"phone_number"%b:%b"([0-9]++)"' % (_BLANKS, _BLANKS))
_DIGITS: Final = b"0123456789"
_FIGURES: Final = bytes.maketrans(b"23456789", b"11111111")
"""Makes texts alike that differ in figures, with every key, value and 0 where it was."""
_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""What may stand anywhere in a text, and means itself."""


@frozen(kw_only=True)
class Value:
    """A value other than number and status, in which rows may differ byte by byte."""

    start: int
    """Where its bytes begin in the row."""
    text: bytes
    """What they are in the first row."""
    allowed: bytes
    """Any of these may stand for any other of them."""
    leading: int
    """Where 0 may not, because another digit follows; -1 where there is no such place."""

    def is_alike(self, rows: bytearray, stride: int) -> bool:
        """Look whether rows differ here. Where those differ that are not looked at, a comparison will tell."""
        last = len(rows) // stride
        return all(rows.startswith(self.text, self.start + at * stride) for at in (0, 1, last // 2, last))

    def level(self, rows: bytearray, stride: int) -> bool:
        """Write the first row's value into all `rows`; False where a byte stands there that may not."""
        varied = bytearray()
        for at, letter in enumerate(self.text, self.start):
            column = rows[at::stride]
            if column.count(letter) == len(column):
                continue
            if at == self.leading and b"0" in column:
                return False
            varied += column
            rows[at::stride] = bytes((letter,)) * len(column)
        return not varied.translate(None, self.allowed)


@frozen(kw_only=True)
class Layout:
    """How a row is written when its word is "sent"."""

    before: bytes
    """What stands before the number's digits."""
    after: bytes
    comma: bytes
    """What stands between two rows."""
    glue: bytes
    """From the digits of one row to those of the next."""
    sent: bytes
    """The status: key and word. As no key is there twice, it is in a row once."""
    failed: bytes
    """The same for a row that failed."""
    sign: bytes
    """What is looked for to find rows that failed: a letter that no other row has, or else `failed` itself."""
    sign_at: int
    """Where it is in `failed`."""
    width: int
    """How many digits the number has in the first row."""
    values: Sequence[Value]
    """Where further values are in a row with so many digits."""

    @property
    def stride(self) -> int:
        """From one row with so many digits to the next."""
        return self.width + len(self.glue)

    @cached_property
    def guessed(self) -> GuessedRows | None:
        """The way to read rows that are alike but for the number and, behind it, the status."""
        if self.values or self.sent not in self.after:
            return None
        failed = self.after.replace(self.sent, self.failed)
        return GuessedRows(
            before=self.before,
            sent=self.after,
            failed=failed,
            glue=self.glue.decode(),
            failed_glue=(failed + self.comma + self.before).decode(),
            sign=self.sign,
            sign_at=len(self.before) + self.width + self.after.index(self.sent) + self.sign_at,
            stride=self.stride,
        )

    def rows(self, numbers: Sequence[str]) -> bytes:
        """The rows as they would be if everybody was sent to."""
        return f"{self.before.decode()}{self.glue.decode().join(numbers)}{self.after.decode()}".encode()

    def lost(self, body: bytes, start: int, text: bytes, numbers: Sequence[str]) -> list[int] | None:
        """Tell which rows failed.

        Args:
            body: The reply.
            start: Where its rows begin.
            text: What `rows` gives for `numbers`.
            numbers: The number of each row.

        Returns:
            Offsets of rows; or None where the reply differs from `text` in anything but the words of those.
        """
        pieces, cuts = self.cut(body, start, len(text))
        return self.rows_at(cuts, text, numbers) if self.sent.join(pieces) == text else None

    def levelled(self, said: bytes, rows: int) -> bytes | bytearray | None:
        """Put the first row's values in place of those in which other rows differ.

        Args:
            said: Rows whose numbers all have as many digits as the first one's, and what follows them.
            rows: How many.

        Returns:
            The rows, or None where a byte stands in a value that may not stand there.
        """
        length = rows * self.stride - len(self.comma)
        if len(said) < length or not said.endswith(b"}", 0, length):
            return None
        if not self.values:
            return said[:length]
        text = bytearray(said[:length])
        for value in self.values:
            if not value.is_alike(text, self.stride) and not value.level(text, self.stride):
                return None
        return text

    def cut(self, body: bytes, start: int, length: int) -> tuple[list[bytes], list[int]]:
        """Cut the rows that begin at `start` wherever one failed.

        Looking for one letter is ten times as fast as looking for many. Where it turns up in anything but a row
        that failed, the many are looked for from there on.

        Args:
            body: The reply.
            start: Where the rows begin.
            length: How long they are once the pieces are joined again by `sent`.

        Returns:
            The pieces, and where they were cut, counted in what they are when they are joined again.
        """
        pieces: list[bytes] = []
        cuts: list[int] = []
        failed, sign, sign_at, size = self.failed, self.sign, self.sign_at, len(self.failed)
        at = start
        hit = body.find(sign, at)
        while 0 <= hit < start + length:
            begin = hit - sign_at
            if body.startswith(failed, begin):
                pieces.append(body[at:begin])
                cuts.append(begin - start)
                start += LONGER
                at = begin + size
                hit = body.find(sign, at)
            else:
                sign, sign_at = failed, 0
                hit = body.find(sign, hit)
        pieces.append(body[at : start + length])
        return pieces, cuts

    def rows_at(self, cuts: Sequence[int], text: bytes, numbers: Sequence[str]) -> list[int]:
        """Tell which rows have their status at these places of the `text` that `rows` gives for `numbers`."""
        width, rows = len(numbers[0]), len(numbers)
        stride, begin = width + len(self.glue), len(self.before)
        quotes = b'"' * rows
        # Numbers are nearly always of one length: then the quotation marks before and behind them are below each other.
        # A longer one would have a digit where its second is looked for, a shorter one where the next row's first is.
        if (
            len(text) == rows * stride - len(self.comma)
            and text[begin - 1 :: stride] == quotes
            and text[begin + width :: stride] == quotes
        ):
            return [cut // stride for cut in cuts]
        starts = list(accumulate((len(number) + len(self.glue) for number in numbers), initial=0))
        return [bisect_right(starts, cut) - 1 for cut in cuts]


@frozen(kw_only=True)
class Row:
    """The first row taken apart; its digits are zeros and its word is "sent", whatever they were."""

    text: bytes
    comma: bytes
    """What stands between it and the next."""
    number: slice
    """Where the digits are."""
    status: slice
    """Where key and word are, with the quotation marks."""
    others: Sequence[slice]
    """Where all other values are, with the quotation marks of texts."""

    @cached_property
    def layout(self) -> Layout:
        """How rows are written that are like this one."""
        text, number, status = self.text, self.number, self.status
        before, after, sent = text[: number.start], text[number.stop :], text[status]
        failed = sent.removesuffix(SENT) + FAILED
        sign = next((b"%c" % letter for letter in b"failed" if letter not in text + self.comma), failed)
        return Layout(
            before=before,
            after=after,
            comma=self.comma,
            glue=after + self.comma + before,
            sent=sent,
            failed=failed,
            sign=sign,
            sign_at=failed.index(sign),
            width=number.stop - number.start,
            values=[_value(text, other) for other in self.others if _is_levelled(text[other])],
        )


def learn(body: bytes, start: int) -> Row | None:
    """Take the row apart that begins at `start`; None where it is not written as described above."""
    if body.startswith(_BEFORE, start) and body.startswith(_AFTER, start + _DOCUMENTED.number.stop):
        return _DOCUMENTED
    row = _ROW.match(body, start)
    digits = row and _PHONE_NUMBER.search(body, start, row.end())
    if not row or not digits:
        return None
    comma = _COMMA.match(body, row.end())
    zeros = b"0" * (digits.end(1) - digits.start(1))
    text = b"%b%b%b" % (body[start : digits.start(1)], zeros, body[digits.end(1) : row.end()])
    return _row(text, comma[0] if comma else b",")


@lru_cache(maxsize=16)
def _row(text: bytes, comma: bytes) -> Row | None:
    """Take a row apart that was matched."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    # Which figures a row has is nearly always new, and nearly never matters to where things are.
    places = _places(text.translate(_FIGURES)) or _places(text)
    if places is None:
        return None
    number, status, word, others = places
    if text[word : status.stop] == FAILED:
        return _row(text[:word] + SENT + text[status.stop :], comma)
    if text[word : status.stop] != SENT:
        return None
    return Row(text=text, comma=comma, number=number, status=status, others=others)


@lru_cache(maxsize=16)
def _places(text: bytes) -> tuple[slice, slice, int, Sequence[slice]] | None:
    """Where the digits, the status with its key, its word, and all other values are in a row that was matched."""
    found = list(_MEMBERS.finditer(text))
    members = {member[1]: member for member in found}
    number, status = members.pop(b'"phone_number"', None), members.pop(b'"status"', None)
    if len(members) + 2 != len(found) or number is None or status is None:
        return None
    digits = slice(number.start(2) + 1, number.end(2) - 1)
    others = [slice(*other.span(2)) for other in members.values()]
    return digits, slice(*status.span()), status.start(2), others


def _is_levelled(value: bytes) -> bool:
    return value[:1] not in b"tfn" and b"\\" not in value


def _value(text: bytes, place: slice) -> Value:
    value = text[place]
    if value.startswith(b'"'):
        return Value(start=place.start + 1, text=value[1:-1], allowed=_PLAIN, leading=-1)
    first = value.startswith(b"-")
    leading = place.start + first if value[first + 1 : first + 2].isdigit() else -1
    return Value(start=place.start, text=value, allowed=_DIGITS, leading=leading)


_BEFORE: Final = b'{"phone_number":"'
_AFTER: Final = (b'","status":"sent"}', b'","status":"failed"}')
_DOCUMENTED: Final = Row(
    text=b'{"phone_number":"000000000000","status":"sent"}',
    comma=b",",
    number=slice(17, 29),
    status=slice(31, 46),
    others=(),
)
"""The rows of the vendor's document, where numbers are as long as in Zimbabwe: the usual case needs no learning."""
