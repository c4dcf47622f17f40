"""What a reply to a campaign's POST means. Pure: a reply in, a verdict out.

The table (the library's documentation has it with the reasons):

==========================================================  ========
2xx, a JSON object, ``success`` true                        ACCEPTED
2xx, ``success`` false, no campaign, nothing sent           REJECTED
any other 2xx                                               UNKNOWN
4xx whose body cannot be a claim of success                 REJECTED
301/308 to https, 302 to a login page                       REJECTED
any other 3xx, 5xx, anything else                           UNKNOWN
==========================================================  ========

What no reply means is decided by the send flag: see `smspop_async.api.submit`.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

from attrs import define, field, frozen

from smspop_async.api.expected import ExpectedRows, read_expected
from smspop_async.api.models import Campaign, Status, Summary, structure_campaign, structure_summary
from smspop_async.api.refusals import LOOK_FIRST, Context, moved, refusal, server_error
from smspop_async.api.reply import Reply
from smspop_async.api.settle import Settlement, settle, settle_expected
from smspop_async.api.shapes import list_in, object_in, text_in
from smspop_async.api.wire import decode_object
from smspop_async.errors import APIStatusError, OutcomeUnknownError, SmsPopError, UnreadableResponseError

_WORTH_EXPECTING: Final = 8
"""Contacts from which on learning the layout of the rows costs less than decoding them (measured)."""
_NONE: Final = frozenset({"", "0", "0.0"})
"""What a summary may say, as text, where nobody was texted."""
_CLAIM: Final = re.compile(
    rb'"success"\s*:\s*"?(?:true|1)\b|"sent"\s*:\s*"?0*[1-9]|"status"\s*:\s*"\s*sent\b', re.IGNORECASE
)
"""What claims success in a text that is nearly JSON."""


class Scope(Enum):
    """Whom a refusal concerns."""

    CAMPAIGN = auto()
    """This one campaign."""
    CONTACTS = auto()
    """Some of its contacts, or their number: a part of them may be accepted."""
    RUN = auto()
    """Every campaign with this token, message or sender ID."""
    PACE = auto()
    """Nothing but the moment: 429."""


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Accepted:
    """The API has the campaign and says what became of its contacts."""

    body: Mapping[str, Any] = field(repr=False)
    """The reply; without its rows, if they were read apart."""
    settlement: Settlement

    @property
    def message(self) -> str:
        """The API's words."""
        return text_in(self.body.get("message"))

    @property
    def campaign(self) -> Campaign:
        """The campaign as the API describes it."""
        return structure_campaign(self.body.get("campaign"), Campaign)

    @property
    def claimed(self) -> Summary | None:
        """The reply's own summary, or None where it has none."""
        return _claimed(self.body)


@frozen(kw_only=True)
class Rejected:
    """The API refused the campaign whole; nothing was sent."""

    error: APIStatusError
    scope: Scope


@frozen(kw_only=True)
class Unknown:
    """The server may have acted."""

    error: SmsPopError


@frozen(kw_only=True)
class Unsent:
    """Not one byte of the campaign left, or nobody whole received it."""

    error: SmsPopError
    stale: bool = False
    """Because a pooled connection was found closed: a fresh one may be tried at once."""


Verdict = Accepted | Rejected | Unknown | Unsent


def classify(reply: Reply, numbers: Sequence[str], context: Context) -> Verdict:
    """Say what `reply` to a campaign for `numbers` means."""
    status = reply.status
    if 200 <= status <= 299:  # noqa: PLR2004 - the ranges of RFC 9110 are what they are
        return _classify_2xx(reply, numbers, context)
    if 300 <= status <= 399:  # noqa: PLR2004
        return _classify_3xx(reply, context)
    if 400 <= status <= 499:  # noqa: PLR2004
        read = decode_object(reply.body)
        body = read or {}
        if _is_true(body.get("success")) or _claims_sent(body) or (read is None and _may_claim(reply.body)):
            return Unknown(
                error=OutcomeUnknownError(
                    f"The server answered {status} but claims success in the same breath. {LOOK_FIRST}"
                )
            )
        return Rejected(error=refusal(reply, body, context), scope=_scope(status, body))
    if 500 <= status <= 599:  # noqa: PLR2004
        return Unknown(error=server_error(status))
    return Unknown(
        error=OutcomeUnknownError(f"The server answered with the odd status {status}. {LOOK_FIRST}")
    )


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def _is_false(value: object) -> bool:
    return (
        value is False or value == 0 or (isinstance(value, str) and value.strip().lower() in ("false", "0"))
    )


def _claims_sent(body: Mapping[str, Any]) -> bool:
    """Whether the summary or any row may mean that somebody was texted, whatever the rest of the reply says."""
    sent = object_in(body.get("summary")).get("sent")
    if sent and str(sent).strip() not in _NONE:
        return True
    said = (object_in(row).get("status") for row in list_in(body.get("contacts")))
    return any(word is not None and str(word).strip().lower() != Status.FAILED for word in said)


def _may_claim(body: bytes) -> bool:
    """Whether a body that is no JSON object may be, or may have begun as, one that claims success.

    What fails may be the decoding alone: PHP writes warnings before a reply, and the vendor's own sample is no JSON.
    """
    text = body.strip()
    is_cut_short = text.startswith(b"{") and not text.endswith(b"}")
    return is_cut_short or _CLAIM.search(body) is not None


def _classify_2xx(reply: Reply, numbers: Sequence[str], context: Context) -> Verdict:
    if len(numbers) >= _WORTH_EXPECTING:
        expected = read_expected(reply.body, numbers)
        if expected is not None and _is_true(expected.frame.get("success")):
            return _accepted_as_expected(expected, numbers)
    body = decode_object(reply.body)
    if body is None:
        return Unknown(
            error=UnreadableResponseError(
                f"The server answered {reply.status} with something that is not a JSON object. {LOOK_FIRST}",
                status=reply.status,
            )
        )
    if _is_true(body.get("success")):
        settlement = settle(numbers, body.get("contacts"), _claimed(body), context.normalise)
        return Accepted(body=body, settlement=settlement)
    if _is_false(body.get("success")) and not body.get("campaign") and not _claims_sent(body):
        return Rejected(error=refusal(reply, body, context), scope=Scope.CAMPAIGN)
    return Unknown(
        error=UnreadableResponseError(
            f"The server answered {reply.status} without saying clearly whether it sent. {LOOK_FIRST}",
            status=reply.status,
        )
    )


def _accepted_as_expected(expected: ExpectedRows, numbers: Sequence[str]) -> Accepted:
    frame, failed = expected.frame, expected.failed
    agreed = {"sent": len(numbers) - len(failed), "failed": len(failed)}
    claimed = None if frame.get("summary") == agreed else _claimed(frame)
    return Accepted(body=frame, settlement=settle_expected(numbers, failed, claimed))


def _claimed(body: Mapping[str, Any]) -> Summary | None:
    summary = object_in(body.get("summary"))
    return structure_summary(summary, Summary) if summary else None


def _classify_3xx(reply: Reply, context: Context) -> Verdict:
    """A redirect is never followed; two kinds of it prove that the application never saw the campaign."""
    error = moved(reply, context.url)
    if error is not None:
        return Rejected(error=error, scope=Scope.RUN)
    return Unknown(
        error=OutcomeUnknownError(
            f"The server answered with a redirect ({reply.status}), which is never followed. {LOOK_FIRST}"
        )
    )


_EVERY_CAMPAIGN = frozenset({401, 402, 403, 404, 405, 407, 419, 422})
"""404, 405, 407, 419: a wrong URL, a proxy or a web form's route. No other campaign would fare better."""
_CONTACT_FIELDS = re.compile(r"(manual_)?contacts?(\.|$)")


def _scope(status: int, body: Mapping[str, Any]) -> Scope:
    if status == 429:  # noqa: PLR2004
        return Scope.PACE
    if status == 413:  # noqa: PLR2004
        return Scope.CONTACTS
    if status == 422:  # noqa: PLR2004
        errors = object_in(body.get("errors"))
        if errors and all(_CONTACT_FIELDS.match(key) for key in errors):
            return Scope.CONTACTS
    return Scope.RUN if status in _EVERY_CAMPAIGN else Scope.CAMPAIGN
