"""``sms.campaigns``: create (which sends) and list, as the vendor's document has them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from anyio.lowlevel import checkpoint
from attrs import field, frozen

from smspop_async.api.classify import Accepted, Rejected, Verdict
from smspop_async.api.columns import counted
from smspop_async.api.listing import list_pages, look_at_page
from smspop_async.api.models import Campaign, CampaignResult, Status
from smspop_async.api.submit import Attempt, Submission, Submitter
from smspop_async.api.wire import NAME_LIMIT, Envelope, Page
from smspop_async.contacts.numbers import PARSED_AT_ONCE, InvalidNumber
from smspop_async.contacts.plan import SHORTEST
from smspop_async.contacts.sources import read_slabs
from smspop_async.errors import ConfigurationError, ContactSourceError, SmsPopError
from smspop_async.events import CampaignSettled, is_heard, notify
from smspop_async.message import check_message

if TYPE_CHECKING:
    from smspop_async.api.client import ApiClient

BODY_LIMIT: Final = 2**20
"""Bytes of one request body: above this a single write would hold the event loop."""
_SLAB: Final = 500
_TEXT: Final = frozenset({str})


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
            The API's answer, with one contact for each number. Contacts that failed are in it and raise
            nothing.

        Raises:
            ConfigurationError: name, message, sender ID or token cannot be sent. Nothing was sent.
            ContactSourceError: a contact is not a phone number, or there is none. Nothing was sent.
            APIConnectionError: no reply; `.delivery` says whether it may have been sent.
            APIStatusError: the API refused, by its documented errors; or failed (`ServerError`).
            UnreadableResponseError: a reply that cannot be understood; it may have been sent.
            OutcomeUnknownError: a reply that proves nothing; it may have been sent.
        """
        submission = await prepare(
            self._client, name=name, message=message, sender_id=sender_id, contacts=contacts
        )
        return result_or_error(await _submit_one(self._client.submitter, submission, Attempt()))

    async def list(self) -> AsyncIterator[Campaign]:
        """Iterate over the account's campaigns, page by page, in the API's order.

        Raises:
            APIConnectionError: no reply after the retries.
            APIStatusError: the API refused or failed.
            UnreadableResponseError: a reply that is no list of campaigns, or a list without a provable end.
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
    _verdict: Verdict = field(alias="verdict", repr=False)

    def parse(self) -> CampaignResult:
        """Read it as `Campaigns.create` would.

        Raises:
            SmsPopError: as `Campaigns.create` does for this reply.
        """
        return result_or_error(self._verdict)


@frozen(kw_only=True)
class RawPage:
    """What came over the wire for one page of the list of campaigns, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    _page: Page | SmsPopError = field(alias="page", repr=False)

    def parse(self) -> Sequence[Campaign]:
        """Read it as `Campaigns.list` would.

        Raises:
            SmsPopError: as `Campaigns.list` does for this reply.
        """
        return self._read().campaigns

    @property
    def next_query(self) -> Mapping[str, str] | None:
        """What to give to `RawCampaigns.list` for the next page; None where there is none."""
        return self._read().next_query

    def _read(self) -> Page:
        if isinstance(self._page, SmsPopError):
            raise self._page
        return self._page


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
        submission = await prepare(
            self._client, name=name, message=message, sender_id=sender_id, contacts=contacts
        )
        attempt = Attempt()
        verdict = await _submit_one(self._client.submitter, submission, attempt)
        reply = attempt.reply
        if reply is None:
            result_or_error(verdict)
        assert reply is not None  # noqa: S101 - without a reply nothing is accepted, so that raised
        return RawResponse(status=reply.status, headers=reply.headers, body=reply.body, verdict=verdict)

    async def list(self, query: Mapping[str, str] | None = None) -> RawPage:
        """Fetch one page of the list of campaigns and return any reply at all, also a refusal.

        Connection errors, 429 and 5xx are still retried; the reply is that of the last attempt.

        Args:
            query: ``page`` or ``cursor``, as `RawPage.next_query` has it; None for the first page.

        Raises:
            ConfigurationError: the token, or the event loop, is not usable.
            APIConnectionError: no reply after the retries.
        """
        look = await look_at_page(self._client, dict(query or {}))
        if look.reply is None:
            raise look.error
        return RawPage(
            status=look.reply.status, headers=look.reply.headers, body=look.reply.body, page=look.page
        )


async def _submit_one(submitter: Submitter, submission: Submission, attempt: Attempt) -> Verdict:
    """Submit a campaign that is part of no run, and tell what became of it, however it ends."""
    reason = "cancelled"
    try:
        verdict = await submitter.submit(submission, attempt)
        reason = "" if isinstance(verdict, Accepted) else type(verdict.error).__name__
        return verdict
    finally:
        if is_heard(submitter.observer):
            notify(submitter.observer, _settled(submission, attempt, reason))


def _settled(submission: Submission, attempt: Attempt, reason: str) -> CampaignSettled:
    contacts = len(submission.numbers)
    if isinstance(attempt.verdict, Accepted):
        statuses = counted(attempt.verdict.settlement.statuses)
        status = Status.ACCEPTED
    else:
        refused = isinstance(attempt.verdict, Rejected)
        unsent = Status.REJECTED if refused else Status.NOT_SUBMITTED
        status = Status.UNKNOWN if attempt.may_have_left else unsent
        statuses = {status.value: contacts}
    return CampaignSettled(
        name=submission.name, contacts=contacts, outcome=status.value, statuses=statuses, reason=reason
    )


def result_or_error(verdict: Verdict) -> CampaignResult:
    """Make the public value of an accepted campaign.

    Raises:
        SmsPopError: the campaign was not accepted, as far as is known.
    """
    if not isinstance(verdict, Accepted):
        raise verdict.error
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


async def prepare(
    client: "ApiClient", *, name: str, message: str, sender_id: str, contacts: str | Iterable[object]
) -> Submission:
    """Check and encode one campaign.

    Raises:
        ConfigurationError: name, message or sender ID cannot be sent.
        ContactSourceError: a contact is not a phone number, or there is none.
    """
    check_campaign(name=name, message=message, sender_id=sender_id)
    numbers = await _numbers(client, contacts)
    body = _envelope(message, sender_id).encode(name, numbers)
    if len(body) > BODY_LIMIT:
        raise ConfigurationError(_TOO_LARGE)
    return Submission(name=name, body=body, numbers=numbers, message=message, normalise=client.number_or_none)


@lru_cache(maxsize=4)
def _envelope(message: str, sender_id: str) -> Envelope:
    """Many campaigns of one contact say the same to each."""
    return Envelope(message=message, sender_id=sender_id)


_TOO_LARGE = "One campaign with so many contacts is too large; use send(), which splits it. Nothing was sent."


async def _numbers(client: "ApiClient", contacts: str | Iterable[object]) -> list[str]:
    """The distinct numbers, in the order given; the loop gets its turn between slabs and slow slices."""
    # The usual call is a few numbers: there is nothing to open, and nothing to wait for.
    rows: Sequence[object] = contacts if isinstance(contacts, list) else ()
    if 0 < len(rows) <= _SLAB and _TEXT.issuperset(map(type, rows)):
        scan = client.normaliser.scan(rows)
        if not scan.undecided:
            return list(dict.fromkeys(cast("list[str]", scan.numbers)))
    if isinstance(contacts, Path):
        raise ConfigurationError("campaigns.create takes numbers; use send() for a file. Nothing was sent.")
    numbers: dict[str, None] = {}
    before = 0
    for slab in read_slabs(contacts, size=_SLAB):
        if before:
            await checkpoint()
        numbers.update(dict.fromkeys(await _scanned(client, slab.values, before)))
        before += len(slab)
        if len(numbers) > BODY_LIMIT // SHORTEST:
            raise ConfigurationError(_TOO_LARGE)
    if not numbers:
        raise ContactSourceError("There is no contact to send to. Nothing was sent.")
    return list(numbers)


async def _scanned(client: "ApiClient", values: Sequence[object], before: int) -> list[str]:
    """The numbers of a slab.

    Raises:
        ContactSourceError: a contact is not a phone number.
    """
    scan = client.normaliser.scan(values)
    if not scan.undecided:
        return cast("list[str]", scan.numbers)
    numbers = list(scan.numbers)
    for slow, at in enumerate(scan.undecided, 1):
        if slow % PARSED_AT_ONCE == 0:
            await checkpoint()
        try:
            numbers[at] = client.normaliser.parse(values[at])
        except InvalidNumber as problem:
            raise ContactSourceError(
                f"Contact {before + at + 1} is not a phone number ({problem.reason}). Nothing was sent: "
                "correct it, or use send(), which reports such rows and sends the others."
            ) from None
    return cast("list[str]", numbers)
