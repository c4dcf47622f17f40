"""What a text costs, what made it cost more, and its merge fields. Pure functions over one string.

A text message travels in GSM-7 when every character is in the alphabet of 3GPP TS 23.038 (GSM 03.38): 160 septets
in one segment, 153 in each of several, because the header that joins them takes seven. One character from
outside, such as a curly quotation mark, turns the whole text into UCS-2: 70 units of 16 bits, or 67 in each of
several. Characters of the extension table take two septets and those beyond U+FFFF two units (a surrogate
pair); neither pair may be torn apart by a segment's end, so a segment can close one unit early.

That the vendor charges a credit a segment is assumed: its document does not say.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from string import Template
from typing import Final, Literal

from attrs import frozen

from smspop_async.errors import ConfigurationError

GSM_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""One septet each (3GPP TS 23.038, 6.2.1)."""
GSM_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
"""An escape and a septet each (3GPP TS 23.038, 6.2.1.1)."""
SHOWN_CULPRITS: Final = 10

_GSM: Final = GSM_BASIC | GSM_EXTENSION
_INVISIBLE: Final = frozenset(
    "\0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064"
    "\u2065\u206a\u206b\u206c\u206d\u206e\u206f\u2800\u3164\ufeff\uffa0\U0001d159\U0001d173\U0001d174\U0001d175"
    "\U0001d176\U0001d177\U0001d178\U0001d179\U0001d17a\U000e0020"
)
"""What Laravel trims from the ends of a text beside white space (its list of invisible characters)."""
_HIGHEST_UNIT: Final = 0xFFFF
_SUGGESTIONS: Final = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\t\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000", " "),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", ""),
    **dict.fromkeys("\u2022\u00b7\u25cf", "-"),
    **dict.fromkeys("\u2028\u2029", "\n"),
    "\u2026": "...",
    "\u00d7": "x",
    "\u2122": "(TM)",
    "\u00a9": "(C)",
    "\u00ae": "(R)",
    "\u0131": "i",
    "\u0142": "l",
    "\u0141": "L",
}


@frozen(kw_only=True)
class Culprit:
    """A character that forced the text into UCS-2."""

    character: str
    position: int
    """Where it first stands, in characters from 0."""
    name: str
    """Its name in Unicode."""
    suggestion: str | None
    """What may stand in its place in GSM-7, "" where it may be left out; None where nothing is like it."""


@frozen(kw_only=True)
class MessageCost:
    """What one recipient's text takes. Holds nothing of the text but the characters at fault."""

    encoding: Literal["GSM-7", "UCS-2"]
    characters: int
    units: int
    """Septets, escapes included; or UTF-16 code units."""
    segments: int
    per_segment: int
    """Units that a segment of this text holds: fewer where there are several."""
    unicode_because: tuple[Culprit, ...]
    """The first ten distinct characters that are not in GSM-7."""


class MissingField(LookupError):  # noqa: N818 - reads as what it says
    """A row has no value for a merge field, or an empty one: nobody wants to be called "Dear ,".

    Args:
        name: The field.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no value for the merge field {name!r}")
        self.name = name

    def __reduce__(self) -> tuple[type["MissingField"], tuple[str]]:
        return type(self), (self.name,)


def measure(text: str) -> MessageCost:
    """Count the segments of a text.

    Args:
        text: The text as it is sent, its merge fields filled in.
    """
    strange = set(text) - _GSM
    if strange:
        wide = any(ord(char) > _HIGHEST_UNIT for char in strange)
        units = len(text) + (sum(ord(char) > _HIGHEST_UNIT for char in text) if wide else 0)
        alone, joined = 70, 67
    else:
        wide = not GSM_EXTENSION.isdisjoint(text)
        units = len(text) + (sum(char in GSM_EXTENSION for char in text) if wide else 0)
        alone, joined = 160, 153
    if units <= alone:
        segments = 1 if text else 0
    elif wide:
        segments = _packed(_widths(text, gsm=not strange), joined)
    else:
        segments = -(-units // joined)
    return MessageCost(
        encoding="UCS-2" if strange else "GSM-7",
        characters=len(text),
        units=units,
        segments=segments,
        per_segment=alone if segments <= 1 else joined,
        unicode_because=tuple(_culprits(text, strange)),
    )


def _widths(text: str, *, gsm: bool) -> Iterator[int]:
    if gsm:
        return (1 + (char in GSM_EXTENSION) for char in text)
    return (1 + (ord(char) > _HIGHEST_UNIT) for char in text)


def _packed(widths: Iterator[int], room: int) -> int:
    segments, used = 1, 0
    for width in widths:
        used += width
        if used > room:
            segments, used = segments + 1, width
    return segments


def _culprits(text: str, strange: set[str]) -> Iterator[Culprit]:
    first = sorted((text.index(char), char) for char in strange)
    for position, char in first[:SHOWN_CULPRITS]:
        yield Culprit(
            character=char,
            position=position,
            name=unicodedata.name(char, f"U+{ord(char):04X}"),
            suggestion=_suggestion(char),
        )


def _suggestion(char: str) -> str | None:
    if char in _SUGGESTIONS:
        return _SUGGESTIONS[char]
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return plain if plain and _GSM.issuperset(plain) else None


def check_message(text: str) -> str:
    """Refuse a text that would not arrive as it is written.

    Args:
        text: The text, or the template of it.

    Returns:
        The text, unchanged.

    Raises:
        ConfigurationError: It is empty; it begins or ends with white space or a character without width, which the
            server trims away (Laravel's ``TrimStrings``, assumed); or it holds half of a surrogate pair.
    """
    if not text:
        raise ConfigurationError("The message is empty: give the text to send.")
    for place, char in (("begins", text[0]), ("ends", text[-1])):
        if _is_blank(char):
            raise ConfigurationError(
                f"The message {place} with {unicodedata.name(char, f'U+{ord(char):04X}')}, "
                "which the server would trim away: remove it, for example with .strip()."
            )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"The message holds half of a surrogate pair at position {error.start}, which cannot be sent: "
            "decode the text it came from again."
        ) from None
    return text


class _MergeTemplate(Template):
    """``$name`` and ``${any name}``, because headers of spreadsheets have spaces; ``$$`` is a dollar."""

    braceidpattern = r"[^{}$]+"


def template_text(message: Template) -> str:
    """The text of a template, whose fields are found here in the ways of `string.Template` itself.

    Raises:
        ConfigurationError: It is of a class that finds or fills in its fields in other ways.
    """
    kind = type(message)
    own = (kind.pattern, kind.substitute) == (Template.pattern, Template.substitute)
    if not own:
        raise ConfigurationError(
            f"The message is a {kind.__name__}, which has merge fields of its own kind: "
            "give a string.Template with $name or ${name}."
        )
    return message.template


def fields(template: str) -> frozenset[str]:
    """The merge fields of a template.

    Args:
        template: Text with ``$name`` or ``${name}`` in it (`string.Template`; braces may hold any header).

    Raises:
        ConfigurationError: A ``$`` is neither a field nor doubled.
    """
    return frozenset(_checked(template).get_identifiers())


def render(template: str, row: Mapping[str, str]) -> str:
    """Fill in the merge fields of a template. A field's own ``$`` are left as they are.

    Args:
        template: As for `fields`.
        row: The value of each field; others are not looked at.

    Raises:
        MissingField: The row has no value for a field, or a blank one.
        ConfigurationError: A ``$`` is neither a field nor doubled.
    """
    merge = _checked(template)
    for name in merge.get_identifiers():
        if _is_blank(row.get(name, "")):
            raise MissingField(name)
    return merge.substitute(row)


def _is_blank(text: str) -> bool:
    return all(char.isspace() or char in _INVISIBLE for char in text)


def _checked(template: str) -> _MergeTemplate:
    merge = _MergeTemplate(template)
    if not merge.is_valid():
        stray = next(
            match.start() for match in merge.pattern.finditer(template) if match["invalid"] is not None
        )
        raise ConfigurationError(
            f"The $ at position {stray} of the message is no merge field: write $$ for a dollar, $name for a field."
        )
    return merge
