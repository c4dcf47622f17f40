"""Opening, closing and sharing a client: loops, sessions, tokens, base URLs."""

import asyncio
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import aiohttp
import anyio
import pytest

from api.calling import MESSAGE, NUMBERS, TOKEN, assert_discreet, calling, create, failure_of
from rawserver import Peer, Request, answer_all, raw_server
from smspop_async import (
    ConfigurationError,
    Delivery,
    PlaintextTokenWarning,
    RateLimit,
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    Timeouts,
)

ROOT = Path(__file__).parents[2]


def other_options(name: str, value: object) -> dict[str, object]:
    return {"token": TOKEN, "base_url": "http://127.0.0.1:1/api", name: value}


@pytest.mark.anyio
async def test_borrowed_session_is_never_closed() -> None:
    """Closing the client closes what it opened: the lender's session and pool work on."""
    async with raw_server(answer_all) as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with SmsPop(TOKEN, base_url=server.base_url, session=session) as sms:
                await create(sms)
        assert not session.closed
        assert not session.connector.closed
        async with session.get(f"{server.base_url}/campaigns") as response:
            assert response.status == 200


@pytest.mark.anyio
@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
async def test_closing_ends_what_is_under_way(owned: bool) -> None:
    """Nobody watches its time limits any more: a request that was written is UNKNOWN, now, not in minutes or never."""
    reached = anyio.Event()

    async def silent(peer: Peer, request: Request) -> None:
        reached.set()
        await anyio.sleep_forever()

    async with raw_server(silent) as server, calling(server.base_url, owned=owned) as sms:
        call = asyncio.ensure_future(failure_of(create(sms)))
        await reached.wait()
        await sms.aclose()
        with anyio.fail_after(5):
            assert (await call).delivery is Delivery.UNKNOWN


@pytest.mark.anyio
@pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])
async def test_closing_twice_is_harmless_and_use_after_it_is_refused(owned: bool) -> None:
    """``aclose`` is idempotent; afterwards every call says that the client is closed."""
    async with raw_server(answer_all) as server, calling(server.base_url, owned=owned) as sms:
        await create(sms)
        await sms.aclose()
        await sms.aclose()
        for call in (create(sms), anext(sms.campaigns.list()), sms.campaigns.with_raw_response.list()):
            error = await failure_of(call)
            assert isinstance(error, ConfigurationError)
            assert "closed" in str(error)
            assert error.delivery is Delivery.NOT_SENT
        assert len(server.requests) == 1


@pytest.mark.anyio
async def test_client_that_was_never_used_closes() -> None:
    """There is nothing to close before the first request."""
    sms = SmsPop(TOKEN)
    await sms.aclose()


@pytest.mark.anyio
async def test_lender_that_closes_first_is_named() -> None:
    """A borrowed session that its owner closed is told as such, before and after the first request."""
    async with raw_server(answer_all) as server:
        async with aiohttp.ClientSession() as session:
            sms = SmsPop(TOKEN, base_url=server.base_url, session=session)
            unused = SmsPop(TOKEN, base_url=server.base_url, session=session)
            await create(sms)
        for client in (sms, unused):
            error = await failure_of(create(client))
            assert isinstance(error, ConfigurationError)
            assert "session handed to SmsPop is closed" in str(error)
            await client.aclose()


def test_client_made_without_a_loop_opens_on_first_use() -> None:
    """A client may be made at import time; it binds to the loop of its first request."""

    async def use() -> bool:
        async with raw_server(answer_all) as server, sms:
            object.__setattr__(sms.submitter, "url", sms.submitter.url.with_port(server.port))
            return (await create(sms)).success

    sms = SmsPop(TOKEN, base_url="http://127.0.0.1:1/api")
    assert asyncio.run(use())


def test_second_loop_is_named_for_an_own_session() -> None:
    """The famous "event loop is closed" is told in words that say what to do."""

    async def use(sms: SmsPop) -> object:
        async with raw_server(answer_all) as server:
            object.__setattr__(sms.submitter, "url", sms.submitter.url.with_port(server.port))
            return await create(sms)

    with asyncio.Runner() as first, asyncio.Runner() as second:
        sms = SmsPop(TOKEN, base_url="http://127.0.0.1:1/api")
        assert first.run(use(sms)).success
        error = second.run(_failure(sms))
        assert isinstance(error, ConfigurationError)
        assert "another event loop" in str(error)
        assert "one client per loop" in str(error)
        first.run(sms.aclose())


def test_second_loop_is_named_for_a_borrowed_session() -> None:
    """A session of another loop is refused before anything is sent."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        session = first.run(_open_session())
        error = second.run(_failure(SmsPop(TOKEN, base_url="http://127.0.0.1:1/api", session=session)))
        assert isinstance(error, ConfigurationError)
        assert "another event loop" in str(error)
        first.run(session.close())


async def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


def test_closing_in_another_loop_leaves_the_sockets_to_their_own() -> None:
    """A client that is closed from a second loop is closed, and its own loop does the work when it runs."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.get_loop().set_debug(True)
        context = raw_server(answer_all)
        server = first.run(_enter(context))
        sms = SmsPop(TOKEN, base_url=server.base_url)
        first.run(_create(sms))
        second.run(sms.aclose())
        assert isinstance(first.run(_failure(sms)), ConfigurationError)
        first.run(server.drained())
        first.run(_exit(context))


def test_closing_from_another_thread_is_safe() -> None:
    """The loop of the connections runs in its own thread meanwhile."""

    async def use() -> None:
        async with raw_server(answer_all) as server:
            sms = SmsPop(TOKEN, base_url=server.base_url)
            await create(sms)
            thread = threading.Thread(target=lambda: asyncio.run(sms.aclose()))
            thread.start()
            await server.drained()
            await asyncio.to_thread(thread.join)

    asyncio.run(use(), debug=True)


async def _enter(context: object) -> object:
    return await context.__aenter__()


async def _exit(context: object) -> None:
    await context.__aexit__(None, None, None)


async def _create(sms: SmsPop) -> None:
    await create(sms)


async def _failure(sms: SmsPop) -> object:
    return await failure_of(create(sms))


SCRIPT = """
import asyncio, sys
sys.path[:0] = {paths!r}
from api.calling import calling, create, failure_of
from rawserver import answer_all, raw_server
from smspop_async import SmsPop

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # how long things take is not the question
    async with raw_server(answer_all) as server:
        for owned in (True, False):
            async with calling(server.base_url, owned=owned) as sms:
                await asyncio.gather(*(create(sms) for _ in range(4)))
                [c async for c in sms.campaigns.list()]
        async with calling(server.base_url) as sms:
            call = asyncio.create_task(create(sms))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
    SmsPop("1|fake-token")
asyncio.run(main())
import gc; gc.collect()
print("done")
"""


def test_nothing_is_left_open_in_development_mode() -> None:
    """Under ``-X dev -W error`` no resource is left open, no coroutine is forgotten, nothing is logged."""
    paths = [str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(SCRIPT.format(paths=paths))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.anyio
async def test_token_provider_is_asked_for_every_request() -> None:
    """A rotated token is used from the next request on, also by the attempts of one campaign."""
    tokens = iter([f"{n}|fake" for n in range(1, 10)])

    async def provide() -> str:
        return next(tokens)

    async def script(peer: Peer, request: Request) -> None:
        if len(server.requests) == 1:
            await peer.reply(429)
        else:
            await answer_all(peer, request)

    async with raw_server(script) as server, calling(server.base_url, token=provide) as sms:
        await create(sms)
        assert [campaign async for campaign in sms.campaigns.list()] == []
        assert [request.headers["Authorization"] for request in server.requests] == [
            "Bearer 1|fake",
            "Bearer 2|fake",
            "Bearer 3|fake",
        ]


class VaultError(Exception):
    """Does not pickle: its argument is not what its constructor takes."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


async def _raise() -> str:
    raise VaultError(code=7)


async def _refuse() -> str:
    raise ConfigurationError("The vault is not configured.")


async def _give_none() -> str:
    return None


async def _give_spoilt() -> str:
    return TOKEN + "\r\nX-Evil: 1"


async def _give_nothing() -> str:
    return ""


def _not_async() -> str:
    return TOKEN


@pytest.mark.anyio
@pytest.mark.parametrize("provide", [_raise, _refuse, _give_none, _give_spoilt, _give_nothing, _not_async])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_failing_token_provider_is_a_setting_and_sends_nothing(
    provide: Callable[[], object], method: str
) -> None:
    """A provider that fails or gives what is no token: ConfigurationError, NOT_SENT, not tried again."""
    async with raw_server(answer_all) as server, calling(server.base_url, token=provide) as sms:
        error = await failure_of(create(sms) if method == "POST" else anext(sms.campaigns.list()))
        assert type(error) is ConfigurationError
        assert error.delivery is Delivery.NOT_SENT
        twin = pickle.loads(pickle.dumps(error))
        assert str(twin) == str(error)
        assert_discreet(error)
        assert server.requests == []


def test_plaintext_token_is_warned_of_once_at_the_callers_line() -> None:
    """Plain http to anything but this machine: one warning for the client, where it is made; no request."""
    with pytest.warns(PlaintextTokenWarning, match="smspop.example") as caught:
        SmsPop(TOKEN, base_url="http://smspop.example/api")
    (warning,) = caught
    assert warning.filename == __file__
    assert TOKEN not in str(warning.message)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "api.localhost", "[::1]"])
def test_loopback_is_not_warned_of(host: str) -> None:
    """This machine may be spoken to in the clear."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SmsPop(TOKEN, base_url=f"http://{host}:1234/api")
        SmsPop(TOKEN, base_url="https://smspop.example/api")


@pytest.mark.parametrize(
    "base_url",
    [
        "smspop.co.zw/api", "ftp://smspop.co.zw", "https://", "https:///api", "http://[::1", "https://x:port/",
        "https://x:99999/", f"https://user:{TOKEN}@x/api", "https://user@x/api", "https://x/api?a=b",
        "https://x/api?", "https://x/api#f", "https://x/api#", "https://x/a b", "https://x/\n", "https://x\\y/",
        "https://x\x00/", "", " ", 5, b"https://x/api", "//x/api", "https://x@/api", "https://\u200bx/",
        "https://é..b/api", f"https://{'é' * 64}/api",
    ],
)  # fmt: skip
def test_malformed_base_url_is_refused(base_url: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no plain http(s) URL is refused when the client is made, and not quoted."""
    monkeypatch.delenv("SMSPOP_BASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        SmsPop(TOKEN, base_url=base_url)
    assert_discreet(caught.value)


def test_base_url_comes_from_the_environment_or_is_the_documented_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``SMSPOP_BASE_URL``, or the documented address over TLS; a slash at the end is of no account."""
    monkeypatch.delenv("SMSPOP_BASE_URL", raising=False)
    assert repr(SmsPop(TOKEN)) == "<SmsPop https://smspop.co.zw/api>"
    monkeypatch.setenv("SMSPOP_BASE_URL", "https://staging.example/api/")
    assert repr(SmsPop(TOKEN)) == "<SmsPop https://staging.example/api>"
    assert SmsPop(TOKEN).submitter.url.path == "/api/campaigns"


@pytest.mark.parametrize("token", ["", " ", "a b", "tök", 'a"b', "a\r\nb", "1|fake-token\n", 5, b"1|fake"])
def test_malformed_token_is_refused(token: object) -> None:
    """A token that cannot stand in a header is refused when the client is made, and not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        SmsPop(token)
    assert "1|fake" not in str(caught.value)


def test_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``SMSPOP_TOKEN`` is used, and named where it is missing."""
    monkeypatch.delenv("SMSPOP_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="SMSPOP_TOKEN"):
        SmsPop()
    monkeypatch.setenv("SMSPOP_TOKEN", TOKEN)
    assert TOKEN not in repr(vars(SmsPop()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0), ("max_connections", True), ("max_connections", 1.5), ("timeout", 0),
        ("timeout", -1), ("timeout", float("nan")), ("timeout", "5"), ("timeout", True),
        ("timeout", float("inf")), ("timeout", 10**400),
        ("timeout", aiohttp.ClientTimeout(total=float("inf"))),
        ("default_region", "Zimbabwe"), ("proxy", "not a url"), ("proxy", "socks5://x:1"), ("proxy", 5),
        ("proxy", "http://x:99999"), ("proxy", f"://user:{TOKEN}@x"), ("session", object()),
        ("retry", 3), ("on_event", 5), ("on_event", "print"),
    ],
)  # fmt: skip
def test_malformed_setting_is_refused(name: str, value: object) -> None:
    """A setting that makes no sense is refused when the client is made."""
    with pytest.raises(ConfigurationError) as caught:
        SmsPop(**other_options(name, value))
    assert_discreet(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(attempts=2.5),
        lambda: RetryPolicy(attempts=True),
        lambda: RetryPolicy(initial_backoff=-1),
        lambda: RetryPolicy(max_backoff=float("nan")),
        lambda: RetryPolicy(max_retry_after="1"),
        lambda: RateLimit(contacts_per_second=0),
        lambda: RateLimit(requests_per_second=-1),
        lambda: ReconcilePolicy(first=0),
        lambda: ReconcilePolicy(horizon=-1),
        lambda: Timeouts(connect=0),
        lambda: Timeouts(read="5"),
        lambda: Timeouts(total=-1),
        lambda: RetryPolicy(initial_backoff=float("inf")),
        lambda: RetryPolicy(max_backoff=10**400),
        lambda: RetryPolicy(max_retry_after=10**5000),
        lambda: ReconcilePolicy(first=float("inf")),
        lambda: ReconcilePolicy(horizon=float("inf")),
    ],
)
def test_malformed_policy_is_refused(make: Callable[[], object]) -> None:
    """Policies refuse senseless values as settings do: by ConfigurationError, the one class to catch."""
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize("limit", ["connect", "read", "total"])
@pytest.mark.parametrize("endless", [float("inf"), 10**400])
def test_no_limit_is_none(limit: str, endless: float) -> None:
    """No clock takes an endless number: it is refused, and the error says what is written instead."""
    with pytest.raises(ConfigurationError, match=f"{limit} must be .* None for no limit"):
        Timeouts(**{limit: endless})
    with pytest.raises(ConfigurationError, match="total=None"):
        SmsPop(TOKEN, timeout=endless)
    assert getattr(SmsPop(TOKEN, timeout=Timeouts(**{limit: None})).submitter.timeouts, limit) is None


def test_forms_of_timeout() -> None:
    """Seconds, `Timeouts` and aiohttp's own are understood alike; 0 and None of aiohttp's mean no limit."""

    def limits(value: object) -> Timeouts:
        return SmsPop(TOKEN, timeout=value).submitter.timeouts

    assert limits(None) == Timeouts(connect=15, read=140, total=150)
    assert limits(5) == Timeouts(connect=5, read=5, total=5)
    assert limits(60) == Timeouts(connect=15, read=60, total=60)
    assert limits(Timeouts(total=9)) == Timeouts(total=9)
    assert limits(aiohttp.ClientTimeout(total=7, sock_read=3, connect=2, sock_connect=4)) == Timeouts(
        connect=2, read=3, total=7
    )
    assert limits(aiohttp.ClientTimeout(total=0)) == Timeouts(connect=None, read=None, total=None)


@pytest.mark.anyio
async def test_with_options_shares_the_pool_and_the_gate() -> None:
    """A copy differs in what was given and shares the rest, the connection included."""
    events: list[object] = []
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        copy = sms.with_options(timeout=3, retry=RetryPolicy(attempts=1), on_event=events.append)
        assert type(copy) is SmsPop
        await create(sms)
        await create(copy)
        assert server.connections == 1
        assert [type(event).__name__ for event in events] == ["CampaignSubmitted", "CampaignSettled"]
        assert copy.submitter.gate is sms.submitter.gate
        assert copy.submitter.timeouts.total == 3
        assert sms.submitter.timeouts.total == 150
        again = copy.with_options()
        assert again.submitter.timeouts == copy.submitter.timeouts
        assert again.submitter.retry == copy.submitter.retry
        assert again.submitter.observer == copy.submitter.observer


@pytest.mark.anyio
async def test_with_options_serves_another_account() -> None:
    """A copy with a token of its own shares the pool, and not the gate, whose limit is the account's."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        other = sms.with_options(token="2|fake-other")
        await create(sms)
        await create(other)
        assert [post.headers["Authorization"] for post in server.posts] == [
            f"Bearer {TOKEN}",
            "Bearer 2|fake-other",
        ]
        assert server.connections == 1
        assert other.submitter.gate is not sms.submitter.gate
        with pytest.raises(ConfigurationError):
            sms.with_options(token="no token")


@pytest.mark.anyio
async def test_the_observer_of_a_copy_has_heard_all_when_the_connections_are_closed() -> None:
    """Closing one client closes the connections of its copies, and waits for their observers too."""
    heard: list[object] = []

    async def observe(event: object) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        heard.append(event)

    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        await create(sms.with_options(on_event=observe))
    assert [type(event).__name__ for event in heard] == ["CampaignSubmitted", "CampaignSettled"]


@pytest.mark.anyio
async def test_observer_that_raises_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's exception is logged by its type alone, and the campaign is sent."""

    def observe(event: object) -> None:
        raise ValueError(f"{TOKEN} {MESSAGE} {NUMBERS[0]}")

    async with raw_server(answer_all) as server, calling(server.base_url, on_event=observe) as sms:
        assert (await create(sms)).success
    assert "ValueError" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.anyio
async def test_unread_list_leaves_nothing_open() -> None:
    """An iteration over the list that is left early holds no connection."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(200, '[{"name": "a"}, {"name": "b"}]')

    async with raw_server(script) as server, calling(server.base_url, max_connections=1) as sms:
        async for campaign in sms.campaigns.list():
            assert campaign.name == "a"
            break
        gc.collect()
        server.script = answer_all
        assert (await create(sms)).success
