"""What a web app answers when the library raises: problem details for HTTP APIs (RFC 9457). Pure.

Two questions decide. *Whose fault is it?* A refused token or an inactive account is the app's own affair, so its
users see a 502 and only the log has the words; a wrong sender ID came with the request, so its sender sees a 422 that
says so. *Was anything sent?* Each problem has the member ``delivery``, and the status invites nobody to a blind
resend: a 503 is a promise that nothing was sent, so that it may be retried by machines; what may have been sent is a
502 or a 504.

``type`` is ``about:blank``, which is what RFC 9457 has for problems that the status describes; ``error`` names the
class for programs. There is never a token, a message text or a phone number in a problem: the texts of the library's
errors are free of them, and no others are used.
"""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from attrs import field, frozen

from smspop_async.errors import (
    AccountInactiveError,
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    ContactSourceError,
    ContentRejectedError,
    Delivery,
    InsufficientCreditsError,
    JournalError,
    PartialFailureError,
    RateLimitError,
    SmsPopError,
    ValidationError,
)
from smspop_async.integrations._errors import (
    InvalidSendError,
    SendBusyError,
    SendTooLargeError,
    ShuttingDownError,
    UnknownSendError,
)

MEDIA_TYPE: Final = "application/problem+json"
_NOT_FOUND, _CONFLICT, _TOO_LARGE, _UNPROCESSABLE = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, 413, 422
"""413 and 422 as numbers: their names in `http` changed from one Python to the next."""
_UNAVAILABLE, _BAD_GATEWAY, _TIMEOUT = 503, 502, 504
_RETRY_SOON: Final = 5
"""Seconds, where the network or our own restart is the reason."""
_RETRY_LATER: Final = 60
"""Seconds, where the API said "too many" and not for how long (assumed: Laravel's throttle counts by the minute)."""
_SUPPORT: Final = "SMS credits are bought in the SMSPop dashboard; SMSPop's support helps with the account."
_OURS: Final = (
    "This service cannot use its SMS account at the moment. Its operator finds the reason in the log."
)
_BUSY: Final = "The SMS service takes no more requests at the moment. Nothing was sent; try again later."
_UNREACHABLE: Final = "The SMS service cannot be reached. Nothing was sent; try again in a moment."
_UNKNOWN: Final = (
    "The SMS service gave no clear answer, so it is not known whether anything was sent. Look for the campaign in the "
    "SMSPop dashboard before anything is sent again."
)

Words = Callable[[Any], Mapping[str, Any]]


@frozen(kw_only=True)
class Problem:
    """A problem, ready to be answered."""

    status: int
    body: Mapping[str, Any]
    """The members, as JSON values."""
    headers: Mapping[str, str] = field(factory=dict[str, str])
    private: bool = False
    """Whether the error's own words are missing in it, so that they belong into the log."""


@frozen(kw_only=True)
class _Kind:
    """How a class of errors is answered."""

    status: int
    detail: str | None = None
    """What to say instead of the error's own words, which are for the log where it is the app's own affair."""
    retry_after: Callable[[Any], float] | None = None
    more: Words | None = None
    """Further members."""


def _none(_: Any) -> Mapping[str, Any]:
    return {}


_KINDS: Final[tuple[tuple[type[SmsPopError], _Kind], ...]] = (
    # From the special to the general: the first that fits counts.
    (UnknownSendError, _Kind(status=_NOT_FOUND)),
    (SendBusyError, _Kind(status=_CONFLICT)),
    (SendTooLargeError, _Kind(status=_TOO_LARGE)),
    (InvalidSendError, _Kind(status=_UNPROCESSABLE)),
    (ShuttingDownError, _Kind(status=_UNAVAILABLE, retry_after=lambda _: _RETRY_SOON)),
    (ContactSourceError, _Kind(status=_UNPROCESSABLE, more=lambda error: {"line": error.line})),
    (InsufficientCreditsError, _Kind(status=402, more=lambda _: {"support": _SUPPORT})),
    (
        ContentRejectedError,
        _Kind(status=_UNPROCESSABLE, more=lambda error: {"category": error.category}),
    ),
    (AccountInactiveError, _Kind(status=_BAD_GATEWAY, detail=_OURS, more=lambda _: {"support": _SUPPORT})),
    (ValidationError, _Kind(status=_UNPROCESSABLE, more=lambda error: {"errors": error.errors})),
    (
        RateLimitError,
        _Kind(
            status=_UNAVAILABLE,
            detail=_BUSY,
            retry_after=lambda error: error.retry_after or _RETRY_LATER,
        ),
    ),
    (
        APIConnectionError,
        _Kind(status=_UNAVAILABLE, detail=_UNREACHABLE, retry_after=lambda _: _RETRY_SOON),
    ),
    (ConfigurationError, _Kind(status=500, detail=_OURS)),
    (JournalError, _Kind(status=500, detail=_OURS)),
)


def problem_of(error: SmsPopError) -> Problem:
    """The answer to an error of the library."""
    if isinstance(error, PartialFailureError):
        return _partial(error)
    kind = _kind_of(error)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(kind.status).phrase,
        "status": int(kind.status),
        "detail": kind.detail or str(error),
        "error": type(error).__name__,
        "delivery": error.delivery.value,
        **(kind.more or _none)(error),
    }
    headers = {} if kind.retry_after is None else {"Retry-After": str(math.ceil(kind.retry_after(error)))}
    return Problem(status=kind.status, body=body, headers=headers, private=kind.detail is not None)


def _kind_of(error: SmsPopError) -> _Kind:
    if error.delivery is Delivery.UNKNOWN:
        status = _TIMEOUT if isinstance(error, APITimeoutError) else _BAD_GATEWAY
        return _Kind(status=status, detail=_UNKNOWN)
    special = (kind for cls, kind in _KINDS if isinstance(error, cls))
    return next(special, _Kind(status=_BAD_GATEWAY, detail=_OURS))


def _partial(error: PartialFailureError) -> Problem:
    """The answer to a run of which a part was not sent: that of the error that stopped it, with the counts."""
    cause = error.__cause__
    problem = problem_of(cause) if isinstance(cause, SmsPopError) else None
    status = _BAD_GATEWAY if problem is None or error.delivery is Delivery.UNKNOWN else problem.status
    # Some of it was sent: whatever a machine would repeat is not the rest alone.
    status = _BAD_GATEWAY if status == _UNAVAILABLE else status
    counts = getattr(error.report, "counts", {})
    body = {
        **(problem.body if problem is not None else {}),
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": str(error),
        "error": type(error).__name__,
        "delivery": error.delivery.value,
        "counts": {status.value: rows for status, rows in counts.items()},
    }
    return Problem(status=status, body=body)
