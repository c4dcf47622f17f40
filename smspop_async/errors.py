"""One tree of errors; every one says whether anything was sent and what to do next.

The API texts people on POST and has no idempotency key, so the first question after any failure is
"did it go out?". Every error answers it in ``.delivery``, and its text ends with the next step. All of them
pickle (they cross process pools and task queues) because their only positional argument is that text and
whatever else they carry lives in the instance dictionary, which ``BaseException.__reduce__`` keeps.

No error text, attribute or ``args`` holds a bearer token, a message text or a whole phone number: the
places that build them pass the API's words through `smspop_async.mask.Redactor` first.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar


class Delivery(StrEnum):
    """What is known about the texts of the call that failed."""

    NOT_SENT = "not_sent"
    """Proven: the server never had a whole request. Trying again is safe."""
    REJECTED = "rejected"
    """The API answered and refused. Nothing was sent; the same request would be refused again."""
    UNKNOWN = "unknown"
    """The server may have acted. Sending again may text people twice."""


class SmsPopError(Exception):
    """The root of everything this library raises on purpose.

    Args:
        message: What happened, and what to do next. Safe to log.
        delivery: Whether anything may have been sent; each class has the default that fits it.
    """

    default_delivery: ClassVar[Delivery] = Delivery.NOT_SENT

    def __init__(self, message: str = "", *, delivery: Delivery | None = None) -> None:
        super().__init__(message)
        self.delivery: Delivery = self.default_delivery if delivery is None else delivery


class ConfigurationError(SmsPopError):
    """A setting is missing, malformed or contradicts another. Nothing was sent."""


class ContactSourceError(SmsPopError):
    """The contacts cannot be read, or a contact given to a single campaign is not a phone number.

    Args:
        message: What happened, and what to do next.
        line: The line (1-based) of the file, or None.
        delivery: As for `SmsPopError`.
    """

    def __init__(
        self, message: str = "", *, line: int | None = None, delivery: Delivery | None = None
    ) -> None:
        super().__init__(message, delivery=delivery)
        self.line = line


class JournalError(SmsPopError):
    """The journal cannot be read or written, or the same send stands in it and is not finished.

    With a journal that cannot be written nothing is sent.
    """


class APIConnectionError(SmsPopError):
    """The connection failed. ``delivery`` is NOT_SENT or UNKNOWN, by the send flag of the request."""


class APITimeoutError(APIConnectionError):
    """A time limit passed. ``delivery`` is NOT_SENT or UNKNOWN, by the send flag of the request."""


class APIStatusError(SmsPopError):
    """The API, or a server in front of it, answered with a refusal.

    Args:
        message: What happened, and what to do next.
        status: The HTTP status code, 0 where it is not known.
        api_message: The API's own words, redacted, or "".
        delivery: As for `SmsPopError`.
    """

    default_delivery: ClassVar[Delivery] = Delivery.REJECTED

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        api_message: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        super().__init__(message, delivery=delivery)
        self.status = status
        self.api_message = api_message


class AuthenticationError(APIStatusError):
    """401: the token is invalid or missing (vendor's document)."""


class InsufficientCreditsError(APIStatusError):
    """402: not enough SMS credits to send the campaign (vendor's document)."""


class PermissionDeniedError(APIStatusError):
    """403: the account or the content is refused (vendor's document)."""


class AccountInactiveError(PermissionDeniedError):
    """403: the account is inactive; the vendor's support must enable it (vendor's document)."""


class ContentRejectedError(PermissionDeniedError):
    """403: the content was classified into a category that is not allowed (vendor's document).

    Args:
        message: What happened, and what to do next.
        category: The category in the API's word, for example "political", or None where it named none.
        status: The HTTP status code.
        api_message: The API's own words, redacted.
        delivery: As for `SmsPopError`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        category: str | None = None,
        status: int = 403,
        api_message: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        super().__init__(message, status=status, api_message=api_message, delivery=delivery)
        self.category = category


class ValidationError(APIStatusError):
    """422: invalid request data (vendor's document).

    Args:
        message: What happened, and what to do next.
        errors: Field name to the API's words about it, redacted. Empty where the API gave none.
        status: The HTTP status code.
        api_message: The API's own words, redacted.
        delivery: As for `SmsPopError`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        status: int = 422,
        api_message: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        super().__init__(message, status=status, api_message=api_message, delivery=delivery)
        self.errors: dict[str, list[str]] = {field: list(words) for field, words in (errors or {}).items()}


class InvalidSenderError(ValidationError):
    """422: the sender ID is not one of the account's (vendor's document)."""


class RateLimitError(APIStatusError):
    """429: too many requests (assumed: the vendor's document is silent; RFC 6585 and Laravel's throttle).

    Args:
        message: What happened, and what to do next.
        retry_after: Seconds that the server asked to wait, or None.
        status: The HTTP status code.
        api_message: The API's own words, redacted.
        delivery: As for `SmsPopError`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        status: int = 429,
        api_message: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        super().__init__(message, status=status, api_message=api_message, delivery=delivery)
        self.retry_after = retry_after


class ServerError(APIStatusError):
    """5xx: the server, or a gateway before it, failed. It may have sent before it did, so: UNKNOWN."""

    default_delivery: ClassVar[Delivery] = Delivery.UNKNOWN


class UnreadableResponseError(SmsPopError):
    """A reply came that cannot be understood, so what it reports is not known.

    Args:
        message: What happened, and what to do next.
        status: The HTTP status code of the reply.
        delivery: As for `SmsPopError`.
    """

    default_delivery: ClassVar[Delivery] = Delivery.UNKNOWN

    def __init__(self, message: str = "", *, status: int = 0, delivery: Delivery | None = None) -> None:
        super().__init__(message, delivery=delivery)
        self.status = status


class OutcomeUnknownError(SmsPopError):
    """The server may have acted on a request whose reply proves neither that it did nor that it did not."""

    default_delivery: ClassVar[Delivery] = Delivery.UNKNOWN


class PartialFailureError(SmsPopError):
    """Some contacts of a run were not sent; ``delivery`` speaks of those.

    Args:
        message: The counts, and what to do next.
        report: The whole `Report` of the run.
        delivery: UNKNOWN where any contact's outcome is unknown.
    """

    def __init__(self, message: str = "", *, report: Any = None, delivery: Delivery | None = None) -> None:
        super().__init__(message, delivery=delivery)
        self.report = report
