"""Numbers to digits, at two speeds that always agree.

What a number is, the phone library decides: its full parser with the region as the default, then
``is_valid_number``. That costs some 25 µs a number, and would be the whole cost of a large campaign. So a slab of
rows is first matched, as one text, against patterns compiled from the library's own metadata (`plan`):

1. *Canonical* rows, a calling code and a national number in digits. A slab of one width is recognised by its columns
   (`boxes`), 40 ns a number with the joining; any other by one possessive pattern over the whole text. A row that is
   not canonical stops the pattern; it is set aside and the match goes on behind it. A slab with no such row is
   returned as it came, with no Python executed per row.
2. *Plain* rows are stripped of spaces and hyphens as one text. A few among canonical ones are searched by `findall`.
   Where they are many, whatever certainly stands for the calling code is replaced by it, also where that is nothing,
   which makes the slab canonical: by columns (`heads`) where most rows end in a mobile number of one length, else by
   one replacement after the other. What is not canonical even then is searched.
3. The rest is left to `Normaliser.parse`, which the caller runs in slices, because it is slow.

A value with a line break in it would be two lines and could fool a joined match, so before anything is believed the
lines are counted, or the columns tell.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from attrs import field, frozen
from phonenumbers import PhoneNumberFormat, format_number, is_valid_number, parse
from phonenumbers.phonenumberutil import SUPPORTED_REGIONS, NumberParseException

from smspop_async.contacts.boxes import Boxes
from smspop_async.contacts.number_space import Lines
from smspop_async.contacts.plan import LONGEST, SHORTEST, Plan, plan_for
from smspop_async.contacts.spelling import (
    InvalidNumber,
    bare_cells,
    bare_lines,
    bare_spelling,
    joined,
    one_a_line,
)
from smspop_async.errors import ConfigurationError

__all__ = ["PARSED_AT_ONCE", "InvalidNumber", "Normaliser", "Scan"]

PARSED_AT_ONCE: Final = 20
"""Numbers that `Normaliser.parse` should take between two turns of an event loop: about half a millisecond."""
_SUBMITTED: Final = re.compile(f"[0-9]{{{SHORTEST},{LONGEST}}}")
_STEPS_ALLOWED: Final = 2
_LINES_A_STEP: Final = 8
"""Rows that are not canonical are stepped over, about 1 µs each, while they are fewer than one in so many."""
_WORTH_BOXES: Final = 8
"""Rows from which on it is faster to look for canonical numbers by columns (measured)."""
_WORTH_COLUMNS: Final = 32
"""Rows from which on it is faster to look for other spellings by columns (measured)."""
_LIBRARY_LIMIT: Final = 250
"""The phone library refuses longer texts (its ``_MAX_INPUT_STRING_LENGTH``)."""


@frozen(kw_only=True)
class Scan:
    """What the fast path made of a slab."""

    numbers: list[str | None] = field(repr=False)
    """E.164 digits without ``+`` for each row; None where the fast path does not decide. It is the caller's own
    list when every row of it was canonical."""
    undecided: list[int]
    """Offsets of the rows that need `Normaliser.parse`, ascending."""
    lines: Lines | None = field(default=None, repr=False)
    """All numbers as one text, where every row was decided and they are at hand in this form."""


class Normaliser:
    """Makes phone numbers of what people write, for one default region.

    Args:
        region: The ISO 3166 code of the country that numbers without a calling code are in.

    Raises:
        ConfigurationError: The phone library does not know the region.
    """

    region: str

    def __init__(self, region: str = "ZW") -> None:
        self.region = _known_region(region)
        self._plan = plan_for(self.region)

    def __repr__(self) -> str:
        return f"Normaliser({self.region!r})"

    def scan(self, values: Sequence[object], text: str | None = None) -> Scan:
        """Decide what can be decided fast: most rows of most lists.

        Args:
            values: The cells of a slab; up to 2,000 rows keep a call below a millisecond.
            text: The same with a line break behind each, where they are texts and at hand so.

        Returns:
            Numbers for the rows that are decided, the offsets of the others. A decision is exactly that of `parse`.
        """
        if self._plan is None:
            return Scan(numbers=[None] * len(values), undecided=list(range(len(values))))
        if not values:
            return Scan(numbers=[], undecided=[])
        return _scanned(self._plan, *joined(values, text))

    def parse(self, value: object) -> str:
        """Decide one value with the full parser.

        Args:
            value: A cell.

        Returns:
            9 to 15 digits: the calling code and the national number.

        Raises:
            InvalidNumber: It is not a phone number; the reason says why.
        """
        bare = bare_spelling(value)
        if len(bare) > _LIBRARY_LIMIT:
            raise InvalidNumber(_too_long(len(bare)))
        try:
            parsed = parse(bare, self.region)
        except NumberParseException as error:
            raise InvalidNumber(_why_unparsed(error, bare)) from None
        if not is_valid_number(parsed):
            raise InvalidNumber(_why_invalid(bare, self.region))
        digits = format_number(parsed, PhoneNumberFormat.E164)[1:]
        if not _SUBMITTED.fullmatch(digits):
            raise InvalidNumber(_too_short(len(digits)))
        return digits

    def normalise(self, value: object) -> str:
        """Decide one value at the first speed that can.

        Args:
            value: A cell.

        Returns:
            9 to 15 digits: the calling code and the national number.

        Raises:
            InvalidNumber: It is not a phone number; the reason says why.
        """
        return self.scan([value]).numbers[0] or self.parse(value)


def _known_region(region: object) -> str:
    code = region.strip().upper() if isinstance(region, str) else ""
    if code in SUPPORTED_REGIONS:
        return code
    near = difflib.get_close_matches(code, sorted(SUPPORTED_REGIONS), n=3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigurationError(
        f"Unknown region {region!r}: use the two letters of ISO 3166, such as ZW for Zimbabwe.{meant}"
    )


def _scanned(plan: Plan, texts: Sequence[str], text: str) -> Scan:
    lines = Lines(text, len(texts))
    if lines.rows >= _WORTH_BOXES and _in_boxes(plan.boxes, lines):
        return Scan(numbers=_own(texts), undecided=[], lines=lines)
    set_aside = _not_canonical(plan, text)
    if set_aside is None and lines.rows >= _WORTH_COLUMNS and (scan := _by_columns(plan, text, lines.rows)):
        return scan
    texts, as_lines = one_a_line(texts, text)
    if as_lines != text:
        return _scanned(plan, texts, as_lines)
    if set_aside is None:
        return _plain(plan, bare_lines(text), lines.rows)
    if set_aside:
        return _stepped(plan, texts, set_aside, text)
    return Scan(numbers=_own(texts), undecided=[], lines=lines)


def _in_boxes(boxes: Mapping[int, Boxes], lines: Lines) -> bool:
    those = boxes.get(lines.width)
    return those is not None and those.hold(lines)


def _not_canonical(plan: Plan, text: str) -> list[int] | None:
    """Offsets of the lines that are not canonical; None when they are too many to step over one by one."""
    set_aside: list[int] = []
    begin = line = 0
    while True:
        match = plan.canonical.match(text, begin)
        end = match.end() if match else begin
        if end == len(text):
            return set_aside
        line += text.count("\n", begin, end)
        if len(set_aside) > _STEPS_ALLOWED + line // _LINES_A_STEP:
            return None
        set_aside.append(line)
        line += 1
        begin = text.index("\n", end) + 1


def _own(texts: Sequence[str]) -> list[str | None]:
    return cast("list[str | None]", texts) if type(texts) is list else list(texts)


def _stepped(plan: Plan, lines: Sequence[str], set_aside: Sequence[int], origin: str) -> Scan:
    """The numbers of lines that are canonical but for a few.

    Args:
        plan: The region's.
        lines: One a row.
        set_aside: Offsets of those that are not canonical.
        origin: The lines as they came, in which those are looked up.
    """
    numbers: list[str | None] = list(lines)
    came = origin.split("\n")
    undecided: list[int] = []
    bare = bare_lines("\n".join([came[offset] for offset in set_aside]) + "\n")
    for offset, number in zip(set_aside, _found(plan, bare), strict=True):
        numbers[offset] = number
        if number is None:
            undecided.append(offset)
    return Scan(numbers=numbers, undecided=undecided)


def _by_columns(plan: Plan, origin: str, rows: int) -> Scan | None:
    """The numbers of lines of which most end in mobile numbers of one length; None where too few do."""
    if plan.heads is None:
        return None
    text = plan.heads.canonical(bare_cells(origin), rows, strange=_STEPS_ALLOWED + rows // _LINES_A_STEP)
    if text is None:
        return None
    canonical = Lines(text, rows)
    set_aside = [] if _in_boxes(plan.boxes, canonical) else _not_canonical(plan, text)
    return None if set_aside is None else _decided(plan, canonical, set_aside, origin)


def _decided(plan: Plan, canonical: Lines, set_aside: Sequence[int], origin: str) -> Scan:
    """The numbers of lines that were made canonical, but for those set aside, from what they were made of."""
    lines = canonical.text.split("\n")
    lines.pop()
    if set_aside:
        return _stepped(plan, lines, set_aside, origin)
    return Scan(numbers=_own(lines), undecided=[], lines=canonical)


def _plain(plan: Plan, bare: str, rows: int) -> Scan:
    """The numbers of bare lines: canonical ones are made of them where that is safe, and the rest searched."""
    canonical = Lines(text := _rewritten(plan, bare, rows), rows)
    set_aside = [] if _in_boxes(plan.boxes, canonical) else _not_canonical(plan, text)
    if set_aside is None:
        numbers = _found(plan, bare)
        return Scan(
            numbers=numbers,
            undecided=[offset for offset, number in enumerate(numbers) if number is None],
        )
    return _decided(plan, canonical, set_aside, bare)


def _rewritten(plan: Plan, bare: str, rows: int) -> str:
    """The lines with a calling code before what is certainly a national number."""
    if _in_boxes(plan.boxes_at_home, Lines(bare, rows)):
        return plan.calling_code + bare[:-1].replace("\n", "\n" + plan.calling_code) + "\n"
    text = "\n" + bare
    for head, code in plan.rewrites:
        if head[1] in text:
            text = text.replace(head, code)
    return text[1:]


def _found(plan: Plan, bare: str) -> list[str | None]:
    code = plan.calling_code
    return [code + national if national else None for national in plan.plain.findall(bare)]


def _too_short(digits: int) -> str:
    return (
        f"too short: {digits} digit{'' if digits == 1 else 's'}, a phone number has {SHORTEST} to {LONGEST}"
    )


def _too_long(digits: int) -> str:
    return f"too long: {digits} digits, a phone number has {SHORTEST} to {LONGEST}"


def _why_unparsed(error: NumberParseException, bare: str) -> str:
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        return "the calling code behind the + or international prefix is no country's"
    if error.error_type == NumberParseException.TOO_LONG:
        return _too_long(len(bare.lstrip("+")))
    return _too_short(len(bare.lstrip("+")))


def _why_invalid(bare: str, region: str) -> str:
    digits = len(bare.lstrip("+"))
    if digits < SHORTEST:
        return _too_short(digits)
    if digits > LONGEST:
        return _too_long(digits)
    return (
        f"no such number: the numbering plan has none like it (a number without + is read as one in {region})"
    )
