"""Law 3, No blind resend: a POST is repeated only when it is proven that the server did not act on it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer, hurried_client
from rawserver import fake_numbers, raw_server
from smspop_async import ReconcilePolicy, SmsPopError, Status
from smspop_async.errors import Delivery

pytestmark = pytest.mark.anyio

CLOSING = [*ACTIONS, "close_after_ok"]


class ClosingServer(FaultServer):
    """Also promises keep-alive and then closes: the next request may meet a stale connection."""

    async def _close_after_ok(self, peer, numbers) -> None:
        self.texted.update(numbers)
        await self._ok(peer, numbers)
        peer.close()


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 60),
    actions=st.lists(st.sampled_from(CLOSING), max_size=20),
    chunk_size=st.integers(1, 9),
    concurrency=st.integers(1, 6),
)
async def test_nobody_is_texted_twice_by_a_run(count, actions, chunk_size, concurrency):
    """Under any script of faults nobody is texted twice, and nobody who was texted is called unsent."""
    await _send_and_judge(count, actions, chunk_size, concurrency)


@settings(max_examples=80, deadline=None)
@given(actions=st.lists(st.sampled_from(CLOSING), min_size=1, max_size=8))
async def test_a_single_campaign_is_never_repeated_blindly(actions):
    """`create` posts again only after a 429 or what never arrived; its error says honestly what became of it."""
    server = ClosingServer(actions)
    rows = fake_numbers(3)
    async with raw_server(server.script) as raw, hurried_client(raw) as sms:
        for _ in actions:
            before = server.texted.copy()
            try:
                await sms.campaigns.create(name="One", message="Hello!", sender_id="DEMO", contacts=rows)
                texted = True
            except SmsPopError as error:
                texted = None if error.delivery is Delivery.UNKNOWN else False
            grown = server.texted - before
            assert max(grown.values(), default=0) <= 1
            assert texted is None or bool(grown) is texted


async def test_an_unknown_campaign_stays_unknown_when_the_list_does_not_have_it():
    """Absence is never proof: the contacts stay UNKNOWN, nothing is sent again, and the detail says so."""
    server = FaultServer(["hang_up_before"])
    async with raw_server(server.script) as raw, hurried_client(raw) as sms:
        report = await sms.send(
            fake_numbers(4),
            message="Hello!",
            sender_id="DEMO",
            reconcile=ReconcilePolicy(first=0.001, horizon=0.01),
        )
    assert server.posts == 1
    assert report.counts[Status.UNKNOWN] == 4
    assert {outcome.detail for outcome in report.outcomes() if "not found" in outcome.detail}


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(20, 200),
    actions=st.lists(st.sampled_from(CLOSING), max_size=10),
    chunk_size=st.integers(20, 40),
    concurrency=st.integers(1, 4),
)
async def test_nobody_is_texted_twice_by_a_run_of_large_campaigns(count, actions, chunk_size, concurrency):
    """The same where accepted replies are read by proof: what is said of a contact is what became of it."""
    await _send_and_judge(count, actions, chunk_size, concurrency)


async def _send_and_judge(count, actions, chunk_size, concurrency):
    rows = fake_numbers(count)
    server = ClosingServer(actions)
    async with raw_server(server.script) as raw, hurried_client(raw) as sms:
        report = await sms.send(
            rows,
            message="Hello!",
            sender_id="DEMO",
            chunk_size=chunk_size,
            max_concurrency=concurrency,
            reconcile=ReconcilePolicy(first=0.001, horizon=0.003),
        )
    server.judge(report)
    for number, posts in server.posted.items():
        # What arrived more than once was refused every time but one.
        assert posts - server.refused[number] <= 1
