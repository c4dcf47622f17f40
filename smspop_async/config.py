"""Frozen settings, and the explicit reading of the environment.

Nothing here touches the environment at import: `resolve_token` and `resolve_base_url` are called once, when
a client is made, and say in their errors which variable they looked at.
"""

import os
import re
import warnings
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from attrs import field, frozen

from smspop_async.errors import ConfigurationError

if TYPE_CHECKING:
    from attrs import Attribute

DEFAULT_BASE_URL = "https://smspop.co.zw/api"
"""The documented URL over TLS; the vendor's document shows it as plain http, which would show the token."""

TOKEN_VARIABLE = "SMSPOP_TOKEN"  # noqa: S105 - the name of a variable, not a token
BASE_URL_VARIABLE = "SMSPOP_BASE_URL"

TokenSource = str | Callable[[], Awaitable[str]]
"""A token, or an async callable that gives the one to use now (rotation)."""

_LONGEST = 64
"""Bits of a whole number that is shown."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/|=-]+")


class PlaintextTokenWarning(UserWarning):
    """The token travels unencrypted: the base URL is plain ``http`` to a host that is not this machine."""


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether `value` is a number that a clock can take: neither NaN nor endless."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # a whole number that no float is large enough for
        return False


def _told(value: object) -> str:
    """A value as an error tells it; Python does not write out a whole number of thousands of digits."""
    return "too large" if isinstance(value, int) and value.bit_length() > _LONGEST else repr(value)


# The settings come from users, so their types are checked too: the annotations promise nothing at run time.


def _positive(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not is_number(value) or not value > 0:
        raise ConfigurationError(f"{attribute.name} must be a number above 0; it is {_told(value)}.")


def _positive_or_none(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and (not is_number(value) or not value > 0):
        raise ConfigurationError(
            f"{attribute.name} must be a number above 0, or None for no limit; it is {_told(value)}."
        )


def _not_negative(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not is_number(value) or not value >= 0:
        raise ConfigurationError(f"{attribute.name} must be 0 or a number above; it is {_told(value)}.")


def check_grace(grace: object) -> None:
    """Refuse what is no time that campaigns under way may still take. It may be endless: requests are not.

    Raises:
        ConfigurationError: and what it is.
    """
    if grace != inf and (not is_number(grace) or not grace >= 0):
        raise ConfigurationError(f"grace must be 0 seconds or more; it is {_told(grace)}.")


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether `value` is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _at_least_one(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not is_count(value):
        raise ConfigurationError(f"{attribute.name} must be a whole number from 1; it is {_told(value)}.")


@frozen(kw_only=True)
class RetryPolicy:
    """How often, and how patiently, what is proven unsent is tried again.

    Only a request that the server cannot have acted on is repeated; see ``docs/retries.md``.
    """

    attempts: int = field(default=3, validator=_at_least_one)
    """Requests in all, the first included."""
    initial_backoff: float = field(default=0.5, validator=_not_negative)
    """Seconds: the ceiling of the first random wait (full jitter); it doubles with every attempt."""
    max_backoff: float = field(default=8.0, validator=_not_negative)
    """Seconds: no random wait is longer."""
    max_retry_after: float = field(default=120.0, validator=_not_negative)
    """Seconds: a longer ``Retry-After`` is cut to this."""


@frozen(kw_only=True)
class RateLimit:
    """How fast a run may go. Both limits hold together; None leaves one out."""

    contacts_per_second: float | None = field(default=None, validator=_positive_or_none)
    requests_per_second: float | None = field(default=None, validator=_positive_or_none)


@frozen(kw_only=True)
class ReconcilePolicy:
    """When a campaign whose outcome is unknown is looked for in the list of campaigns.

    Looks happen `first` seconds after the failure, then at 2.5 and 5 times that, then doubling, until
    `horizon` seconds have passed.
    """

    first: float = field(default=2.0, validator=_positive)
    horizon: float = field(default=60.0, validator=_positive)


@frozen(kw_only=True)
class Timeouts:
    """Seconds a request may take; the clock starts when the request leaves our own queue.

    `connect` is for a new connection, `read` for the reply to begin and for each further piece of it, `total` for
    everything; None is no limit. The defaults outlast the 60-100 s after which gateways give up, so that their answer
    is seen and not guessed (measured with nginx and PHP-FPM).
    """

    connect: float | None = field(default=15.0, validator=_positive_or_none)
    read: float | None = field(default=140.0, validator=_positive_or_none)
    total: float | None = field(default=150.0, validator=_positive_or_none)

    @classmethod
    def within(cls, seconds: float) -> "Timeouts":
        """Time-outs that all fit into `seconds`.

        Raises:
            ConfigurationError: `seconds` is not above 0.
        """
        if not is_number(seconds) or not seconds > 0:
            raise ConfigurationError(
                f"timeout must be a number of seconds above 0; it is {_told(seconds)}. "
                "For no limit give Timeouts(connect=None, read=None, total=None)."
            )
        return cls(connect=min(15.0, seconds), read=seconds, total=seconds)


def check_token(token: object) -> str:
    """Return `token` where it can stand in an ``Authorization`` header.

    Raises:
        ConfigurationError: it is empty or has a character that no token has. The text never shows it.
    """
    if not isinstance(token, str):
        raise ConfigurationError(f"The API token must be a text, not {type(token).__name__}.")
    if not token.strip():
        raise ConfigurationError(
            f"The API token is empty. Create one under API Tokens -> Create and set {TOKEN_VARIABLE}."
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            "The API token has a character that no token has (white space, a quote, a line end?). "
            "Copy it again from API Tokens -> Create."
        )
    return token


def resolve_token(token: TokenSource | None) -> TokenSource:
    """Take the token given, or the one in ``SMSPOP_TOKEN``.

    Raises:
        ConfigurationError: there is none, or it is malformed.
    """
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE)
        if token is None:
            raise ConfigurationError(
                f"No API token: pass token=… or set {TOKEN_VARIABLE}. "
                "Tokens are made in the SMSPop dashboard under API Tokens -> Create."
            )
    return token if callable(token) else check_token(token)


def resolve_base_url(base_url: str | None) -> str:
    """Take the base URL given, the one in ``SMSPOP_BASE_URL``, or the default; without a trailing slash.

    Raises:
        ConfigurationError: it is not an http(s) URL, or has user info, a query or a fragment.
    """
    url = base_url if base_url is not None else os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    try:
        parts = urlsplit(url)
        host, _, _ = parts.hostname, parts.port, url.rstrip("/")  # bytes are no URL here
    except (ValueError, TypeError, AttributeError):
        raise ConfigurationError("base_url is not a URL; use for example https://smspop.co.zw/api.") from None
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise ConfigurationError("base_url has a character that no URL has.")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("base_url must begin with https:// (or http://) and name a host.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ConfigurationError("base_url must not hold a user name or password; pass the token as token=….")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ConfigurationError("base_url must not have a query or a fragment.")
    if parts.scheme == "http" and not is_loopback(host):
        warnings.warn(
            f"The API token and all messages travel unencrypted to {host}: use https:// in base_url.",
            PlaintextTokenWarning,
            stacklevel=3,
        )
    return url.rstrip("/")


def check_proxy(proxy: str | None) -> str | None:
    """Return `proxy` where it is the URL of an HTTP proxy. It may hold a user name and a password.

    Raises:
        ConfigurationError: it is not. The text never shows it.
    """
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ConfigurationError("proxy must be the URL of an HTTP proxy, for example http://proxy:3128.")
    return proxy


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine by its name or address alone, with no look-up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
