"""Rows of different lengths, in any order: one pattern cuts them at their numbers.

The pattern is the first row's text from behind its digits to before the digits of the next row, with "sent" or
"failed" for the word, and any value of `smspop_async.api.layouts.SCALAR` in place of each further value. Where
the text of the rows is split by it, what is left between each two matches should be a number. If these are the numbers
that were sent, each once, then nothing else is left; so all of the text is rows that have the keys of the first one,
with their own numbers, words and further values.

That costs a third of decoding, and more than comparing with what was expected: so it is tried last.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress, count
from typing import Final

from attrs import frozen

from smspop_async.api.layouts import SCALAR, SENT, Row
from smspop_async.api.number_columns import is_same, listed, places

_WORD: Final = rb'"(sent|failed)"'


@frozen(kw_only=True)
class Pattern:
    """How rows are written that have the keys of the first one, with the blanks between them."""

    head: re.Pattern[bytes]
    """Up to the digits."""
    glue: re.Pattern[bytes]
    """From the digits of one row to those of the next."""
    tail: re.Pattern[bytes]
    """From behind the digits."""

    def split(
        self, body: bytes, start: int, rows: int
    ) -> tuple[Sequence[bytes], Sequence[bytes], int] | None:
        """Split so many rows.

        Returns:
            What stands where the numbers should, the word of each row, and where the rows end. Or None.
        """
        head = self.head.match(body, start)
        pieces = self.glue.split(body[head.end() :], rows - 1) if head else []
        if head is None or len(pieces) != 2 * rows - 1:
            return None
        close = pieces[-1].find(b'"')
        tail = self.tail.match(pieces[-1], max(close, 0))
        if tail is None:
            return None
        end = len(body) - len(pieces[-1]) + tail.end()
        pieces[-1] = pieces[-1][:close]
        # The first row's word is in `head`, or else the last row's is in `tail`.
        return pieces[::2], [*head.groups(), *pieces[1::2], *tail.groups()], end


def split_rows(
    body: bytes, start: int, first: Row, numbers: Sequence[str]
) -> tuple[Sequence[int], int] | None:
    """Split the rows that begin at `start` into numbers and words.

    Returns:
        The positions in `numbers` of those that failed, and where the rows end; or None where there is one row that
        is not written like the `first`, or not one for each number.
    """
    split = _pattern_of(first).split(body, start, len(numbers))
    if split is None or not _is_text(body[start : split[2]]):
        return None
    told, words, end = split
    lost = list(compress(count(), map(b"failed".__eq__, words))) if b"failed" in words else []
    sent_to = listed(numbers)
    if b",".join(told) != sent_to:
        asked = sent_to.split(b",")
        if not is_same(told, asked):
            return None
        lost = places([told[at] for at in lost], asked)
    return lost, end


def _is_text(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _pattern_of(row: Row) -> Pattern:
    """The pattern for rows like this one."""
    word = slice(row.status.stop - len(SENT), row.status.stop)
    values = {row.number.start: row.number, word.start: word, **{other.start: other for other in row.others}}
    spans = [values[at] for at in sorted(values)]
    edges = [0, *(edge for place in spans for edge in (place.start, place.stop)), len(row.text)]
    literals = tuple(row.text[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True))
    return _compiled(literals, spans.index(row.number), spans.index(word), row.comma)


@lru_cache(maxsize=32)
def _compiled(literals: Sequence[bytes], number: int, word: int, comma: bytes) -> Pattern:
    """Compile the pattern of rows with values between these `literals`, the number and the word among them."""
    written = [re.escape(literal) for literal in literals]
    for at in range(len(written) - 1):
        if at != number:
            written[at] += _WORD if at == word else SCALAR
    head, tail = b"".join(written[: number + 1]), b"".join(written[number + 1 :])
    return Pattern(
        head=re.compile(head), glue=re.compile(tail + re.escape(comma) + head), tail=re.compile(tail)
    )
