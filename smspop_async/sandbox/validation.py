"""What a campaign must look like, in the document's form and, where it is silent, Laravel's words.

*Documented*: the five fields, that a 422 carries ``errors`` by field, and the words for a missing
``contact_import_method``. *Assumed*: that all five are required, the other words (Laravel's own), the 191
characters of a name (Laravel's default length of an indexed column), that strings are trimmed, and
that an unreadable body counts as an empty one.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from attrs import field, frozen

from smspop_async.mask import mask_name
from smspop_async.sandbox.magic import MagicTable, magic_among
from smspop_async.sandbox.records import mask_text

NAME_LIMIT = 191
FIELDS = ("name", "message", "sender_id", "contact_import_method", "manual_contacts")

# One pass over the whole string: 5,000 contacts must not hold the loop that the client may share.
# Possessive, because nothing is ever gained by giving a digit or a space back.
_CONTACTS = re.compile(r"\+?[0-9]{9,15}+(?:\s*+,\s*+\+?[0-9]{9,15}+)*+", re.ASCII)
_SPACE_AND_PLUS = str.maketrans("", "", " \t\n\r\f\v+")
_INVALID_NUMBER = "The manual contacts field contains an invalid number."
_JSON_TYPES = ("/json", "+json")
# Laravel's TrimStrings takes the last three with the white space of Unicode, which ends at U+3000.
TRIMMED = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff\u200b\u200e"

_CATEGORIES = {
    "political": "vote|votes|voting|voter|voters|election|elections|ballot|political|politician|parliament",
    "gambling": "bet|bets|betting|casino|jackpot|gambling|sportsbook",
    "adult": "porn|porno|xxx|escort|escorts|nude|nudes",
}
_CLASSIFIERS = {
    category: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for category, words in _CATEGORIES.items()
}


class InvalidInputError(Exception):
    """The input is not a campaign: ``errors`` has the words about each field at fault."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


@frozen(kw_only=True)
class Submission:
    """A campaign that passed validation."""

    name: str = field(repr=mask_name)
    message: str = field(repr=mask_text)
    sender_id: str
    numbers: str = field(repr=False)
    """Digits joined by commas, without spaces or plus signs."""

    @property
    def total(self) -> int:
        """How many recipients, repetitions counted (assumed: each is sent to and billed)."""
        return self.numbers.count(",") + 1


def read_input(content_type: str, raw: bytes) -> dict[str, Any]:
    """Return the fields of a request's body; none where it is not JSON, as Laravel does (assumed)."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type.endswith(_JSON_TYPES):
        return {}
    try:
        data = json.loads(raw.decode(), parse_constant=_refuse_constant)
        if b"\\u" in raw:
            json.dumps(data, ensure_ascii=False).encode()  # a lone surrogate is not JSON to PHP
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def validate(data: Mapping[str, Any], magic: MagicTable) -> Submission:
    """Return the campaign in ``data``, unless one of its recipients is refused by magic.

    Raises:
        InvalidInputError: A field is missing, not a string, or not what it must be. The words never
            repeat a value.
    """
    values = {name: _trim(data.get(name)) for name in FIELDS}
    errors = {name: words for name, value in values.items() if (words := _fault_of(name, value))}
    if errors:
        raise InvalidInputError({name: [words] for name, words in errors.items()})
    numbers = values["manual_contacts"].translate(_SPACE_AND_PLUS)
    if any(recipient.refused for recipient in magic_among(numbers, magic).values()):
        raise InvalidInputError({"manual_contacts": [_INVALID_NUMBER]})
    return Submission(
        name=values["name"], message=values["message"], sender_id=values["sender_id"], numbers=numbers
    )


def category_of(message: str) -> str | None:
    """Return the category a message is refused for, or None.

    That such a classification exists, and its category ``political``, is documented. The two other
    categories and the English words that stand for each are assumed.
    """
    for category, classifier in _CLASSIFIERS.items():
        if classifier.search(message):
            return category
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON to PHP


def _trim(value: Any) -> Any:
    return value.strip(TRIMMED) if isinstance(value, str) else value


def _fault_of(name: str, value: Any) -> str | None:
    label = name.replace("_", " ")
    if value in (None, "", [], {}):
        return f"The {label} field is required."
    if not isinstance(value, str):
        return f"The {label} field must be a string."
    if name == "name" and len(value) > NAME_LIMIT:
        return f"The name field must not be greater than {NAME_LIMIT} characters."
    if name == "contact_import_method" and value != "manual":
        return "The selected contact import method is invalid."
    if name == "manual_contacts" and not _CONTACTS.fullmatch(value):
        return _INVALID_NUMBER
    return None
