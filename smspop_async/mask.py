"""What of a phone number, a token or a message may be shown: almost nothing (law 7, Discretion).

Errors quote the API's own words, and those may quote back what was sent. `Redactor` takes it out again.
"""

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"(?<!\d)\+?\d[\d \-().\u00a0]{6,}\d")
_BEARER = re.compile(r"(?i)bearer\s+\S+|\b\d+\|[A-Za-z0-9]{8,}")
_SHORT = 8
_LONGEST = 300


def mask_number(number: object) -> str:
    """Show a number by its ends alone: ``263…67``; whatever is too short to hide in is shown as ``…``."""
    text = str(number)
    return f"{text[:3]}…{text[-2:]}" if len(text) > 7 else "…"  # noqa: PLR2004 - the width of both ends, and some


class Redactor:
    """Takes secrets out of texts that come from elsewhere.

    Args:
        secrets: Texts that must not be shown: the token, the message.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        patterns = []
        for secret in sorted({s.strip() for s in secrets} - {""}, key=len, reverse=True):
            escaped = r"\s+".join(map(re.escape, secret.split()))
            # A short text ("Hi") is a part of innocent words, so it counts as a whole word only.
            patterns.append(escaped if len(secret) >= _SHORT else rf"(?<!\w){escaped}(?!\w)")
        self._secrets = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Return `text` on one line, at most 300 characters long, without secrets or phone numbers."""
        if self._secrets is not None:
            text = self._secrets.sub("[redacted]", text)
        text = _BEARER.sub("[token]", text)
        text = _DIGITS.sub(lambda match: mask_number(match[0]), text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
