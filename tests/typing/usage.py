"""How the library is used, for type checkers: this file must pass `mypy --strict` and pyright; it is never run."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any, assert_type

import aiohttp

from smspop_async import (
    APIStatusError,
    Batch,
    Campaign,
    CampaignOutcome,
    CampaignResult,
    ContactOutcome,
    ContactResult,
    ContentRejectedError,
    Delivery,
    PartialFailureError,
    Plan,
    Progress,
    RateLimit,
    RateLimitError,
    ReconcilePolicy,
    Report,
    RetryPolicy,
    SmsPop,
    SmsPopError,
    Status,
    Summary,
    Timeouts,
    ValidationError,
    plan_campaign,
)
from smspop_async.events import CampaignSettled, Event
from smspop_async.sandbox import Message, Sandbox


async def fresh_token() -> str:
    return "1|fake-token"


def listen(event: Event) -> None:
    if isinstance(event, CampaignSettled):
        assert_type(event.contacts, int)


async def one_campaign() -> None:
    async with SmsPop(token="1|fake-token") as sms:
        result = await sms.campaigns.create(
            name="Welcome", message="Hello!", sender_id="BRAND1", contacts=["263770000001", "0770 000 002"]
        )
        assert_type(result, CampaignResult)
        assert_type(result.success, bool)
        assert_type(result.campaign, Campaign)
        assert_type(result.campaign.status, str)
        assert_type(result.summary.sent, int)
        for contact in result.contacts:
            assert_type(contact, ContactResult)
            assert_type(contact.status, Status)
        async for campaign in sms.campaigns.list():
            assert_type(campaign, Campaign)
        raw = await sms.campaigns.with_raw_response.create(
            name="Welcome", message="Hello!", sender_id="BRAND1", contacts="263770000001, 263770000002"
        )
        assert_type(raw.status, int)
        assert_type(raw.parse(), CampaignResult)


async def rows() -> AsyncIterator[Mapping[str, str]]:
    yield {"phone": "263770000001", "first_name": "Rudo"}


async def many_campaigns(session: aiohttp.ClientSession) -> None:
    async with SmsPop(
        fresh_token,
        base_url="https://smspop.co.zw/api",
        timeout=Timeouts(total=30.0),
        retry=RetryPolicy(attempts=5),
        max_connections=8,
        session=session,
        default_region="ZA",
        on_event=listen,
    ) as sms:
        report = await sms.send(
            Path("contacts.csv"),
            message=Template("Dear $first_name"),
            sender_id="BRAND1",
            name="Welcome",
            chunk_size=500,
            max_concurrency=8,
            rate_limit=RateLimit(contacts_per_second=200),
            suppress=Path("opted-out.txt"),
            reconcile=ReconcilePolicy(horizon=30.0),
        )
        assert_type(report, Report)
        assert_type(report.counts[Status.SENT], int)
        assert_type(report.summary, Summary)
        assert_type(report.stopped_by, SmsPopError | None)
        assert_type(report.campaigns, tuple[CampaignOutcome, ...])
        assert_type(report.outcomes(), Iterator[ContactOutcome])
        assert_type(report.to_dict(), dict[str, Any])
        report.write_csv("report.csv")
        report.raise_for_failures()
        await sms.send(rows(), message="Hello!", sender_id="BRAND1", reconcile=None)
        await sms.send([263770000001], message="Hello!", sender_id="BRAND1")
        assert_type(sms.with_options(timeout=30.0), SmsPop)


async def streaming() -> None:
    async with SmsPop() as sms, sms.stream(rows(), message="Hello!", sender_id="BRAND1") as batch:
        assert_type(batch, Batch)
        async for outcome in batch:
            assert_type(outcome, ContactOutcome)
            assert_type(outcome.index, int)
            assert_type(outcome.line, int | None)
            assert_type(batch.progress, Progress)
    assert_type(batch.report, Report)


def planning() -> None:
    plan = plan_campaign("263770000001", message="Hello!", suppress=["263770000002"])
    assert_type(plan, Plan)
    assert_type(plan.credits, int)
    for row in plan.invalid:
        assert_type(row.line, int | None)
        assert_type(row.reason, str)


def handling(error: SmsPopError) -> None:
    assert_type(error.delivery, Delivery)
    match error:
        case RateLimitError():
            assert_type(error.retry_after, float | None)
        case ContentRejectedError():
            assert_type(error.category, str | None)
        case ValidationError():
            assert_type(error.errors, dict[str, list[str]])
        case APIStatusError():
            assert_type(error.status, int)
        case PartialFailureError():
            report: Report = error.report
            report.raise_for_failures()
        case _:
            pass


async def sandbox() -> None:
    async with Sandbox(credits=100) as box, SmsPop(token=box.token, base_url=box.api_url):
        box.fail_next(429, retry_after=2)
        box.fail_next("hang", times=2, endpoint="POST")
        assert_type(box.messages(to="263770000001"), list[Message])
        assert_type(await box.wait_for(to="263770000001"), Message)
        assert_type(await box.wait_for(count=2), list[Message])
