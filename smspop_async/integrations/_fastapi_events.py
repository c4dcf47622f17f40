"""The progress of a send as server-sent events.

They come from sse-starlette rather than from ``fastapi.sse``, for two things that the latter does not do. It ends the
streams when the server begins to shut down: uvicorn waits for open responses *before* it ends the lifespan, so a page
that watches would keep the sends from draining. And it lets go of a listener that takes nothing any more.
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

import anyio
from fastapi import Header
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from smspop_async.integrations._fastapi_state import SendsDep
from smspop_async.integrations._feed import event_number
from smspop_async.integrations.sends import Sends

FAREWELL: Final = 2.0
"""Seconds in which a stream may end by itself when the server shuts down."""
STUCK: Final = 30.0
"""Seconds after which a listener that takes nothing is let go."""
PING: Final = 15.0
"""Seconds between two signs of life, for proxies that end silent connections."""


async def campaign_events(
    send_id: str, sends: SendsDep, last_event_id: Annotated[str, Header()] = ""
) -> Response:
    """The progress of a send as server-sent events: a route by itself, or called by one of yours.

    ``app.get("/sends/{send_id}/events")(campaign_events)``, and in the page ``new
    EventSource(…).addEventListener("progress", …)``. Each event has an id, and its data are the JSON of `SendStatus`.
    The last one is ``end``. A browser that comes back with ``Last-Event-ID`` gets what it missed, as far as it is
    kept, and 204 when there is nothing more to come, on which it stops coming.

    Args:
        send_id: Of `Sends.start`.
        sends: The sends of the app.
        last_event_id: The id of the last event that the listener has.

    Raises:
        UnknownSendError: there is no such send.
    """
    after = event_number(last_event_id)
    if await sends.is_heard(send_id, after):
        return Response(status_code=204)
    ending = anyio.Event()
    return EventSourceResponse(
        _frames(sends, send_id, after, ending),
        ping=PING,
        send_timeout=STUCK,
        shutdown_event=ending,
        shutdown_grace_period=FAREWELL,
    )


async def _frames(sends: Sends, send: str, after: int, ending: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(sends.events(send, after=after, until=ending)) as events:
        async for event in events:
            data = json.dumps(event.data, separators=(",", ":"))
            yield ServerSentEvent(data, event=event.kind, id=str(event.id))
