"""Law 7, Discretion: no token, message text or whole phone number in a log line, an exception or a repr."""

import json
import logging
import pickle
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultserver import ACTIONS, FaultServer
from rawserver import fake_numbers, raw_server, sent_numbers
from smspop_async import ReconcilePolicy, RetryPolicy, SmsPop, SmsPopError, plan_campaign
from smspop_async.integrations._fastapi_router import NewSend
from smspop_async.integrations._requests import new_send
from smspop_async.integrations.sends import Sends
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

TOKEN = "7|FakeTokenThatMustNotBeSeenAnywhere"
MESSAGE = "Fees of Tendai are due, kindly pay"
NUMBERS = fake_numbers(12, start=1234567)
SECRETS = (TOKEN, "FakeTokenThat", MESSAGE, "Tendai", *NUMBERS, *("0" + n[3:] for n in NUMBERS))


def assert_discreet(*texts: str) -> None:
    for text in texts:
        for secret in SECRETS:
            assert secret not in text


def shown(error: BaseException) -> list[str]:
    """All that an exception can show, its chain included."""
    texts = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
    carried = {key: value for key, value in vars(error).items() if key != "report"}
    return [*texts, repr(carried)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=10), chunk_size=st.integers(1, 6))
async def test_no_fault_makes_a_run_show_a_secret(caplog, actions, chunk_size):
    """Logs at DEBUG, events, reports, outcomes and errors of a run under any fault show no secret."""
    events = []
    caplog.clear()
    server = FaultServer(actions)
    async with raw_server(server.script) as raw:
        with caplog.at_level(logging.DEBUG):
            async with client(raw, on_event=events.append) as sms:
                report = await sms.send(
                    NUMBERS,
                    message=MESSAGE,
                    sender_id="DEMO",
                    chunk_size=chunk_size,
                    reconcile=ReconcilePolicy(first=0.001, horizon=0.002),
                )
                assert_discreet(repr(sms))
    assert_discreet(caplog.text, *map(repr, events), repr(report), json.dumps(report.to_dict()))
    for outcome in report.outcomes():
        assert_discreet(repr(outcome), outcome.detail)
    if report.stopped_by is not None:
        assert_discreet(*shown(report.stopped_by))
    try:
        report.raise_for_failures()
    except SmsPopError as error:
        assert_discreet(*shown(error))


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 301])
@pytest.mark.parametrize("quoting", ["message", "errors"])
async def test_an_api_that_quotes_what_was_sent_does_not_get_it_into_an_error(status, quoting):
    """The API's words are quoted in errors, less the secrets that they may hold."""

    async def parrot(peer, request):
        text = f"Bad: {request.headers['Authorization']} {MESSAGE} {request.body.decode()}"
        body = {"success": False, "message": "no"}
        body[quoting] = text if quoting == "message" else {"manual_contacts": [text], MESSAGE: [text]}
        await peer.json(status, json.dumps(body), "Location: http://127.0.0.1/?t=" + TOKEN)

    async with raw_server(parrot) as raw, client(raw) as sms:
        with pytest.raises(SmsPopError) as caught:
            await sms.campaigns.create(name="One", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS)
    assert_discreet(*shown(caught.value))
    assert_discreet(*shown(pickle.loads(pickle.dumps(caught.value))))


@pytest.mark.parametrize("written", ["263772345678", "+263 77 234 5678", "0772-345-678"])
async def test_a_number_in_a_name_is_in_no_repr(written):
    """A name is the user's own text: every value has it as it was given, and masks a number in it in its repr."""
    name = f"For {written}"
    arguments = {"name": name, "message": "Hello!", "sender_id": "DEMO"}
    async with Sandbox() as sandbox, SmsPop(sandbox.token, base_url=sandbox.api_url) as sms:
        result = await sms.campaigns.create(**arguments, contacts=NUMBERS)
        listed = [campaign async for campaign in sms.campaigns.list()]
        report = await sms.send(NUMBERS, **arguments)
        async with Sends(sms) as sends:
            status = await sends.wait(await sends.start(NUMBERS, **arguments))
        values = [result, result.campaign, *listed, report, *report.campaigns, status]
        values += [*sandbox.campaigns, *sandbox.messages()]
    assert report.name == status.name == result.campaign.name == name
    assert report.campaigns[0].name.startswith(name)
    for value in values:
        assert written not in repr(value)
        assert "For " in repr(value)
    assert f"[{report.run}-0001]" in repr(report.campaigns[0])


def test_what_a_web_app_is_asked_for_hides_it_in_its_repr():
    """The body of a request can be printed, as FastAPI's models and as the values of other frameworks."""
    body = {"message": MESSAGE, "sender_id": "DEMO", "contacts": NUMBERS, "name": f"For {NUMBERS[0]}"}
    assert_discreet(repr(new_send(body)), repr(NewSend(**body)), str(NewSend(**body)))


async def test_values_hide_their_secrets_in_their_repr():
    """Results, plans and raw responses can be printed."""

    async def answer(peer, request):
        rows = [{"phone_number": number, "status": "sent"} for number in sent_numbers(request)]
        campaign = {"name": "One", "message": MESSAGE, "x": MESSAGE}
        await peer.json(
            200, json.dumps({"success": True, "message": MESSAGE, "campaign": campaign, "contacts": rows})
        )

    async with raw_server(answer) as raw, client(raw) as sms:
        arguments = {"name": "One", "message": MESSAGE, "sender_id": "DEMO", "contacts": NUMBERS}
        result = await sms.campaigns.create(**arguments)
        response = await sms.campaigns.with_raw_response.create(**arguments)
    plan = plan_campaign([*NUMBERS, NUMBERS[0] + "99"], message=MESSAGE)
    assert_discreet(repr(result), repr(list(result.contacts)), repr(response), repr(plan), repr(plan.invalid))


def client(raw, **options) -> SmsPop:
    return SmsPop(
        token=TOKEN,
        base_url=raw.base_url,
        retry=RetryPolicy(attempts=2, initial_backoff=0.0, max_backoff=0.0),
        timeout=5,
        **options,
    )
