"""Mistakes that type checkers must find: one on each line that ends in `# mistake`, and none elsewhere; never run."""

from smspop_async import RateLimit, RetryPolicy, SmsPop, Status, plan_campaign
from smspop_async.sandbox import Sandbox


async def mistakes(sms: SmsPop, sandbox: Sandbox) -> None:
    SmsPop(token=5)  # mistake
    SmsPop("1|fake-token", "https://smspop.co.zw/api")  # mistake
    RateLimit(200)  # mistake
    RetryPolicy(attempts="3")  # mistake
    RetryPolicy().attempts = 5  # mistake
    await sms.send(["263770000001"], sender_id="BRAND1")  # mistake
    await sms.send(["263770000001"], message=b"Hello!", sender_id="BRAND1")  # mistake
    await sms.send(5, message="Hello!", sender_id="BRAND1")  # mistake
    await sms.send([], message="Hello!", sender_id="BRAND1", rate_limit=200)  # mistake
    report = await sms.send(["263770000001"], message="Hello!", sender_id="BRAND1")
    report.total = 0  # mistake
    str(report.counts["delivered"])  # mistake
    str(sms.send(["263770000001"], message="Hello!", sender_id="BRAND1").counts)  # mistake
    list(sms.campaigns.list())  # mistake
    await sms.campaigns.create(name="Welcome", message="Hello!", sender_id="BRAND1")  # mistake
    plan_campaign(["263770000001"])  # mistake
    str(Status.DELIVERED)  # mistake
    sandbox.fail_next(429, retry_in=2)  # mistake
    sandbox.fail_next(429, endpoint="PUT")  # mistake
