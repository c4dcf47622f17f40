"""``sms.campaigns``: create (which sends) and list, as the vendor's document has them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from smspop_async.api.classify import Accepted, classify
from smspop_async.api.listing import list_pages
from smspop_async.api.models import Campaign, CampaignResult
from smspop_async.api.refusals import Context
from smspop_async.api.submit import Attempt, Submission
from smspop_async.api.transport import Reply
from smspop_async.api.wire import CAMPAIGNS, NAME_LIMIT, Envelope
from smspop_async.contacts.numbers import InvalidNumber
from smspop_async.contacts.sources import read_slabs
from smspop_async.errors import ConfigurationError, ContactSourceError
from smspop_async.mask import Redactor
from smspop_async.message import check_message

if TYPE_CHECKING:
    from smspop_async.api.client import ApiClient

BODY_LIMIT = 2**20
"""Bytes of one request body: above this a single write would hold the event loop."""


class Campaigns:
    """The two documented endpoints, one call each.

    Args:
        client: Whose connection, token and settings are used.
    """

    def __init__(self, client: "ApiClient") -> None:
        self._client = client

    @property
    def with_raw_response(self) -> "RawCampaigns":
        """The same calls, answering with what came over the wire."""
        return RawCampaigns(self._client)

    async def create(
        self, *, name: str, message: str, sender_id: str, contacts: str | Iterable[object]
    ) -> CampaignResult:
        """Create one campaign, which sends it: one POST, exactly the documented call.

        Args:
            name: The campaign's name, sent untouched; at most 191 characters.
            message: The text. White space around it is refused, because the server would cut it off.
            sender_id: One of the account's sender IDs.
            contacts: Numbers in any spelling valid in the client's region, or the documented
                ``"263…, 263…"`` text. A number that stands twice is sent once.

        Returns:
            The API's answer, with one contact for each number. Contacts that failed are in it; they raise nothing.

        Raises:
            ConfigurationError: name, message, sender ID or token cannot be sent. Nothing was sent.
            ContactSourceError: a contact is not a phone number, or there is none. Nothing was sent.
            APIConnectionError: no reply; `.delivery` says whether it may have been sent.
            APIStatusError: the API refused, by its documented errors; or failed (`ServerError`).
            UnreadableResponseError: a reply that cannot be understood; it may have been sent.
            OutcomeUnknownError: a reply that proves nothing; it may have been sent.
        """
        submission = prepare(self._client, name=name, message=message, sender_id=sender_id, contacts=contacts)
        verdict = await self._client.submitter.submit(submission, Attempt())
        if isinstance(verdict, Accepted):
            return result_of(verdict)
        raise verdict.error

    async def list(self) -> AsyncIterator[Campaign]:
        """Iterate over the account's campaigns, page by page, in the API's order.

        Raises:
            APIConnectionError: no reply after the retries.
            APIStatusError: the API refused or failed.
            UnreadableResponseError: a reply that is not a list of campaigns, or a list without a provable end.
        """
        async for page in list_pages(self._client):
            for campaign in page.campaigns:
                yield campaign


@frozen(kw_only=True)
class RawResponse:
    """What came over the wire for one campaign, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    _submission: Submission = field(alias="submission", repr=False)
    _context: Context = field(alias="context", repr=False)

    def parse(self) -> CampaignResult:
        """Read it as `Campaigns.create` would.

        Raises:
            SmsPopError: as `Campaigns.create` does for this reply.
        """
        reply = Reply(status=self.status, headers=self.headers, body=self.body)
        verdict = classify(reply, self._submission.numbers, self._context)
        if isinstance(verdict, Accepted):
            return result_of(verdict)
        raise verdict.error


class RawCampaigns:
    """``sms.campaigns.with_raw_response``.

    Args:
        client: Whose connection, token and settings are used.
    """

    def __init__(self, client: "ApiClient") -> None:
        self._client = client

    async def create(
        self, *, name: str, message: str, sender_id: str, contacts: str | Iterable[object]
    ) -> RawResponse:
        """As `Campaigns.create`, but any reply at all is returned, also a refusal.

        What is proven unsent, and 429, is still retried; the reply is that of the last attempt.

        Raises:
            ConfigurationError: as `Campaigns.create`.
            ContactSourceError: as `Campaigns.create`.
            APIConnectionError: no reply; `.delivery` says whether it may have been sent.
        """
        submission = prepare(self._client, name=name, message=message, sender_id=sender_id, contacts=contacts)
        attempt = Attempt()
        verdict = await self._client.submitter.submit(submission, attempt)
        if attempt.reply is None:
            assert not isinstance(verdict, Accepted)  # noqa: S101 - nothing is accepted without a reply
            raise verdict.error
        return RawResponse(
            status=attempt.reply.status,
            headers=attempt.reply.headers,
            body=attempt.reply.body,
            submission=submission,
            context=Context(
                url=self._client.url(CAMPAIGNS), redact=Redactor((message,)), normalise=submission.normalise
            ),
        )


def result_of(verdict: Accepted) -> CampaignResult:
    """Make the public value of an accepted campaign."""
    return CampaignResult(
        success=True,
        message=verdict.message,
        campaign=verdict.campaign,
        summary=verdict.claimed or verdict.settlement.summary,
        contacts=verdict.settlement.contacts(),
        discrepancies=verdict.settlement.discrepancies,
    )


def check_campaign(*, name: object, message: object, sender_id: object) -> None:
    """Refuse what the server would refuse or change.

    Raises:
        ConfigurationError: and which of them it is.
    """
    for field_name, value in (("name", name), ("sender_id", sender_id)):
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"{field_name} must be a text that is not empty.")
        if not value.isprintable() or value != value.strip():
            raise ConfigurationError(
                f"{field_name} has white space at an end or a character that cannot be printed."
            )
    if len(str(name)) > NAME_LIMIT:
        raise ConfigurationError(f"name has {len(str(name))} characters; the API keeps {NAME_LIMIT}.")
    if not isinstance(message, str):
        raise ConfigurationError(f"message must be a text, not {type(message).__name__}.")
    check_message(message)


def prepare(
    client: "ApiClient", *, name: str, message: str, sender_id: str, contacts: str | Iterable[object]
) -> Submission:
    """Check and encode one campaign.

    Raises:
        ConfigurationError: name, message or sender ID cannot be sent.
        ContactSourceError: a contact is not a phone number, or there is none.
    """
    check_campaign(name=name, message=message, sender_id=sender_id)
    numbers = _numbers(client, contacts)
    body = Envelope(message=message, sender_id=sender_id).encode(name, numbers)
    if len(body) > BODY_LIMIT:
        raise ConfigurationError(
            f"One campaign with {len(numbers)} contacts is too large; use send(), which splits it."
        )
    return Submission(
        name=name, body=body, numbers=numbers, message=message, normalise=client.number_or_none
    )


def _numbers(client: "ApiClient", contacts: str | Iterable[object]) -> list[str]:
    numbers: dict[str, None] = {}
    row = 0
    for slab in read_slabs(contacts):
        for value in slab.values:
            row += 1
            try:
                numbers[client.normaliser.normalise(value)] = None
            except InvalidNumber as problem:
                raise ContactSourceError(
                    f"Contact {row} is not a phone number ({problem.reason}). Nothing was sent: "
                    "correct it, or use send(), which reports such rows and sends the others."
                ) from None
    if not numbers:
        raise ContactSourceError("There is no contact to send to. Nothing was sent.")
    return list(numbers)
