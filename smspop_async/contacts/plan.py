"""The numbering plan of a region as two regular expressions that agree with the full parser by construction.

The full parser of the phone library takes some 25 µs a number; these take a fiftieth and less. They are compiled
from the library's own metadata, never from a table of prefixes of our own, and must decide exactly as
``parse`` followed by ``is_valid_number`` would, or not decide at all.

Let NAT be a national number, CC the calling code, T the trunk prefix ("0" at home in Zimbabwe). The parser

1. strips ``+``, or else whatever matches the international prefix, and then reads a calling code;
2. with neither, strips CC when the digits as a whole are not a national number but the rest is one, or when
   they are too long to be one;
3. strips T when it matches and what remains is possible;
4. accepts NAT when it matches the region's general pattern and the pattern, and the lengths, of a type.

Steps 2 and 3 are where an eager pattern goes wrong: "2637…" could be a national number in another plan, and a NAT
that begins with T loses a digit. So NAT is only matched here where these hold, for each type's pattern:

- it is within the general pattern, and of a length that pattern and type allow;
- it does not begin with T (so step 3 cannot touch it), and does begin with the region's leading digits, if any;
- behind a bare CC, the whole does not begin with the international prefix and is no national number itself.

Each is proven once for the region by `digit_language`; one that cannot be proven becomes a look-ahead in
the pattern. For Zimbabwe all are proven and nothing is left to look for. The types whose pattern needs no guard
are also expanded for `boxes`, which recognises whole slabs of them faster.

Calling codes shared by regions (+1, +44, +7) are tried by the parser region by region in a fixed order, so only the
first region, whose match is final, has a plan. The others have none, nor does a region whose trunk prefix may
be empty: there every number goes to the full parser.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from attrs import field, frozen
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from smspop_async.contacts.boxes import Boxes, boxes_by_width
from smspop_async.contacts.digit_language import DigitLanguage, UnknownSyntaxError, lengths, read_pattern
from smspop_async.contacts.heads import Heads, heads_before

SHORTEST: Final = 9
LONGEST: Final = 15
"""Digits of a number that is submitted: E.164 allows 15, and the API's document shows 12."""

_TYPES: Final = (
    "mobile",
    "fixed_line",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
_HEADS_WORTH_IT: Final = 3
"""First digits of mobile numbers, each of which takes a look at the whole of a slab."""
_LITERAL: Final = re.compile(r"[0-9]+")
_CAPTURING: Final = re.compile(r"\((?!\?)")


@frozen(kw_only=True)
class Plan:
    """How the numbers of one region are recognised without the full parser."""

    calling_code: str
    canonical: re.Pattern[str] = field(repr=False)
    """Matches as many lines as it can that are each a calling code and national number, ``\\n`` after each."""
    plain: re.Pattern[str] = field(repr=False)
    """``findall`` gives for each line its national number, or "" where this plan does not decide."""
    rewrites: tuple[tuple[str, str], ...]
    """Replacements, in this order, that turn the beginnings of plain lines into canonical ones. Whatever is
    canonical afterwards is the number that the line had stood for."""
    heads: Heads | None
    """The same, by columns, before mobile numbers of the commonest length. None where that would not help."""
    boxes: dict[int, Boxes]
    """By the width of a line: most of what `canonical` matches, recognised by columns."""
    boxes_at_home: dict[int, Boxes]
    """The same of national numbers with nothing before them."""


@cache
def plan_for(region: str) -> Plan | None:
    """Compile the plan of a region.

    Args:
        region: A region the phone library supports, in capitals.

    Returns:
        The plan, or None for a region whose numbers only the full parser can judge.
    """
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or not _is_plain(region, metadata):
        return None
    return _Compiler(metadata).plan()


def _is_plain(region: str, metadata: PhoneMetadata) -> bool:
    """Whether the parser's verdict on this region's numbers depends on this region alone."""
    code = str(metadata.country_code)
    general = metadata.general_desc
    return (
        COUNTRY_CODE_TO_REGION_CODE[int(code)][0] == region
        and not any(int(code[:end]) in COUNTRY_CODE_TO_REGION_CODE for end in range(1, len(code)))
        and general is not None
        and not set(general.possible_length) & set(general.possible_length_local_only)
        and not re.match(metadata.national_prefix_for_parsing or "nothing", "")
    )


class _Compiler:
    """Writes the two patterns, with a guard wherever a condition is not proven."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.metadata = metadata
        self.code = str(metadata.country_code)
        self.general = metadata.general_desc or PhoneNumberDesc()
        self.general_pattern = self.general.national_number_pattern or ""
        self.abroad = _in_line(metadata.international_prefix or "")
        self.trunk = _in_line(metadata.national_prefix_for_parsing or "")
        self.national = tuple(self._national())
        self.bare_guards = {pattern: self._bare_guards(pattern) for pattern, _ in self.national}

    def plan(self) -> Plan | None:
        bare_guards: dict[str, list[str]] = {}
        for pattern, guards in self.national:
            guarded = f"{guards}(?:{pattern})"
            bare_guards.setdefault(self.bare_guards[pattern], []).append(guarded)
        if not bare_guards:
            return None
        canonical = "|".join(
            f"{bare}{self.code}(?:{'|'.join(any_of)})" for bare, any_of in bare_guards.items()
        )
        national = "|".join(guarded for any_of in bare_guards.values() for guarded in any_of)
        heads = "|".join(self._heads("".join(bare_guards)))
        return Plan(
            calling_code=self.code,
            canonical=re.compile(f"(?:(?:{canonical})\n)*+", re.ASCII),
            plain=re.compile(f"(?:{heads})({national})\n|[^\n]*\n", re.ASCII),
            rewrites=tuple(self._rewrites()),
            boxes=boxes_by_width(self.code, self._canonical_as_it_is()),
            boxes_at_home=boxes_by_width("", self._national_as_it_is()),
            heads=self._mobile_heads(),
        )

    def _canonical_as_it_is(self) -> Iterator[DigitLanguage]:
        """Patterns that decide behind a calling code with no guard."""
        for pattern, guards in self.national:
            language = _language(pattern)
            if language and not guards and not self.bare_guards[pattern]:
                yield language

    def _national_as_it_is(self) -> Iterator[DigitLanguage]:
        """Patterns that decide with nothing before them and no guard: none of them can be read as a call abroad."""
        abroad = _language(self.abroad)
        for pattern, guards in self.national:
            language = _language(pattern)
            if language and not guards and _proven(language, DigitLanguage.never_begins_with, abroad):
                yield language

    def _national(self) -> Iterator[tuple[str, str]]:
        """The pattern of each type of number, with the guards it needs as a national number."""
        seen: set[object] = set()
        for name in _TYPES:
            desc: PhoneNumberDesc | None = getattr(self.metadata, name)
            if desc is None or not desc.national_number_pattern:
                continue
            if name == "mobile" and self.metadata.same_mobile_and_fixed_line_pattern:
                continue
            if (key := (desc.national_number_pattern, desc.possible_length)) not in seen:
                seen.add(key)
                yield desc.national_number_pattern, self._national_guards(desc)

    def _national_guards(self, desc: PhoneNumberDesc) -> str:
        language = _language(desc.national_number_pattern or "")
        guards = ""
        if not _proven(language, DigitLanguage.within, _language(self.general_pattern)):
            guards += f"(?=(?:{self.general_pattern})\n)"
        submitted = range(SHORTEST - len(self.code), LONGEST - len(self.code) + 1)
        for allowed in (self.general.possible_length, desc.possible_length, submitted):
            if allowed and not _proven(language, DigitLanguage.within, lengths(allowed)):
                guards += f"(?=(?:{'|'.join(f'[0-9]{{{length}}}' for length in allowed if length > 0)})\n)"
        if self.trunk and not _proven(language, DigitLanguage.never_begins_with, _language(self.trunk)):
            guards += f"(?!{self.trunk})"
        leading = self.metadata.leading_digits
        if leading and not _proven(language, DigitLanguage.always_begins_with, _language(leading)):
            guards += f"(?={leading})"
        return guards

    def _bare_guards(self, pattern: str) -> str:
        """What must not hold for a calling code and national number with no ``+`` before them."""
        language = _language(pattern)
        whole = language and language.after(self.code)
        guards = ""
        if not _proven(whole, DigitLanguage.never_begins_with, _language(self.abroad)):
            guards += f"(?!{self.abroad})"
        longest = max(self.general.possible_length)
        too_long = lengths(
            length
            for length in range(longest + 1, longest + LONGEST)
            if length not in self.general.possible_length_local_only
        )
        if not (
            _proven(whole, DigitLanguage.within, too_long)
            or _proven(whole, DigitLanguage.apart_from, _language(self.general_pattern))
        ):
            guards += f"(?!(?:{self.general_pattern})\n)"
        return guards

    def _heads(self, bare_guards: str) -> Iterator[str]:
        """What may stand before a national number, each with the guards that make it mean that."""
        at_home = f"(?!{self.abroad})"
        trunk = "" if self.metadata.national_prefix_transform_rule else self.trunk and f"(?>{self.trunk})"
        optional_trunk = trunk and f"(?:{trunk})?"
        yield f"\\+{self.code}{optional_trunk}"
        yield f"{bare_guards}{self.code}"
        if trunk:
            yield f"{at_home}(?!{self.code}){trunk}"
        yield at_home
        if _LITERAL.fullmatch(self.abroad):
            yield f"{self.abroad}{self.code}{optional_trunk}"
        if trunk:
            yield f"{at_home}(?!(?:{self.general_pattern})\n){self.code}{trunk}"

    def _rewrites(self) -> Iterator[tuple[str, str]]:
        """Heads that mean the calling code whatever national number follows, so long as one does; or begin one."""
        for head in self._coded_heads():
            yield f"\n{head}", f"\n{self.code}"
        digits = list(self._mobile_digits())
        for digit in digits if len(digits) <= _HEADS_WORTH_IT else ():
            yield f"\n{digit}", f"\n{self.code}{digit}"

    def _coded_heads(self) -> Iterator[str]:
        """Heads that mean the calling code whatever national number follows, so long as one does.

        Behind the trunk prefix that is so only when the two together cannot be mistaken for a call
        abroad, or for the calling code.
        """
        trunk_is_plain = (
            _LITERAL.fullmatch(self.trunk) is not None and not self.metadata.national_prefix_transform_rule
        )
        if trunk_is_plain:
            yield f"+{self.code}{self.trunk}"
        yield f"+{self.code}"
        if _LITERAL.fullmatch(self.abroad) and not self.code.startswith(self.abroad):
            yield f"{self.abroad}{self.code}"
        if (
            trunk_is_plain
            and not self.code.startswith(self.trunk)
            and all(
                _proven(home, DigitLanguage.never_begins_with, _language(f"{self.abroad}|{self.code}"))
                for home in self._behind_trunk()
            )
        ):
            yield self.trunk

    def _known_heads(self) -> Iterator[str]:
        """The same, and the calling code itself; and nothing, where no national number is read as a call abroad."""
        yield self.code
        yield from self._coded_heads()
        if all(
            _proven(_language(pattern), DigitLanguage.never_begins_with, _language(self.abroad))
            for pattern, _ in self.national
        ):
            yield ""

    def _mobile_heads(self) -> Heads | None:
        """What mobile numbers of the commonest length are headed by, where a calling code put before them stays one."""
        mobile = self.metadata.mobile or PhoneNumberDesc()
        national = len(mobile.example_number or "")
        guards = self.bare_guards.get(mobile.national_number_pattern or "")
        ambiguous = guards != "" and len(self.code) + national in self.general.possible_length
        if ambiguous or not SHORTEST <= len(self.code) + national <= LONGEST:
            return None
        return heads_before(national, self.code, list(self._known_heads()))

    def _mobile_digits(self) -> Iterator[str]:
        """Digits that mobile numbers begin with, where a national number that does has nothing before it.

        It has no calling code, which begins with another digit, nor is it read as a call abroad. Other types of
        numbers may begin so too; those that begin otherwise are left to be searched, as few lists have many of them.
        """
        abroad = _language(self.abroad)
        national = [_language(pattern) for pattern, _ in self.national]
        mobile = _language((self.metadata.mobile or PhoneNumberDesc()).national_number_pattern or "")
        for digit in "0123456789":
            head = read_pattern(digit)
            if mobile is None or digit == self.code[0] or mobile.never_begins_with(head):
                continue
            if all(
                _proven(language, DigitLanguage.never_begins_with, head)
                or _proven(language, DigitLanguage.never_begins_with, abroad)
                for language in national
            ):
                yield digit

    def _behind_trunk(self) -> Iterator[DigitLanguage | None]:
        for pattern, guards in self.national:
            language = _language(pattern)
            yield language.after(self.trunk) if language and not guards else None


def _in_line(pattern: str) -> str:
    """The pattern as it means the same inside a larger one that reads lines: no captures, ``$`` at a line's end."""
    return _CAPTURING.sub("(?:", pattern).replace("$", "(?=\n)")


def _language(pattern: str) -> DigitLanguage | None:
    try:
        return read_pattern(pattern)
    except UnknownSyntaxError:
        return None


def _proven(
    left: DigitLanguage | None,
    question: Callable[[DigitLanguage, DigitLanguage], bool],
    right: DigitLanguage | None,
) -> bool:
    return left is not None and right is not None and question(left, right)
