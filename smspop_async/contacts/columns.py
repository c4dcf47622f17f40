"""Which cell of a row is the phone number: by the column that was named, by well-known names, or by its looks."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from attrs import frozen

from smspop_async.errors import ContactSourceError

KNOWN_NAMES: Final = (
    "phonenumber",
    "phone",
    "mobilenumber",
    "mobilephone",
    "mobile",
    "msisdn",
    "cellnumber",
    "cellphone",
    "cell",
    "whatsappnumber",
    "whatsapp",
    "telephonenumber",
    "telephone",
    "tel",
    "phoneno",
    "mobileno",
    "cellno",
    "contactnumber",
    "recipient",
    "number",
    "contact",
    "to",
)
"""Names that are taken for the phone number's column, best first; case, spaces and punctuation do not matter."""

_FIVE_DIGITS: Final = re.compile(r"(?:[^0-9]*[0-9]){5}")
_NUMBER_LIKE: Final = re.compile(
    r"[\s0-9()+.,/eE\-\u00a0\u202f\u2010-\u2013\u200b-\u200f\u202a-\u202e\ufeff]+"
)
_REMEMBERED: Final = 64


def as_text(cell: object) -> str:
    """A cell as its sheet shows it: whole numbers without a fraction, dates as ISO 8601."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    return str(cell)


def is_missing(value: object) -> bool:
    """Whether a field holds nothing: None, or what data frames put in its place (NaN, NaT, NA).

    These are not equal to themselves, or refuse to say whether they are.
    """
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - that is the question
    except TypeError:
        return True
    except Exception:  # noqa: BLE001 - a value's own code
        return False


@frozen(kw_only=True)
class Layout:
    """How the rows of a table are read."""

    index: int
    """The column of the phone number, from 0."""
    names: tuple[str, ...] | None
    """The header; None where the first row is a contact already."""


def simplified(name: object) -> str:
    """The name without case, spaces and punctuation, so that "Phone Number" is ``phone_number``."""
    return "".join(char for char in str(name).casefold() if char.isalnum())


def find_name(names: Iterable[object], column: str | None) -> object | None:
    """Choose the name of the phone number's column.

    Args:
        names: The names there are.
        column: The name that the caller gave; None to go by `KNOWN_NAMES`.

    Returns:
        One of ``names``, or None.
    """
    found: dict[str, object] = {}
    for name in names:
        if column is not None and name == column:
            return name
        found.setdefault(simplified(name), name)
    wanted = KNOWN_NAMES if column is None else (simplified(column),)
    return next((found[known] for known in wanted if known in found), None)


def looks_like_number(cell: object) -> bool:
    """Whether the cell is at least an attempt at a phone number, so that its row is no header."""
    text = str(cell)
    return bool(_NUMBER_LIKE.fullmatch(text) and _FIVE_DIGITS.match(text))


def read_layout(first: Sequence[object], column: str | None, *, file: str) -> Layout:
    """Tell from its first row how a table is laid out.

    Args:
        first: The cells of the first row that is not blank.
        column: The name that the caller gave, or None.
        file: The name of the file, for the error.

    Raises:
        ContactSourceError: The named column is not there, or no column can be told to be the phone number's.
    """
    names = tuple(str(cell).strip().lstrip("\ufeff") for cell in first)
    numbers = [index for index, cell in enumerate(first) if looks_like_number(cell)]
    name = None if numbers else find_name(filter(None, names), column)
    if name is not None:
        return Layout(index=names.index(str(name)), names=names)
    columns = ", ".join("(a number)" if _FIVE_DIGITS.match(name) else repr(name) for name in names[:30])
    if column is not None:
        raise ContactSourceError(
            f"{file} has no column {column!r}: its first row is {columns}. Name one of these as column.",
            line=1,
        )
    if numbers:
        return Layout(index=numbers[0], names=None)
    raise ContactSourceError(
        f"Cannot tell which column of {file} holds the phone numbers: its first row is {columns}. "
        "Give that column the header phone_number, or save the numbers as a .txt, one a line. "
        "The column of the contacts can be named instead: column, or --column.",
        line=1,
    )


class CellFinder:
    """Finds the phone number in rows that are mappings or objects.

    Args:
        column: The key, or the attribute, that holds it; None to go by `KNOWN_NAMES`.
    """

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._keys: dict[tuple[object, ...], object | None] = {}

    def cell(self, row: object) -> object:
        """The phone number of one row: None where a mapping has none, the row itself where it is no record."""
        try:
            if isinstance(row, Mapping):
                record = cast("Mapping[object, object]", row)
                key = self._key(record)
                return None if key is None else record[key]
            if isinstance(row, str):
                return row
            return getattr(row, self._column or "phone_number", row)
        except Exception:  # noqa: BLE001 - a row's own code failed: the row is at fault, not the run
            return row  # pyright: ignore[reportUnknownVariableType]

    def _key(self, row: Mapping[object, object]) -> object | None:
        keys = tuple(row)
        if keys not in self._keys:
            if len(self._keys) >= _REMEMBERED:
                self._keys.clear()
            self._keys[keys] = find_name((key for key in keys if isinstance(key, str)), self._column)
        return self._keys[keys]
