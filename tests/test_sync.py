"""Synchronous callers: a script that does one thing, and the threads of a server that share one client."""

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import smspop_async
from smspop_async import ConfigurationError, InsufficientCreditsError, SmsPop, Status
from smspop_async.sandbox import Sandbox
from smspop_async.sync import ClientOptions, SmsPopPortal, run

PACKAGE = Path(smspop_async.__file__).parents[1]
ONE, TWO = "263770000001", "263770000002"


class Remote:
    """A sandbox in a thread of its own, because the tests have no loop."""

    def __init__(self, sandbox: Sandbox, portal: BlockingPortal) -> None:
        self.sandbox, self.portal = sandbox, portal
        self.options = ClientOptions(token=sandbox.token, base_url=sandbox.api_url)

    @property
    def texted(self) -> list[str]:
        return self.portal.call(lambda: [message.to for message in self.sandbox.messages()])

    def fail_next(self, kind: int | str, **options) -> None:
        self.portal.call(partial(self.sandbox.fail_next, kind, **options))

    def wait_for_requests(self, count: int) -> None:
        self.portal.call(partial(self.sandbox.wait_for_requests, count=count, timeout=30))


@pytest.fixture
def remote() -> Iterator[Remote]:
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(Sandbox()) as sandbox:
        yield Remote(sandbox, portal)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No thread of a portal and no unclosed connection outlives its test."""
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "smspop-portal"]


async def welcome(sms: SmsPop, number: str = ONE) -> str:
    result = await sms.campaigns.create(name="W", message="Hi!", sender_id="BRAND1", contacts=[number])
    return result.contacts[0].status


# --- run ---


def test_run_opens_a_client_and_returns_what_comes_of_it(remote: Remote) -> None:
    """A lambda that returns an awaitable, or an async function: both are what people write."""
    report = run(
        lambda sms: sms.send([ONE, TWO], message="Hello!", sender_id="BRAND1", name="Script"),
        **remote.options,
    )
    assert (report.name, report.counts[Status.SENT]) == ("Script", 2)
    assert run(welcome, **remote.options) == "sent"
    assert remote.texted == [ONE, TWO, ONE]


def test_run_takes_its_settings_from_the_environment(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSPOP_TOKEN", remote.options["token"])
    monkeypatch.setenv("SMSPOP_BASE_URL", remote.options["base_url"])
    assert run(welcome) == "sent"


def test_run_raises_what_the_work_raises(remote: Remote) -> None:
    """An error arrives as itself, not in a group."""
    remote.fail_next("no_credits")
    with pytest.raises(InsufficientCreditsError):
        run(welcome, **remote.options)
    with pytest.raises(ConfigurationError, match="base_url"):
        run(welcome, token="1|fake-token", base_url="ftp://nowhere")


def test_the_settings_are_those_of_the_client() -> None:
    """A setting that is new in `SmsPop` is missing here, unless it belongs to a loop."""
    parameters = inspect.signature(SmsPop).parameters
    assert sorted(ClientOptions.__annotations__) == sorted(set(parameters) - {"session"})


@pytest.mark.parametrize("call", [run, SmsPopPortal(token="1|fake-token").call], ids=["run", "portal"])
def test_inside_a_loop_it_says_what_to_write(call) -> None:
    """It would stop everything else in the loop, so it is refused before anything is opened."""

    async def main() -> None:
        call(welcome)

    with pytest.raises(ConfigurationError, match=r"write: a(sync with SmsPop|wait sms\.)"):
        asyncio.run(main())


def test_work_that_is_no_function_is_refused(remote: Remote) -> None:
    """A coroutine is what people try first; it is closed, so that nothing warns about it."""
    with pytest.raises(ConfigurationError, match="Pass a function that takes the client"):
        run(welcome(None), **remote.options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Pass a function that takes the client"):
        run("hello", **remote.options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must return what can be awaited"):
        run(lambda _: 5, **remote.options)  # type: ignore[arg-type,return-value]
    assert remote.texted == []


SCRIPT = """
import asyncio, sys
from smspop_async.sync import SmsPopPortal, run

async def send(sms):
    mine = asyncio.current_task()
    async def tell():
        while not mine.cancelling():
            await asyncio.sleep(0.01)
        print("cancelled", flush=True)
    telling = asyncio.create_task(tell())
    contacts = [f"26377{number:07}" for number in range(200)]
    return await sms.send(
        contacts, message="Hi!", sender_id="BRAND1", chunk_size=10, max_concurrency=1, grace=GRACE)

try:
    CALL(send)
except KeyboardInterrupt as interrupt:
    report = interrupt.report
    print(report.cancelled, report.total, sum(report.counts.values()), report.counts["sent"], report.counts["unknown"])
    assert any("was ended early" in note for note in interrupt.__notes__)
    AFTER
    sys.exit(7)
"""
CALLS = {"run": ("run", ""), "portal": ("(portal := SmsPopPortal()).call", "portal.close()")}


def start(code: str, remote: Remote) -> subprocess.Popen[str]:
    """Start a script as from a terminal, whatever signals the tests themselves ignore."""
    environment = {
        "PYTHONPATH": str(PACKAGE),
        "SMSPOP_TOKEN": remote.options["token"],
        "SMSPOP_BASE_URL": remote.options["base_url"],
    }
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", listening + code],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", CALLS)
def test_ctrl_c_stops_softly_and_brings_the_report(how: str, remote: Remote) -> None:
    """Nothing more is submitted, what is under way settles, and the report on the interrupt is true."""
    call, after = CALLS[how]
    remote.fail_next("latency", seconds=0.3, times=50)
    child = start(SCRIPT.replace("CALL", call).replace("AFTER", after).replace("GRACE", "30"), remote)
    remote.wait_for_requests(2)
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 7, err
    told, cancelled, total, accounted, sent, unknown = out.split()
    assert (told, cancelled, total, accounted, unknown) == ("cancelled", "True", "200", "200", "0")
    assert int(sent) == len(remote.texted) < 200


def test_a_second_ctrl_c_does_not_wait(remote: Remote) -> None:
    """What was cut off is unknown, and told so."""
    remote.fail_next("hang")
    child = start(SCRIPT.replace("CALL", "run").replace("AFTER", "").replace("GRACE", "600"), remote)
    remote.wait_for_requests(1)
    os.kill(child.pid, signal.SIGINT)
    assert child.stdout is not None
    assert child.stdout.readline() == "cancelled\n"
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 7, err
    assert out.split() == ["True", "200", "200", "0", "10"]


def test_an_interrupt_without_a_send_has_no_report(remote: Remote) -> None:
    """There is nothing to account for, and nothing is made up."""

    async def interrupted(_: SmsPop) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run(interrupted, **remote.options)
    assert not hasattr(caught.value, "report")


# --- the portal ---


def test_threads_share_one_client(remote: Remote) -> None:
    """Many threads, one client, one loop: that is what keeps connections warm and limits common."""
    clients: set[SmsPop] = set()
    loops: set[asyncio.AbstractEventLoop] = set()

    async def work(sms: SmsPop, number: int) -> str:
        clients.add(sms)
        loops.add(asyncio.get_running_loop())
        return await welcome(sms, f"26377{number:07}")

    with SmsPopPortal(**remote.options) as portal, ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda number: portal.call(partial(work, number=number)), range(40)))
    assert statuses == ["sent"] * 40
    assert len(set(remote.texted)) == len(remote.texted) == 40
    assert (len(clients), len(loops)) == (1, 1)


def test_work_can_be_started_and_waited_for_later(remote: Remote) -> None:
    """`close` waits for what was started, and nothing may be started after it."""
    portal = SmsPopPortal(**remote.options)
    remote.fail_next("latency", seconds=0.1)
    future = portal.start(welcome)
    portal.close()
    portal.close()
    assert future.result(timeout=0) == "sent"
    with pytest.raises(ConfigurationError, match="closed"):
        portal.call(welcome)


def test_an_error_in_the_block_cancels_what_was_started(remote: Remote) -> None:
    remote.fail_next("hang_before")
    with pytest.raises(ZeroDivisionError), SmsPopPortal(**remote.options) as portal:
        future = portal.start(welcome)
        remote.wait_for_requests(1)
        raise ZeroDivisionError
    with pytest.raises(CancelledError):
        future.result(timeout=0)


def test_settings_are_looked_at_by_the_first_call_and_may_be_put_right() -> None:
    """Django imports views long before anybody has set a token; the error belongs to the call that needs it."""
    portal = SmsPopPortal(token="", base_url="http://127.0.0.1:9")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="token is empty"):
            portal.call(welcome)
    portal.close()


def test_a_call_from_the_portals_own_loop_is_refused(remote: Remote) -> None:
    """It would wait for itself."""
    with SmsPopPortal(**remote.options) as portal:

        async def work(sms: SmsPop) -> None:
            portal.call(welcome)

        with pytest.raises(ConfigurationError, match="event loop runs in this thread"):
            portal.call(work)


def test_work_that_calls_exit_does_not_take_the_others_along(remote: Remote) -> None:
    """``sys.exit()`` would end the loop of every thread; in a script it ends the script."""

    async def leave(_: SmsPop) -> None:
        sys.exit(3)

    with SmsPopPortal(**remote.options) as portal:
        remote.fail_next("latency", seconds=0.1)
        others = portal.start(welcome)
        with pytest.raises(RuntimeError, match=r"sys\.exit\(\)"):
            portal.call(leave)
        assert others.result(20) == "sent"
    with pytest.raises(SystemExit):
        run(leave, **remote.options)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_process_opens_a_client_of_its_own(remote: Remote) -> None:
    """A server that forks after the first call: the child has no thread of the parent, and no loop."""
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads, and rightly
from smspop_async.sync import SmsPopPortal

async def welcome(sms):
    return (await sms.campaigns.create(name="W", message="Hi!", sender_id="BRAND1", contacts=[sys.argv[0]])).success

portal = SmsPopPortal()
sys.argv[0] = "263770000001"
assert portal.call(welcome)
child = os.fork()
if child == 0:
    sys.argv[0] = "263770000002"
    assert portal.call(welcome)
    portal.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
sys.argv[0] = "263770000003"
assert portal.call(welcome)
"""
    child = start(code, remote)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert remote.texted == [ONE, TWO, "263770000003"]


def test_the_interpreter_ends_although_nobody_closed_it(remote: Remote) -> None:
    """What is under way at the end is cancelled in its loop, and what is open is closed; nothing warns."""
    remote.fail_next("hang_before", times=2)
    code = """
from smspop_async.sync import SmsPopPortal

async def send(sms):
    try:
        await sms.send(["263770000001"], message="Hi!", sender_id="BRAND1", grace=0)
    finally:
        print("cancelled", flush=True)

portal = SmsPopPortal()
portal.start(send)
import sys
sys.stdin.readline()
"""
    child = start(code, remote)
    remote.wait_for_requests(1)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "cancelled\n", "")


@pytest.mark.anyio
async def test_a_future_can_be_awaited_in_another_loop(remote: Remote) -> None:
    """`start` does not block, so async code may use a portal that is there already."""
    portal = SmsPopPortal(**remote.options)
    try:
        with anyio.fail_after(20):
            assert await asyncio.wrap_future(portal.start(welcome)) == "sent"
    finally:
        await anyio.to_thread.run_sync(portal.close)
