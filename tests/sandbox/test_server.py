"""The life of a sandbox: starting, closing, waiting, resetting."""

import asyncio
import socket
import subprocess
import sys
from datetime import UTC, datetime

import anyio
import pytest

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

ONE = "263770000001"
TWO = "263770000002"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::", ""])
def test_only_loopback(host):
    """A server without passwords does not listen where others can reach it."""
    with pytest.raises(ConfigurationError, match="loopback"):
        Sandbox(host=host)


async def test_localhost_is_a_loopback_address(caller):
    """A name is fine where it is the loopback's."""
    async with Sandbox(host="LocalHost") as sandbox:
        assert sandbox.api_url.startswith("http://127.0.0.1:")
        assert (await caller.of(sandbox).post()).status == 200


async def test_ipv6(caller):
    """The IPv6 loopback address works, and the URL spells it with brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with Sandbox(host="::1") as sandbox:
        assert sandbox.api_url.startswith("http://[::1]:")
        assert (await caller.of(sandbox).post()).status == 200
        assert (await caller.of(sandbox).call("GET", "/_sandbox/health")).status == 200


@pytest.mark.parametrize("setting", ["credits", "latency", "page_size", "max_body"])
def test_settings_out_of_range_are_refused(setting):
    """A negative number is no amount of anything."""
    with pytest.raises(ConfigurationError, match=setting):
        Sandbox(**{setting: -1})


@pytest.mark.parametrize("wrong", [float("inf"), float("nan"), "1", None])
@pytest.mark.parametrize("setting", ["credits", "latency"])
def test_an_amount_is_a_number(setting, wrong):
    """An endless balance could not be told in JSON, and an endless latency is no sandbox."""
    with pytest.raises(ConfigurationError, match=setting):
        Sandbox(**{setting: wrong})


@pytest.mark.parametrize("senders", ["SHOP", b"SHOP", ["SHOP", 7], [""], 7, None])
def test_senders_are_a_list_of_texts(senders):
    """One text is not taken apart into sender IDs of one letter."""
    with pytest.raises(ConfigurationError, match=r"senders=\['SHOP'\]"):
        Sandbox(senders=senders)
    assert Sandbox(senders=iter(["SHOP"])).senders == ("SHOP",)


async def test_a_taken_port_is_named(sandbox):
    """Two sandboxes on one port: the second says so and stays closed."""
    port = int(sandbox.inbox_url.rstrip("/").rpartition(":")[2])
    second = Sandbox(port=port)
    with pytest.raises(ConfigurationError, match=f"port {port}"):
        await second.start()
    await second.aclose()


async def test_start_and_aclose_are_idempotent_and_keep_the_state(caller):
    """Closing and starting again, any number of times, loses nothing."""
    sandbox = Sandbox()
    await sandbox.aclose()
    await sandbox.start()
    first = sandbox.api_url
    await sandbox.start()
    assert sandbox.api_url == first
    await caller.of(sandbox).post()
    await sandbox.aclose()
    await sandbox.aclose()
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = sandbox.api_url
    async with sandbox:
        assert (await caller.of(sandbox).list_campaigns()).json["total"] == 1


async def test_a_cancelled_start_leaves_nothing_listening():
    """A start that is cancelled can be done again."""
    sandbox = Sandbox()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sandbox.start()
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = sandbox.inbox_url
    async with sandbox:
        assert sandbox.inbox_url


async def test_a_failed_start_frees_the_port(monkeypatch):
    """Whatever fails while starting, the port is not kept."""
    sandbox = Sandbox()
    monkeypatch.setattr("aiohttp.web.SockSite.start", _fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        await sandbox.start()
    port = int(sandbox._address.rpartition(":")[2])
    socket.create_server(("127.0.0.1", port)).close()


async def _fail(_):
    raise RuntimeError("on purpose")


POST = b"POST /api/campaigns HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /api/campaigns HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"Authorization: Bearer \xff\xfe\r\n\r\n", b" 401 "),
        (b"GET /api/%ff?page=%ff HTTP/1.1\r\nHost: x\r\n\r\n", b" 404 "),
        (GET + b"Authorization: Bearer 1|fake\0token\r\n\r\n", b" 400 "),
        (b"nonsense\r\n\r\n", b" 400 "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nZ\r\n", b" 400 "),
        (POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345", b" 400 "),
        (POST + b"Content-Length: 9\r\n\r\n{", None),  # and then the client leaves
    ],
)
async def test_broken_requests_do_no_harm(sandbox, caller, caplog, request_bytes, status):
    """Odd bytes are refused, half a request is nothing, no byte is logged, and the next one is answered."""
    port = int(sandbox.inbox_url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes)
    if status is None:
        writer.write_eof()
        assert await reader.read() == b""
    else:
        assert status in await reader.readline()
    writer.close()
    assert (await caller.post()).status == 200
    assert len(sandbox.messages()) == 2
    assert "Traceback" not in caplog.text
    assert "fake" not in caplog.text


def test_it_runs_in_one_loop_after_another():
    """A sandbox is not bound to the loop it ran in first."""
    sandbox = Sandbox()

    async def run():
        async with sandbox:
            return sandbox.api_url

    assert asyncio.run(run()) != ""
    assert asyncio.run(run()) != ""


async def test_it_runs_alone_until_cancelled():
    """Standing alone takes no more than sleeping for ever within it; cancelling ends it at once."""
    sandbox = Sandbox()
    async with anyio.create_task_group() as group:

        async def serve(task_status=anyio.TASK_STATUS_IGNORED):
            async with sandbox:
                task_status.started(sandbox.api_url)
                await anyio.sleep_forever()

        assert await group.start(serve)
        group.cancel_scope.cancel()
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = sandbox.api_url


def test_importing_it_costs_no_command_line_extra():
    """The sandbox needs nothing but the library's own dependencies."""
    code = (
        "import sys, smspop_async.sandbox\n"
        "print({'rich', 'cyclopts', 'jinja2', 'phonenumbers', 'smspop_async.api'} & set(sys.modules))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- messages ---


async def test_a_message_says_everything(caller):
    """What was sent is there with its campaign, sender, time and size."""
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    async with Sandbox(clock=lambda: now) as sandbox:
        await caller.of(sandbox).post(name="n", message="m" * 161)
        (message,) = sandbox.messages(to="+263 77 000-0001")
        assert (message.to, message.text, message.sender_id) == (ONE, "m" * 161, "BRAND1")
        assert (message.campaign, message.campaign_id, message.status) == ("n", 1, "sent")
        assert (message.at, message.segments) == (now, 2)
        (campaign,) = sandbox.campaigns
        assert (campaign.contacts, campaign.sent, campaign.failed) == ((ONE, TWO), 2, 0)
        assert campaign.credits == 4


async def test_nothing_private_is_in_a_repr(caller, sandbox):
    """Messages, campaigns and requests may be logged."""
    await caller.post(message="secret words")
    shown = repr((sandbox.messages(), sandbox.campaigns, sandbox.requests))
    for private in ("secret words", ONE, TWO, sandbox.token, "fake-token"):
        assert private not in shown
    assert "…0001" in shown


async def test_part_of_a_number_is_another_number(caller, sandbox):
    """A search is for the whole number."""
    await caller.post(manual_contacts=f"1{ONE}")
    assert not sandbox.messages(to=ONE)
    with pytest.raises(ConfigurationError, match="digits"):
        sandbox.messages(to="nobody")


async def test_five_thousand_contacts(caller, sandbox):
    """A large chunk is answered whole, in order."""
    numbers = [f"26377{number:07}" for number in range(5000)]
    answer = await caller.post(manual_contacts=",".join(numbers))
    assert [row["phone_number"] for row in answer.json["contacts"]] == numbers
    assert len(sandbox.messages()) == 5000


# --- waiting ---


async def test_wait_for_returns_when_the_message_arrives(caller, sandbox):
    """The wait ends with the arrival; one message is returned as such, several as a list."""
    async with asyncio.TaskGroup() as group:
        one = group.create_task(sandbox.wait_for(to="+263 770 000 001"))
        two = group.create_task(sandbox.wait_for(to=ONE, count=2))
        await asyncio.sleep(0)
        await caller.post(name="first", manual_contacts=TWO)
        assert not one.done()
        await caller.post(name="second", manual_contacts=ONE)
        assert (await one).campaign == "second"
        assert not two.done()
        await caller.post(name="third", manual_contacts=ONE)
        assert [message.campaign for message in await two] == ["second", "third"]


async def test_wait_for_what_is_there(caller, sandbox):
    """Messages from before the call count, and one message means the newest."""
    await caller.post(name="first")
    await caller.post(name="second")
    assert (await sandbox.wait_for(to=ONE, timeout=0)).campaign == "second"
    assert len(await sandbox.wait_for(count=4, timeout=0)) == 4


async def test_wait_for_times_out_with_a_helpful_text(caller, sandbox):
    """The text counts what arrived and shows the last answers, but no number."""
    sandbox.fail_next(503)
    await caller.post()
    await caller.post()
    with pytest.raises(TimeoutError) as caught:
        await sandbox.wait_for(to="263770000009", count=3, timeout=0)
    text = str(caught.value)
    assert text == (
        "Waited 0 s for 3 message(s) to …0009: 0 arrived. The sandbox has 2 message(s) in all; "
        "its last answers: 503, 200."
    )
    with pytest.raises(ConfigurationError, match="at least one"):
        await sandbox.wait_for(count=0)


def test_the_balance_cannot_be_set_below_zero():
    """Setting credits is checked like the opening balance, and changes nothing where it is refused."""
    sandbox = Sandbox()
    with pytest.raises(ConfigurationError, match="credits"):
        sandbox.credits = -1
    assert sandbox.credits == 1_000_000


async def test_wait_for_requests(caller, sandbox):
    """Requests are waited for like messages."""
    waiting = asyncio.create_task(sandbox.wait_for_requests(count=2))
    await caller.list_campaigns()
    assert not waiting.done()
    await caller.post()
    assert [request.method for request in await waiting] == ["GET", "POST"]
    with pytest.raises(TimeoutError, match=r"3 request\(s\): 2 came"):
        await sandbox.wait_for_requests(count=3, timeout=0)


async def test_wait_for_ends_when_the_sandbox_closes():
    """Nobody waits for a sandbox that cannot receive any more."""
    sandbox = Sandbox()
    await sandbox.start()
    waiting = asyncio.create_task(sandbox.wait_for(to=ONE, timeout=3600))
    await asyncio.sleep(0)
    await sandbox.aclose()
    with pytest.raises(TimeoutError, match="its last answers: none"):
        await waiting


# --- resetting ---


async def test_reset_returns_to_the_constructed_state(caller):
    """What happened is forgotten; credits, senders and the ready token are as at the beginning."""
    async with Sandbox(credits=10, senders=("BRAND1",)) as sandbox:
        there = caller.of(sandbox)
        await there.post()
        other = sandbox.create_token()
        sandbox.add_sender("BRAND2")
        sandbox.revoke_token()
        sandbox.active = False
        sandbox.fail_next(500)
        sandbox.reset()
        assert (sandbox.messages(), sandbox.campaigns, sandbox.faults, sandbox.requests) == ([], [], [], [])
        assert (sandbox.credits, sandbox.senders, sandbox.active) == (10, ("BRAND1",), True)
        assert (await there.call("GET", "/api/campaigns", token=other)).status == 401
        assert (await there.post()).status == 200
        assert sandbox.campaigns[0].id == 1


async def test_tokens(caller, sandbox):
    """Any number of tokens are valid until each is revoked; they look like Laravel Sanctum's."""
    token = sandbox.create_token()
    assert token.startswith("2|")
    assert len(token) == 42
    assert (await caller.call("GET", "/api/campaigns", token=token)).status == 200
    assert sandbox.revoke_token(token) is True
    assert sandbox.revoke_token(token) is False
    assert (await caller.call("GET", "/api/campaigns", token=token)).status == 401
    assert (await caller.list_campaigns()).status == 200
    assert sandbox.revoke_token() is True
    assert (await caller.list_campaigns()).status == 401
