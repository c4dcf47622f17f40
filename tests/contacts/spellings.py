"""Spellings of phone numbers, right, wrong and in between, from a seed. Shared by the tests of numbers."""

import random
from collections.abc import Iterator
from functools import cache

from phonenumbers.phonemetadata import PhoneMetadata

TYPES = (
    "fixed_line mobile toll_free premium_rate shared_cost voip personal_number pager uan voicemail".split()
)
SEPARATORS = (" ", "-", "  ", "\u00a0", "\u202f", ".", "/", "(", ")", " (", ") ", "\u2011", "\u2013")
EDGES = ("", "", "", " ", "\u00a0", "\ufeff", "\u200b", "\t", "\n", "\r\n", "\u202a", "-", "+", ".", "(", "'", "٣")
STRANGE = ("\n", "\t", ",", ";", "x", "٣", "７", "+", "-", ".", "E", "e+", "#", "*", "~", "\u200b", "\0", "A", "²", ".0")


@cache
def examples(region: str) -> tuple[str, ...]:
    """National numbers of every type that the library gives an example of."""
    metadata = PhoneMetadata.metadata_for_region(region)
    descs = (getattr(metadata, name) for name in TYPES)
    return tuple(desc.example_number for desc in descs if desc is not None and desc.example_number)


def spelling(rng: random.Random, region: str) -> str:
    """One string that may be a number of the region."""
    metadata = PhoneMetadata.metadata_for_region(region)
    code = str(metadata.country_code)
    trunk = metadata.national_prefix or rng.choice("0189")
    abroad = metadata.international_prefix if metadata.international_prefix.isdigit() else "00"
    head = rng.choice(
        (
            *(code, code, "+" + code, trunk, ""),
            *(code + trunk, "+" + code + trunk, abroad + code, abroad + code + trunk, trunk + trunk, code + code),
            *("00" + code, "+" + abroad + code, "+", abroad, "+27", "27", "44", "1", "++" + code, str(rng.randrange(1000))),
        )
    )
    text = head + national(rng, region)
    if rng.random() < 0.4:
        text = separated(rng, text)
    if rng.random() < 0.1:
        text = rng.choice(EDGES) + text + rng.choice(EDGES)
    if rng.random() < 0.1:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(STRANGE) + text[at:]
    return text


def national(rng: random.Random, region: str) -> str:
    """Digits that begin like a number of the region, as long as one or nearly."""
    known = examples(region)
    if not known or rng.random() < 0.1:
        return "".join(rng.choices("0123456789", k=rng.randrange(1, 14)))
    example = rng.choice(known)
    kept = example[: rng.randrange(len(example) + 1)]
    length = max(len(kept), len(example) + rng.choice((0, 0, 0, 0, 0, 0, -2, -1, 1, 2, 3)))
    return kept + "".join(rng.choices("0123456789", k=length - len(kept)))


def separated(rng: random.Random, text: str) -> str:
    """The text with separators put into it."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(SEPARATORS) + text[at:]
    return text


def spellings(seed: int, region: str, count: int) -> Iterator[str]:
    """So many strings from a seed."""
    rng = random.Random(f"{seed} {region}")
    for _ in range(count):
        yield spelling(rng, region)
