"""What of a phone number, a token or a message may be shown: almost nothing (law 7, Discretion).

Errors quote the API's own words, and those may quote back what was sent: whole, cut short, in capitals, with
its blanks collapsed. `Redactor` takes it out again.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate

_DIGITS = re.compile(r"\+?\d(?:[\W_]{0,4}\d){6,}")
"""Seven digits or more of any script, however they are grouped: by blanks, dashes, brackets, underscores."""
_BEARER = re.compile(r"(?i)bearer\s+\S+|\b\d+\|[A-Za-z0-9]{8,}")
_WINDOW = 20
"""So many letters of a secret in a row are no coincidence, so a secret cut short is found by them."""
_SHORT = 8
_LONGEST = 300
_SCANNED = 10 * _LONGEST
"""Letters of a text that are looked at: more than are ever shown."""
_TOKEN = re.compile(r" \[[a-z2-7]{10}-\d{4,}\]$")
"""What stands at the end of the name of a run's campaign. It may have seven digits in a row, and no secret."""


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
        self._given = tuple(secrets)

    # Most replies quote nothing, so what it takes to look for secrets is made when the first text comes.

    @cached_property
    def _plain(self) -> frozenset[str]:
        return frozenset(
            " ".join(part.split()) for secret in self._given for part in _parts(secret) if part.strip()
        )

    @cached_property
    def _whole(self) -> re.Pattern[str] | None:
        patterns = [_pattern(secret) for secret in sorted(self._plain, key=len, reverse=True)]
        return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    @cached_property
    def _windows(self) -> frozenset[str]:
        return frozenset(
            secret[at : at + _WINDOW]
            for secret in map(_folded, self._plain)
            for at in range(len(secret) - _WINDOW + 1)
        )

    def __call__(self, text: str) -> str:
        """Return `text` on one line, at most 300 characters long, without secrets or phone numbers."""
        cut = text[:_SCANNED]
        text = " ".join("".join(c if c.isprintable() else " " for c in cut).split())
        if self._whole is not None:
            text = self._whole.sub("[redacted]", text)
        text = self._without_fragments(text)
        text = _BEARER.sub("[token]", text)
        text = _DIGITS.sub(lambda match: mask_number(match[0]), text)
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

    def _without_fragments(self, text: str) -> str:
        """Take out every stretch that a long piece of a secret covers."""
        if not self._windows or len(text) < _WINDOW:
            return text
        folded = _folded(text)
        edges = [0] * (len(text) + 1)
        for at in range(len(text) - _WINDOW + 1):
            if folded[at : at + _WINDOW] in self._windows:
                edges[at] += 1
                edges[at + _WINDOW] -= 1
        covered = list(accumulate(edges[:-1]))
        return "".join(_kept(text, covered)) if any(covered) else text


_REDACTOR = Redactor()


def mask_name(name: str) -> str:
    """The ``repr`` of the name of a send or campaign: a number in it is masked, the token of its run is not."""
    token = _TOKEN.search(name)
    label = name[: token.start()] if token else name
    return repr(_REDACTOR(label) + (token[0] if token else ""))


def _folded(text: str) -> str:
    """`text` in small letters, as many as before: some letters have two small ones."""
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


def _kept(text: str, covered: list[int]) -> Iterator[str]:
    before = 0
    for char, now in zip(text, covered, strict=True):
        if not now:
            yield char
        elif not before:
            yield "[redacted]"
        before = now


def _parts(secret: str) -> Iterator[str]:
    """The secret, and of a token ``id|key`` the key alone."""
    yield secret
    number, bar, key = secret.partition("|")
    if bar and number.isdigit():
        yield key


def _pattern(secret: str) -> str:
    escaped = r"\s+".join(map(re.escape, secret.split()))
    # A short text ("Hi") is a part of innocent words, so it counts as a whole word only.
    return escaped if len(secret) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"
