"""Send to a list in a sandbox, and see what became of every row: `python examples/quickstart.py`. Texts nobody."""

import asyncio
from pathlib import Path

from smspop_async import SmsPop, Status, plan_campaign
from smspop_async.sandbox import Sandbox

CONTACTS = Path(__file__).with_name("contacts.csv")
MESSAGE = "Hello from the sandbox!"


async def main() -> None:
    """Plan, send, and show the rows that were not sent to."""
    plan = plan_campaign(CONTACTS, message=MESSAGE)
    print(f"{plan.valid} of {plan.total} rows can be sent to, in {plan.chunks} campaigns.")

    async with Sandbox() as sandbox, SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms:
        report = await sms.send(CONTACTS, message=MESSAGE, sender_id="DEMO")

    for outcome in report.outcomes():
        if outcome.status is not Status.SENT:
            print(f"line {outcome.line}: {outcome.status} {outcome.detail}")
    print(", ".join(f"{count} {status}" for status, count in report.counts.items() if count))


asyncio.run(main())
