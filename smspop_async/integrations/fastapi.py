"""FastAPI: one client and its sends for the life of the app, errors as problem details, progress as events.

    app = FastAPI(lifespan=smspop_lifespan(journal_dir="sends"))
    add_exception_handlers(app)
    app.include_router(smspop_router(), dependencies=[Depends(your_own_authentication)])

    @app.post("/welcome")
    async def welcome(phone: str, sms: SmsPopDep) -> dict[str, str]:
        ...

The lifespan puts what it opens into the state that Starlette hands to each request, so it reaches mounted apps and
routers alike, and two apps in one process do not share it. Settings are read when the app starts, not when it is
imported.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from os import PathLike
from typing import Any, Unpack

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from smspop_async.errors import SmsPopError
from smspop_async.integrations._errors import SendBusyError, ShuttingDownError, UnknownSendError
from smspop_async.integrations._fastapi_events import campaign_events
from smspop_async.integrations._fastapi_router import smspop_router
from smspop_async.integrations._fastapi_state import (
    STATE,
    SendsDep,
    SmsPopDep,
    get_sends,
    get_smspop,
    readiness,
)
from smspop_async.integrations._problems import MEDIA_TYPE, problem_of
from smspop_async.integrations._service import ClientSettings, ServiceSettings, open_service
from smspop_async.integrations.sends import Sends
from smspop_async.sandbox import Sandbox

__all__ = [
    "SendBusyError",
    "Sends",
    "SendsDep",
    "ShuttingDownError",
    "SmsPopDep",
    "UnknownSendError",
    "add_exception_handlers",
    "campaign_events",
    "get_sends",
    "get_smspop",
    "readiness",
    "smspop_lifespan",
    "smspop_router",
]

_log = logging.getLogger("smspop_async")

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def smspop_lifespan(
    lifespan: Lifespan | None = None,
    *,
    grace: float = 10.0,
    journal_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    sandbox: bool | Sandbox = False,
    **client: Unpack[ClientSettings],
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Make the lifespan of an app that sends: it opens a client and its sends, and drains and closes them.

    Args:
        lifespan: Your own one. It is entered after the client is open and left before anything is drained. It finds
            the client in ``app.state.smspop.sms``, and what it yields is in the request's state, too.
        grace: Seconds that campaigns under way may take when the app ends; see `Sends`. Whatever runs the app must
            give it more than that: ``terminationGracePeriodSeconds`` of Kubernetes, ``docker stop --time``,
            ``TimeoutStopSec`` of systemd.
        journal_dir: The folder of the sends, the same for all workers; see `Sends`.
        resume: Whether sends that the end of an earlier program interrupted go on by themselves when this one begins.
        sandbox: For development: True starts a `Sandbox` with the app, and a `Sandbox` is used as it is. Nobody is
            texted then. Each worker would start its own, so several workers take one that runs by itself, as
            ``SMSPOP_BASE_URL`` and ``SMSPOP_TOKEN``.
        **client: As for `SmsPop`.

    Raises (when the app starts):
        ConfigurationError: a setting is missing or wrong.
        JournalError: the folder cannot be used.
    """
    settings = ServiceSettings(
        client=client, grace=grace, journal_dir=journal_dir, resume=resume, sandbox=sandbox
    )

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(open_service(settings))
            app.state.smspop = service
            state: dict[str, Any] = {STATE: service}
            if lifespan is not None:
                own = await stack.enter_async_context(lifespan(app))
                state.update(own or {})
            yield state

    return opened


def add_exception_handlers(app: FastAPI) -> None:
    """Answer the errors of the library as problem details (RFC 9457), each with a ``delivery``.

    A refused token is a 502, missing credits are a 402, "too many requests" and connections that failed before
    anything was sent are a 503 with ``Retry-After``, and what may have been sent is a 502 or a 504 that nobody should
    repeat. The words of what concerns the operator alone go to the log.
    """
    app.add_exception_handler(SmsPopError, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, SmsPopError)  # noqa: S101 - it is registered for these
    problem = problem_of(error)
    if problem.private:
        # The route, not the path: there may be a number in that.
        route = getattr(request.scope.get("route"), "path", "")
        _log.warning(
            "%s %s: %d for %s: %s", request.method, route, problem.status, type(error).__name__, error
        )
    return JSONResponse(
        dict(problem.body), status_code=problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )
