"""The client of one account: settings in, ``campaigns`` out. It owns one transport and closes it once."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self
from weakref import WeakSet

import aiohttp
import anyio
from attrs import evolve, field, frozen
from yarl import URL

from smspop_async.api.campaigns import Campaigns
from smspop_async.api.gate import Gate
from smspop_async.api.retry import RetryBudget
from smspop_async.api.submit import Clock, Submitter
from smspop_async.api.transport import Ssl, Transport, TransportSettings
from smspop_async.api.wire import CAMPAIGNS, headers
from smspop_async.cancellation import is_own
from smspop_async.config import (
    RetryPolicy,
    Timeouts,
    TokenSource,
    check_proxy,
    check_token,
    is_count,
    resolve_base_url,
    resolve_token,
)
from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.contacts.roster import ledger_at_hand
from smspop_async.courier import Courier
from smspop_async.errors import ConfigurationError
from smspop_async.events import Observer

Timeout = aiohttp.ClientTimeout | Timeouts | float | None


@frozen(kw_only=True)
class _Shared:
    """What copies made by `ApiClient.with_options` have in common."""

    base_url: str
    transport: Transport
    budget: RetryBudget
    normaliser: Normaliser
    couriers: WeakSet[Courier] = field(factory=WeakSet[Courier])
    """Of all their observers: whoever closes the connections waits for what those have yet to hear."""

    def courier(self, on_event: Observer | None) -> Courier | None:
        """What brings events to an observer."""
        if on_event is None:
            return None
        courier = Courier(on_event)
        self.couriers.add(courier)
        return courier


class ApiClient:
    """The part of `smspop_async.SmsPop` that submits one campaign at a time; its arguments are described there.

    Raises:
        ConfigurationError: a setting is missing or malformed.
    """

    def __init__(
        self,
        token: TokenSource | None = None,
        *,
        base_url: str | None = None,
        timeout: Timeout = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_connections: int = 16,
        session: aiohttp.ClientSession | None = None,
        default_region: str = "ZW",
        on_event: Observer | None = None,
        ssl: Ssl = None,
        proxy: str | None = None,
    ) -> None:
        if not is_count(max_connections):
            raise ConfigurationError(f"max_connections must be 1 or more; it is {max_connections!r}.")
        check_retry(retry)
        check_observer(on_event)
        check_session(session)
        settings = TransportSettings(
            max_connections=max_connections, session=session, ssl=ssl, proxy=check_proxy(proxy)
        )
        _import_what_runs_need()
        clock = Clock()
        source = resolve_token(token)
        self._shared = _Shared(
            base_url=resolve_base_url(base_url),
            transport=Transport(settings),
            budget=RetryBudget(),
            normaliser=Normaliser(default_region),
        )
        self._submitter = Submitter(
            transport=self._shared.transport,
            gate=Gate(clock.monotonic),
            clock=clock,
            retry=retry,
            timeouts=resolve_timeout(timeout),
            url=_checked_url(self.url(CAMPAIGNS)),
            headers=partial(_headers, source),
            observer=self._shared.courier(on_event),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shared.base_url}>"

    @property
    def campaigns(self) -> Campaigns:
        """One campaign at a time: the documented calls."""
        return Campaigns(self)

    @property
    def submitter(self) -> Submitter:
        """What submits campaigns: the layers above build on it."""
        return self._submitter

    @property
    def normaliser(self) -> Normaliser:
        """What turns contacts into digits, in the client's region."""
        return self._shared.normaliser

    @property
    def budget(self) -> RetryBudget:
        """What bounds the retries of GET."""
        return self._shared.budget

    def url(self, path: str) -> str:
        """The address of an endpoint."""
        return self._shared.base_url + path

    def number_or_none(self, text: str) -> str | None:
        """Turn a spelling into digits, or None."""
        try:
            return self._shared.normaliser.normalise(text)
        except InvalidNumber:
            return None

    def with_options(
        self,
        *,
        token: TokenSource | None = None,
        timeout: Timeout = None,
        retry: RetryPolicy | None = None,
        on_event: Observer | None = None,
    ) -> Self:
        """A client with other settings over the same connections; what is not given stays as it is.

        Closing either of them closes the connections of both.

        Args:
            token: Of another account, which has a ``Retry-After`` gate of its own.
            timeout: As for the class.
            retry: As for the class.
            on_event: As for the class.

        Raises:
            ConfigurationError: a setting is malformed.
        """
        mine = self._submitter
        if retry is not None:
            check_retry(retry)
        check_observer(on_event)
        copy = object.__new__(type(self))
        copy._shared = self._shared
        copy._submitter = evolve(
            mine,
            gate=mine.gate if token is None else Gate(mine.clock.monotonic),
            headers=mine.headers if token is None else partial(_headers, resolve_token(token)),
            timeouts=mine.timeouts if timeout is None else resolve_timeout(timeout),
            retry=mine.retry if retry is None else retry,
            observer=mine.observer if on_event is None else self._shared.courier(on_event),
        )
        return copy

    async def aclose(self) -> None:
        """Close the connections. A borrowed session stays open. Safe to call twice."""
        try:
            await self._shared.transport.aclose()
        finally:
            for courier in tuple(self._shared.couriers):
                await courier.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _import_what_runs_need() -> None:
    """Import now what would be imported in the middle of a run, where it would hold the loop."""
    ledger_at_hand()  # NumPy, a tenth of a second
    with suppress(RuntimeError):  # no event loop is running yet
        anyio.get_current_task()  # anyio's backend


def check_session(session: object) -> None:
    """Refuse what is not an aiohttp session, such as the clients of other libraries.

    Raises:
        ConfigurationError: and what it is.
    """
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}.")


def _checked_url(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise ConfigurationError("base_url is not a URL; use for example https://smspop.co.zw/api.") from None


async def _headers(source: TokenSource) -> Mapping[str, str]:
    """The headers of one request, with the token of the moment.

    Raises:
        ConfigurationError: the token provider failed, or gave what is no token.
    """
    if isinstance(source, str):
        return headers(source)
    try:
        token = await source()
    except ConfigurationError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if is_own(error):
            raise
        raise ConfigurationError(
            f"The token provider raised {type(error).__name__}. Nothing was sent by this request."
        ) from error
    return headers(check_token(token))


def check_retry(retry: object) -> None:
    """Refuse what is not a retry policy, such as a number of attempts.

    Raises:
        ConfigurationError: and what it is.
    """
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry must be a RetryPolicy; it is a {type(retry).__name__}.")


def check_observer(on_event: object) -> None:
    """Refuse an observer that cannot be called as one.

    Raises:
        ConfigurationError: it is no function, or an async one, which nobody would await.
    """
    if on_event is not None and not callable(on_event):
        raise ConfigurationError("on_event must be a function, plain or async, that takes one event.")


def resolve_timeout(timeout: Timeout) -> Timeouts:
    """Turn any of the accepted forms into time-outs.

    Raises:
        ConfigurationError: seconds that are not above 0.
    """
    if timeout is None:
        return Timeouts()
    if isinstance(timeout, Timeouts):
        return timeout
    if isinstance(timeout, aiohttp.ClientTimeout):
        connects = [limit for limit in (timeout.connect, timeout.sock_connect) if limit]
        return Timeouts(
            connect=min(connects) if connects else None,
            read=timeout.sock_read or None,
            total=timeout.total or None,
        )
    return Timeouts.within(timeout)
