"""The API's words and the bytes they travel in.

Words under "Common Error Responses" of the vendor's document are *documented* and reproduced letter by
letter; the others are *assumed* to be Laravel's or nginx's. So is the layout: PHP's ``json_encode``, which
writes no spaces, escapes what is not ASCII and puts a backslash before a slash.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from attrs import field, frozen

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=UTF-8"

UNAUTHENTICATED = "Unauthenticated."  # assumed; the status is documented
NO_CREDITS = "Insufficient credits. Please purchase more SMS credits"  # documented
INVALID_SENDER = "Invalid sender ID"  # documented
INACTIVE = "Your account is inactive. Please contact support."  # documented
VALIDATION_FAILED = "Validation failed"  # documented
METHOD_REQUIRED = "The contact import method field is required."  # documented
TOO_LARGE = "The request body is too large."  # assumed
NOT_FOUND = "Not found."  # assumed
METHOD_NOT_ALLOWED = "Method not allowed."  # assumed
TOO_MANY = "Too Many Attempts."  # assumed: the words of Laravel's throttle

_WORDS = {
    401: UNAUTHENTICATED,
    402: NO_CREDITS,
    403: INACTIVE,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    413: TOO_LARGE,
    422: VALIDATION_FAILED,
    429: TOO_MANY,
    500: "Server Error",
    503: "Service Unavailable",
}
_GATEWAY_STATUSES = frozenset({502, 504})  # nginx answers these itself, in HTML

FATAL_PAGE = (
    b"<br />\n<b>Fatal error</b>:  Maximum execution time of 60 seconds exceeded in "
    b"<b>/var/www/app/Services/SmsService.php</b> on line <b>88</b><br />\n"
)
"""What PHP prints, with status 200, when a script dies after its work and errors are displayed (observed
with a real PHP-FPM; the path is made up)."""


def mask_body(body: bytes) -> str:
    """Return the length of ``body`` in its place, for a ``repr``."""
    return f"<{len(body)} bytes>"


@frozen(kw_only=True)
class Reply:
    """An answer, before it is put on a socket."""

    status: int = 200
    body: bytes = field(default=b"", repr=mask_body)
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(factory=dict[str, str])


def to_json(value: Any) -> str:
    """Return ``value`` as PHP's ``json_encode`` lays it out."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/")


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with ``value`` as its JSON body."""
    return Reply(status=status, body=to_json(value).encode(), headers=headers or {})


def refusal(status: int, message: str, *, errors: Mapping[str, Sequence[str]] | None = None) -> Reply:
    """Return a refusal in the document's form: ``success``, ``message`` and, for a validation, ``errors``."""
    body: dict[str, Any] = {"success": False, "message": message}
    if errors:
        body["errors"] = {name: list(words) for name, words in errors.items()}
    return json_reply(status, body)


def content_rejected(category: str) -> Reply:
    """Return the 403 of a message whose content is classified as ``category`` (documented)."""
    return refusal(403, f"Campaign rejected: Content classified as {category} is not allowed")


def status_reply(
    status: int, *, message: str | None = None, errors: Mapping[str, Sequence[str]] | None = None
) -> Reply:
    """Return what a server says with ``status`` when it refuses before it acts.

    The document's words where it has some; nginx's page for 502 and 504; the status' own name otherwise.

    Args:
        status: Any HTTP status, registered or not.
        message: Words to use instead.
        errors: Field errors. The document's sample for a 422 that is given neither words nor errors.
    """
    if message is None and status in _GATEWAY_STATUSES:
        title = f"{status} {HTTPStatus(status).phrase}".encode()
        page = (
            b"<html>\r\n<head><title>%b</title></head>\r\n<body>\r\n<center><h1>%b</h1></center>\r\n</html>"
        )
        return Reply(status=status, body=page % (title, title), content_type=HTML_TYPE)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and message is None and errors is None:
        errors = {"contact_import_method": [METHOD_REQUIRED]}
    return refusal(status, message or _WORDS.get(status) or _phrase(status), errors=errors)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
