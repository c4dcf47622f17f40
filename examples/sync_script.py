"""A script that needs no asyncio: `python examples/sync_script.py`. It sends in a sandbox of its own and texts nobody.

With SMSPOP_TOKEN set, and the two options of `run` taken out, it is the script of somebody with a list to text.
"""

import sys
from pathlib import Path

from anyio.from_thread import start_blocking_portal

import smspop_async
from smspop_async import Report, SmsPop, Status, plan_campaign
from smspop_async.sandbox import Sandbox

CONTACTS = Path(__file__).with_name("contacts.csv")
MESSAGE = "Hello from a script!"


async def send(sms: SmsPop) -> Report:
    """The one async function: whatever it awaits is waited for."""
    return await sms.send(CONTACTS, message=MESSAGE, sender_id="DEMO", name="Script")


def main() -> int:
    """Plan, send, and leave a report."""
    plan = plan_campaign(CONTACTS, message=MESSAGE)
    print(f"{plan.valid} of {plan.total} rows can be sent to, for about {plan.credits} credits.")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Sandbox()) as sandbox:
        try:
            report = smspop_async.run(send, token=sandbox.token, base_url=sandbox.api_url)
        except KeyboardInterrupt as interrupt:  # what was under way has settled, and the report is true
            report = getattr(interrupt, "report", None)
            if report is None:
                raise
    report.write_csv("report.csv")
    print(f"{report.counts[Status.SENT]} sent; what became of every row is in report.csv.")
    return 0 if report.stopped_by is None and not report.cancelled else 1


if __name__ == "__main__":
    sys.exit(main())
