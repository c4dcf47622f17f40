"""Rows in the order in which they were asked for, written down with a guess at those that failed.

Nearly every reply is like this: laid out as documented, in order, and a few contacts in a hundred failed. Which, is
seen without reading the rows: "failed" has a letter that a row without it has not, and to look for one letter is the
cheapest thing that can be done to a text. Where it stands, divided by the length of a row, is the row, if all numbers
are of one length. With that guess the rows are written down, once, and the reply must hold just that.

The guess need not be right, because nothing rests on it. What is compared is the text of all numbers, in order, each
with the word that is then reported; if the reply holds it, the reply says so. Where it does not, be it that a number is
longer, that the letter stands in something else, or that the reply says something else, the answer is None, and
`smspop_async.api.expected` looks closer. So what must hold is that the pieces which are written down are all numbers,
each once: every guess lies behind the one before it, and before the end.
"""

from collections.abc import Sequence

from attrs import frozen


@frozen(kw_only=True)
class GuessedRows:
    """How rows are written that are alike but for the number and, behind it, the word."""

    before: bytes
    """What stands before the first number's digits."""
    sent: bytes
    """What stands behind the last one's, where it was sent to."""
    failed: bytes
    """The same where it failed."""
    glue: str
    """From the digits of a row that was sent to to those of the next."""
    failed_glue: str
    """The same from a row that failed."""
    sign: bytes
    """The letter that a row has where it failed."""
    sign_at: int
    """Where it is in a row."""
    stride: int
    """From one row that was sent to to the next."""

    def read(self, body: bytes, start: int, numbers: Sequence[str]) -> tuple[Sequence[int], int] | None:
        """Read the rows that begin at `start`, one for each of `numbers`.

        Returns:
            Which of them failed, and where the rows end; or None where the guess was wrong.
        """
        sign, stride, glue = self.sign, self.stride, self.glue
        longer = len(self.failed) - len(self.sent)
        failed: list[int] = []
        pieces: list[str] = []
        first = start + self.sign_at  # where it would be in the first row; a row that failed is longer
        end = first + stride * (len(numbers) - 1) + len(sign)
        behind = 0
        hit = body.find(sign, start, end)
        while hit >= 0:
            row = (hit - first) // stride
            if row < behind:
                return None
            failed.append(row)
            row += 1
            pieces.append(glue.join(numbers[behind:row]))
            behind = row
            first += longer
            end += longer
            hit = body.find(sign, hit + 1, end)
        if behind < len(numbers):
            pieces.append(glue.join(numbers[behind:]))
            tail = self.sent
        else:  # and not beyond: what is found before `end` is in the last row at most
            tail = self.failed
        text = self.failed_glue.join(pieces).encode()
        at = start + len(self.before)
        close = at + len(text)
        if not body.startswith(tail, close) or not body.startswith(self.before, start):
            return None
        return (failed, close + len(tail)) if body.startswith(text, at) else None
