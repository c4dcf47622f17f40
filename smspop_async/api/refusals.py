"""The errors for what the API, or a server before it, refuses: class by status, the API's words, the next step.

An error speaks of its own request: campaigns of the same run may have been sent before it.

The words come from elsewhere and may quote what was sent, so they pass through the `Redactor` of the
`Context` before they touch an error.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from attrs import field, frozen

from smspop_async.api.reply import Reply
from smspop_async.api.retry import parse_retry_after
from smspop_async.api.shapes import list_in, object_in, text_in
from smspop_async.errors import (
    AccountInactiveError,
    APIStatusError,
    AuthenticationError,
    ContentRejectedError,
    Delivery,
    InsufficientCreditsError,
    InvalidSenderError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ValidationError,
)
from smspop_async.mask import Redactor

LOOK_FIRST = (
    "The campaign may have been sent: "
    "look for it in the dashboard or in campaigns.list() before sending again."
)


@frozen(kw_only=True)
class Context:
    """What the meaning of a reply depends on besides the reply."""

    url: str
    redact: Redactor = field(repr=False)
    clock: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    """Seconds since the epoch, for a ``Retry-After`` that is a date."""
    normalise: Callable[[str], str | None] | None = field(default=None, repr=False)


def server_error(status: int, delivery: Delivery = Delivery.UNKNOWN) -> ServerError:
    """The error for a 5xx."""
    unsent = "Nothing was sent by this request; try again later."
    advice = LOOK_FIRST if delivery is Delivery.UNKNOWN else unsent
    return ServerError(f"The server failed with status {status}. {advice}", status=status, delivery=delivery)


def moved(reply: Reply, url: str) -> APIStatusError | None:
    """The error for the two kinds of redirect that prove that the application never saw the request.

    301 and 308 to https name the address to configure; 302 to a login page says that this one is not the
    API's. None for any other redirect.
    """
    target = _redirect_target(reply, url)
    if target is not None and reply.status in (301, 308) and target.startswith("https://"):
        base = target.removesuffix("/").removesuffix("/campaigns")
        advice = f"Set base_url (or SMSPOP_BASE_URL) to {base}"
    elif target is not None and reply.status == 302 and "login" in urlsplit(target).path.lower():  # noqa: PLR2004
        advice = f"It asks for a login at {target}: check that base_url (or SMSPOP_BASE_URL) is the API's URL"
    else:
        return None
    return APIStatusError(
        f"The server moved the request elsewhere (status {reply.status}). Nothing was sent by this request. {advice}.",
        status=reply.status,
    )


def _redirect_target(reply: Reply, url: str) -> str | None:
    """Where a redirect points, without user info, query and fragment, which may hold secrets."""
    location = reply.headers.get("Location")
    if not location:
        return None
    try:
        parts = urlsplit(urljoin(url, location))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{_plain_path(parts.path)}" if host else None


def _plain_path(path: str) -> str:
    """A path of words, as routes are; one that may hold more is not shown."""
    return path if _ROUTE.fullmatch(path) else "/…"


_ROUTE = re.compile(r"(/[A-Za-z_-]{0,30}(v?\d{0,3})?(\.php)?){0,8}")


def refusal(reply: Reply, body: Mapping[str, Any], context: Context) -> APIStatusError:
    """The error for a refusal: the class by status and the API's words, the text with the next step."""
    status = reply.status
    words = context.redact(text_in(body.get("message")))
    if 300 <= status <= 399:  # noqa: PLR2004
        return moved(reply, context.url) or APIStatusError(
            f"The server answered with a redirect ({status}), which is never followed. "
            "Nothing was sent by this request. Check base_url: the API's address ends in /api.",
            status=status,
        )
    make = _BY_STATUS.get(status)
    if make is not None:
        return make(reply, body, context, words)
    if 200 <= status <= 299:  # noqa: PLR2004
        return APIStatusError(
            f"The API refused the request{_quote(words)}. Nothing was sent by this request.",
            status=status,
            api_message=words,
        )
    text = f"The server refused the request with status {status}{_quote(words)}. Nothing was sent by this request."
    return APIStatusError(
        f"{text} {_ADVICE.get(status, '')}".rstrip(),
        status=status,
        api_message=words,
    )


_ADVICE = {
    404: "Check base_url: the API's address ends in /api.",
    405: "Check base_url: the API's address ends in /api.",
    407: "The proxy wants credentials; check proxy=….",
    413: "The campaign is too large for the server; send fewer contacts at once (chunk_size).",
}


_CATEGORY = re.compile(r"classified as ['\"]?([\w -]{1,60}?)['\"]? (?:is|are) ", re.IGNORECASE)


def _unauthenticated(_: Reply, __: Mapping[str, Any], ___: Context, words: str) -> APIStatusError:
    return AuthenticationError(
        "The API does not accept the token (401). Nothing was sent by this request. "
        "Create a new one under API Tokens -> Create and set SMSPOP_TOKEN.",
        status=401,
        api_message=words,
    )


def _no_credits(_: Reply, __: Mapping[str, Any], ___: Context, words: str) -> APIStatusError:
    return InsufficientCreditsError(
        f"Not enough SMS credits (402){_quote(words)}. Nothing was sent by this request. "
        "Buy credits, then send the rest.",
        status=402,
        api_message=words,
    )


# The class is told by the API's own words, the text shows the redacted ones: a word of the message may be one
# of those that tell.


def _forbidden(_: Reply, body: Mapping[str, Any], __: Context, words: str) -> APIStatusError:
    said = text_in(body.get("message"))
    if "inactive" in said.lower():
        return AccountInactiveError(
            f"The account is inactive (403){_quote(words)}. Nothing was sent by this request. "
            "Contact SMSPop's support.",
            status=403,
            api_message=words,
        )
    if _CATEGORY.search(said) or "rejected" in said.lower():
        category = _CATEGORY.search(words)
        return ContentRejectedError(
            f"The API rejected the message for its content (403){_quote(words)}. Nothing was sent by this request. "
            "Change the text.",
            category=category[1] if category else None,
            status=403,
            api_message=words,
        )
    return PermissionDeniedError(
        f"The API forbids this (403){_quote(words)}. Nothing was sent by this request. Ask SMSPop's support.",
        status=403,
        api_message=words,
    )


def _invalid(_: Reply, body: Mapping[str, Any], context: Context, words: str) -> APIStatusError:
    fields = object_in(body.get("errors"))
    errors = {
        context.redact(str(key)): _field_words(value, context.redact)
        for key, value in list(fields.items())[:_FIELDS_SHOWN]
    }
    if "sender_id" in fields or ("sender" in text_in(body.get("message")).lower() and not fields):
        return InvalidSenderError(
            f"The API does not know this sender ID (422){_quote(words)}. Nothing was sent by this request. "
            "Use one that the dashboard lists for the account.",
            errors=errors,
            api_message=words,
        )
    named = "; ".join(f"{field}: {' '.join(said)}" for field, said in errors.items())
    named = f" ({named})" if named else ""
    return ValidationError(
        f"The API refused the request as invalid (422){_quote(words)}{named}. Nothing was sent by this request.",
        errors=errors,
        api_message=words,
    )


_FIELDS_SHOWN = 20
"""Fields, and words about each, that an error carries: one of 500 bad contacts is told by the first."""


def _field_words(value: object, redact: Redactor) -> tuple[str, ...]:
    said = list_in(value) or [value]
    return tuple(redact(str(word)) for word in said[:_FIELDS_SHOWN])


def _throttled(reply: Reply, _: Mapping[str, Any], context: Context, words: str) -> APIStatusError:
    wait = parse_retry_after(reply.headers.get("Retry-After"), context.clock())
    when = f" in {wait:.0f} s" if wait is not None else " later"
    return RateLimitError(
        f"Too many requests (429){_quote(words)}. This request was not acted on. Try again{when}, "
        "or set rate_limit=RateLimit(requests_per_second=…).",
        retry_after=wait,
        api_message=words,
    )


def _quote(words: str) -> str:
    return f': "{words}"' if words else ""


_BY_STATUS: dict[int, Callable[[Reply, Mapping[str, Any], Context, str], APIStatusError]] = {
    401: _unauthenticated,
    402: _no_credits,
    403: _forbidden,
    422: _invalid,
    429: _throttled,
}
