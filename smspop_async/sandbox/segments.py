"""How many SMS a text takes, counted for the sandbox alone.

A text of GSM 03.38 characters (3GPP TS 23.038, section 6.2.1) fits 160 septets in one SMS and 153 in each
part of a longer one; the characters of the extension table take two. Any other character turns the whole
text into UCS-2: 70 and 67 code units. A character of two units is never cut in half by a part's end.
"""

import re

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"
_GSM = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_GSM_WIDE = re.compile(f"[{re.escape(_EXTENSION)}]")
_UCS2_WIDE = re.compile("[\U00010000-\U0010ffff]")


def count_segments(text: str) -> int:
    """Return how many SMS ``text`` takes; at least one."""
    if _GSM.fullmatch(text):
        return _parts(text, _GSM_WIDE, single=160, part=153)
    return _parts(text, _UCS2_WIDE, single=70, part=67)


def _parts(text: str, wide: re.Pattern[str], *, single: int, part: int) -> int:
    wides = len(wide.findall(text))
    units = len(text) + wides
    if units <= single:
        return 1
    if not wides:
        return -(-units // part)
    parts, used = 1, 0
    for character in text:
        width = 2 if wide.match(character) else 1
        if used + width > part:
            parts, used = parts + 1, 0
        used += width
    return parts
