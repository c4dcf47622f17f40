"""The control API does over HTTP what `Sandbox` does in Python, for this machine alone."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

ONE = "263770000001"


@pytest.fixture
def control(caller):
    """Call the control API, which needs no token."""

    async def call(method, path, value=None, **options):
        if value is not None:
            options["json"] = value
        return await caller.call(method, f"/_sandbox/{path}", token=None, **options)

    return call


async def test_the_index_tells_what_is_where(caller, sandbox):
    """A person who opens the address finds the API and the controls, but no token."""
    answer = await caller.call("GET", "/", token=None)
    text = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert f"{sandbox.api_url}/campaigns" in text
    assert f"{sandbox.inbox_url}_sandbox/openapi.json" in text
    assert sandbox.token not in text


async def test_health(control):
    """Something to wait for when it is started by a script."""
    answer = await control("GET", "health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_messages(caller, control):
    """Messages are found by number and campaign; a limit keeps the newest and still counts all."""
    for name in ("first", "second", "third"):
        await caller.post(name=name, message="Café")
    everything = (await control("GET", "messages")).json
    assert everything["total"] == len(everything["messages"]) == 6
    mine = (await control("GET", "messages?to=%2B263-770-000-001&limit=2")).json
    assert mine["total"] == 3
    assert [message["campaign"] for message in mine["messages"]] == ["second", "third"]
    (one,) = (await control("GET", f"messages?to={ONE}&campaign=first")).json["messages"]
    assert one.pop("at").endswith("+00:00")
    assert one == {
        "to": ONE,
        "text": "Café",
        "sender_id": "BRAND1",
        "campaign": "first",
        "campaign_id": 1,
        "status": "sent",
        "segments": 1,
    }


async def test_wait(caller, control):
    """The answer comes with the message; too late is a 404 that says what arrived."""
    waiting = asyncio.create_task(control("GET", f"wait?to={ONE}&count=2"))
    await caller.post()
    await caller.post()
    assert [message["to"] for message in (await waiting).json["messages"]] == [ONE, ONE]
    late = await control("GET", f"wait?to={ONE}&count=3&timeout=0")
    assert late.status == 404
    assert late.json["message"].startswith("Waited 0 s for 3 message(s) to …0001: 2 arrived.")


async def test_requests(caller, control):
    """The journal is there with its commands, and masked."""
    await caller.list_campaigns()
    await caller.post()
    (request,) = (await control("GET", "requests?limit=1")).json["requests"]
    assert (request["method"], request["status"], request["fault"]) == ("POST", 200, None)
    assert request["curl"].startswith("curl -X POST ")
    assert ["Authorization", "Bearer ***"] in request["headers"]
    assert "Welcome Campaign" in request["body"]


async def test_control_requests_are_not_in_the_journal(control, sandbox):
    """The journal is about the API."""
    await control("GET", "health")
    assert sandbox.requests == []


async def test_reset(caller, control, sandbox):
    """Resetting forgets."""
    await caller.post()
    assert (await control("POST", "reset")).json == {"success": True}
    assert sandbox.campaigns == []


async def test_faults(caller, control, sandbox):
    """Faults are put in, listed and cleared as in Python."""
    added = await control("POST", "faults", {"kind": 429, "retry_after": 2, "times": 2})
    assert added.status == 201
    expected = {"kind": "status", "endpoint": "POST", "times": 2, "status": 429, "retry_after": 2}
    assert added.json == {"faults": [expected]}
    await control("POST", "faults", {"kind": "latency", "seconds": 0, "endpoint": None})
    await control("POST", "faults", {"kind": "reset_after", "probability": 0.5, "seed": 1, "endpoint": "GET"})
    await control("POST", "faults", {"kind": "hang", "probability": 0})
    assert (await control("GET", "faults")).json["faults"][1:] == [
        {"kind": "latency", "endpoint": None, "times": 1, "seconds": 0},
        {"kind": "reset_after", "endpoint": "GET", "probability": 0.5},
        {"kind": "hang", "endpoint": "POST", "probability": 0},
    ]
    answer = await caller.post()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    assert (await control("DELETE", "faults")).json == {"faults": []}
    assert sandbox.faults == []


async def test_the_rest_of_a_fault(caller, control):
    """Field errors, words, category and location get through."""
    await control("POST", "faults", {"kind": 422, "errors": {"name": ["No."]}, "message": "Bad"})
    assert (await caller.post()).json == {"success": False, "message": "Bad", "errors": {"name": ["No."]}}
    await control("POST", "faults", {"kind": 403, "category": "adult"})
    assert "adult" in (await caller.post()).json["message"]
    await control("POST", "faults", {"kind": "redirect", "location": "/x"})
    assert (await caller.post()).headers["Location"] == "/x"


async def test_credits(caller, control, sandbox):
    """The balance is shown with its statement, and set."""
    assert (await control("POST", "credits", {"credits": 5})).json == {"credits": 5}
    await caller.post()
    shown = (await control("GET", "credits")).json
    assert shown["credits"] == sandbox.credits == 3
    assert [(line["change"], line["balance"], line["campaign_id"]) for line in shown["statement"]] == [
        (1_000_000, 1_000_000, None),
        (-999_995, 5, None),
        (-2, 3, 1),
    ]


async def test_a_whole_number_may_be_spelled_with_a_point(control):
    """To JSON, 5.0 is an integer and 5.5 is not."""
    assert (await control("POST", "credits", {"credits": 5.0})).json == {"credits": 5}
    assert (await control("POST", "credits", {"credits": 5.5})).status == 400
    assert (await control("POST", "faults", {"kind": 503.0})).json["faults"][0]["status"] == 503


async def test_account_and_senders(caller, control):
    """The account is disabled and enabled; a sender ID is added."""
    assert (await control("POST", "account", {"active": False})).json == {"active": False}
    assert (await caller.post()).status == 403
    await control("POST", "account", {"active": True})
    answer = await control("POST", "senders", {"sender_id": "BRAND2"})
    assert (answer.status, answer.json["senders"][-1]) == (201, "BRAND2")
    assert (await caller.post(sender_id="BRAND2")).status == 200


async def test_tokens(caller, control):
    """A token is made and revoked; without a body the ready one is revoked."""
    made = await control("POST", "tokens")
    token = made.json["token"]
    assert made.status == 201
    assert (await caller.call("GET", "/api/campaigns", token=token)).status == 200
    assert (await control("DELETE", "tokens", {"token": token})).json == {"revoked": True}
    assert (await control("DELETE", "tokens", {"token": token})).json == {"revoked": False}
    assert (await caller.list_campaigns()).status == 200
    await control("DELETE", "tokens")
    assert (await caller.list_campaigns()).status == 401


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("GET", "messages?limit=0", None),
        ("GET", "messages?limit=10001", None),
        ("GET", "messages?limit=²", None),
        ("GET", "messages?to=nobody", None),
        ("GET", "wait?timeout=61", None),
        ("GET", "wait?timeout=nan", None),
        ("GET", "wait?timeout=soon", None),
        ("GET", "wait?count=-1", None),
        ("POST", "faults", {}),
        ("POST", "faults", {"kind": "nonsense"}),
        ("POST", "faults", {"kind": 503, "times": True}),
        ("POST", "faults", {"kind": 503, "times": 0}),
        ("POST", "faults", {"kind": 503, "times": 1, "probability": 0.5}),
        ("POST", "faults", {"kind": 503, "seed": 1}),
        ("POST", "faults", {"kind": 503, "probability": 2}),
        ("POST", "faults", {"kind": 503, "message": ""}),
        ("POST", "faults", {"kind": 422, "errors": {"name": "No."}}),
        ("POST", "faults", {"kind": 422, "errors": {"name": [1]}}),
        ("POST", "faults", {"kind": 503, "unheard": 1}),
        ("POST", "faults", {"kind": 429, "retry_after": 10**400}),
        ("POST", "credits", {"credits": -1}),
        ("POST", "credits", {"credits": 10**12 + 1}),
        ("POST", "credits", {"credits": "1"}),
        ("POST", "credits", []),
        ("POST", "account", {"active": 1}),
        ("POST", "account", {}),
        ("POST", "senders", {"sender_id": 7}),
        ("DELETE", "tokens", {"token": ""}),
    ],
)
async def test_what_cannot_be_understood_is_a_400(control, sandbox, method, path, value):
    """Nothing happens, and the answer says why in the form of every other refusal."""
    answer = await control(method, path, value)
    assert (answer.status, answer.json["success"]) == (400, False)
    assert answer.json["message"]
    assert (sandbox.faults, sandbox.credits) == ([], 1_000_000)


async def test_an_endless_wait_is_a_400(control, sandbox):
    """It could not be told in JSON."""
    for wait in (b"1e400", b"-1e400"):
        answer = await control("POST", "faults", data=b'{"kind": 429, "retry_after": ' + wait + b"}")
        assert answer.status == 400
        assert "retry_after" in answer.json["message"]
    assert sandbox.faults == []


@pytest.mark.parametrize("body", [b"{", b"NaN", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_not_json_is_a_400(control, body):
    """Neither broken text nor endless nesting is more than a 400."""
    assert (await control("POST", "credits", data=body)).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example:8025"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": "[2001:db8::1]:8025"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
)
async def test_pages_and_other_names_are_kept_out(caller, control, sandbox, headers):
    """A page in the browser can neither read nor change the sandbox, by a rebound name or across sites."""
    await caller.post()
    for method, path in (("GET", "messages"), ("POST", "reset"), ("GET", "../")):
        answer = await control(method, path, headers=headers)
        assert answer.status == 403
    assert len(sandbox.campaigns) == 1


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:9", "[::1]:9", "[::1]", "127.8.8.8"])
async def test_every_name_of_the_loopback_is_let_in(control, host):
    """A forwarded port changes the port in Host; the sandbox's own page sends its own Origin."""
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
        assert (await control("GET", "health", headers=headers)).status == 200


async def test_405_names_the_methods(control):
    """A wrong method is told the right ones."""
    answer = await control("PUT", "faults")
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE,GET,HEAD,POST")
    assert answer.json == {"success": False, "message": "Method not allowed."}
