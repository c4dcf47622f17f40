"""For callers without an event loop: a script, a cron job, a view of Django, Flask or any other WSGI framework.

There is no second implementation here. `run` starts a loop, opens a client in it, and ends both: right for a
script, which does one thing. `SmsPopPortal` keeps one loop, in a thread of its own, with one client that all
threads of a server share: its connections stay warm, and its ``Retry-After`` gate and its limit of connections hold
for all of them together.

Both refuse to be called from inside a running loop. They would stop everything else in it for as long as they wait.
"""

import asyncio
import atexit
import os
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Generic, Self, TypedDict, TypeVar, Unpack

import anyio
from anyio.from_thread import BlockingPortal
from attrs import frozen

from smspop_async.api.client import Timeout
from smspop_async.api.transport import Ssl
from smspop_async.batch.client import SmsPop
from smspop_async.config import RetryPolicy, TokenSource
from smspop_async.errors import ConfigurationError
from smspop_async.events import Observer

T = TypeVar("T")

Work = Callable[[SmsPop], Awaitable[T]]
"""What is to be done with a client: an async function, or a lambda like ``lambda sms: sms.send(…)``."""


class ClientOptions(TypedDict, total=False):
    """The settings of `SmsPop`, but for ``session``: a session belongs to a loop, and here there is none yet."""

    token: TokenSource | None
    base_url: str | None
    timeout: Timeout
    retry: RetryPolicy
    max_connections: int
    default_region: str
    on_event: Observer | None
    ssl: Ssl
    proxy: str | None


def run(work: Work[T], /, **options: Unpack[ClientOptions]) -> T:
    """Do something with a client in an event loop of its own, and wait for it: for scripts.

    ``report = smspop_async.run(lambda sms: sms.send(contacts, message="Hello!", sender_id="BRAND1"))``

    The first Ctrl-C cancels the work as `asyncio.run` does: a send submits nothing more, campaigns under way get its
    ``grace`` to settle, and the `KeyboardInterrupt` that is raised then has the true report in ``.report``. The second
    does not wait for them.

    Args:
        work: Takes the client and returns an awaitable. The client is open, and closed afterwards.
        **options: As for `SmsPop`.

    Returns:
        What the awaitable returns.

    Raises:
        ConfigurationError: a setting is wrong, `work` is not such a function, or an event loop runs in this thread.
    """
    _refuse_loop("async with SmsPop(…) as sms: await sms.send(…)")
    job = _Job(work)

    async def main() -> T:
        async with SmsPop(**options) as sms:
            return await job.do(sms)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt as interrupt:
        job.explain(interrupt)
        raise


class SmsPopPortal:
    """One client for all threads of a synchronous program, in an event loop in a thread of its own.

    Make one for the whole process, where the module is imported: nothing is opened before its first call, and a process
    that forks after that (``gunicorn --preload``) opens its own. `close` it at the end, or leave that to the
    interpreter, which cancels what is still under way.

    Args:
        **options: As for `SmsPop`; they are looked at by the first call.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._options = options
        self._lock = Lock()
        self._running: _Running | None = None
        self._closed = False

    def call(self, work: Work[T], /) -> T:
        """Do something with the client, and wait for it. May be called from many threads at once.

        ``result = portal.call(lambda sms: sms.campaigns.create(…))``

        Ctrl-C, which reaches the main thread alone, ends the work as it does in `run`.

        Args:
            work: Takes the client and returns an awaitable. The client stays open.

        Returns:
            What the awaitable returns.

        Raises:
            ConfigurationError: a setting is wrong, `work` is not such a function, the portal is closed, or an event
                loop runs in this thread.
        """
        _refuse_loop("await sms.campaigns.create(…) with an SmsPop of the loop")
        job = _Job(work)
        future = self._start(job)
        try:
            return future.result()
        except KeyboardInterrupt as interrupt:
            future.cancel()
            job.ended.wait()
            job.explain(interrupt)
            raise

    def start(self, work: Work[T], /) -> "Future[T]":
        """Begin to do something with the client, and do not wait for it.

        Args:
            work: As for `call`.

        Returns:
            A future: ``.result()`` waits, ``.cancel()`` cancels the work.

        Raises:
            ConfigurationError: as for `call`.
        """
        return self._start(_Job(work))

    def close(self, *, cancel: bool = False) -> None:
        """Wait for what is under way, close the client, and end the thread. May be called repeatedly.

        Args:
            cancel: Cancel what is under way; sends still get their ``grace``.
        """
        with self._lock:
            running, self._running, self._closed = self._running, None, True
        atexit.unregister(self._close_at_exit)
        if running is not None and running.usable:
            running.stop(cancel=cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(cancel=exc is not None)

    def _start(self, job: "_Job[T]") -> "Future[T]":
        running = self._open()
        return running.portal.start_task_soon(job.do_among_others, running.client)

    def _open(self) -> "_Running":
        with self._lock:
            if self._closed:
                raise ConfigurationError("This SmsPopPortal is closed; make a new one.")
            if self._running is None or not self._running.usable:
                self._running = _open_in_a_thread(self._options)
                atexit.register(self._close_at_exit)
            return self._running

    def _close_at_exit(self) -> None:
        self.close(cancel=True)


class _Job(Generic[T]):
    """One piece of work, and what became known when it was cancelled."""

    def __init__(self, work: Work[T]) -> None:
        if not callable(work):
            if asyncio.iscoroutine(work):
                work.close()  # else Python complains, later and elsewhere, that it was never awaited
            raise ConfigurationError("Pass a function that takes the client: lambda sms: sms.send(…).")
        self._work = work
        self._cancelled: CancelledError | None = None
        self.ended = Event()

    async def do(self, sms: SmsPop) -> T:
        try:
            awaitable = self._work(sms)
            if not isawaitable(awaitable):
                raise ConfigurationError(
                    "The function must return what can be awaited: lambda sms: sms.send(…), or an async function."
                )
            return await awaitable
        except CancelledError as cancelled:
            self._cancelled = cancelled
            raise
        finally:
            self.ended.set()

    async def do_among_others(self, sms: SmsPop) -> T:
        try:
            return await self.do(sms)
        except SystemExit as leaving:
            raise RuntimeError(
                "The work called sys.exit(), which would have ended the loop that all threads share."
            ) from leaving

    def explain(self, interrupt: KeyboardInterrupt) -> None:
        """Put on an interrupt what the cancellation that it caused has brought to light."""
        report = getattr(self._cancelled, "report", None)
        if report is not None:
            interrupt.report = report  # type: ignore[attr-defined] # exceptions take attributes
            for note in getattr(self._cancelled, "__notes__", ()):
                interrupt.add_note(note)


@frozen(kw_only=True)
class _Running:
    """A loop in a thread, with a client and a way in."""

    process: int
    thread: Thread
    portal: BlockingPortal
    client: SmsPop

    @property
    def usable(self) -> bool:
        """Whether it runs, and in this process: what was opened before a fork is not there in the child."""
        return self.process == os.getpid() and self.thread.is_alive()

    def stop(self, *, cancel: bool) -> None:
        with suppress(RuntimeError):  # it is stopped
            self.portal.call(self.portal.stop, cancel)
        self.thread.join()


def _open_in_a_thread(options: ClientOptions) -> _Running:
    opened: Future[tuple[BlockingPortal, SmsPop]] = Future()
    # A daemon, or the interpreter would wait for it before it asks anybody to close anything.
    thread = Thread(target=_serve, args=(options, opened), daemon=True, name="smspop-portal")
    thread.start()
    portal, client = opened.result()
    return _Running(process=os.getpid(), thread=thread, portal=portal, client=client)


def _serve(options: ClientOptions, opened: "Future[tuple[BlockingPortal, SmsPop]]") -> None:
    async def main() -> None:
        async with SmsPop(**options) as client, BlockingPortal() as portal:
            opened.set_result((portal, client))
            await portal.sleep_until_stopped()

    try:
        anyio.run(main)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits is told
        opened.set_exception(
            error
        )  # where nobody waits any more this raises, and Python shows both in its traceback


def _refuse_loop(instead: str) -> None:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigurationError(
            "An event loop runs in this thread (an async app, a notebook), and this call would stop it while it "
            f"waits. Here, write: {instead}."
        )
