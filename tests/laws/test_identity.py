"""Law 2, Identity: replies are joined to recipients by phone number, never by position."""

import json
import random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultserver import FaultServer
from rawserver import fake_numbers, raw_server, sent_numbers
from smspop_async import SmsPop, Status
from smspop_async.api import classify
from smspop_async.api.expected import read_expected

pytestmark = pytest.mark.anyio


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(1, 40),
    failed=st.sets(st.integers(0, 39)),
    seed=st.integers(0, 2**32),
    chunk_size=st.integers(1, 11),
    spelling=st.sampled_from(["{}", "+{}", " {} ", "+{0[0]}{0[1]}{0[2]} {1}"]),
)
async def test_the_status_of_a_contact_is_that_of_its_number(count, failed, seed, chunk_size, spelling):
    """However the rows of a reply are ordered and spelled, a contact gets the status that stands by its number."""
    rows = fake_numbers(count)
    bad = {rows[at] for at in failed if at < count}
    order = random.Random(seed)

    async def shuffled(peer, request):
        reply = [
            {
                "phone_number": spelling.format(number, number[3:]),
                "status": "failed" if number in bad else "sent",
            }
            for number in sent_numbers(request)
        ]
        order.shuffle(reply)
        await peer.json(200, json.dumps({"success": True, "contacts": reply}))

    async with raw_server(shuffled) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        report = await sms.send(rows, message="Hello!", sender_id="DEMO", chunk_size=chunk_size)
    assert {outcome.phone_number for outcome in report.outcomes() if outcome.status is Status.FAILED} == bad
    assert report.counts[Status.SENT] == count - len(bad)
    assert (report.summary.sent, report.summary.failed) == (count - len(bad), len(bad))


@pytest.mark.parametrize("action", ["row_missing", "row_extra", "row_twice"])
async def test_an_odd_reply_moves_nobodys_status_to_a_neighbour(action):
    """A row that is missing, foreign or doubled changes the outcome of its own number alone."""
    rows = fake_numbers(10)
    server = FaultServer([action])
    async with raw_server(server.script) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        report = await sms.send(rows, message="Hello!", sender_id="DEMO")
    first, *others = report.outcomes()
    assert {outcome.status for outcome in others} == {Status.SENT}
    assert first.status is (Status.SENT if action == "row_extra" else Status.UNKNOWN)
    assert len(report.discrepancies) >= 1


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(20, 120),
    failed=st.sets(st.integers(0, 119)),
    seed=st.integers(0, 2**32),
    chunk_size=st.integers(20, 60),
    shuffle=st.booleans(),
    layout=st.sampled_from(["documented", "status-first", "with-a-constant", "with-a-counter", "nested"]),
    indent=st.sampled_from([None, 2]),
)
async def test_the_status_of_a_contact_is_that_of_its_number_at_size(
    count, failed, seed, chunk_size, shuffle, layout, indent
):
    """The same where replies are large enough to be read by proof: layout and order move nobody's status."""
    rows = fake_numbers(count)
    bad = {rows[at] for at in failed if at < count}
    order = random.Random(seed)

    async def laid_out(peer, request):
        reply = []
        for at, number in enumerate(sent_numbers(request)):
            row = {"phone_number": number, "status": "failed" if number in bad else "sent"}
            extras = {"with-a-constant": {"via": "x"}, "with-a-counter": {"id": at}, "nested": {"more": [at]}}
            extra = extras.get(layout, {})
            reply.append(dict(reversed(row.items())) if layout == "status-first" else row | extra)
        if shuffle:
            order.shuffle(reply)
        await peer.json(200, json.dumps({"success": True, "contacts": reply}, indent=indent))

    read = []

    def reading(body, numbers):
        read.append(read_expected(body, numbers))
        return read[-1]

    with patch.object(classify, "read_expected", reading):
        async with raw_server(laid_out) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
            report = await sms.send(rows, message="Hello!", sender_id="DEMO", chunk_size=chunk_size)
    assert {outcome.phone_number for outcome in report.outcomes() if outcome.status is Status.FAILED} == bad
    assert report.counts[Status.SENT] == count - len(bad)
    assert (report.summary.sent, report.summary.failed) == (count - len(bad), len(bad))
    assert (read[0] is None) == (layout == "nested"), "the first campaign is a full one"
