"""`SmsPopSandbox`: the sandbox of one test, called from the thread of the test.

A `smspop_async.sandbox.Sandbox` belongs to its event loop. Here it runs in the loop of a portal, and each call hops
over, waits and comes back, which takes 0.2 ms; so it makes no difference whether the test runs in a loop, in which
one, or in none.

The assertions show numbers and texts as they are, against the rule of the rest of the library. Everything in the
sandbox was put there by the test, nobody is texted, and fake numbers tend to differ in the very digits that a mask
hides: whoever debugs the test needs them. The setting ``smspop_mask`` is for suites that work on copies of real
data.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from re import Pattern
from typing import Any, Literal, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal

from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.errors import ConfigurationError
from smspop_async.integrations.pytest_differences import Inbox, Wanted
from smspop_async.integrations.pytest_faults import FaultWord, in_words_of_the_sandbox
from smspop_async.sandbox import (
    Campaign,
    CreditEntry,
    FaultParameters,
    Message,
    PendingFault,
    RecordedRequest,
    Sandbox,
)

T = TypeVar("T")


@contextmanager
def running_sandbox(
    portal: BlockingPortal, settings: Mapping[str, Any], *, masked: bool = False
) -> Generator["SmsPopSandbox"]:
    """A sandbox in the loop of a portal, for as long as the block lasts.

    Args:
        portal: Leads to the loop.
        settings: Those of `Sandbox`, and ``region``: where numbers without a calling code are, in the assertions.
        masked: Whether failed assertions hide numbers and texts.

    Raises:
        ConfigurationError: there is no such setting, or it has an impossible value.
    """
    own = dict(settings)
    normaliser = Normaliser(own.pop("region", "ZW"))
    try:
        sandbox = portal.call(partial(Sandbox, **own))
    except TypeError as error:
        raise ConfigurationError(f"pytest.mark.smspop: {error}.") from None
    with portal.wrap_async_context_manager(sandbox):
        yield SmsPopSandbox(sandbox, portal, normaliser, masked=masked)


class SmsPopSandbox:
    """A running sandbox: what was sent, what goes wrong, and assertions by recipient.

    Numbers may be spelled as people spell them: ``"0771 234 567"`` is ``"263771234567"``.

    Args:
        sandbox: What runs in the loop of the portal.
        portal: Leads to that loop.
        normaliser: Reads the numbers that the assertions are given.
        masked: Whether failed assertions hide numbers and texts.
    """

    def __init__(
        self, sandbox: Sandbox, portal: BlockingPortal, normaliser: Normaliser, *, masked: bool
    ) -> None:
        self._sandbox = sandbox
        self._portal = portal
        self._normaliser = normaliser
        self._masked = masked

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.api_url}>"

    # --- where it is ---

    @property
    def api_url(self) -> str:
        """The base URL of the API, which is in ``SMSPOP_BASE_URL`` too."""
        return self._sandbox.api_url

    @property
    def inbox_url(self) -> str:
        """The address for a browser, for as long as the test is stopped in a debugger."""
        return self._sandbox.inbox_url

    @property
    def token(self) -> str:
        """The ready token, which is in ``SMSPOP_TOKEN`` too."""
        return self._sandbox.token

    # --- the account ---

    @property
    def credits(self) -> int:
        """The balance; may be set."""
        return self._there(lambda: self._sandbox.credits)

    @credits.setter  # noqa: A003 - the word of the field
    def credits(self, balance: int) -> None:
        self._there(lambda: setattr(self._sandbox, "credits", balance))

    @property
    def active(self) -> bool:
        """Whether the account is active; may be set."""
        return self._there(lambda: self._sandbox.active)

    @active.setter
    def active(self, active: bool) -> None:
        self._there(lambda: setattr(self._sandbox, "active", active))

    @property
    def statement(self) -> list[CreditEntry]:
        """Every change of the balance, oldest first."""
        return self._there(lambda: self._sandbox.statement)

    @property
    def senders(self) -> tuple[str, ...]:
        """The sender IDs of the account."""
        return self._there(lambda: self._sandbox.senders)

    def add_sender(self, sender_id: str) -> None:
        """Add a sender ID to the account."""
        self._there(lambda: self._sandbox.add_sender(sender_id))

    def revoke_token(self) -> None:
        """Make the token invalid, as somebody does in the dashboard in the middle of a run."""
        self._there(self._sandbox.revoke_token)

    # --- what arrived ---

    @property
    def campaigns(self) -> list[Campaign]:
        """The accepted campaigns, oldest first."""
        return self._there(lambda: self._sandbox.campaigns)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests to the API, oldest first, each with ``as_curl()``."""
        return self._there(lambda: self._sandbox.requests)

    def messages(self, *, to: str | None = None) -> list[Message]:
        """Return the messages, oldest first, those with the status ``failed`` included.

        Args:
            to: Only those to this number. None for all.

        Raises:
            ConfigurationError: ``to`` is not a phone number.
        """
        number = self._number_or_none(to)
        return self._there(lambda: self._sandbox.messages(to=number))

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
        timeout: float = 5.0,  # noqa: ASYNC109 - as `Sandbox.wait_for`, which does the waiting
    ) -> Message | list[Message]:
        """Wait in an async test until there are messages; those from before the call count.

        Args:
            to: Only messages to this number. None for all.
            count: How many, at least 1.
            timeout: Seconds to wait at most.

        Returns:
            The newest message where ``count`` is 1, otherwise all that match, oldest first.

        Raises:
            TimeoutError: they did not arrive in time.
            ConfigurationError: ``to`` is not a phone number.
        """
        number = self._number_or_none(to)
        waiting = partial(self._sandbox.wait_for, to=number, count=count, timeout=timeout)
        return await asyncio.wrap_future(self._portal.start_task_soon(waiting))

    def wait_for_sync(self, *, to: str | None = None, count: int = 1, timeout: float = 5.0) -> list[Message]:
        """Wait in a synchronous test until there are messages; those from before the call count.

        Args:
            to: Only messages to this number. None for all.
            count: How many, at least 1.
            timeout: Seconds to wait at most.

        Returns:
            All that match, oldest first.

        Raises:
            TimeoutError: they did not arrive in time.
            ConfigurationError: ``to`` is not a phone number, or the test is async: this would hold the event loop, in
                which the app under test may want to send.
        """
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise ConfigurationError("This test is async: await smspop_sandbox.wait_for(…) instead.")
        number = self._number_or_none(to)
        self._portal.call(partial(self._sandbox.wait_for, to=number, count=count, timeout=timeout))
        return self.messages(to=to)

    async def wait_for_requests(
        self,
        *,
        count: int = 1,
        timeout: float = 5.0,  # noqa: ASYNC109 - as above
    ) -> list[RecordedRequest]:
        """Wait in an async test until so many requests were read, answered or not.

        It is how a test knows that a request is under way that a fault leaves without an answer.

        Raises:
            TimeoutError: they did not come in time.
        """
        waiting = partial(self._sandbox.wait_for_requests, count=count, timeout=timeout)
        return await asyncio.wrap_future(self._portal.start_task_soon(waiting))

    # --- assertions ---

    def assert_texted(
        self,
        to: str,
        *,
        text: str | Pattern[str] | None = None,
        sender_id: str | None = None,
        times: int | None = None,
    ) -> Message:
        """Assert that somebody was texted. A message with the status ``failed`` is no text.

        Args:
            to: The number.
            text: The whole text, or a compiled pattern that is searched in it. None for any.
            sender_id: The sender ID. None for any.
            times: How many such messages there are, exactly. None for at least one.

        Returns:
            The newest message that fits.

        Raises:
            AssertionError: there is none, or another number of them; it shows what there is instead.
            ConfigurationError: ``to`` is not a phone number, or ``times`` is below 1.
        """
        __tracebackhide__ = True
        if times is not None and times < 1:
            raise ConfigurationError("times is 1 or more; for none there is assert_not_texted.")
        inbox, wanted = self._inbox(), self._wanted(to, text, sender_id)
        fitting = inbox.fitting(wanted)
        if not fitting or (times is not None and len(fitting) != times):
            raise AssertionError(inbox.without(wanted, times=times))
        return fitting[-1]

    def assert_not_texted(self, to: str, *, text: str | Pattern[str] | None = None) -> None:
        """Assert that somebody was not texted, or was not sent this text.

        Args:
            to: The number.
            text: The whole text, or a compiled pattern that is searched in it. None for any.

        Raises:
            AssertionError: they were; it shows what they were sent.
            ConfigurationError: ``to`` is not a phone number.
        """
        __tracebackhide__ = True
        inbox, wanted = self._inbox(), self._wanted(to, text, None)
        if inbox.fitting(wanted):
            raise AssertionError(inbox.despite(wanted))

    def assert_texted_only(self, *to: str, text: str | Pattern[str] | None = None) -> None:
        """Assert who was texted: these numbers, each of them at least once, and nobody else.

        Args:
            *to: The numbers. None at all means that nobody was texted.
            text: Look at messages with this text only.

        Raises:
            AssertionError: somebody is missing, or somebody else was texted; it shows who.
            ConfigurationError: a number is not a phone number.
        """
        __tracebackhide__ = True
        inbox = self._inbox()
        if words := inbox.others_than([self._wanted(each, text, None) for each in to], text):
            raise AssertionError(words)

    def assert_nobody_texted(self) -> None:
        """Assert that not one text went out.

        Raises:
            AssertionError: one did; it shows which.
        """
        __tracebackhide__ = True
        self.assert_texted_only()

    def assert_nobody_texted_twice(self, *, per_text: bool = False) -> None:
        """Assert that every number has one message at most: nobody was texted, and billed, double.

        Args:
            per_text: Let a number have several messages with different texts.

        Raises:
            AssertionError: a number has more; it shows in which campaigns.
        """
        __tracebackhide__ = True
        if words := self._inbox().repeated(per_text=per_text):
            raise AssertionError(words)

    # --- what goes wrong ---

    def fail_next(
        self,
        fault: FaultWord | str | int,
        *,
        times: int = 1,
        endpoint: Literal["POST", "GET"] | None = "POST",
        **parameters: Unpack[FaultParameters],
    ) -> None:
        """Let the next requests meet a fault. Faults queue up and happen in the order they were asked for.

        Args:
            fault: A `FaultWord`, an HTTP status, or a kind of fault of the sandbox.
            times: How many requests. The client tries again what is proven unsent, three times in all by default.
            endpoint: Only requests with this method; None for any.
            **parameters: What the kind takes, for example ``retry_after=2``.

        Raises:
            ConfigurationError: there is no such fault.
        """
        kind, known = in_words_of_the_sandbox(fault)
        options: dict[str, Any] = {**known, **parameters, "times": times, "endpoint": endpoint}
        self._there(partial(self._sandbox.fail_next, kind, **options))

    def expect_fault(self, fault: FaultWord | str | int | Mapping[str, Any]) -> None:
        """Let the next request meet a fault, given as in the marker: also a mapping with a ``kind``.

        Raises:
            ConfigurationError: there is no such fault.
        """
        if not isinstance(fault, Mapping):
            self.fail_next(fault)
            return
        options = dict(fault)
        try:
            self.fail_next(options.pop("kind"), **options)
        except KeyError:
            raise ConfigurationError("A fault that is a mapping has a kind.") from None

    @property
    def faults(self) -> list[PendingFault]:
        """The faults that wait: none, where every fault that was asked for has happened."""
        return self._there(lambda: self._sandbox.faults)

    def clear_faults(self) -> None:
        """Forget the faults that wait."""
        self._there(self._sandbox.clear_faults)

    def reset(self) -> None:
        """Forget campaigns, messages, requests and faults; the account is as at the beginning of the test."""
        self._there(self._sandbox.reset)

    def _there(self, look: Callable[[], T]) -> T:
        return self._portal.call(look)

    def _number_or_none(self, to: str | None) -> str | None:
        return None if to is None else self._number(to)

    def _number(self, to: str) -> str:
        try:
            return self._normaliser.normalise(to)
        except InvalidNumber as error:
            raise ConfigurationError(f"{to!r} is not a phone number: {error.reason}.") from None

    def _inbox(self) -> Inbox:
        return self._there(
            lambda: Inbox(
                messages=self._sandbox.messages(), requests=self._sandbox.requests, masked=self._masked
            )
        )

    def _wanted(self, to: str, text: str | Pattern[str] | None, sender_id: str | None) -> Wanted:
        return Wanted(spelling=to, number=self._number(to), text=text, sender_id=sender_id)
