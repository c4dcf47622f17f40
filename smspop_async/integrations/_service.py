"""What a web app holds for its whole life: a client, its sends, and in development a sandbox. Free of any framework."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from typing import Any, TypedDict

import aiohttp
from attrs import field, frozen

from smspop_async.api.client import Timeout
from smspop_async.api.transport import Ssl
from smspop_async.batch.client import SmsPop
from smspop_async.config import RetryPolicy, TokenSource
from smspop_async.errors import ConfigurationError
from smspop_async.events import Observer
from smspop_async.integrations.sends import Sends
from smspop_async.sandbox import Sandbox

_log = logging.getLogger("smspop_async")


class ClientSettings(TypedDict, total=False):
    """What `SmsPop` takes, and described there. They are read when the app starts, not when it is imported."""

    token: TokenSource | None
    base_url: str | None
    timeout: Timeout
    retry: RetryPolicy
    max_connections: int
    session: aiohttp.ClientSession | None
    default_region: str
    on_event: Observer | None
    ssl: Ssl
    proxy: str | None


@frozen(kw_only=True)
class ServiceSettings:
    """How a web app uses the library."""

    client: ClientSettings = field(repr=False)
    grace: float
    journal_dir: str | PathLike[str] | None
    resume: bool
    """Whether sends that the end of an earlier program interrupted go on by themselves."""
    sandbox: bool | Sandbox


@frozen(kw_only=True)
class Service:
    """What is open while a web app runs."""

    sms: SmsPop
    sends: Sends
    sandbox: Sandbox | None


@asynccontextmanager
async def open_service(settings: ServiceSettings) -> AsyncGenerator[Service]:
    """Open everything, and at the end drain the sends before the client closes.

    Raises:
        ConfigurationError: a setting is wrong.
        JournalError: the folder cannot be used.
    """
    async with AsyncExitStack() as stack:
        sandbox = await _sandbox(settings, stack)
        client: dict[str, Any] = dict(settings.client)
        if sandbox is not None:
            client |= {"token": sandbox.token, "base_url": sandbox.api_url}
        sms = await stack.enter_async_context(SmsPop(**client))
        sends = Sends(sms, grace=settings.grace, journal_dir=settings.journal_dir)
        await stack.enter_async_context(sends)
        if settings.resume:
            await sends.resume_interrupted()
        yield Service(sms=sms, sends=sends, sandbox=sandbox)


async def _sandbox(settings: ServiceSettings, stack: AsyncExitStack) -> Sandbox | None:
    """The sandbox that was asked for; one that runs already is not ended here."""
    if settings.sandbox is False:
        return None
    if settings.client.keys() & {"token", "base_url"}:
        raise ConfigurationError("Give token and base_url, or sandbox, not both: the sandbox has its own.")
    sandbox = settings.sandbox if isinstance(settings.sandbox, Sandbox) else Sandbox()
    if not _runs(sandbox):
        await stack.enter_async_context(sandbox)
    _log.warning("SMSPop sandbox: nobody is texted. What would have been sent: %s", sandbox.inbox_url)
    return sandbox


def _runs(sandbox: Sandbox) -> bool:
    try:
        return bool(sandbox.api_url)
    except ConfigurationError:
        return False
