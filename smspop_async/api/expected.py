"""Expected rows: reading the contacts of a reply by proving that it is what was to be expected.

From a few hundred contacts a campaign upwards, decoding the rows of the reply is what a client spends its time on:
five hundred small objects are made of JSON only to find out that they say what everybody knew they
would say, in the order in which it was asked. So the question is turned round. The first row shows the layout: what
stands before, between and behind the number and the status. From that, and from the numbers that were sent, the text
of all rows is written down as it would be if everybody was sent to; the rows of the reply, with "failed" written as
"sent", are compared with it byte by byte. Joining and comparing cost a twentieth of decoding.

Nothing is believed that is not proven:

- *The layout.* The first row must be a flat object without a key twice (see `smspop_async.api.layouts`), so that it is
  known which bytes of it are the number and the word, and that others in their place would be decoded to others.
- *The rows.* What stands there must equal what was expected, whole: first with a guess at the rows that failed (see
  `smspop_async.api.guessed_rows`), and where that was wrong after each failed row was turned into a sent one. As the
  expected text holds each status with its key once a row, each replacement was a status of one row.
- *Further values*, say an identifier, may differ from row to row. Where all rows are of one length, such a value stands
  in the same columns of each. A column whose bytes differ must hold digits alone, in a figure, or ASCII that means
  itself, in a text; then any of them may stand for any other, and the first row's is written into all rows
  before they are compared. So a row that was made equal to the expected one differed from it in that value alone.
- *The same rows in another order*, again of one length, are cut where the numbers stand. The pieces must be the
  numbers that were sent, each once; and the text must be what comes of joining them by all that stands between.
- *Rows of different lengths*, in any order, are split by a pattern: see `smspop_async.api.patterns`.
- *The frame.* The reply with a hole in place of its rows is decoded, and must be an object whose ``contacts`` is the
  list of that hole alone. The hole is a word that JSON does not have, so nothing else can be taken for it. So the
  place where rows were read is that list, and nothing else is in it.

Where any of this does not hold, the answer is None and `smspop_async.api.settle` decodes and joins row by row. The
tests compare the two on mutilated replies of every kind: the fast way may decline, and may never differ.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define

from smspop_async.api.layouts import LONGER, Layout, learn
from smspop_async.api.number_columns import cut_out, is_even, is_same, listed, places
from smspop_async.api.patterns import split_rows
from smspop_async.api.shapes import is_object
from smspop_async.api.wire import HOLE, decode_around

_BEGIN: Final = re.compile(rb'"contacts"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_BLOCK: Final = 500
"""Rows compared at once: their text, written several times, stays in the processor's nearer memory."""
_FEW: Final = 12
"""Numbers up to which finding each of them in a list is faster than one look at all of the list (measured)."""


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class ExpectedRows:
    """What a reply says whose rows were proven to be the expected ones."""

    frame: Mapping[str, Any]
    """The reply without its rows."""
    failed: Sequence[int]
    """Positions, in the numbers that were sent, of those whose word is "failed"; all others are "sent"."""


_Rows = tuple[Sequence[int], int]
"""The rows that failed, and where all rows end in the reply."""


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
    row = learn(body, start)
    if row is None:
        return None
    rows = (
        _in_order(body, start, row.layout, numbers)
        or _reordered(body, start, row.layout, numbers)
        or split_rows(body, start, row, numbers)
    )
    if rows is None:
        return None
    failed, end = rows
    frame = _frame(body[:start], body[end:])
    return None if frame is None else ExpectedRows(frame=frame, failed=failed)


def _in_order(body: bytes, start: int, layout: Layout, numbers: Sequence[str]) -> _Rows | None:
    """Compare the rows with those of `numbers`, a block after another; None where they differ."""
    number, place = numbers[0].encode(), start + len(layout.before)
    if not body.startswith(number, place) and not body.startswith(number, place + LONGER):  # behind "failed"
        return None
    if len(numbers) <= _BLOCK:
        return _block(body, start, layout, numbers)
    failed: list[int] = []
    at = start
    for first in range(0, len(numbers), _BLOCK):
        if first:
            if not body.startswith(layout.comma, at):
                return None
            at += len(layout.comma)
        block = _block(body, at, layout, numbers[first : first + _BLOCK])
        if block is None:
            return None
        lost, at = block
        failed += [first + row for row in lost]
    return failed, at


def _block(body: bytes, start: int, layout: Layout, numbers: Sequence[str]) -> _Rows | None:
    """Compare the rows that begin at `start`."""
    guessed = layout.guessed
    read = guessed.read(body, start, numbers) if guessed is not None else None
    if read is not None:
        return read
    text = layout.rows(numbers)
    if body.startswith(text, start):
        return (), start + len(text)
    lost = layout.lost(body, start, text, numbers)
    if lost is None and layout.values:
        lost = _lost_levelled(body, start, layout, text, numbers)
    return None if lost is None else (lost, start + len(text) + LONGER * len(lost))


def _lost_levelled(
    body: bytes, start: int, layout: Layout, text: bytes, numbers: Sequence[str]
) -> list[int] | None:
    """Tell which rows failed, as `Layout.lost` does, where further values differ."""
    rows, width = len(numbers), layout.width
    if not is_even(listed(numbers), rows, width):
        return None
    pieces, cuts = layout.cut(body, start, len(text))
    if layout.levelled(layout.sent.join(pieces), rows) != text:
        return None
    return layout.rows_at(cuts, text, numbers)


def _reordered(body: bytes, start: int, layout: Layout, numbers: Sequence[str]) -> _Rows | None:
    """Compare the rows with those of `numbers` in another order, where all numbers are of one length."""
    sent_to, rows, width = listed(numbers), len(numbers), layout.width
    if not is_even(sent_to, rows, width):
        return None
    length = rows * layout.stride - len(layout.comma)
    pieces, cuts = layout.cut(body, start, length)
    text = layout.levelled(layout.sent.join(pieces), rows)
    if text is None:
        return None
    told = cut_out(text, len(layout.before), width, len(layout.glue), rows)
    asked = cut_out(sent_to, 0, width, len(b","), rows)
    if not is_same(told, asked) or text != b"%b%b%b" % (layout.before, layout.glue.join(told), layout.after):
        return None
    lost = [told[cut // layout.stride] for cut in cuts]
    end = start + length + LONGER * len(lost)
    if len(lost) > _FEW:
        return places(lost, asked), end
    return sorted(sent_to.find(one) // (width + 1) for one in lost), end


def _frame(head: bytes, tail: bytes) -> Mapping[str, Any] | None:
    """Decode the reply without its rows; None where they were not the whole of its ``contacts``."""
    try:
        frame = decode_around(head, tail)
    except (ValueError, RecursionError):
        return None
    return frame if is_object(frame) and frame.get("contacts") == [HOLE] else None
