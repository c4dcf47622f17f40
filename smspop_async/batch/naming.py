"""The names of a run's campaigns: ``"{name} [{run}-{seq:04}]"``.

The token in brackets is how a campaign of unknown outcome is found again in the API's list.
"""

from collections.abc import Callable
from typing import Final

from smspop_async.api.wire import NAME_LIMIT

_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
RUN_LENGTH: Final = 10


def new_run(choose: Callable[[str], str]) -> str:
    """Make a run's token: 10 base32 characters (50 bits), so that two runs never meet.

    Args:
        choose: Picks one character of a text at random.
    """
    return "".join(choose(_BASE32) for _ in range(RUN_LENGTH))


class CampaignNames:
    """Names the campaigns of one run; a label too long for 191 characters is cut, never the token.

    Characters are counted as Laravel's string column counts them (assumed): Unicode code points.

    Args:
        label: The name that the run was given.
        run: The run's token.
    """

    __slots__ = ("_begin", "_cut", "_label", "_width")

    def __init__(self, label: str, run: str) -> None:
        self._label = label
        self._begin = f"[{run}-"
        self._width = 0
        self._cut = ""

    def of(self, seq: int) -> tuple[str, str]:
        """The name of a campaign by its number, and the token at its end."""
        token = f"{self._begin}{seq:04}]"
        if len(token) != self._width:  # one of ten thousand is: then the label is cut anew
            self._width = len(token)
            self._cut = self._label[: NAME_LIMIT - len(token) - 1].rstrip() + " "
        return self._cut + token, token
