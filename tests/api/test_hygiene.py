"""What a session does behind one's back, and this client does not: redirects, cookies, proxies, middlewares."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from api.calling import MESSAGE, NUMBERS, TOKEN, calling, create, failure_of
from rawserver import Peer, Request, answer_all, good_reply, raw_server, sent_numbers
from smspop_async import AuthenticationError, ConfigurationError, Delivery, SmsPop

pytestmark = pytest.mark.anyio

both_sessions = pytest.mark.parametrize("owned", [True, False], ids=["owned", "borrowed"])


@both_sessions
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_no_redirect_is_followed(status: int, method: str, owned: bool) -> None:
    """Whatever a redirect says, the place that it points to hears nothing."""
    async with raw_server(answer_all) as other:

        async def script(peer: Peer, request: Request) -> None:
            await peer.reply(status, b"", f"Location: {other.base_url}/campaigns")

        async with raw_server(script) as server, calling(server.base_url, owned=owned) as sms:
            call = create(sms) if method == "POST" else anext(sms.campaigns.list())
            await failure_of(call)
            assert len(server.requests) == 1
        assert other.connections == 0


@both_sessions
async def test_cookies_are_not_sent_back(owned: bool) -> None:
    """A session cookie would put the API into the mode of its web pages, so none is kept."""

    async def script(peer: Peer, request: Request) -> None:
        cookie = "Set-Cookie: laravel_session=abc; Path=/"
        body = "[]" if request.method == "GET" else good_reply(sent_numbers(request))
        await peer.json(200, body, cookie, "Set-Cookie: XSRF-TOKEN=abc; Path=/")

    # A cookie jar keeps nothing of a host that is an address, so this one has a name.
    async with (
        raw_server(script) as server,
        calling(f"http://localhost:{server.port}/api", owned=owned) as sms,
    ):
        for _ in range(2):
            await create(sms)
            assert [campaign async for campaign in sms.campaigns.list()] == []
        assert len(server.requests) == 4
        assert all("Cookie" not in request.headers for request in server.requests)


@both_sessions
async def test_environment_is_not_trusted(
    owned: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a ``.netrc`` of the environment has a say."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password fake\ndefault login x password fake\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with raw_server(answer_all) as proxy, raw_server(answer_all) as server:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with calling(server.base_url, owned=owned) as sms:
            assert (await create(sms)).success
        assert proxy.connections == 0
        assert server.posts[0].headers["Authorization"] == f"Bearer {TOKEN}"


async def test_nothing_of_a_borrowed_session_but_its_pool_is_used() -> None:
    """Default headers, auth, cookies, middlewares, base URL and raise_for_status of the lender stay out of it."""
    ran = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        ran.append(request)
        await handler(request)
        return await handler(request)

    async with (
        raw_server(answer_all) as server,
        aiohttp.ClientSession(
            base_url="http://127.0.0.1:1/",
            headers={"X-Lender": "1", "Accept": "text/html", "Authorization": "Basic abc"},
            auth=None,
            cookies={"lender": "1"},
            middlewares=(middleware,),
            raise_for_status=True,
            timeout=aiohttp.ClientTimeout(total=1e-9),
            trust_env=True,
        ) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        assert (await create(sms)).success
        (post,) = server.posts
        assert "X-Lender" not in post.headers
        assert "Cookie" not in post.headers
        assert post.headers["Accept"] == "application/json"
        assert post.headers["Authorization"] == f"Bearer {TOKEN}"
        assert ran == []


async def test_session_that_raises_for_status_changes_no_error() -> None:
    """A lender's ``raise_for_status`` neither hides the API's words nor changes the class."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(401, '{"message": "Unauthenticated."}')

    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(raise_for_status=True) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        error = await failure_of(create(sms))
        assert isinstance(error, AuthenticationError)
        assert error.api_message == "Unauthenticated."


async def test_traces_of_a_borrowed_session_see_the_requests() -> None:
    """A lender's trace configuration is a part of its pool, so that its telemetry stays whole."""
    seen = []

    async def on_end(*args: object) -> None:
        seen.append(args)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_end)
    async with (
        raw_server(answer_all) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        await create(sms)
    assert len(seen) == 1


async def test_trace_that_fails_before_the_write_is_not_sent() -> None:
    """A lender's broken trace cannot make an unsent campaign look sent."""

    async def on_start(*args: object) -> None:
        raise RuntimeError(f"{TOKEN} {MESSAGE}")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    async with (
        raw_server(answer_all) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        calling(server.base_url, session=session) as sms,
    ):
        error = await failure_of(create(sms))
        assert error.delivery is Delivery.NOT_SENT
        assert MESSAGE not in str(error)
        assert server.posts == []


async def test_borrowed_pool_sets_the_limit() -> None:
    """No more requests are under way than the lender's pool takes, so none waits there on its own clock."""
    held = asyncio.Event()
    most = 0

    async def script(peer: Peer, request: Request) -> None:
        nonlocal most
        most = max(most, server.live)
        await held.wait()
        await answer_all(peer, request)

    connector = aiohttp.TCPConnector(limit=10, limit_per_host=2)
    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(connector=connector) as session,
        SmsPop(TOKEN, base_url=server.base_url, session=session) as sms,
    ):
        assert sms.submitter.transport.slots == 2
        calls = [asyncio.create_task(create(sms)) for _ in range(5)]
        await server.arrived.wait()
        held.set()
        await asyncio.gather(*calls)
        assert most <= 2
        assert len(server.posts) == 5


@pytest.mark.parametrize("unlimited", [0, 100])
async def test_own_limit_holds_in_a_larger_pool(unlimited: int) -> None:
    """``max_connections`` bounds this client in a pool that takes more, or any number."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=unlimited)) as session:
        async with SmsPop(TOKEN, session=session, max_connections=3) as sms:
            assert sms.submitter.transport.slots == 3


async def test_what_is_no_session_is_refused() -> None:
    """What is not an aiohttp session is refused when the client is made, by its name."""
    with pytest.raises(ConfigurationError, match=r"not (Posix|Windows)Path"):
        SmsPop(TOKEN, session=Path())


async def test_numbers_travel_as_they_were_normalised() -> None:
    """What leaves are digits, each number once, in the order given."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        result = await create(sms, [NUMBERS[1], "+" + NUMBERS[0], "0" + NUMBERS[1][3:]])
        assert sent_numbers(server.posts[0]) == [NUMBERS[1], NUMBERS[0]]
        assert [contact.phone_number for contact in result.contacts] == [NUMBERS[1], NUMBERS[0]]
