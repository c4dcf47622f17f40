"""Server-sent events of a send: numbered, repeated to who comes back, harmless to the send, and over when it is."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st

from appserver import AppServer, Heard, listen, served
from smspop_async import RateLimit
from smspop_async.integrations import _fastapi_events
from smspop_async.integrations._feed import END, PROGRESS, Feed, SendEvent
from smspop_async.integrations.fastapi import (
    Sends,
    SendsDep,
    add_exception_handlers,
    campaign_events,
    smspop_lifespan,
    smspop_router,
)
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

WORDS = {"message": "Hello!", "sender_id": "BRAND1", "name": "Nightly"}
BRISK = {"chunk_size": 10, "max_concurrency": 1, "rate_limit": RateLimit(contacts_per_second=300)}
SLOW = {"chunk_size": 10, "max_concurrency": 1, "rate_limit": RateLimit(contacts_per_second=50)}


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def app(sandbox: Sandbox) -> FastAPI:
    app = FastAPI(lifespan=smspop_lifespan(token=sandbox.token, base_url=sandbox.api_url))
    add_exception_handlers(app)
    app.include_router(smspop_router())
    return app


@pytest.fixture
async def server(app: FastAPI) -> AsyncIterator[AppServer]:
    async with served(app) as server:
        yield server


@pytest.fixture
def http(server: AppServer) -> aiohttp.ClientSession:
    return server.session


@pytest.fixture
def sends(server: AppServer, app: FastAPI) -> Sends:
    sends: Sends = app.state.smspop.sends
    sends._interval = 0.01
    return sends


async def heard(http: aiohttp.ClientSession, send: str, last: str | None = None) -> list[Heard]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with http.get(f"/sends/{send}/events", headers=headers) as response:
        assert response.status == 200
        return [event async for event in listen(response)]


async def finished(sends: Sends, count: int = 60) -> str:
    """A send that has ended and has some events to tell."""
    send = await sends.start(people(count), **BRISK, **WORDS)
    await sends.wait(send)
    return send


# What is heard.


async def test_progress_and_then_the_end(http: aiohttp.ClientSession, sends: Sends) -> None:
    """The events are numbered from 1 without a gap, the counts only grow, and the last one is the end."""
    events = await heard(http, await sends.start(people(60), **BRISK, **WORDS))
    assert [event.id for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert {event.event for event in events[:-1]} == {PROGRESS}
    assert len(events) > 3
    states = [json.loads(event.data) for event in events]
    settled = [state["settled"] for state in states]
    assert settled == sorted(settled)
    assert (events[-1].event, states[-1]["state"], states[-1]["counts"]["sent"]) == (END, "finished", 60)


async def test_it_is_a_stream_that_proxies_leave_alone(http: aiohttp.ClientSession, sends: Sends) -> None:
    """The headers keep caches and buffers away from it."""
    async with http.get(f"/sends/{await finished(sends)}/events") as response:
        assert response.content_type == "text/event-stream"
        assert "no-" in response.headers["Cache-Control"]
        assert response.headers["X-Accel-Buffering"] == "no"


async def test_who_comes_back_gets_what_was_missed(http: aiohttp.ClientSession, sends: Sends) -> None:
    """With ``Last-Event-ID`` exactly the later events come, during the send and after it."""
    send = await sends.start(people(60), **BRISK, **WORDS)
    async with http.get(f"/sends/{send}/events") as response, aclosing(listen(response)) as events:
        first = [await anext(events) for _ in range(2)]
    rest = await heard(http, send, first[-1].id)
    whole = await heard(http, send)
    assert first + rest == whole


async def test_who_has_heard_everything_need_not_come_back(http: aiohttp.ClientSession, sends: Sends) -> None:
    """204 after the last event: an EventSource that would come back every few seconds stops."""
    send = await finished(sends)
    last = (await heard(http, send))[-1].id
    async with http.get(f"/sends/{send}/events", headers={"Last-Event-ID": last}) as response:
        assert (response.status, await response.read()) == (204, b"")


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "٣", "999999", "9" * 5_000])
async def test_an_id_that_was_never_given_counts_as_none(
    last: str, http: aiohttp.ClientSession, sends: Sends
) -> None:
    """Whatever stands in ``Last-Event-ID``, the listener hears the events from the beginning."""
    send = await finished(sends, 10)
    first, *_ = await heard(http, send, last)
    assert first.id == "1"


async def test_a_send_that_is_not_there(http: aiohttp.ClientSession) -> None:
    """The events of an unheard-of send are a 404."""
    async with http.get("/sends/00000000000000000000/events") as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_it_can_be_called_by_a_route_of_ones_own(sandbox: Sandbox) -> None:
    """`campaign_events` is a route by itself, and a function that a route may call."""
    app = FastAPI(lifespan=smspop_lifespan(token=sandbox.token, base_url=sandbox.api_url))
    app.get("/progress/{send_id}")(campaign_events)

    @app.get("/mine/{key}")
    async def mine(key: str, sends: SendsDep, request: Request) -> Response:
        return await campaign_events(key[::-1], sends, request.headers.get("Last-Event-ID", ""))

    async with served(app) as server:
        send = await finished(app.state.smspop.sends, 10)
        for path in (f"/progress/{send}", f"/mine/{send[::-1]}"):
            async with server.session.get(path) as response:
                assert [event.event async for event in listen(response)][-1] == END


async def test_a_sign_of_life(
    http: aiohttp.ClientSession, sends: Sends, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing happens a comment keeps the connection open."""
    monkeypatch.setattr(_fastapi_events, "PING", 0.05)
    sandbox.fail_next("hang")
    sends._grace = 0
    send = await sends.start(people(5), **WORDS)
    async with http.get(f"/sends/{send}/events") as response:
        async for line in response.content:
            if line.startswith(b": ping"):
                break
        else:
            pytest.fail("no sign of life")


# What listeners cannot do.


async def test_a_listener_that_leaves_is_forgotten(
    http: aiohttp.ClientSession, sends: Sends, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever leaves in the middle changes nothing, and nothing is complained about."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    send = await sends.start(people(60), **BRISK, **WORDS)
    for _ in range(3):
        async with http.get(f"/sends/{send}/events") as response:
            await response.content.readline()
            response.close()
    assert (await sends.wait(send)).counts["sent"] == 60
    assert len(sandbox.messages()) == 60
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_listener_that_takes_nothing_is_let_go(
    http: aiohttp.ClientSession, sends: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener that is stuck holds nothing up, and is let go after a while."""
    monkeypatch.setattr(_fastapi_events, "STUCK", 0.1)
    send = await sends.start(people(500), **SLOW, **WORDS)
    assert http._base_url is not None
    stuck = socket.create_connection((http._base_url.host, http._base_url.port))
    with stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(f"GET /sends/{send}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with anyio.fail_after(10):
            while not streams():  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.01)
            while streams():
                sends._live[send].feed.publish(PROGRESS, {"padding": "x" * 1_000_000})
                await anyio.sleep(0.01)
    assert sends.running == [send]


def streams() -> int:
    """How many event streams the server has open."""
    return sum("EventSourceResponse" in repr(task) for task in asyncio.all_tasks())


async def test_many_listeners_hear_the_same(http: aiohttp.ClientSession, sends: Sends) -> None:
    """Every listener hears every event."""
    send = await sends.start(people(60), **BRISK, **WORDS)
    first, *others = await asyncio.gather(*(heard(http, send) for _ in range(10)))
    assert all(events == first for events in others)


async def test_the_server_ends_although_somebody_listens(
    server: AppServer, sends: Sends, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """When the server shuts down the streams end properly, so that the sends are drained while there is time."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    send = await sends.start(people(500), **SLOW, **WORDS)
    async with server.session.get(f"/sends/{send}/events") as response, aclosing(listen(response)) as events:
        await anext(events)
        server.begin_to_end()
        async for event in events:  # aiohttp raises here where a stream is cut off
            assert event.event == PROGRESS
    with anyio.fail_after(10):
        await server.ended()
    assert sends._live[send].status.state == "interrupted"
    assert len(sandbox.messages()) == len({message.to for message in sandbox.messages()}) < 500
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# The feed.


async def collect(feed: Feed, last: int = 0) -> list[SendEvent]:
    return [event async for event in feed.listen(last)]


@given(count=st.integers(0, 40), history=st.integers(1, 10), last=st.integers(-5, 60))
async def test_the_ring_keeps_the_latest(count: int, history: int, last: int) -> None:
    """Whatever was published, a listener gets the kept events after the one it knows, in order, and then the end."""
    feed = Feed(history=history)
    for number in range(count):
        feed.publish(PROGRESS, {"number": number})
    feed.close()
    known = last if 0 <= last <= count else 0
    expected = [number for number in range(1, count + 1) if number > known][-history:]
    assert [event.id for event in await collect(feed, last)] == expected


async def test_a_slow_listener_skips_what_is_gone() -> None:
    """A listener that dawdles does not make the ring grow: it goes on with the oldest that is kept."""
    feed = Feed(history=3)
    feed.publish(PROGRESS, {})
    listener: Any = feed.listen()
    async with aclosing(listener):
        assert (await anext(listener)).id == 1
        for _ in range(1_000):
            feed.publish(PROGRESS, {})
        assert (await anext(listener)).id == 999
    assert len(feed._ring) == 3


async def test_a_listener_waits_for_what_comes() -> None:
    """Events that are published while somebody listens arrive, and closing ends the listening."""
    feed = Feed(history=3)
    got: list[int] = []

    async def gather() -> None:
        got.extend([event.id async for event in feed.listen()])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gather)
        for _ in range(3):
            await anyio.wait_all_tasks_blocked()
            feed.publish(PROGRESS, {})
        feed.close()
    assert got == [1, 2, 3]


async def test_a_listener_can_be_told_to_leave() -> None:
    """The event that a listener brings ends its listening, at once or in the middle."""
    feed, leave = Feed(history=3), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: drain(feed, leave))
        await anyio.wait_all_tasks_blocked()
        leave.set()
    feed.publish(PROGRESS, {})
    assert [event.id async for event in feed.listen(until=leave)] == [1]


async def drain(feed: Feed, leave: anyio.Event) -> None:
    async for _ in feed.listen(until=leave):
        pytest.fail("nothing was published")
