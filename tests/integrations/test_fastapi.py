"""FastAPI: the lifespan, the dependencies, the routes and the answers to errors, over real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

from appserver import AppServer, served
from smspop_async import ConfigurationError, SmsPop, SmsPopError
from smspop_async.integrations.fastapi import (
    SmsPopDep,
    add_exception_handlers,
    get_smspop,
    readiness,
    smspop_lifespan,
    smspop_router,
)
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

TEXT = "The secret text of the message"
NUMBERS = [f"26377000{number:04}" for number in range(30)]
NEW = {"message": TEXT, "sender_id": "BRAND1", "name": "Nightly", "contacts": NUMBERS}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


def make_app(sandbox: Sandbox, **settings: Any) -> FastAPI:
    app = FastAPI(
        lifespan=smspop_lifespan(
            token=sandbox.token, base_url=sandbox.api_url, **{"timeout": 0.5, **settings}
        )
    )
    add_exception_handlers(app)
    app.include_router(smspop_router())

    @app.post("/welcome/{phone}")
    async def welcome(phone: str, sms: SmsPopDep) -> dict[str, str]:
        result = await sms.campaigns.create(
            name="Welcome", message=TEXT, sender_id="BRAND1", contacts=[phone]
        )
        return {"status": result.contacts[0].status}

    return app


@pytest.fixture
async def server(sandbox: Sandbox) -> AsyncIterator[AppServer]:
    async with served(make_app(sandbox)) as server:
        yield server


@pytest.fixture
def http(server: AppServer) -> aiohttp.ClientSession:
    return server.session


async def ended(http: aiohttp.ClientSession, send: str) -> dict[str, Any]:
    """Wait for the end of a send as a page does, and return where it stands."""
    async with http.get(f"/sends/{send}/events") as events:
        await events.read()
    async with http.get(f"/sends/{send}") as reply:
        return await reply.json()


# The lifespan and the dependencies.


async def test_a_handler_gets_the_client_of_the_app(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """`SmsPopDep` is the client that the lifespan opened."""
    async with http.post("/welcome/263770000001") as reply:
        assert await reply.json() == {"status": "sent"}
    [message] = sandbox.messages()
    assert message.to == "263770000001"


async def test_the_client_is_closed_with_the_app(sandbox: Sandbox) -> None:
    """What the lifespan opened it closes, and settings are read when the app starts."""
    app = make_app(sandbox)
    async with served(app):
        sms = app.state.smspop.sms
        await sms.campaigns.create(name="x", message="y", sender_id="BRAND1", contacts=["263770000001"])
    with pytest.raises(ConfigurationError, match="closed"):
        await sms.campaigns.create(name="x", message="y", sender_id="BRAND1", contacts=["263770000001"])


async def test_a_wrong_setting_keeps_the_app_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the app does not start; making the app is no mistake yet."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    app = FastAPI(lifespan=smspop_lifespan())
    with pytest.raises(ConfigurationError, match="SMSPOP_TOKEN"):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize("grace", ["x", -1, float("nan")])
async def test_a_wrong_grace_keeps_the_app_from_starting(grace: Any, sandbox: Sandbox) -> None:
    """It is the app's own mistake: no request is told that it was the client's."""
    app = make_app(sandbox, grace=grace)
    with pytest.raises(ConfigurationError, match="grace"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_lifespan_of_ones_own(sandbox: Sandbox) -> None:
    """The app's own lifespan is within: it has the client at its beginning and at its end, and its state arrives."""
    seen: list[Any] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        sms = app.state.smspop.sms
        campaign = {"name": "x", "message": "y", "sender_id": "BRAND1"}
        seen.append(await sms.campaigns.create(**campaign, contacts=[NUMBERS[0]]))
        yield {"greeting": "Hello!"}
        seen.append(await sms.campaigns.create(**campaign, contacts=[NUMBERS[1]]))

    app = FastAPI(lifespan=smspop_lifespan(own, token=sandbox.token, base_url=sandbox.api_url))

    @app.get("/greeting")
    async def greeting(request: Request, sms: SmsPopDep) -> str:
        return request.state.greeting if isinstance(sms, SmsPop) else ""

    async with served(app) as server, server.session.get("/greeting") as reply:
        assert await reply.json() == "Hello!"
    assert [result.summary.sent for result in seen] == [1, 1]


async def test_a_lifespan_that_yields_nothing(sandbox: Sandbox) -> None:
    """An own lifespan need not have a state."""

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=smspop_lifespan(own, token=sandbox.token, base_url=sandbox.api_url))
    add_exception_handlers(app)
    app.get("/ready")(readiness)
    async with served(app) as server, server.session.get("/ready") as reply:
        assert reply.status == 200


async def test_the_client_can_be_overridden(sandbox: Sandbox) -> None:
    """`app.dependency_overrides` reaches every handler."""
    app = make_app(sandbox)
    async with Sandbox() as other, SmsPop(token=other.token, base_url=other.api_url) as mine:
        app.dependency_overrides[get_smspop] = lambda: mine
        async with served(app) as server, server.session.post(f"/welcome/{NUMBERS[0]}") as reply:
            assert reply.status == 200
        assert len(other.messages()) == 1
    assert sandbox.messages() == []


async def test_without_the_lifespan_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A forgotten lifespan is a problem whose words, in the log, say what to write."""
    app = FastAPI()
    add_exception_handlers(app)
    app.get("/sms", dependencies=[Depends(get_smspop)])(lambda: None)
    async with served(app) as server, server.session.get("/sms") as reply:
        assert (reply.status, reply.content_type) == (500, "application/problem+json")
    assert "FastAPI(lifespan=smspop_lifespan())" in caplog.text


async def test_a_mounted_app_has_the_client_too(sandbox: Sandbox) -> None:
    """The state of the request reaches an app within the app."""
    inner = FastAPI()

    @inner.get("/here")
    async def here(sms: SmsPopDep) -> bool:
        return isinstance(sms, SmsPop)

    app = make_app(sandbox)
    app.mount("/inner", inner)
    async with served(app) as server, server.session.get("/inner/here") as reply:
        assert await reply.json() is True


async def test_the_sandbox_starts_with_the_app(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``sandbox=True`` needs no token, texts nobody, and says where to look; the token is not in the log."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    app = FastAPI(lifespan=smspop_lifespan(sandbox=True))
    async with app.router.lifespan_context(app):
        service = app.state.smspop
        await service.sms.send(NUMBERS, message="x", sender_id="DEMO")
        assert len(service.sandbox.messages()) == 30
        assert service.sandbox.inbox_url in caplog.text
        assert service.sandbox.token not in caplog.text
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = service.sandbox.api_url


async def test_a_sandbox_that_runs_is_left_running(sandbox: Sandbox) -> None:
    """A sandbox that was handed in is used as it is; one that does not run yet runs as long as the app."""
    app = FastAPI(lifespan=smspop_lifespan(sandbox=sandbox))
    async with app.router.lifespan_context(app):
        assert app.state.smspop.sandbox is sandbox
    assert sandbox.api_url
    idle = Sandbox()
    app = FastAPI(lifespan=smspop_lifespan(sandbox=idle))
    async with app.router.lifespan_context(app):
        assert idle.api_url
    with pytest.raises(ConfigurationError):
        _ = idle.api_url


async def test_a_sandbox_and_a_token_contradict_each_other() -> None:
    """Nobody is texted by mistake, or in vain: it is one or the other."""
    app = FastAPI(lifespan=smspop_lifespan(sandbox=True, token="1|fake-token"))
    with pytest.raises(ConfigurationError, match="not both"):
        async with app.router.lifespan_context(app):
            pass


# Errors.

PROBLEMS = [
    # What the API does, then: status, delivery, error, and whether a machine may try again.
    ({"kind": 401}, 502, "rejected", "AuthenticationError", None),
    ({"kind": "no_credits"}, 402, "rejected", "InsufficientCreditsError", None),
    ({"kind": 403}, 502, "rejected", "AccountInactiveError", None),
    ({"kind": 403, "category": "political"}, 422, "rejected", "ContentRejectedError", None),
    ({"kind": 422, "errors": {"name": ["Too long."]}}, 422, "rejected", "ValidationError", None),
    ({"kind": 422, "message": "Invalid sender ID"}, 422, "rejected", "InvalidSenderError", None),
    ({"kind": 429, "times": 3, "retry_after": 0.01}, 503, "rejected", "RateLimitError", "1"),
    ({"kind": 404}, 502, "rejected", "APIStatusError", None),
    ({"kind": "error_after", "status": 500}, 502, "unknown", "ServerError", None),
    ({"kind": "error_after", "status": 503}, 502, "unknown", "ServerError", None),
    ({"kind": "hang"}, 504, "unknown", "APITimeoutError", None),
    ({"kind": "reset_after"}, 502, "unknown", "APIConnectionError", None),
    ({"kind": "html"}, 502, "unknown", "UnreadableResponseError", None),
]


@pytest.mark.parametrize(("fault", "status", "delivery", "error", "retry"), PROBLEMS, ids=str)
async def test_an_error_is_a_problem(
    fault: dict[str, Any],
    status: int,
    delivery: str,
    error: str,
    retry: str | None,
    sandbox: Sandbox,
    http: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each error has its status and tells its delivery, in RFC 9457's form, and nothing of it is personal."""
    fault = dict(fault)
    sandbox.fail_next(fault.pop("kind"), **fault)
    async with http.post(f"/welcome/{NUMBERS[1]}") as reply:
        body = await reply.text()
        problem = await reply.json()
        assert reply.content_type == "application/problem+json"
        assert reply.headers.get("Retry-After") == retry
    assert (reply.status, problem["status"]) == (status, status)
    assert (problem["delivery"], problem["error"], problem["type"]) == (delivery, error, "about:blank")
    assert problem["title"]
    assert problem["detail"]
    for text in (body, "\n".join(record.getMessage() for record in caplog.records)):
        assert TEXT not in text
        assert NUMBERS[1] not in text
        assert sandbox.token not in text


async def test_what_the_requester_can_use_is_in_the_problem(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    """Missing credits come with whom to ask, a refused text with its category, a refused field with its words."""
    sandbox.fail_next("no_credits")
    async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert "support" in (await reply.json())["support"]
    sandbox.credits = 10
    sandbox.fail_next(403, category="political")
    async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert (await reply.json())["category"] == "political"
    sandbox.fail_next(422, errors={"name": ["Too long."]})
    async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert (await reply.json())["errors"] == {"name": ["Too long."]}
    async with http.post("/welcome/nonsense") as reply:
        assert (reply.status, (await reply.json())["error"]) == (422, "ContactSourceError")


async def test_what_concerns_the_operator_is_in_the_log_alone(
    sandbox: Sandbox, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The words about a refused token are not for the users of the app."""
    sandbox.revoke_token()
    async with http.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert "token" not in await reply.text()
    assert "POST /welcome/{phone}: 502 for AuthenticationError" in caplog.text


async def test_nothing_listens(sandbox: Sandbox) -> None:
    """A service that cannot be reached is a 503 that may be tried again: nothing was sent."""
    app = make_app(sandbox)
    await sandbox.aclose()
    async with served(app) as server, server.session.post(f"/welcome/{NUMBERS[0]}") as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert (await reply.json())["delivery"] == "not_sent"


async def test_a_partial_failure_is_answered_by_its_cause(sandbox: Sandbox) -> None:
    """`raise_for_failures` in a handler: the counts, under the status of what stopped the run."""
    app = make_app(sandbox)

    @app.post("/all")
    async def send_all(sms: SmsPopDep) -> None:
        report = await sms.send(NUMBERS, message=TEXT, sender_id="BRAND1", chunk_size=10)
        report.raise_for_failures()

    async with served(app) as server:
        sandbox.credits = 10
        async with server.session.post("/all") as reply:
            problem = await reply.json()
            assert (reply.status, problem["error"]) == (402, "PartialFailureError")
            assert problem["counts"]["sent"] == 10
            assert problem["counts"]["not_submitted"] + problem["counts"]["rejected"] == 20
            assert "support" in problem
        sandbox.credits = 1_000
        sandbox.fail_next(429, times=50, retry_after=0.01)
        async with server.session.post("/all") as reply:
            assert reply.status == 502, "a part may have been sent: no machine may try the whole again"
            assert "Retry-After" not in reply.headers
        sandbox.clear_faults()
        async with server.session.post("/all") as reply:
            assert reply.status == 200


async def test_an_error_of_ones_own_is_ones_own(sandbox: Sandbox) -> None:
    """Only errors of this library are answered here; an unheard-of one of them is a 502."""
    app = make_app(sandbox)

    class OddError(SmsPopError):
        """One that this release does not know."""

    @app.get("/mine")
    async def mine() -> None:
        raise HTTPException(418)

    @app.get("/odd")
    async def odd() -> None:
        raise OddError("strange words")

    async with served(app) as server:
        async with server.session.get("/mine") as reply:
            assert (reply.status, reply.content_type) == (418, "application/json")
        async with server.session.get("/odd") as reply:
            assert reply.status == 502
            assert "strange" not in await reply.text()


# The routes.


async def test_a_send_from_its_start_to_its_report(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """Start, watch, report, table, forget: each route does what it says."""
    async with http.post("/sends", json=NEW) as reply:
        started = await reply.json()
        assert (reply.status, started["state"], started["expected"]) == (202, "running", 30)
        assert reply.headers["Location"].endswith(f"/sends/{started['id']}")
    send = started["id"]
    status = await ended(http, send)
    assert (status["state"], status["counts"]["sent"]) == ("finished", 30)
    async with http.get(f"/sends/{send}/report") as reply:
        assert (await reply.json())["summary"] == {"sent": 30, "failed": 0}
        assert NUMBERS[0] not in await reply.text()
    async with http.get(f"/sends/{send}/report.csv") as reply:
        assert reply.content_type == "text/csv"
        assert f"report-{send}.csv" in reply.headers["Content-Disposition"]
        assert NUMBERS[0] in await reply.text()
    async with http.get("/sends") as reply:
        assert [each["id"] for each in await reply.json()] == [send]
    async with http.delete(f"/sends/{send}") as reply:
        assert reply.status == 204
    async with http.get(f"/sends/{send}") as reply:
        assert (reply.status, (await reply.json())["error"]) == (404, "UnknownSendError")
    assert sorted(message.to for message in sandbox.messages()) == NUMBERS


async def test_the_same_key_starts_one_send(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A request that is repeated with its ``Idempotency-Key`` texts nobody twice."""
    replies = await asyncio.gather(
        *(http.post("/sends", json=NEW, headers={"Idempotency-Key": "one"}) for _ in range(4))
    )
    [send] = {(await reply.json())["id"] for reply in replies}
    await ended(http, send)
    assert sorted(message.to for message in sandbox.messages()) == NUMBERS


@pytest.mark.parametrize("key", ["", "  "])
async def test_a_blank_key_is_refused(key: str, http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """Two requests with a blank ``Idempotency-Key`` are no double click: both are refused, and say why."""
    for number in NUMBERS[:2]:
        new = NEW | {"contacts": [number]}
        async with http.post("/sends", json=new, headers={"Idempotency-Key": key}) as reply:
            problem = await reply.json()
        assert (reply.status, problem["delivery"]) == (422, "not_sent")
        assert "Idempotency-Key" in problem["detail"]
    assert sandbox.requests == []


async def test_one_text_for_each_person(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """With ``personal`` the fields of the rows fill the message, and without it a dollar is a dollar."""
    rows = [{"phone_number": NUMBERS[0], "first_name": "Rudo"}]
    for personal, text in ((True, "Dear Rudo"), (False, "Dear $first_name")):
        new = NEW | {"message": "Dear $first_name", "contacts": rows, "personal": personal}
        async with http.post("/sends", json=new) as reply:
            await ended(http, (await reply.json())["id"])
        assert sandbox.messages()[-1].text == text


async def test_what_cannot_be_sent_is_said_at_once(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A request that asks for what cannot be is a 422, by FastAPI or by us."""
    for wrong in ({"message": ""}, {"chunk_sizes": 3}, {"contacts": [1]}, {"contacts_per_second": 0}):
        async with http.post("/sends", json=NEW | wrong) as reply:
            assert reply.status == 422
    async with http.post("/sends", json=NEW | {"message": "   "}) as reply:
        problem = await reply.json()
        assert (reply.status, problem["error"], problem["delivery"]) == (422, "InvalidSendError", "not_sent")
    assert sandbox.requests == []


async def test_stop_and_resume(sandbox: Sandbox, tmp_path: Path) -> None:
    """A send that is stopped goes on when it is asked to, and what cannot be asked is a 409."""
    async with served(make_app(sandbox, journal_dir=tmp_path)) as server:
        http = server.session
        async with http.post(
            "/sends", json=NEW | {"contacts": people(1_700), "contacts_per_second": 5}
        ) as reply:
            send = (await reply.json())["id"]
        await sandbox.wait_for(count=500)
        async with http.get(f"/sends/{send}/report") as reply:
            assert (reply.status, (await reply.json())["error"]) == (409, "SendBusyError")
        async with http.post(f"/sends/{send}/resume") as reply:
            assert reply.status == 409
        async with http.post(f"/sends/{send}/stop") as reply:
            assert reply.status == 202
        status = await ended(http, send)
        assert (status["state"], status["resumable"]) == ("stopped", True)
        assert status["counts"]["not_submitted"] == 1_200
        async with http.post(f"/sends/{send}/resume") as reply:
            assert (reply.status, (await reply.json())["state"]) == (202, "running")
        async with http.post(f"/sends/{send}/stop") as reply:
            assert reply.status == 202
    async with served(make_app(sandbox, journal_dir=tmp_path, resume=True)) as server:
        status = await ended(server.session, send)
        assert status["state"] == "stopped", "what somebody stopped stays stopped"


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


async def test_what_an_end_interrupted_goes_on_by_itself(sandbox: Sandbox, tmp_path: Path) -> None:
    """With ``resume=True`` the next program finishes what the last one had to leave, and nobody is texted twice."""
    async with served(make_app(sandbox, journal_dir=tmp_path)) as server:
        new = NEW | {"contacts": people(1_000), "contacts_per_second": 1_000}
        async with server.session.post("/sends", json=new) as reply:
            send = (await reply.json())["id"]
        await sandbox.wait_for(count=500)
    assert len(sandbox.messages()) == 500
    async with served(make_app(sandbox, journal_dir=tmp_path, resume=True)) as server:
        assert (await ended(server.session, send))["state"] == "finished"
    assert sorted(message.to for message in sandbox.messages()) == people(1_000)


async def test_readiness(sandbox: Sandbox) -> None:
    """``/ready`` is 200 while sends can be started, and 503 with ``Retry-After`` from the drain on."""
    app = make_app(sandbox)
    app.post("/guarded", dependencies=[Depends(readiness)])(lambda: "ready")
    async with served(app) as server:
        async with server.session.get("/ready") as reply:
            assert (reply.status, await reply.json()) == (200, {"status": "ready", "running": 0})
        async with server.session.post("/guarded") as reply:
            assert reply.status == 200
        app.state.smspop.sends.begin_drain()
        for path, call in (("/ready", server.session.get), ("/guarded", server.session.post)):
            async with call(path) as reply:
                assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
                assert (await reply.json())["error"] == "ShuttingDownError"


async def test_the_routes_describe_themselves(http: aiohttp.ClientSession) -> None:
    """The OpenAPI description is made without a complaint, has every route, and says nothing of Python."""
    async with http.get("/openapi.json") as reply:
        described = await reply.json()
    paths = {path: set(methods) for path, methods in described["paths"].items()}
    assert paths["/sends"] == {"get", "post"}
    assert paths["/sends/{send_id}"] == {"get", "delete"}
    for rest in ("events", "report", "report.csv"):
        assert paths[f"/sends/{{send_id}}/{rest}"] == {"get"}
    for rest in ("stop", "resume"):
        assert paths[f"/sends/{{send_id}}/{rest}"] == {"post"}
    assert "/ready" in paths
    for methods in described["paths"].values():
        for method in methods.values():
            assert "Args:" not in method.get("description", "")
            assert "Raises:" not in method.get("description", "")


async def test_nothing_personal_is_logged(
    sandbox: Sandbox, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of a whole send, at DEBUG, has no number, no text and no token (law 7, Discretion)."""
    caplog.set_level(logging.DEBUG)
    async with http.post("/sends", json=NEW) as reply:
        await ended(http, (await reply.json())["id"])
    assert caplog.records
    for secret in (TEXT, sandbox.token, *NUMBERS):
        assert secret not in caplog.text
