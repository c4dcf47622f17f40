"""What goes wrong on request: whether the texts went out, and what is seen on the socket."""

import asyncio
import json
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox import FaultKind, Sandbox
from smspop_async.sandbox.deliver import Gate, deliver, hang_up
from smspop_async.sandbox.faults import FaultBook, make_fault
from smspop_async.sandbox.replies import Reply

pytestmark = pytest.mark.anyio

ONE = "263770000001"


async def raw_post(caller):
    """Send a POST over a bare socket; return all that comes back until the connection ends."""
    sandbox = caller.sandbox
    body = json.dumps(caller.campaign(manual_contacts=ONE)).encode()
    head = (
        "POST /api/campaigns HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {sandbox.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    port = int(sandbox.api_url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def split(reply):
    """Return the head and the body of a raw reply."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return head.decode(), body


# --- answers before anything is processed ---


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Unauthenticated."),
        (402, "Insufficient credits. Please purchase more SMS credits"),
        (403, "Your account is inactive. Please contact support."),
        (422, "Validation failed"),
        (429, "Too Many Attempts."),
        (500, "Server Error"),
        (503, "Service Unavailable"),
        (418, "I'm a Teapot"),
        (522, "Status 522"),
        (999, "Status 999"),
    ],
)
async def test_a_status_is_answered_once_and_nobody_is_texted(caller, sandbox, status, words):
    """fail_next(status) meets one POST, in the document's words where it has some, and sends nothing."""
    sandbox.fail_next(status)
    answer = await caller.post()
    assert (answer.status, answer.json["success"], answer.json["message"]) == (status, False, words)
    assert (sandbox.messages(), sandbox.faults) == ([], [])
    assert (await caller.post()).status == 200


async def test_the_documents_422(caller, sandbox):
    """A 422 without words is the document's sample; with a field, it names that field."""
    sandbox.fail_next(422)
    sandbox.fail_next(422, errors={"manual_contacts": ["The manual contacts field is invalid."]})
    sandbox.fail_next(422, message="Invalid sender ID")
    assert (await caller.post()).json["errors"] == {
        "contact_import_method": ["The contact import method field is required."]
    }
    assert (await caller.post()).json["errors"] == {
        "manual_contacts": ["The manual contacts field is invalid."]
    }
    assert (await caller.post()).body == b'{"success":false,"message":"Invalid sender ID"}'


async def test_the_documents_403_for_content(caller, sandbox):
    """A 403 with a category is the document's other 403."""
    sandbox.fail_next(403, category="political")
    assert (await caller.post()).body == (
        b'{"success":false,"message":"Campaign rejected: Content classified as political is not allowed"}'
    )


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_answers_in_html(caller, sandbox, status):
    """What nginx says itself is a page."""
    sandbox.fail_next(status)
    answer = await caller.post()
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert str(status).encode() in answer.body


@pytest.mark.parametrize("value", [2, 1.5, "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
async def test_retry_after(caller, sandbox, value):
    """Retry-After is sent as it was given: seconds, a date or garbage."""
    for kind in (429, "status", "error_after"):
        sandbox.fail_next(kind, retry_after=value)
        assert (await caller.post()).headers["Retry-After"] == str(value)


async def test_redirect(caller, sandbox):
    """A redirect leads to the same place over https, or where it is told; nothing is sent."""
    sandbox.fail_next("redirect")
    sandbox.fail_next(308, location="/login")
    first, second = await caller.post(), await caller.post()
    assert first.status == 301
    assert first.headers["Location"] == sandbox.api_url.replace("http:", "https:") + "/campaigns"
    assert (second.status, second.headers["Location"]) == (308, "/login")
    assert not sandbox.messages()


async def test_success_false(caller, sandbox):
    """Status 200 does not mean success."""
    sandbox.fail_next("success_false", message="Not today.")
    answer = await caller.post()
    assert (answer.status, answer.json) == (200, {"success": False, "message": "Not today."})
    assert not sandbox.messages()


async def test_no_credits_lasts(caller, sandbox):
    """Credits that run out stay out."""
    sandbox.fail_next(FaultKind.NO_CREDITS)
    assert [(await caller.post()).status for _ in range(2)] == [402, 402]
    assert sandbox.credits == 0


async def test_a_revoked_token_stays_revoked(caller, sandbox):
    """The token of the request is revoked, not another one."""
    other = sandbox.create_token()
    sandbox.fail_next("revoke_token")
    assert [(await caller.post()).status for _ in range(2)] == [401, 401]
    assert (await caller.call("GET", "/api/campaigns", token=other)).status == 200


# --- answers that suffer after the texts went out ---


@pytest.mark.parametrize("kind", ["reset_after", "reset_before"])
async def test_a_reset_is_a_reset(caller, sandbox, kind):
    """The client sees RST, not a clean end."""
    sandbox.fail_next(kind)
    with pytest.raises(ConnectionResetError):
        await raw_post(caller)
    assert len(sandbox.messages(to=ONE)) == (kind == "reset_after")
    assert sandbox.requests[-1].status is None
    assert sandbox.requests[-1].fault == kind


@pytest.mark.parametrize("kind", ["disconnect_after", "disconnect_before"])
async def test_a_disconnect_is_a_clean_end_without_a_byte(caller, sandbox, kind):
    """The client sees the end of the stream and nothing before it."""
    sandbox.fail_next(kind)
    assert await raw_post(caller) == b""
    assert len(sandbox.messages(to=ONE)) == (kind == "disconnect_after")


async def test_truncated(caller, sandbox):
    """Content-Length promises the whole body, half of it comes."""
    whole = (await caller.post(manual_contacts=ONE)).body
    sandbox.fail_next("truncated")
    head, body = split(await raw_post(caller))
    assert f"Content-Length: {len(whole)}" in head
    assert body == whole[: len(whole) // 2]
    assert len(sandbox.messages(to=ONE)) == 2


async def test_truncated_chunked(caller, sandbox):
    """The chunks end without the last one."""
    sandbox.fail_next("truncated_chunked")
    head, body = split(await raw_post(caller))
    assert "Transfer-Encoding: chunked" in head
    assert body.count(b"\r\n") == 2
    assert not body.endswith(b"0\r\n\r\n")
    assert len(sandbox.messages(to=ONE)) == 1


async def test_close_after_reply(caller, sandbox):
    """The reply is whole and does not warn; then the connection ends."""
    sandbox.fail_next("close_after_reply")
    head, body = split(await raw_post(caller))
    assert "connection: close" not in head.lower()
    assert json.loads(body)["success"] is True
    assert sandbox.requests[-1].status == 200


async def test_malformed_is_the_documents_own_sample(caller, sandbox):
    """The stray commas and brackets stand where the document has them, and it is no JSON."""
    sandbox.fail_next("malformed", times=2)
    body = (await caller.post()).body
    assert b'"status":"approved"}, ,"summary":' in body
    assert body.endswith(b'"status":"sent"}]},}')
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(body)
    assert len(sandbox.messages()) == 2
    assert (await caller.post(name="")).json["success"] is False


@pytest.mark.parametrize("kind", ["html", "empty"])
async def test_a_200_that_says_nothing(caller, sandbox, kind):
    """The texts went out, but the reply is a PHP error page or nothing."""
    sandbox.fail_next(kind)
    answer = await caller.post()
    assert (answer.status, b"Fatal error" in answer.body) == (200, kind == "html")
    assert len(sandbox.messages()) == 2


async def test_error_after(caller, sandbox):
    """A 5xx can follow a campaign that was sent."""
    sandbox.fail_next("error_after")
    sandbox.fail_next("error_after", status=502)
    assert [(await caller.post()).status for _ in range(2)] == [500, 502]
    assert len(sandbox.messages()) == 4


# --- waiting ---


@pytest.mark.parametrize("kind", ["hang", "hang_before"])
async def test_a_hang_ends_with_the_sandbox(caller, kind):
    """Nothing is answered until the sandbox closes; then the connection ends, promptly."""
    async with Sandbox() as sandbox:
        sandbox.fail_next(kind)
        waiting = asyncio.create_task(raw_post(caller.of(sandbox)))
        await sandbox.wait_for_requests()
        if kind == "hang":
            await sandbox.wait_for(to=ONE)
        assert not waiting.done()
    async with asyncio.timeout(5):
        assert await waiting == b""
    assert len(sandbox.messages()) == (kind == "hang")


async def test_latency_delays_and_then_goes_on(caller, sandbox):
    """The text goes out although the client has left meanwhile, as under PHP-FPM."""
    sandbox.fail_next("latency", seconds=0.05)
    leaving = asyncio.create_task(caller.post(manual_contacts=ONE))
    await sandbox.wait_for_requests()
    leaving.cancel()
    await sandbox.wait_for(to=ONE)
    assert sandbox.requests[-1].fault == "latency"


async def test_nothing_is_processed_once_the_sandbox_closes(caller):
    """A request that waits out its latency when the sandbox closes sends nothing."""
    async with Sandbox(latency=3600) as sandbox:
        waiting = asyncio.create_task(raw_post(caller.of(sandbox)))
        await sandbox.wait_for_requests()
    assert await waiting == b""
    assert not sandbox.messages()


@pytest.mark.parametrize("kind", ["reset_after", "disconnect_after", "truncated", "close_after_reply"])
async def test_a_client_that_left_cannot_be_cut_off(kind):
    """When the connection is gone already, there is nothing to break, and that is no error."""
    left = SimpleNamespace(transport=None)
    assert (await deliver(left, Reply(status=201), make_fault(kind), Gate())).status == 201
    assert hang_up(left).status == 200


# --- which request meets which fault ---


async def test_faults_wait_for_their_endpoint(caller, sandbox):
    """A fault meets POST unless told otherwise, and None means the next of any."""
    sandbox.fail_next(500)
    sandbox.fail_next(501, endpoint="GET")
    sandbox.fail_next(505, endpoint=None)
    statuses = [
        (await caller.list_campaigns()).status,
        (await caller.list_campaigns()).status,
        (await caller.list_campaigns()).status,
        (await caller.post()).status,
        (await caller.post()).status,
    ]
    assert statuses == [501, 505, 200, 500, 200]


async def test_queued_faults_come_in_order_and_before_chance(caller, sandbox):
    """The queue is first in, first out; a fault of chance meets what the queue leaves."""
    sandbox.fail_with_probability(500, 1.0)
    sandbox.fail_next(429, times=2)
    sandbox.fail_next(401)
    assert [(await caller.post()).status for _ in range(5)] == [429, 429, 401, 500, 500]
    sandbox.clear_faults()
    assert (await caller.post()).status == 200


@given(seed=st.integers(), probability=st.floats(0, 1))
def test_chance_is_repeatable(seed, probability):
    """The same seed meets the same requests, whatever other faults of chance are there."""

    def hits(*, with_another):
        book = FaultBook()
        if with_another:
            book.put_chance(make_fault(501), probability=0.5, dice=random.Random(0))
        book.put_chance(make_fault(500), probability=probability, dice=random.Random(seed))
        if not with_another:
            book.put_chance(make_fault(501), probability=0.5, dice=random.Random(0))
        return [fault.status if (fault := book.take("POST")) else 0 for _ in range(30)]

    alone, later = hits(with_another=False), hits(with_another=True)
    assert alone == hits(with_another=False)
    # 501 wins ties where it is considered first; elsewhere both orders agree.
    assert all(b in (a, 501) for a, b in zip(alone, later, strict=True))


@given(times=st.lists(st.integers(1, 4), max_size=5))
def test_every_queued_fault_happens_as_often_as_asked(times):
    """Conservation of faults: what was put in comes out, in order, and then nothing."""
    book = FaultBook()
    for status, count in enumerate(times, start=500):
        book.put(make_fault(status), times=count)
    expected = [status for status, count in enumerate(times, start=500) for _ in range(count)]
    assert book.take("GET") is None
    assert [fault.status for fault in iter(lambda: book.take("POST"), None)] == expected
    assert not book.pending()


async def test_seeded_sandboxes_agree():
    """Two sandboxes of one seed make the same tokens and the same luck; without a seed they do not."""

    def luck(sandbox):
        sandbox.fail_with_probability(500, 0.5)
        return sandbox.token, [sandbox._faults.take("POST") is None for _ in range(64)]

    assert luck(Sandbox(seed=1)) == luck(Sandbox(seed=1))
    assert luck(Sandbox())[0] != luck(Sandbox())[0]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("nonsense", {}, "no such kind"),
        (99, {}, "200 to 999"),
        (503, {"status": 1000}, None),
        (1000, {}, "200 to 999"),
        ("hang", {"seconds": 1}, "does not take seconds; it takes no parameters"),
        ("latency", {"status": 1}, "it takes seconds"),
        ("latency", {"seconds": -1}, "0 to 86400"),
        ("latency", {"seconds": float("nan")}, "0 to 86400"),
        (503, {"times": 0}, "at least once"),
        (503, {"endpoint": "PUT"}, "endpoint"),
        (503, {"retry_after": "1\r\nX: y"}, "visible ASCII"),
        (503, {"retry_after": float("inf")}, "number of seconds"),
        (503, {"retry_after": float("nan")}, "number of seconds"),
        (301, {"location": "\u00e9"}, "visible ASCII"),
    ],
)
def test_impossible_faults_are_refused(kind, options, words):
    """What cannot happen is said when it is asked for, not when a request comes."""
    sandbox = Sandbox()
    if words is None:  # the status given as the kind wins
        sandbox.fail_next(kind, **options)
        assert sandbox.faults[0].fault.status == kind
        return
    with pytest.raises(ConfigurationError, match=words):
        sandbox.fail_next(kind, **options)
    assert not sandbox.faults


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_impossible_probabilities_are_refused(probability):
    """A probability is within 0 and 1."""
    with pytest.raises(ConfigurationError, match="within 0 and 1"):
        Sandbox().fail_with_probability(500, probability)
