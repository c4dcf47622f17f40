"""From a cell to a bare spelling: an optional ``+`` and digits, or a reason why the cell holds no phone number.

What people and spreadsheets put between the digits is removed; what may have cost digits, or may hide a second
number, is refused with its reason. Nothing is guessed. The rules for one value (`bare_spelling`) and for many
at once (`bare_lines`, `bare_cells`) come to the same, because the fast path of `numbers` must see exactly what the full
parser would be given.

No reason holds a digit of the number it speaks of.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

HYPHENS: Final = "-\u2010\u2011\u2012\u2013"
"""The hyphen of a keyboard, and those that word processors put in its place."""
GAPS: Final = " \u00a0\u202f()"
"""What may stand anywhere and means nothing: the space, those that do not break, and parentheses."""
INVISIBLE: Final = "".join(
    map(
        chr,
        (
            0xAD,
            0xFEFF,
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2065),
            *range(0x2066, 0x2070),
        ),
    )
)
"""Zero-width characters and direction marks, which come along with a copied number, and byte-order marks."""
EDGES: Final = INVISIBLE + "".join(
    map(
        chr,
        (
            *range(9, 14),
            *range(28, 33),
            0x85,
            0xA0,
            0x1680,
            *range(0x2000, 0x200B),
            0x2028,
            0x2029,
            0x202F,
            0x205F,
            0x3000,
        ),
    )
)
"""What is removed at both ends: white space (all that `str.isspace` knows) and what cannot be seen."""
EXACT_FLOATS: Final = 2**53
"""From here on a float does not hold every integer (IEEE 754 double), so digits may be lost."""
LARGEST_INTEGER: Final = 10**30
"""Bounds the text made of an integer; Python refuses to print those of more than 4,300 digits."""
UNDECIDABLE: Final = "?"
"""Stands for a value that the fast path must leave to the full parser."""

_ASCII_GAPS: Final = str.maketrans("", "", "".join(gap for gap in GAPS if gap.isascii()))
_RARE: Final = (
    *((gap, "") for gap in GAPS if not gap.isascii()),
    *((hyphen, "-") for hyphen in HYPHENS if not hyphen.isascii()),
)
_TO_CELLS: Final = bytes.maketrans(b"\t\r\n", b"??\t")
_BETWEEN_DIGITS: Final = "".join(char for char in GAPS + HYPHENS if char.isascii()).encode()
_BEHIND_NO_DIGIT: Final = re.compile("-(?<![0-9]-)")
"""A hyphen that may be the first of a line when gaps are removed; searched for from hyphen to hyphen."""
_BARE: Final = re.compile(r"\+?[0-9]+")
_SCIENTIFIC: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_EXTENSION: Final = re.compile(
    # Begins at a run of blanks, not at each of its blanks, which would be quadratic.
    r"(?:[0-9)]|(?<![\s,;])\s)[\s,;]*+(?:e?xt(?:ensi[oó]n|n)?\.?|x|#|int\.?|anexo)[\s:]*[0-9]+#?",
    re.IGNORECASE,
)
_SECOND_NUMBER: Final = re.compile(r"/[0-9]{1,2}(?:/|$)")
_BREAKS: Final = "\n\r\x0b\x0c\x85\u2028\u2029"
_EXPLAINED: Final = frozenset(GAPS + HYPHENS + "+./0123456789")
_EXPLAINED_UP_TO: Final = 1_000
"""Characters of a cell up to which it is looked for what is wrong with them: that holds the event loop."""
_AWKWARD_ROW: Final = 64
_TWO_DECIMALS: Final = 2


class InvalidNumber(ValueError):  # noqa: N818 - reads as the outcome it becomes, Status.INVALID
    """The value is not a phone number.

    Args:
        reason: Why, in words for the owner of the list, with no digit of the number.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def bare_spelling(value: object) -> str:
    """Take what stands between, before and behind the digits out of one value.

    Args:
        value: A cell: text, an integer, or a float that is one.

    Returns:
        ASCII digits, with one ``+`` before them where the value has it.

    Raises:
        InvalidNumber: The value cannot be the spelling of a phone number.
    """
    text = _text_of(value).strip(EDGES)
    if not text:
        raise InvalidNumber("empty: there is no phone number here")
    bare = _without_hyphens(_without_gaps(text))
    if "." in bare:
        bare = _without_dots(bare)
    if "/" in bare and not _SECOND_NUMBER.search(bare):
        bare = bare.replace("/", "")
    if _BARE.fullmatch(bare):
        return bare
    if len(text) > _EXPLAINED_UP_TO:
        raise InvalidNumber(f"too long: {len(text)} characters, a phone number has 9 to 15 digits")
    raise InvalidNumber(_why_not(text, bare))


def joined(values: Sequence[object], text: str | None = None) -> tuple[Sequence[str], str]:
    """Write many values one after the other, a line break behind each.

    Args:
        values: Cells of any type.
        text: What would come out, where all are texts and somebody has joined them already.

    Returns:
        The text of each value, `UNDECIDABLE` for one that is no text; and all of them. The first is ``values``
        itself where every value is text already. A value may still hold line breaks: see `one_a_line`.
    """
    texts: Sequence[str] = values  # type: ignore[assignment]  # join raises for what is no text
    if text is not None:
        return texts, text
    try:
        text = "\n".join(texts)
    except TypeError:
        texts = _texts(values)
        text = "\n".join(texts)
    return texts, text + "\n"


def one_a_line(texts: Sequence[str], text: str) -> tuple[Sequence[str], str]:
    """Make sure that each value is one line, by putting `UNDECIDABLE` in place of one that is none.

    Args:
        texts: From `joined`.
        text: The same.

    Returns:
        Both as they came where nothing had to be replaced.
    """
    if text.count("\n") != len(texts) or len(text) > _AWKWARD_ROW * len(texts):
        texts = [UNDECIDABLE if "\n" in line or len(line) > _AWKWARD_ROW else line for line in texts]
        text = "\n".join(texts) + "\n"
    return texts, text


def bare_lines(text: str) -> str:
    """Do for many values what `bare_spelling` does for one, and leave what needs a closer look as it is.

    Args:
        text: Lines from `one_a_line`.

    Returns:
        As many lines. One of digits, with or without ``+``, is the value's bare spelling; any other says only
        that the value is to be looked at by itself.
    """
    text = _without_hyphens(_without_gaps(text))
    if "." in text:
        text = "\n".join([_without_dots(line) if "." in line else line for line in text.split("\n")])
    return text


def bare_cells(text: str) -> bytes:
    """Do what `bare_lines` does, with a tab behind each value.

    Where every hyphen is behind a digit, none can become the first of its line when gaps are removed. Then all that
    stands between digits goes in one pass.

    Args:
        text: Values with a line break behind each. One that has line breaks in it becomes several cells.

    Returns:
        ASCII, in which a tab or a line break is nothing else.
    """
    if "." in text or not text.isascii() or ("-" in text and _BEHIND_NO_DIGIT.search(text)):
        text = bare_lines(text)
    return text.encode("ascii", "replace").translate(_TO_CELLS, _BETWEEN_DIGITS)


def _texts(values: Sequence[object]) -> Sequence[str]:
    """The text of each value; whole columns of integers, as workbooks give them, without a call for each."""
    if set(map(type, values)) == {int} and max(values) < LARGEST_INTEGER:  # type: ignore[type-var, operator]
        return list(map(str, values))
    return [value if type(value) is str else _text_or_undecidable(value) for value in values]


def _text_or_undecidable(value: object) -> str:
    try:
        return _text_of(value)
    except InvalidNumber:
        return UNDECIDABLE


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if value is None:
        raise InvalidNumber("empty: there is no phone number here")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidNumber(f"not text but {type(value).__name__}: give phone numbers as text")
    if value < 0:
        raise InvalidNumber("a negative number: a phone number has no sign but +")
    if isinstance(value, int):
        if value >= LARGEST_INTEGER:
            raise InvalidNumber("too long: more than 15 digits")
        return int.__repr__(value)
    if value < EXACT_FLOATS and value.is_integer():
        return int.__repr__(int(value))
    raise InvalidNumber(
        "a number with a fraction, or so large that digits may be lost: format the column as text and export again"
    )


def _without_gaps(text: str) -> str:
    if not text.isascii():
        for rare, plain in _RARE:
            text = text.replace(rare, plain)
    return text.translate(_ASCII_GAPS)


def _without_hyphens(compact: str) -> str:
    """Remove hyphens between digits; one at the beginning of a line is a minus or a bullet, and stays."""
    if "-" not in compact:
        return compact
    if compact.startswith("-"):
        compact = UNDECIDABLE + compact[1:]
    return compact.replace("\n-", "\n" + UNDECIDABLE).replace("-", "")


def _without_dots(bare: str) -> str:
    """Remove dots between groups of digits, and the ``.0`` that spreadsheets put behind a whole number.

    A single dot before one or two digits is a decimal point, which stays: taken for a separator it would make
    the decimals a part of the number.
    """
    head, _, tail = bare.rpartition(".")
    if "." not in head and len(tail) <= _TWO_DECIMALS:
        return head if tail in ("0", "") else bare
    return bare.replace(".", "")


def _why_not(text: str, bare: str) -> str:
    """The reason in the owner's words; the likeliest cause is looked for first."""
    if _SCIENTIFIC.fullmatch(text):
        return (
            "the spreadsheet turned this number into scientific notation and lost its last digits: "
            "format the column as text and export again"
        )
    if _EXTENSION.search(text):
        return "has an extension: a text goes to a whole number, write it without"
    if "," in text or ";" in text:
        return "a comma or semicolon inside: give each number its own row"
    if control := next((char for char in text if unicodedata.category(char) in ("Cc", "Zl", "Zp")), None):
        kind = "a tab" if control == "\t" else "a line break" if control in _BREAKS else "a control character"
        return f"{kind} inside: give each number its own row"
    if strange := next((char for char in text if char not in _EXPLAINED), None):
        return _why_strange(strange)
    return _why_misplaced(bare)


def _why_strange(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return "digits that are not 0 to 9 of ASCII: write the number in European digits"
    if category.startswith("L"):
        return "letters inside: a phone number is digits"
    name = unicodedata.name(char, "an unnamed character").lower()
    return f"the character U+{ord(char):04X} ({name}) inside: remove it"


def _why_misplaced(bare: str) -> str:
    if not any(char in "0123456789" for char in bare):
        return "no digit in it"
    if bare.startswith(UNDECIDABLE):
        return "begins with a hyphen: a phone number has no sign but +"
    if "+" in bare[1:]:
        return "a + that is not at the beginning: give each number its own row"
    if "/" in bare:
        return "a slash before one or two digits looks like two numbers: give each number its own row"
    return "a decimal point: format the column as text and export again"
