"""aiohttp.web: the cleanup context, the middleware, the routes and the events, over real sockets."""

import asyncio
import io
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appserver import Heard, listen, program
from smspop_async import ConfigurationError, RateLimit, SmsPop
from smspop_async.integrations import aiohttp_web
from smspop_async.integrations.aiohttp_web import (
    SANDBOX,
    SENDS,
    SMSPOP,
    begin_drain,
    problems,
    setup_smspop,
    smspop_ctx,
    smspop_routes,
)
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

TEXT = "The secret text of the message"
NUMBERS = [f"26377000{number:04}" for number in range(30)]
NEW = {"message": TEXT, "sender_id": "BRAND1", "name": "Nightly", "contacts": NUMBERS}
WORDS = {"message": TEXT, "sender_id": "BRAND1"}
SLOW = {"chunk_size": 10, "max_concurrency": 1, "rate_limit": RateLimit(contacts_per_second=50)}
Client = TestClient[web.Request, web.Application]


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


async def welcome(request: web.Request) -> web.Response:
    result = await request.config_dict[SMSPOP].campaigns.create(
        name="Welcome", message=TEXT, sender_id="BRAND1", contacts=[request.match_info["phone"]]
    )
    return web.json_response({"status": result.contacts[0].status})


def make_app(sandbox: Sandbox, *, most: int = 1024**2, **settings: Any) -> web.Application:
    app = web.Application(client_max_size=most)
    setup_smspop(app, token=sandbox.token, base_url=sandbox.api_url, timeout=0.5, **settings)
    app.add_routes([*smspop_routes(), web.post("/welcome/{phone}", welcome)])
    return app


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(sandbox))) as client:
        yield client


async def heard(http: Client, send: str, last: str = "") -> list[Heard]:
    async with http.get(f"/sends/{send}/events", headers={"Last-Event-ID": last}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        return [event async for event in listen(response)]


async def ended(http: Client, send: str) -> dict[str, Any]:
    return json.loads((await heard(http, send))[-1].data)


# The app.


async def test_a_handler_gets_the_client_of_the_app(http: Client, sandbox: Sandbox) -> None:
    """The client is in the app under its key, and is closed with it."""
    async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert await reply.json() == {"status": "sent"}
    assert len(sandbox.messages()) == 1
    sms = http.server.app[SMSPOP]  # type: ignore[attr-defined]
    await http.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await sms.send(NUMBERS, **WORDS)


async def test_an_app_within_the_app_has_it_too(sandbox: Sandbox) -> None:
    """The keys reach applications that are mounted below."""
    inner = web.Application()
    inner.add_routes([web.post("/welcome/{phone}", welcome)])
    app = make_app(sandbox)
    app.add_subapp("/inner", inner)
    async with TestClient(TestServer(app)) as http, http.post(f"/inner/welcome/{NUMBERS[0]}") as reply:
        assert reply.status == 200


async def test_the_context_by_itself(sandbox: Sandbox) -> None:
    """`smspop_ctx` is all that is needed for a client; the rest is opt-in."""
    app = web.Application()
    app.cleanup_ctx.append(smspop_ctx(token=sandbox.token, base_url=sandbox.api_url))
    app.add_routes([web.post("/welcome/{phone}", welcome)])
    async with TestClient(TestServer(app)) as http:
        assert SANDBOX not in app
        async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
            assert reply.status == 200


async def test_the_shutdown_of_an_app_that_never_started() -> None:
    """The word to drain does no harm where nothing was opened."""
    await begin_drain(web.Application())


async def test_a_wrong_setting_keeps_the_app_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the app does not start; making it is no mistake yet."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    app = web.Application()
    setup_smspop(app)
    with pytest.raises(ConfigurationError, match="SMSPOP_TOKEN"):
        await TestServer(app).start_server()


@pytest.mark.parametrize("grace", ["x", -1, float("nan")])
async def test_a_wrong_grace_keeps_the_app_from_starting(grace: Any, sandbox: Sandbox) -> None:
    """It is the app's own mistake: no request is told that it was the client's."""
    with pytest.raises(ConfigurationError, match="grace"):
        await TestServer(make_app(sandbox, grace=grace)).start_server()


async def test_the_sandbox_starts_with_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sandbox=True`` needs no token and texts nobody."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    app = web.Application()
    setup_smspop(app, sandbox=True)
    async with TestClient(TestServer(app)):
        await app[SMSPOP].send(NUMBERS, message="x", sender_id="DEMO")
        assert len(app[SANDBOX].messages()) == 30


async def test_set_up_and_ended_in_different_tasks(sandbox: Sandbox) -> None:
    """Some runners and fixtures start an app in one task and end it in another."""
    runner = web.AppRunner(make_app(sandbox))
    await asyncio.create_task(runner.setup())
    send = await asyncio.create_task(runner.app[SENDS].start(NUMBERS, **WORDS))
    await runner.app[SENDS].wait(send)
    await asyncio.create_task(runner.cleanup())
    assert len(sandbox.messages()) == 30


# Errors.


@pytest.mark.parametrize(
    ("fault", "status", "delivery"),
    [
        ({"kind": 401}, 502, "rejected"),
        ({"kind": "no_credits"}, 402, "rejected"),
        ({"kind": 429, "times": 3, "retry_after": 0.01}, 503, "rejected"),
        ({"kind": "error_after"}, 502, "unknown"),
        ({"kind": "hang"}, 504, "unknown"),
        ({"kind": 422, "errors": {"name": ["Too long."]}}, 422, "rejected"),
    ],
    ids=str,
)
async def test_an_error_is_a_problem(
    fault: dict[str, Any],
    status: int,
    delivery: str,
    sandbox: Sandbox,
    http: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Errors are answered as for FastAPI: a status, a delivery, and nothing personal, in answer and log."""
    fault = dict(fault)
    sandbox.fail_next(fault.pop("kind"), **fault)
    async with http.post(f"/welcome/{NUMBERS[1]}") as reply:
        assert reply.content_type == "application/problem+json"
        body = await reply.text()
        problem = await reply.json()
    assert (reply.status, problem["status"], problem["delivery"]) == (status, status, delivery)
    assert ("Retry-After" in reply.headers) == (status == 503)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name == "smspop_async")
    assert ("{phone}" in ours) == (status in (502, 503, 504))
    for text in (body, ours):
        assert TEXT not in text
        assert NUMBERS[1] not in text
        assert sandbox.token not in text


async def test_other_errors_are_none_of_its_business(http: Client) -> None:
    """Errors of aiohttp itself pass."""
    async with http.get("/nowhere") as reply:
        assert (reply.status, reply.content_type) == (404, "text/plain")


async def test_an_error_without_a_route(sandbox: Sandbox) -> None:
    """An error of another middleware, before there is a route, is answered, too."""

    @web.middleware
    async def failing(request: web.Request, _: Any) -> web.StreamResponse:
        raise ConfigurationError("whatever")

    app = web.Application(middlewares=[problems, failing])
    async with TestClient(TestServer(app)) as http, http.get("/nowhere") as reply:
        assert reply.status == 500


# The routes.


async def test_a_send_from_its_start_to_its_report(http: Client, sandbox: Sandbox) -> None:
    """Start, watch, report, table, forget: each route does what it says."""
    async with http.post("/sends", json=NEW, headers={"Idempotency-Key": "one"}) as reply:
        started = await reply.json()
        assert (reply.status, reply.headers["Location"]) == (202, f"/sends/{started['id']}")
    async with http.post("/sends", json=NEW, headers={"Idempotency-Key": "one"}) as reply:
        assert (await reply.json())["id"] == started["id"]
    send = started["id"]
    assert (await ended(http, send))["counts"]["sent"] == 30
    async with http.get(f"/sends/{send}/report") as reply:
        assert (await reply.json())["summary"] == {"sent": 30, "failed": 0}
    async with http.get(f"/sends/{send}/report.csv") as reply:
        assert f"report-{send}.csv" in reply.headers["Content-Disposition"]
        assert NUMBERS[0] in await reply.text()
    async with http.get("/sends") as reply:
        assert [each["id"] for each in await reply.json()] == [send]
    async with http.get(f"/sends/{send}") as reply:
        assert (await reply.json())["state"] == "finished"
    async with http.delete(f"/sends/{send}") as reply:
        assert reply.status == 204
    async with http.get(f"/sends/{send}/events") as reply:
        assert (reply.status, (await reply.json())["error"]) == (404, "UnknownSendError")
    assert sorted(message.to for message in sandbox.messages()) == NUMBERS


@pytest.mark.parametrize("key", ["", "  "])
async def test_a_blank_key_is_refused(key: str, http: Client, sandbox: Sandbox) -> None:
    """Two requests with a blank ``Idempotency-Key`` are no double click: both are refused, and say why."""
    for number in NUMBERS[:2]:
        new = NEW | {"contacts": [number]}
        async with http.post("/sends", json=new, headers={"Idempotency-Key": key}) as reply:
            problem = await reply.json()
        assert (reply.status, problem["delivery"]) == (422, "not_sent")
        assert "Idempotency-Key" in problem["detail"]
    assert sandbox.requests == []


async def test_stop_and_resume(sandbox: Sandbox, tmp_path: Path) -> None:
    """A send that is stopped goes on when it is asked to."""
    async with TestClient(TestServer(make_app(sandbox, journal_dir=tmp_path))) as http:
        new = NEW | {"contacts": people(1_700), "contacts_per_second": 5}
        async with http.post("/sends", json=new) as reply:
            send = (await reply.json())["id"]
        await sandbox.wait_for(count=500)
        async with http.post(f"/sends/{send}/stop") as reply:
            assert reply.status == 202
        assert (await ended(http, send))["resumable"]
        async with http.post(f"/sends/{send}/resume?resend_unknown=false") as reply:
            assert (reply.status, (await reply.json())["state"]) == (202, "running")
        async with http.post(f"/sends/{send}/resume") as reply:
            assert (reply.status, (await reply.json())["error"]) == (409, "SendBusyError")


async def test_one_text_for_each_person(http: Client, sandbox: Sandbox) -> None:
    """With ``personal`` the fields of the rows fill the message."""
    rows = [{"phone_number": NUMBERS[0], "first_name": "Rudo"}]
    new = NEW | {"message": "Dear $first_name", "contacts": rows, "personal": True}
    async with http.post("/sends", json=new) as reply:
        await ended(http, (await reply.json())["id"])
    assert sandbox.messages()[-1].text == "Dear Rudo"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("no JSON", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "JSON object"),
        ("{}", "message is missing"),
        (json.dumps(NEW | {"chunk_sizes": 3}), "field too many"),
        (json.dumps(NEW | {"message": 3}), "message is not of the right type"),
        (json.dumps(NEW | {"contacts": [1]}), "field contacts"),
        (json.dumps(NEW | {"contacts_per_second": 0}), "contacts_per_second"),
        (json.dumps(NEW | {"message": "  "}), "message"),
    ],
)
async def test_what_cannot_be_sent_is_said_at_once(
    body: str, words: str, http: Client, sandbox: Sandbox
) -> None:
    """A request that asks for what cannot be is a 422 that says what, and repeats nothing."""
    async with http.post("/sends", data=body) as reply:
        problem = await reply.json()
    assert (reply.status, problem["error"]) == (422, "InvalidSendError")
    assert words in problem["detail"]
    assert sandbox.requests == []


async def test_a_body_in_an_unknown_charset_is_not_json(http: Client) -> None:
    """What cannot be read is refused like any other body that is not JSON."""
    headers = {"Content-Type": "application/json; charset=klingon"}
    async with http.post("/sends", data=json.dumps(NEW), headers=headers) as reply:
        assert (reply.status, (await reply.json())["detail"]) == (422, "The body is not JSON.")


@pytest.mark.parametrize(("most", "status"), [(1024**2, 413), (16 * 1024**2, 202)])
async def test_a_list_too_long_for_the_app_is_a_problem_too(most: int, status: int, sandbox: Sandbox) -> None:
    """An app takes a body of 1 MiB unless the app says otherwise: a larger one is refused with what to do."""
    body = json.dumps(NEW | {"contacts": [f"26377{number:07}" for number in range(100_000)]})
    async with (
        TestClient(TestServer(make_app(sandbox, most=most))) as http,
        http.post("/sends", data=io.BytesIO(body.encode())) as reply,
    ):
        answer = await reply.json()
        assert reply.status == status
        if status == 413:
            assert (answer["error"], answer["delivery"]) == ("SendTooLargeError", "not_sent")
            assert "1,048,576 bytes" in answer["detail"]
            assert sandbox.requests == []


async def test_readiness(http: Client) -> None:
    """``/ready`` is 200 while sends can be started, and 503 from the drain on."""
    async with http.get("/ready") as reply:
        assert (reply.status, await reply.json()) == (200, {"status": "ready", "running": 0})
    app: Any = http.server.app  # type: ignore[attr-defined]
    await begin_drain(app)
    async with http.get("/ready") as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")


# Events.


async def test_who_comes_back_gets_what_was_missed(http: Client) -> None:
    """Ids, replay after ``Last-Event-ID``, and 204 when there is nothing more to come."""
    app: Any = http.server.app  # type: ignore[attr-defined]
    app[SENDS]._interval = 0.01
    send = await app[SENDS].start(
        people(60), **SLOW | {"rate_limit": RateLimit(contacts_per_second=300)}, **WORDS
    )
    events = await heard(http, send)
    assert [event.id for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert [event.event for event in events] == ["progress"] * (len(events) - 1) + ["end"]
    assert await heard(http, send, "2") == events[2:]
    async with http.get(f"/sends/{send}/events", headers={"Last-Event-ID": events[-1].id}) as response:
        assert response.status == 204


async def test_a_listener_that_leaves_or_is_stuck_changes_nothing(
    http: Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever leaves, or takes nothing any more, holds nothing up and is let go without a complaint."""
    monkeypatch.setattr(aiohttp_web, "STUCK", 0.1)
    app: Any = http.server.app  # type: ignore[attr-defined]
    send = await app[SENDS].start(people(500), **SLOW, **WORDS)
    async with http.get(f"/sends/{send}/events") as response:
        await response.content.readline()
        response.close()
    stuck = socket.create_connection((http.host, http.port))
    with stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(f"GET /sends/{send}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with anyio.fail_after(10):
            while not streams():  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.01)
            while streams():
                app[SENDS]._live[send].feed.publish("progress", {"padding": "x" * 1_000_000})
                await anyio.sleep(0.01)
    assert app[SENDS].running == [send]
    assert "Error handling request" not in caplog.text


def streams() -> int:
    """How many event streams the server has open."""
    return sum("EventSourceResponse._ping" in repr(task) for task in asyncio.all_tasks())


async def test_the_shutdown_drains_while_somebody_listens(sandbox: Sandbox, tmp_path: Path) -> None:
    """The shutdown stops the sending at once, the listener hears how it ended, and the rest can go out later."""
    app = make_app(sandbox, journal_dir=tmp_path)
    async with TestClient(TestServer(app)) as http:
        send = await app[SENDS].start(people(60), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
        async with http.get(f"/sends/{send}/events") as response, aclosing(listen(response)) as events:
            await anext(events)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(http.server.close)
                last = [event async for event in events][-1]
    assert (last.event, json.loads(last.data)["state"]) == ("end", "interrupted")
    async with TestClient(TestServer(make_app(sandbox, journal_dir=tmp_path, resume=True))) as http:
        assert (await ended(http, send))["state"] == "finished"
    assert sorted(message.to for message in sandbox.messages()) == people(60)


async def test_the_client_of_the_app_is_a_plain_one(http: Client) -> None:
    """What is under the key is an `SmsPop`, so that everything it can do is there."""
    app: Any = http.server.app  # type: ignore[attr-defined]
    assert isinstance(app[SMSPOP], SmsPop)
    assert isinstance(http.session, aiohttp.ClientSession)


async def test_the_example_is_served_and_ends(sandbox: Sandbox, tmp_path: Path) -> None:
    """The program of the example sends, ends on SIGTERM in the middle, and finishes when it is started again."""
    environment = {
        "SMSPOP_TOKEN": sandbox.token,
        "SMSPOP_BASE_URL": sandbox.api_url,
        "SENDS_FOLDER": str(tmp_path / "sends"),
    }
    path = "examples/aiohttp_app/main.py"
    async with (
        program(path, ready="Running on", **environment) as child,
        aiohttp.ClientSession(child.address) as http,
    ):
        async with http.get("/") as reply:
            assert "EventSource" in await reply.text()
        async with http.post("/welcome/0770009999") as reply:
            assert await reply.json() == {"status": "sent"}
        new = NEW | {"contacts": people(1_000), "contacts_per_second": 1_000}
        async with http.post("/sends", json=new) as reply:
            send = (await reply.json())["id"]
        await sandbox.wait_for(count=501)
        assert await child.end(signal.SIGTERM) == 0
    assert len(sandbox.messages()) == 501
    async with (
        program(path, ready="Running on", **environment) as child,
        aiohttp.ClientSession(child.address) as http,
    ):
        async with http.get(f"/sends/{send}/events") as response:
            last = [event async for event in listen(response)][-1]
    assert json.loads(last.data)["state"] == "finished"
    assert sorted(message.to for message in sandbox.messages()) == [*people(1_000), "263770009999"]


async def test_the_example_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command is enough to try it: without a token it is in a sandbox."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    async with (
        program("examples/aiohttp_app/main.py", ready="Running on") as child,
        aiohttp.ClientSession(child.address) as http,
        http.post("/sends", json=NEW | {"sender_id": "DEMO"}) as reply,
    ):
        assert reply.status == 202
