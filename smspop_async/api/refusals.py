"""The errors for what the API, or a server before it, refuses: the class by status, the API's words, the next step.

The words come from elsewhere and may quote what was sent, so they pass through the `Redactor` of the `Context`
before they touch an error.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from smspop_async.api.retry import parse_retry_after
from smspop_async.api.transport import Reply
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
    "The campaign may have been sent: look for it in the dashboard or in campaigns.list() before sending again."
)


@frozen(kw_only=True)
class Context:
    """What the meaning of a reply depends on besides the reply."""

    url: str
    redact: Redactor = field(repr=False)
    now: float = 0.0
    """Seconds since the epoch, for a ``Retry-After`` that is a date."""
    normalise: Callable[[str], str | None] | None = field(default=None, repr=False)


def server_error(status: int, delivery: Delivery = Delivery.UNKNOWN) -> ServerError:
    """The error for a 5xx."""
    advice = LOOK_FIRST if delivery is Delivery.UNKNOWN else "Nothing was sent; try again later."
    return ServerError(f"The server failed with status {status}. {advice}", status=status, delivery=delivery)


def text_of(value: object) -> str:
    """Return `value` where it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def refusal(reply: Reply, body: Mapping[str, Any], context: Context) -> APIStatusError:
    """The error for a refusal: the class by status and the API's words, the text with the next step."""
    status = reply.status
    words = context.redact(text_of(body.get("message")))
    make = _BY_STATUS.get(status)
    if make is not None:
        return make(reply, body, context, words)
    if 200 <= status <= 299:  # noqa: PLR2004
        return APIStatusError(
            f"The API refused the campaign{_quote(words)}. Nothing was sent.", status=status, api_message=words
        )
    return APIStatusError(
        f"The server refused the request with status {status}{_quote(words)}. Nothing was sent. {_ADVICE.get(status, '')}".strip(),
        status=status,
        api_message=words,
    )


_ADVICE = {
    404: "Check base_url: the API's address ends in /api.",
    405: "Check base_url: the API's address ends in /api.",
    407: "The proxy wants credentials; check proxy=….",
    413: "The campaign is too large for the server; send fewer contacts at once (chunk_size).",
}


def _unauthenticated(_: Reply, __: Mapping[str, Any], ___: Context, words: str) -> APIStatusError:
    return AuthenticationError(
        "The API does not accept the token (401). Nothing was sent. "
        "Create a new one under API Tokens -> Create and set SMSPOP_TOKEN.",
        status=401,
        api_message=words,
    )


def _no_credits(_: Reply, __: Mapping[str, Any], ___: Context, words: str) -> APIStatusError:
    return InsufficientCreditsError(
        f"Not enough SMS credits (402){_quote(words)}. This campaign was not sent. Buy credits, then send the rest.",
        status=402,
        api_message=words,
    )


def _forbidden(_: Reply, __: Mapping[str, Any], ___: Context, words: str) -> APIStatusError:
    if "inactive" in words.lower():
        return AccountInactiveError(
            f"The account is inactive (403){_quote(words)}. Nothing was sent. Contact SMSPop's support.",
            status=403,
            api_message=words,
        )
    match = re.search(r"classified as ['\"]?([\w -]+?)['\"]? (?:is|are) ", words, re.IGNORECASE)
    if match or "rejected" in words.lower():
        return ContentRejectedError(
            f"The API rejected the message for its content (403){_quote(words)}. Nothing was sent. Change the text.",
            category=match[1] if match else None,
            status=403,
            api_message=words,
        )
    return PermissionDeniedError(
        f"The API forbids this (403){_quote(words)}. This campaign was not sent. Ask SMSPop's support.",
        status=403,
        api_message=words,
    )


def _invalid(_: Reply, body: Mapping[str, Any], context: Context, words: str) -> APIStatusError:
    raw = body.get("errors")
    errors = (
        {context.redact(str(key)): _field_words(value, context.redact) for key, value in raw.items()}
        if isinstance(raw, Mapping)
        else {}
    )
    if "sender_id" in errors or ("sender" in words.lower() and not errors):
        return InvalidSenderError(
            f"The API does not know this sender ID (422){_quote(words)}. Nothing was sent. "
            "Use one that the dashboard lists for the account.",
            errors=errors,
            api_message=words,
        )
    named = "; ".join(f"{field}: {' '.join(said)}" for field, said in errors.items())
    return ValidationError(
        f"The API refused the request as invalid (422){_quote(words)}{f' ({named})' if named else ''}. Nothing was sent.",
        errors=errors,
        api_message=words,
    )


def _field_words(value: object, redact: Redactor) -> tuple[str, ...]:
    return tuple(redact(str(word)) for word in (value if isinstance(value, list | tuple) else [value]))


def _throttled(reply: Reply, _: Mapping[str, Any], context: Context, words: str) -> APIStatusError:
    wait = parse_retry_after(reply.headers.get("Retry-After"), context.now)
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
