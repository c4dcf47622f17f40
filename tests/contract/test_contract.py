"""The same suite against the sandbox and against golden raw bytes: the client cannot tell the two apart."""

from typing import Any

import pytest
from attrs import evolve

from smspop_async import (
    AccountInactiveError,
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    ContentRejectedError,
    Delivery,
    InsufficientCreditsError,
    InvalidSenderError,
    RateLimitError,
    ServerError,
    SmsPopError,
    Status,
    Summary,
    UnreadableResponseError,
    ValidationError,
)

pytestmark = pytest.mark.anyio

TEXT = "Your parcel waits."
FAILS = "263770009901"


async def create(sms: Any, contacts: str = "263770000001, 263770000002") -> Any:
    return await sms.campaigns.create(name="Parcels", message=TEXT, sender_id="BRAND1", contacts=contacts)


async def test_campaign_is_sent(api: Any) -> None:
    """The documented call has the documented answer."""
    api.stage("sent")
    result = await create(api.sms)
    assert result.success
    assert result.message == "Successfully imported 2 contacts and SMS sending completed."
    campaign = result.campaign
    assert (campaign.name, campaign.message, campaign.sender_id, campaign.status) == (
        "Parcels",
        TEXT,
        "BRAND1",
        "approved",
    )
    assert result.summary == Summary(sent=2, failed=0)
    assert [(contact.phone_number, contact.status) for contact in result.contacts] == [
        ("263770000001", Status.SENT),
        ("263770000002", Status.SENT),
    ]
    assert result.discrepancies == ()
    assert api.posts == 1


async def test_contact_fails(api: Any) -> None:
    """A contact that failed is told by number; the call is a success."""
    api.stage("one failed")
    result = await create(api.sms, f"263770000001, {FAILS}")
    assert [contact.status for contact in result.contacts] == [Status.SENT, Status.FAILED]
    assert result.summary == Summary(sent=1, failed=1)
    assert result.discrepancies == ()


async def test_campaigns_are_listed(api: Any) -> None:
    """A campaign that was sent stands in the list with its documented fields."""
    api.stage("sent")
    await create(api.sms)
    (campaign,) = [campaign async for campaign in api.sms.campaigns.list()]
    assert (campaign.name, campaign.sender_id, campaign.status) == ("Parcels", "BRAND1", "approved")


CASES = [
    ("success_false", APIStatusError, Delivery.REJECTED, 200),
    ("400", APIStatusError, Delivery.REJECTED, 400),
    ("401", AuthenticationError, Delivery.REJECTED, 401),
    ("402", InsufficientCreditsError, Delivery.REJECTED, 402),
    ("403 inactive", AccountInactiveError, Delivery.REJECTED, 403),
    ("403 content", ContentRejectedError, Delivery.REJECTED, 403),
    ("413", APIStatusError, Delivery.REJECTED, 413),
    ("422 sender", InvalidSenderError, Delivery.REJECTED, 422),
    ("422 field", ValidationError, Delivery.REJECTED, 422),
    ("429", RateLimitError, Delivery.REJECTED, 429),
    ("redirect", APIStatusError, Delivery.REJECTED, 301),
    ("500", ServerError, Delivery.UNKNOWN, 500),
    ("502", ServerError, Delivery.UNKNOWN, 502),
    ("504", ServerError, Delivery.UNKNOWN, 504),
    ("malformed", UnreadableResponseError, Delivery.UNKNOWN, 200),
    ("html", UnreadableResponseError, Delivery.UNKNOWN, 200),
    ("empty", UnreadableResponseError, Delivery.UNKNOWN, 200),
    ("truncated", APIConnectionError, Delivery.UNKNOWN, None),
    ("reset_after", APIConnectionError, Delivery.UNKNOWN, None),
    ("disconnect_after", APIConnectionError, Delivery.UNKNOWN, None),
    ("disconnect_before", APIConnectionError, Delivery.UNKNOWN, None),
]


@pytest.mark.parametrize(("case", "kind", "delivery", "status"), CASES, ids=[case[0] for case in CASES])
async def test_failure(
    api: Any, case: str, kind: type[SmsPopError], delivery: Delivery, status: int | None
) -> None:
    """Each documented or assumed failure has its class and its delivery, and is posted once (429: three times)."""
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    now = [0.0]
    api.sms._submitter = evolve(api.sms.submitter, clock=evolve(api.sms.submitter.clock, sleep=sleep))
    api.sms.submitter.gate._clock = lambda: now[0]
    api.stage(case)
    with pytest.raises(kind) as caught:
        await create(api.sms)
    assert type(caught.value) is kind
    assert caught.value.delivery is delivery
    assert getattr(caught.value, "status", None) == status
    assert api.posts == (3 if case == "429" else 1)
    assert slept == ([2, 2] if case == "429" else [])


async def test_documented_details_of_errors(api: Any) -> None:
    """The category, the words and the fields of the document's samples are attributes."""
    api.stage("403 content")
    with pytest.raises(ContentRejectedError) as content:
        await create(api.sms)
    assert content.value.category == "political"
    api.stage("422 field")
    with pytest.raises(ValidationError) as invalid:
        await create(api.sms)
    assert invalid.value.api_message == "Validation failed"
    assert invalid.value.errors == {"contact_import_method": ["The contact import method field is required."]}
    api.stage("402")
    with pytest.raises(InsufficientCreditsError) as credit:
        await create(api.sms)
    assert credit.value.api_message == "Insufficient credits. Please purchase more SMS credits"
