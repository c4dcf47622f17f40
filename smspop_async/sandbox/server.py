"""`Sandbox`: the account, its faults and its journal behind one small server on the loopback interface."""

import random
import re
import string
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, Unpack, cast, overload

import anyio
from aiohttp import web

from smspop_async.config import is_number
from smspop_async.errors import ConfigurationError
from smspop_async.sandbox.app import CampaignApi, json_errors, log
from smspop_async.sandbox.bell import Bell
from smspop_async.sandbox.control import control_routes
from smspop_async.sandbox.deliver import Gate
from smspop_async.sandbox.faults import FaultBook, FaultParameters, PendingFault, make_fault
from smspop_async.sandbox.ledger import Entry, Ledger
from smspop_async.sandbox.loopback import bind, bracketed, loopback_address
from smspop_async.sandbox.magic import MAGIC
from smspop_async.sandbox.received import RecordedRequest, RequestJournal
from smspop_async.sandbox.records import Campaign, CreditEntry, Message, mask_number
from smspop_async.sandbox.store import Store

DEFAULT_MAX_BODY = 2 * 1024 * 1024
_BACKLOG = 1024
_CLOSING_GRACE = 2.0  # seconds; every handler is woken first, so this is never used up
_TOKEN_LETTERS = string.ascii_letters + string.digits
_TOKEN_LENGTH = 40  # Laravel Sanctum's


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sandbox:
    """A local SMSPop to develop against: it answers like the API and texts nobody.

    ``async with Sandbox() as sandbox:`` starts it on a free port, in the running event loop;
    ``await sandbox.start()`` and ``await sandbox.aclose()`` do the same by hand. The state is kept from one
    start to the next. Not thread-safe: call it from its own event loop, or over HTTP through the control API.

    Args:
        host: A loopback address.
        port: A port, or 0 for a free one.
        token: The ready token; a random one by default.
        credits: The opening balance. A ``db`` that exists has its own.
        senders: The sender IDs of the account.
        magic: Whether the recipients of `MAGIC` have their fixed fates.
        latency: Seconds that every request takes before it is processed.
        page_size: Campaigns on a page of the list.
        max_body: The largest request body in bytes; a larger one is a 413.
        db: A file that keeps tokens, credits and campaigns across runs. In memory by default.
        seed: Makes tokens and faults of chance repeatable.
        clock: Tells the time, with its time zone.

    Raises:
        ConfigurationError: The host is not loopback, a number is out of its range, or senders is no list of texts.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        credits: int = 1_000_000,  # noqa: A002 - the word of the field
        senders: Iterable[str] = ("BRAND1", "SMSPoe", "DEMO"),
        magic: bool = True,
        latency: float = 0.0,
        page_size: int = 15,
        max_body: int = DEFAULT_MAX_BODY,
        db: str | PathLike[str] | None = None,
        seed: int | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._host = loopback_address(host)
        self._port = port
        _check_least(0, credits=credits, latency=latency)
        _check_least(1, page_size=page_size, max_body=max_body)
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - on request
        self._given_token = token
        self._ledger = Ledger(
            token=token or f"1|{self._make_secret()}",
            senders=_checked_senders(senders),
            credits=credits,
            clock=clock,
            make_secret=self._make_secret,
            on_change=self._changed,
            magic=MAGIC if magic else {},
        )
        self._latency, self._page_size, self._max_body = latency, page_size, max_body
        self._clock = clock
        self._store = None if db is None else Store(Path(db))
        self._loaded = False
        self._faults = FaultBook()
        self._messages_bell, self._requests_bell = Bell(), Bell()
        self._journal = RequestJournal(on_request=self._requests_bell.ring)
        self._gate = Gate()
        self._runner: web.AppRunner | None = None
        self._turn = anyio.Lock()

    # --- running ---

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Load the ``db``, if there is one, and begin to listen. Does nothing when it already runs.

        Raises:
            ConfigurationError: The ``db`` cannot be used, or the port is taken.
        """
        async with self._turn:
            if self._runner is None:
                await self._load()
                await self._listen()

    async def aclose(self) -> None:
        """Stop listening, end every open exchange, write the rest to the ``db``. May be called repeatedly."""
        with anyio.CancelScope(shield=True):
            async with self._turn:
                runner, self._runner = self._runner, None
                if runner is not None:
                    self._gate.close()
                    self._messages_bell.ring()
                    self._requests_bell.ring()
                    await runner.cleanup()
                    await self.flush()

    async def _load(self) -> None:
        if self._store is None or self._loaded:
            return
        await self._store.load(self._ledger)
        if self._given_token is not None:
            self._ledger.replay({"ready": self._given_token})
        await self._store.flush()
        self._loaded = True

    async def _listen(self) -> None:
        # The socket is bound first, because what is served tells its own address.
        listener = bind(self._host, self._port)
        self._gate = Gate()
        self._address = f"http://{bracketed(self._host)}:{listener.getsockname()[1]}"
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=log,
            shutdown_timeout=_CLOSING_GRACE,
            handle_signals=False,
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        except BaseException:
            listener.close()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()
            raise
        self._runner = runner

    def _application(self) -> web.Application:
        api = CampaignApi(
            ledger=self._ledger,
            faults=self._faults,
            journal=self._journal,
            gate=self._gate,
            clock=self._clock,
            flush=self.flush,
            address=self._address,
            latency=self._latency,
            page_size=self._page_size,
            max_body=self._max_body,
        )
        application = web.Application(middlewares=[json_errors])
        application.router.add_route("*", "/api/{rest:.*}", api.handle)
        application.add_routes(control_routes(self))
        return application

    async def flush(self) -> None:
        """Write to the ``db`` what is not written yet. Requests and `aclose` do so by themselves."""
        if self._store is not None:
            await self._store.flush()

    # --- where it is ---

    @property
    def api_url(self) -> str:
        """The base URL of the API, without a slash at the end: ``http://127.0.0.1:…/api``."""
        return f"{self._running_address()}/api"

    @property
    def inbox_url(self) -> str:
        """The address for a browser."""
        return f"{self._running_address()}/"

    def _running_address(self) -> str:
        if self._runner is None:
            raise ConfigurationError(
                "The sandbox does not run: use `async with Sandbox()` or `await start()`."
            )
        return self._address

    # --- what arrived ---

    @property
    def campaigns(self) -> list[Campaign]:
        """The accepted campaigns, oldest first."""
        return list(self._ledger.campaigns)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests to the API, oldest first; at most 1,000, and 32 MiB of bodies."""
        return self._journal.requests()

    def messages(self, *, to: str | None = None) -> list[Message]:
        """Return the messages, oldest first, those with the status ``failed`` included.

        Args:
            to: Only those to this number, in any spelling that has all its digits. None for all.

        Raises:
            ConfigurationError: ``to`` has no digits.
        """
        return list(self._ledger.messages(None if to is None else _digits(to)))

    @overload
    async def wait_for(  # type: ignore[overload-overlap] # pyright: ignore[reportOverlappingOverload]
        self,
        *,
        to: str | None = None,
        count: Literal[1] = 1,
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> Message: ...

    @overload
    async def wait_for(
        self,
        *,
        to: str | None = None,
        count: int,
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> list[Message]: ...

    async def wait_for(
        self,
        *,
        to: str | None = None,
        count: int = 1,
        timeout: float = 5.0,  # noqa: ASYNC109 - a promise of the card; the scope is within
    ) -> Message | list[Message]:
        """Wait until there are ``count`` messages; those that arrived before the call count.

        Args:
            to: Only messages to this number, in any spelling that has all its digits. None for all.
            count: How many messages, at least 1.
            timeout: Seconds to wait at most.

        Returns:
            The newest message where ``count`` is 1, otherwise all that match, oldest first.

        Raises:
            TimeoutError: They did not arrive in time. The text says how many did.
            ConfigurationError: ``to`` has no digits, or ``count`` is less than 1.
        """
        if count < 1:
            raise ConfigurationError("Wait for at least one message.")
        whom = None if to is None else _digits(to)
        await self._messages_bell.until(
            lambda: self._gate.closing or self._ledger.has_sent(count, to=whom), timeout
        )
        found = self.messages(to=to)
        if len(found) < count:
            raise TimeoutError(self._too_few(found, to, count, timeout))
        return found[-1] if count == 1 else found

    async def wait_for_requests(
        self,
        *,
        count: int = 1,
        timeout: float = 5.0,  # noqa: ASYNC109 - as above
    ) -> list[RecordedRequest]:
        """Wait until ``count`` requests were read, answered or not; those from before the call count.

        It is how a test knows that a request is in flight under `FaultKind.HANG_BEFORE`.

        Args:
            count: How many requests since the start or the last reset.
            timeout: Seconds to wait at most.

        Returns:
            All requests kept, oldest first.

        Raises:
            TimeoutError: They were not received in time. The text says how many were.
        """
        await self._requests_bell.until(lambda: self._gate.closing or len(self.requests) >= count, timeout)
        found = self.requests
        if len(found) < count:
            raise TimeoutError(f"Waited {timeout:g} s for {count} request(s): {len(found)} came.")
        return found

    def _too_few(self, found: list[Message], to: str | None, count: int, seconds: float) -> str:
        whom = "" if to is None else f" to {mask_number(_digits(to))}"
        sent = sum(campaign.total for campaign in self._ledger.campaigns)
        answers = ", ".join(str(request.status or request.fault) for request in self.requests[-3:])
        return (
            f"Waited {seconds:g} s for {count} message(s){whom}: {len(found)} arrived. The sandbox has "
            f"{sent} message(s) in all; its last answers: {answers or 'none'}."
        )

    # --- the account ---

    @property
    def token(self) -> str:
        """The ready token, valid unless it was revoked."""
        return self._ledger.token

    @property
    def credits(self) -> int:
        """The balance; may be set."""
        return self._ledger.credits

    @credits.setter  # noqa: A003 - the word of the field
    def credits(self, balance: int) -> None:
        _check_least(0, credits=balance)
        self._ledger.set_credits(balance)

    @property
    def statement(self) -> list[CreditEntry]:
        """Every change of the balance, oldest first."""
        return list(self._ledger.statement)

    @property
    def active(self) -> bool:
        """Whether the account is active; may be set. The API answers an inactive one with 403."""
        return self._ledger.active

    @active.setter
    def active(self, active: bool) -> None:
        self._ledger.set_active(active)

    @property
    def senders(self) -> tuple[str, ...]:
        """The sender IDs of the account."""
        return tuple(self._ledger.senders)

    def add_sender(self, sender_id: str) -> None:
        """Add a sender ID to the account."""
        self._ledger.add_sender(sender_id)

    def create_token(self) -> str:
        """Make one more valid token, as API Tokens -> Create does on the vendor's site."""
        return self._ledger.create_token()

    def revoke_token(self, token: str | None = None) -> bool:
        """Make a token invalid, the ready one by default. Returns whether it was valid."""
        return self._ledger.revoke_token(self.token if token is None else token)

    # --- what goes wrong ---

    def fail_next(
        self,
        kind: int | str,
        *,
        times: int = 1,
        endpoint: Literal["POST", "GET"] | None = "POST",
        **parameters: Unpack[FaultParameters],
    ) -> None:
        """Let the next requests meet a fault. Faults queue up and happen in the order they were asked for.

        Args:
            kind: An HTTP status, or a `FaultKind` or its word; see there what each does.
            times: How many requests.
            endpoint: Only requests with this method; None for any.
            **parameters: What the kind takes, for example ``retry_after=2`` for 429 and 503.

        Raises:
            ConfigurationError: There is no such fault.
        """
        self._faults.put(make_fault(kind, endpoint=endpoint, **parameters), times=times)

    def fail_with_probability(
        self,
        kind: int | str,
        probability: float,
        *,
        seed: int | None = None,
        endpoint: Literal["POST", "GET"] | None = "POST",
        **parameters: Unpack[FaultParameters],
    ) -> None:
        """Let every request from now on meet a fault by chance, until `reset`.

        Args:
            kind: As for `fail_next`.
            probability: From 0 to 1.
            seed: Makes the same requests fail every time; by default drawn from the sandbox's own seed.
            endpoint: Only requests with this method; None for any.
            **parameters: What the kind takes.

        Raises:
            ConfigurationError: There is no such fault.
        """
        dice = random.Random(self._random.random() if seed is None else seed)  # noqa: S311 - no secret
        fault = make_fault(kind, endpoint=endpoint, **parameters)
        self._faults.put_chance(fault, probability=probability, dice=dice)

    @property
    def faults(self) -> list[PendingFault]:
        """The faults that wait, in the order they are considered."""
        return self._faults.pending()

    def clear_faults(self) -> None:
        """Forget every fault that waits."""
        self._faults.clear()

    def reset(self) -> None:
        """Return to the state as constructed, in memory and in the ``db``.

        Campaigns, messages, faults and the journal are forgotten; credits, sender IDs and the ready token
        are as at the beginning; other tokens are gone.
        """
        if self._store is not None:
            self._store.begin_again()
        self._ledger.reset()
        self._faults.clear()
        self._journal.clear()

    def _changed(self, entry: Entry) -> None:
        if self._store is not None:
            self._store.append(entry)
        if "campaign" in entry:
            self._messages_bell.ring()

    def _make_secret(self) -> str:
        return "".join(self._random.choices(_TOKEN_LETTERS, k=_TOKEN_LENGTH))


def _check_least(least: int, **values: object) -> None:
    for name, value in values.items():
        if not is_number(value) or not value >= least:
            raise ConfigurationError(f"{name} must be {least} or more.")


def _checked_senders(senders: object) -> list[str]:
    """The sender IDs in `senders`.

    Raises:
        ConfigurationError: It is no list of texts. One text would be a sender ID of each of its letters.
    """
    if isinstance(senders, Iterable) and not isinstance(senders, str | bytes):
        given = list(cast("Iterable[object]", senders))
        texts = [sender for sender in given if isinstance(sender, str) and sender]
        if len(texts) == len(given):
            return texts
    raise ConfigurationError("senders must be a list of sender IDs, for example senders=['SHOP'].")


def _digits(number: str) -> str:
    digits = re.sub(r"[^0-9]", "", number)
    if not digits:
        raise ConfigurationError("Give the number with its digits, for example 263770000001.")
    return digits
