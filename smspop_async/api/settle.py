"""Joining the rows of a reply to the numbers that were sent: by number, never by position (law 2, Identity).

Columns in, columns out: `settle` takes the list of numbers of a campaign and the rows of its reply as they
came out of JSON, and gives one status word per number. Most replies name every number once, as it was sent,
with a known word; those take the short way through a dict. Every oddity the wire has shown (numbers
written with a plus and blanks or as integers, rows twice, missing or never asked for, words in capitals,
words unheard of) takes the long way, which ends in the same columns.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import ContactResult, Status, Summary
from smspop_async.api.shapes import list_in, object_in

_WORDS: Final = {"sent": Status.SENT, "failed": Status.FAILED}
_PLAIN: Final = frozenset(_WORDS)
_PUNCTUATION: Final = re.compile(r"[\s+\-().\u00a0\u2010-\u2013]")
_FRACTION: Final = re.compile(r"(?<=[0-9])\.0\s*\Z")
"""What a spreadsheet puts behind a number."""
_WORD: Final = re.compile(r"[A-Za-z]{1,20}([ _-][A-Za-z]{1,20})?")
_NUMBER: Final = itemgetter("phone_number")
_STATUS: Final = itemgetter("status")

_NOTHING: Final[Mapping[int, str]] = MappingProxyType({})
NO_ROW: Final = "the reply accepted the campaign but has no row for this number"
NO_ROWS: Final = "the API accepted the campaign; its reply held no per-contact statuses"


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Settlement:
    """What one reply says about the numbers of its campaign."""

    numbers: Sequence[str] = field(repr=False)
    statuses: StatusColumn = field(repr=False)
    """One for each of `numbers`, in their order."""
    details: Mapping[int, str] = field(default=_NOTHING, repr=False)
    """Position to explanation, only where there is something to explain."""
    discrepancies: tuple[str, ...] = ()

    @property
    def summary(self) -> Summary:
        """Counted from `statuses`, not taken from the reply."""
        sent, failed = self.statuses.sent_and_failed()
        return Summary(sent=sent, failed=failed)

    def contacts(self) -> list[ContactResult]:
        """Make the per-contact values."""
        return [
            ContactResult(phone_number=number, status=status, detail=self.details.get(at, ""))
            for at, (number, status) in enumerate(zip(self.numbers, self.statuses, strict=True))
        ]


def settle(
    numbers: Sequence[str],
    rows: object,
    claimed: Summary | None,
    normalise: Callable[[str], str | None] | None = None,
) -> Settlement:
    """Join `rows` to `numbers`.

    Args:
        numbers: The distinct digits that were sent.
        rows: The reply's ``contacts``, as decoded: a list of objects, or anything else.
        claimed: The reply's ``summary``, or None where it had none.
        normalise: Turns a national spelling into digits, or None where it cannot.
    """
    said = list_in(rows)
    if not said:
        summary = claimed or Summary()
        return Settlement(
            numbers=numbers,
            statuses=StatusColumn(common=Status.ACCEPTED, length=len(numbers)),
            details=dict.fromkeys(range(len(numbers)), NO_ROWS),
            discrepancies=(
                f"no per-contact rows in the reply (its summary: {summary.sent} sent, {summary.failed} failed)",
            ),
        )
    return _settle_plain(numbers, said, claimed) or _settle_odd(numbers, said, claimed, normalise)


def _settle_plain(numbers: Sequence[str], rows: list[Any], claimed: Summary | None) -> Settlement | None:
    """The short way; None where anything at all is out of the ordinary."""
    try:
        words = list(map(_STATUS, rows))
        if list(map(_NUMBER, rows)) != numbers:  # in another order than they were sent
            said = dict(zip(map(_NUMBER, rows), words, strict=True))
            if len(rows) != len(numbers) or len(said) != len(rows):
                return None
            words = [said[number] for number in numbers]
        if not _PLAIN.issuperset(words):
            return None
    except (KeyError, TypeError):
        return None
    failed = [at for at, word in enumerate(words) if word != "sent"] if "failed" in words else []
    return settle_expected(numbers, failed, claimed)


def settle_expected(numbers: Sequence[str], failed: Sequence[int], claimed: Summary | None) -> Settlement:
    """Settle a reply with one row for each number, whose word is "sent" but for those at the positions `failed`."""
    others = dict.fromkeys(failed, Status.FAILED)
    return Settlement(
        numbers=numbers,
        statuses=StatusColumn(common=Status.SENT, others=others, length=len(numbers)),
        discrepancies=_against(claimed, len(numbers) - len(others), len(others)),
    )


def _against(claimed: Summary | None, sent: int, failed: int) -> tuple[str, ...]:
    if claimed is None or (claimed.sent == sent and claimed.failed == failed):
        return ()
    words = (
        f"the summary says {claimed.sent} sent, {claimed.failed} failed; "
        f"the rows say {sent} sent, {failed} failed"
    )
    return (words,)


def _settle_odd(
    numbers: Sequence[str],
    rows: list[Any],
    claimed: Summary | None,
    normalise: Callable[[str], str | None] | None,
) -> Settlement:
    """The long way: each row on its own, every oddity noted."""
    asked = set(numbers)
    said: dict[str, tuple[Status, str]] = {}
    notes: dict[str, int] = {}
    for row in rows:
        number = _row_number(row, asked, normalise)
        if number is None:
            notes[_NOT_ASKED] = notes.get(_NOT_ASKED, 0) + 1
            continue
        verdict = _row_status(row)
        if number in said:
            notes[_TWICE] = notes.get(_TWICE, 0) + 1
            verdict = _merge(said[number], verdict)
        said[number] = verdict
    missing = [number for number in numbers if number not in said]
    if missing:
        notes[_MISSING] = len(missing)
    verdicts = [said.get(number, (Status.UNKNOWN, NO_ROW)) for number in numbers]
    statuses = StatusColumn.of([status for status, _ in verdicts])
    return Settlement(
        numbers=numbers,
        statuses=statuses,
        details={at: detail for at, (_, detail) in enumerate(verdicts) if detail},
        discrepancies=(
            *(f"{count} {words}" for words, count in notes.items()),
            *_against(claimed, *statuses.sent_and_failed()),
        ),
    )


_NOT_ASKED: Final = "row(s) in the reply that were not asked for"
_TWICE: Final = "row(s) in the reply that repeat a number"
_MISSING: Final = "number(s) without a row in the reply"


def _row_number(row: Any, asked: set[str], normalise: Callable[[str], str | None] | None) -> str | None:
    """The number of a row, as it was sent; None where it was not sent or is no number."""
    value = object_in(row).get("phone_number")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 2.6377e11: exact, so still a number of somebody
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    digits = _PUNCTUATION.sub("", _FRACTION.sub("", str(value)))
    if digits in asked:
        return digits
    other = normalise(str(value)) if normalise is not None else None
    return other if other in asked else None


def _row_status(row: Mapping[str, Any]) -> tuple[Status, str]:
    word = row.get("status")
    text = word.strip() if isinstance(word, str) else ""
    status = _WORDS.get(text.lower())
    if status is not None:
        return status, ""
    if not text:
        return Status.UNKNOWN, "the reply has a row for this number but no status in it"
    # Whatever is longer than a word or two may quote what was sent.
    shown = repr(text) if _WORD.fullmatch(text) else "longer than a word"
    return Status.UNKNOWN, f"the API's word for it is {shown}, which this version does not know"


def _merge(first: tuple[Status, str], second: tuple[Status, str]) -> tuple[Status, str]:
    if first[0] == second[0]:
        return first
    return Status.UNKNOWN, "the reply has several rows for this number that contradict each other"
