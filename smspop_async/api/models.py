"""The values of the API, as attrs classes, and their tolerant structuring by cattrs.

What the vendor's document shows is one sample reply. Real replies bring numbers as texts, texts as numbers,
unknown fields and missing ones; a reply that came after people were texted must not be lost over that. So
every field has a neutral default, unknown fields are kept in ``extra``, and nothing here raises for odd data.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import field, fields, frozen
from cattrs import Converter

from smspop_async.api.shapes import object_in
from smspop_async.mask import mask_name, mask_number


class Status(StrEnum):
    """What became of one contact. The values are the lower-case words."""

    SENT = "sent"
    """The API says that the text was sent (its word)."""
    FAILED = "failed"
    """The API says that the text failed (its word)."""
    ACCEPTED = "accepted"
    """The campaign is proven to exist; its per-contact statuses were lost."""
    UNKNOWN = "unknown"
    """The server may or may not have sent it. Never sent again without a person's word."""
    REJECTED = "rejected"
    """The API refused the campaign that this contact was in. Nothing was sent."""
    NOT_SUBMITTED = "not_submitted"
    """The run stopped before this contact was submitted. Nothing was sent."""
    INVALID = "invalid"
    """Not a phone number, or a row that lacks what the message needs. Never submitted."""
    DUPLICATE = "duplicate"
    """The same number stands further up. Never submitted."""
    SUPPRESSED = "suppressed"
    """The number is on the suppression list. Never submitted."""


def _unstated(value: object) -> str:
    return "" if value is None else str(value)


@frozen(kw_only=True)
class Summary:
    """How many texts were sent and how many failed."""

    sent: int = 0
    failed: int = 0

    def __add__(self, other: "Summary") -> "Summary":
        """Merge two summaries."""
        return Summary(sent=self.sent + other.sent, failed=self.failed + other.failed)


@frozen(kw_only=True)
class Campaign:
    """A campaign as the API describes it.

    The documented fields are those of the sample reply; `id` is assumed (the document's list shows none).
    """

    name: str = field(default="", repr=mask_name)
    message: str = field(default="", repr=False)
    sender_id: str = ""
    status: str = ""
    id: str = ""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """Fields of the reply that the vendor's document does not know."""


@frozen(kw_only=True)
class ContactResult:
    """The status of one contact of a campaign, joined by number."""

    phone_number: str = field(repr=mask_number)
    """Digits in E.164 order, without the plus sign."""
    status: Status
    detail: str = ""
    """Why the status is what it is, where the word alone does not say it."""


@frozen(kw_only=True)
class CampaignResult:
    """The API's answer to one campaign that it accepted.

    ``contacts`` has exactly one entry for each number sent, in the order they were given, whatever the order
    of the reply; numbers without a row in the reply are `Status.UNKNOWN`.
    """

    success: bool
    message: str = field(default="", repr=False)
    campaign: Campaign
    summary: Summary
    contacts: Sequence[ContactResult] = field(repr=lambda contacts: f"<{len(contacts)} contacts>")
    discrepancies: tuple[str, ...] = ()
    """Where the reply contradicts itself or what was sent, in words, without numbers of people."""


def _count(value: object) -> int:
    """Read a count that may come as a number, a text or not at all; anything else counts as 0."""
    if type(value) is int:  # as documented
        return max(0, value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        return max(0, int(float(value)))
    except (ValueError, OverflowError):
        return 0


def _campaign(data: object, _: type) -> Campaign:
    said = object_in(data)
    get = said.get
    return Campaign(
        name=_unstated(get("name")),
        message=_unstated(get("message")),
        sender_id=_unstated(get("sender_id")),
        status=_unstated(get("status")),
        id=_unstated(get("id")),
        extra={key: value for key, value in said.items() if key not in _KNOWN},
    )


def _summary(data: object, _: type) -> Summary:
    said = object_in(data)
    return Summary(sent=_count(said.get("sent")), failed=_count(said.get("failed")))


_KNOWN = frozenset(a.name for a in fields(Campaign) if a.name != "extra")

converter: Converter = Converter()
"""Structures the API's small objects. Rows of contacts go through `smspop_async.api.settle` instead."""
converter.register_structure_hook(Campaign, _campaign)
converter.register_structure_hook(Summary, _summary)
structure_campaign: Callable[[object, type[Campaign]], Campaign] = converter.get_structure_hook(Campaign)
structure_summary: Callable[[object, type[Summary]], Summary] = converter.get_structure_hook(Summary)
"""The hooks themselves, for the one reply a campaign has: looking them up costs more than what they do."""
