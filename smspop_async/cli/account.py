"""The account that a command works with: the token, from the environment alone, and the address of the API."""

import os
import warnings

from smspop_async.cli.screen import Screen
from smspop_async.config import TOKEN_VARIABLE, PlaintextTokenWarning, resolve_base_url, resolve_token
from smspop_async.errors import ConfigurationError


def require_token() -> None:
    """Check that there is a token. It is never an option: it would stand in the list of processes.

    Raises:
        ConfigurationError: There is none, or it is malformed.
    """
    if TOKEN_VARIABLE not in os.environ:
        raise ConfigurationError(
            f"There is no API token. Make one in the dashboard (API Tokens -> Create), then type: export "
            f"{TOKEN_VARIABLE}='…'   (--sandbox and smspop sandbox need no account)"
        )
    resolve_token(None)


def address(base_url: str | None, screen: Screen) -> str:
    """The base URL, with the warning that it may deserve.

    Raises:
        ConfigurationError: It is malformed.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PlaintextTokenWarning)
        url = resolve_base_url(base_url)
    for warning in caught:
        screen.say(f"Warning: {warning.message}", "bold yellow")
    return url
