"""Common faults by the words of those whose app meets them, in the words of the sandbox."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox import FaultKind

FaultWord = Literal[
    "account_inactive",
    "content_rejected",
    "hang_up_after_sending",
    "hang_up_before_sending",
    "insufficient_credits",
    "invalid_sender",
    "invalid_token",
    "rate_limited",
    "server_error_after_sending",
    "server_error_before_sending",
    "time_out_after_sending",
    "time_out_before_sending",
    "unreadable_reply_after_sending",
]
"""A common fault. After sending, the texts are out; before sending, they are not. To the client it looks the same."""

FAULT_WORDS: Final[Mapping[str, tuple[int | str, Mapping[str, Any]]]] = MappingProxyType(
    {
        "account_inactive": (403, {}),
        "content_rejected": (403, {"category": "political"}),
        "hang_up_after_sending": ("disconnect_after", {}),
        "hang_up_before_sending": ("disconnect_before", {}),
        "insufficient_credits": ("no_credits", {}),
        "invalid_sender": (422, {"message": "Invalid sender ID"}),
        "invalid_token": ("revoke_token", {}),
        # No wait is asked for: a test that wants one says so, with retry_after.
        "rate_limited": (429, {"retry_after": 0}),
        "server_error_after_sending": ("error_after", {}),
        "server_error_before_sending": (500, {}),
        "time_out_after_sending": ("hang", {}),
        "time_out_before_sending": ("hang_before", {}),
        "unreadable_reply_after_sending": ("malformed", {}),
    }
)
"""What each word is to `Sandbox.fail_next`: the kind, and its parameters."""


def in_words_of_the_sandbox(fault: str | int) -> tuple[int | str, Mapping[str, Any]]:
    """Return kind and parameters of a fault; what is no `FaultWord` is taken for a kind or a status.

    Raises:
        ConfigurationError: it is none of these.
    """
    word = str(fault)
    if word in FAULT_WORDS:
        return FAULT_WORDS[word]
    if not isinstance(fault, int) and word not in set(FaultKind):
        raise ConfigurationError(
            f"There is no such kind of fault. Use one of the words {', '.join(FAULT_WORDS)}; an HTTP status; "
            f"or one of the sandbox's own kinds: {', '.join(FaultKind)}."
        )
    return fault, {}
