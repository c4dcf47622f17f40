"""aiohttp.web: one client and its sends for the life of the app, errors as problem details, progress as events.

    app = web.Application()
    setup_smspop(app, journal_dir="sends")
    app.add_routes(smspop_routes())

    async def welcome(request: web.Request) -> web.Response:
        await request.config_dict[SMSPOP].campaigns.create(…)

`setup_smspop` is three lines that can be written one by one: the cleanup context, the middleware that answers errors,
and the word at the beginning of the shutdown that lets the sends drain while open responses, event streams among
them, may still end.
"""

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from os import PathLike
from typing import Any, Final, Unpack

from aiohttp import web

from smspop_async.batch.client import SmsPop
from smspop_async.errors import ConfigurationError, SmsPopError
from smspop_async.integrations._errors import InvalidSendError, SendTooLargeError, ShuttingDownError
from smspop_async.integrations._feed import event_number
from smspop_async.integrations._problems import MEDIA_TYPE, problem_of
from smspop_async.integrations._requests import new_send
from smspop_async.integrations._service import ClientSettings, ServiceSettings, open_service
from smspop_async.integrations.sends import Sends
from smspop_async.sandbox import Sandbox

__all__ = [
    "SANDBOX",
    "SENDS",
    "SMSPOP",
    "begin_drain",
    "campaign_events",
    "problems",
    "readiness",
    "setup_smspop",
    "smspop_ctx",
    "smspop_routes",
]

SMSPOP: Final = web.AppKey("smspop", SmsPop)
"""The client of the app."""
SENDS: Final = web.AppKey("smspop_sends", Sends)
"""The sends of the app."""
SANDBOX: Final = web.AppKey("smspop_sandbox", Sandbox)
"""The sandbox, where one was asked for."""

PING: Final = 15.0
"""Seconds between two signs of life on a stream, for proxies that end silent connections."""
STUCK: Final = 30.0
"""Seconds after which a listener that takes nothing is let go."""

_log = logging.getLogger("smspop_async")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def smspop_ctx(
    *,
    grace: float = 10.0,
    journal_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    sandbox: bool | Sandbox = False,
    **client: Unpack[ClientSettings],
) -> Callable[[web.Application], AsyncGenerator[None]]:
    """Make a cleanup context that opens a client and its sends, and drains and closes them.

    ``app.cleanup_ctx.append(smspop_ctx())``

    Args:
        grace: Seconds that campaigns under way may take when the app ends; see `Sends`.
        journal_dir: The folder of the sends, the same for all workers; see `Sends`.
        resume: Whether sends that the end of an earlier program interrupted go on by themselves when this one begins.
        sandbox: For development: True starts a `Sandbox` with the app, and a `Sandbox` is used as it is.
        **client: As for `SmsPop`. They are read when the app starts.
    """
    settings = ServiceSettings(
        client=client, grace=grace, journal_dir=journal_dir, resume=resume, sandbox=sandbox
    )

    async def context(app: web.Application) -> AsyncGenerator[None]:
        async with open_service(settings) as service:
            app[SMSPOP], app[SENDS] = service.sms, service.sends
            if service.sandbox is not None:
                app[SANDBOX] = service.sandbox
            yield

    return context


async def begin_drain(app: web.Application) -> None:
    """Let the sends drain from the beginning of the shutdown on: ``app.on_shutdown.append(begin_drain)``."""
    if SENDS in app:
        app[SENDS].begin_drain()


@web.middleware
async def problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer the errors of the library as problem details (RFC 9457), each with a ``delivery``.

    What each is answered with is the same as for FastAPI; see ``docs/web.md``.
    """
    try:
        return await handler(request)
    except SmsPopError as error:
        return _answer(request, error)


def _answer(request: web.Request, error: SmsPopError) -> web.Response:
    problem = problem_of(error)
    if problem.private:
        # The route, not the path: there may be a number in that.
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else ""
        _log.warning(
            "%s %s: %d for %s: %s", request.method, route, problem.status, type(error).__name__, error
        )
    return web.Response(
        status=problem.status,
        text=json.dumps(problem.body),
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def setup_smspop(
    app: web.Application,
    *,
    grace: float = 10.0,
    journal_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    sandbox: bool | Sandbox = False,
    **client: Unpack[ClientSettings],
) -> None:
    """Make an app one that sends: `smspop_ctx`, `begin_drain` and `problems` in one call.

    Args:
        app: Before it is started.
        grace: As for `smspop_ctx`, and so are the others.
        journal_dir: The folder of the sends.
        resume: Whether interrupted sends go on by themselves.
        sandbox: For development.
        **client: As for `SmsPop`.
    """
    context = smspop_ctx(grace=grace, journal_dir=journal_dir, resume=resume, sandbox=sandbox, **client)
    app.cleanup_ctx.append(context)
    app.on_shutdown.append(begin_drain)
    app.middlewares.append(problems)


# Handlers.


async def readiness(request: web.Request) -> web.Response:
    """Tell whether the app can send: 200, or 503 from the moment in which it begins to end.

    Raises:
        ShuttingDownError: the app is ending; `problems` makes it the 503.
    """
    sends = request.config_dict[SENDS]
    if not sends.ready:
        raise ShuttingDownError("The app is ending and takes no more sends.")
    return web.json_response({"status": "ready", "running": len(sends.running)})


async def campaign_events(request: web.Request) -> web.StreamResponse:
    """The progress of the send ``{send_id}`` as server-sent events; it needs aiohttp-sse.

    Each event has an id, and its data are the JSON of `SendStatus`. The last one is ``end``. A browser that comes back
    with ``Last-Event-ID`` gets what it missed, as far as it is kept, and 204 when there is nothing more to come.

    Raises:
        UnknownSendError: there is no such send.
    """
    from aiohttp_sse import sse_response  # noqa: PLC0415 - an extra that the rest does without

    sends, send = request.config_dict[SENDS], request.match_info["send_id"]
    after = event_number(request.headers.get("Last-Event-ID", ""))
    if await sends.is_heard(send, after):
        return web.Response(status=204)
    async with sse_response(request, ping_interval=PING, send_timeout=STUCK) as response:
        with suppress(ConnectionError, TimeoutError):  # the listener has left, or takes nothing any more
            async with aclosing(sends.events(send, after=after)) as events:
                async for event in events:
                    await response.send(json.dumps(event.data), id=str(event.id), event=event.kind)
    return response


def smspop_routes(*, prefix: str = "/sends", ready: str = "/ready") -> list[web.RouteDef]:
    """Make the routes of sends in the background, and the check of readiness.

    They have no authentication: that is a middleware of your own. What they take and give is the same as for FastAPI.

    Args:
        prefix: Of the sends.
        ready: The path of the check.
    """
    one = prefix + "/{send_id}"
    return [
        web.get(ready, readiness),
        web.post(prefix, _start),
        web.get(prefix, _list),
        web.get(one, _show),
        web.get(f"{one}/events", campaign_events),
        web.get(f"{one}/report", _report),
        web.get(f"{one}/report.csv", _report_csv),
        web.post(f"{one}/stop", _stop),
        web.post(f"{one}/resume", _resume),
        web.delete(one, _forget),
    ]


async def _read_json(request: web.Request) -> Any:
    try:
        return await request.json()
    except web.HTTPRequestEntityTooLarge:
        raise SendTooLargeError(
            f"The body has more than the {request.client_max_size:,} bytes that this app takes. Nothing was sent."
        ) from None
    except (ValueError, RecursionError, LookupError):  # the last is a charset that there is not
        raise InvalidSendError("The body is not JSON.") from None


async def _start(request: web.Request) -> web.Response:
    new = new_send(await _read_json(request))
    try:
        send = await request.config_dict[SENDS].start(
            new.contacts,
            message=new.message,
            sender_id=new.sender_id,
            name=new.name,
            rate_limit=new.rate_limit,
            key=request.headers.get("Idempotency-Key"),
        )
    except ConfigurationError as error:
        raise InvalidSendError(str(error)) from error  # every setting came with the request
    location = {"Location": f"{request.path.rstrip('/')}/{send}"}
    return await _state(request, send, status=202, headers=location)


async def _state(request: web.Request, send: str, **response: Any) -> web.Response:
    return web.json_response((await request.config_dict[SENDS].status(send)).to_dict(), **response)


async def _list(request: web.Request) -> web.Response:
    return web.json_response([status.to_dict() for status in await request.config_dict[SENDS].statuses()])


async def _show(request: web.Request) -> web.Response:
    return await _state(request, request.match_info["send_id"])


async def _report(request: web.Request) -> web.Response:
    return web.json_response(await request.config_dict[SENDS].report(request.match_info["send_id"]))


async def _report_csv(request: web.Request) -> web.FileResponse:
    send = request.match_info["send_id"]
    path = await request.config_dict[SENDS].report_csv(send)
    return web.FileResponse(
        path, headers={"Content-Disposition": f'attachment; filename="report-{send}.csv"'}
    )


async def _stop(request: web.Request) -> web.Response:
    await request.config_dict[SENDS].stop(request.match_info["send_id"])
    return await _state(request, request.match_info["send_id"], status=202)


async def _resume(request: web.Request) -> web.Response:
    twice = request.query.get("resend_unknown", "false") == "true"
    await request.config_dict[SENDS].resume(request.match_info["send_id"], resend_unknown=twice)
    return await _state(request, request.match_info["send_id"], status=202)


async def _forget(request: web.Request) -> web.Response:
    await request.config_dict[SENDS].forget(request.match_info["send_id"])
    return web.Response(status=204)
