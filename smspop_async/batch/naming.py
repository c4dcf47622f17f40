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


def campaign_name(label: str, token: str) -> str:
    """Name a campaign; a label too long for 191 characters is cut, never the token.

    Characters are counted as Laravel's string column counts them (assumed): Unicode code points.
    """
    return f"{label[: NAME_LIMIT - len(token) - 1].rstrip()} {token}"


def campaign_token(run: str, seq: int) -> str:
    """The part of a name that identifies a campaign."""
    return f"[{run}-{seq:04}]"
