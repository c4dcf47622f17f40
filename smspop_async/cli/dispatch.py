"""The one part of ``send`` and ``resume`` that runs in an event loop: the run, its progress and its interruption.

The run is followed inside a cancel scope that a signal cancels. `Batch` turns the cancellation into what
was asked for: nothing more is submitted, campaigns under way settle within the grace, and the report is
complete. The ticker stands outside that scope and goes on meanwhile. No exception crosses the task group, so
none is ever wrapped into a group.
"""

import asyncio
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import frozen

from smspop_async.batch.client import SmsPop
from smspop_async.batch.report import Report
from smspop_async.batch.stream import Batch
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.journal import WayBack
from smspop_async.cli.progress import Display, Pace, Yardstick, display_for
from smspop_async.cli.screen import Screen, printable
from smspop_async.config import PlaintextTokenWarning
from smspop_async.events import CampaignRetried, CampaignSubmitted, Event
from smspop_async.sandbox import Sandbox

_SANDBOX_LATENCY: Final = 0.4
"""Seconds a request takes in ``--sandbox``, so that there is a progress to be seen."""
_SANDBOX_CREDITS: Final = 1_000_000
_RETRIES_TOLD: Final = 5
_LOOKING_SHARE: Final = 20
"""A look at a run of millions of rows takes a while; looking takes a twentieth of the time at most."""

_LEFT: Final = (
    "Only what was under way is unknown now, nothing else is lost. To look for it, and send the rest:"
)
_NOTHING_LEFT: Final = "Nothing was sent. To begin again:"


@frozen(kw_only=True)
class Errand:
    """One run: where it goes, what begins it, how it is measured, and what goes on with it."""

    begin: Callable[[SmsPop], Batch]
    base_url: str | None
    """None for a sandbox of the run's own."""
    sender_id: str
    credits: int
    """What it takes, about."""
    concurrency: int
    timeout: float | None
    region: str
    grace: float
    yardstick: Yardstick
    way_back: WayBack | None = None
    """None where there is no journal."""
    run: str = ""
    """The token of the send, where it has one already."""


@frozen(kw_only=True)
class Ending:
    """How it ended."""

    report: Report | None
    """None where nothing was begun."""
    error: Exception | None
    """What was raised: before anything was sent where there is no report, else a programming error."""
    delivered: int | None = None
    """Messages that the sandbox of the run has sent, where there was one."""


@frozen(kw_only=True)
class _Target:
    token: str | None
    base_url: str
    sandbox: Sandbox | None = None


async def dispatch(errand: Errand, screen: Screen, interruption: Interruption) -> Ending:
    """Send, show the progress, and return how it ended. Raises nothing for what the server does."""
    async with _target(errand) as target:
        if target.sandbox is not None:
            screen.say(f"Sandbox at {target.base_url}: this is a rehearsal, nobody is texted.", "bold green")
        follower = _Follower(errand, screen, interruption)
        report, error = await follower.follow(target)
        delivered = None if target.sandbox is None else sum(each.sent for each in target.sandbox.campaigns)
        return Ending(report=report, error=error, delivered=delivered)


@asynccontextmanager
async def _target(errand: Errand) -> AsyncGenerator[_Target]:
    if errand.base_url is not None:
        yield _Target(token=None, base_url=errand.base_url)
        return
    sandbox = Sandbox(latency=_SANDBOX_LATENCY, credits=max(_SANDBOX_CREDITS, errand.credits))
    sandbox.add_sender(errand.sender_id)
    async with sandbox:
        yield _Target(token=sandbox.token, base_url=sandbox.api_url, sandbox=sandbox)


class _Follower:
    """Follows one run."""

    def __init__(self, errand: Errand, screen: Screen, interruption: Interruption) -> None:
        self._errand = errand
        self._screen = screen
        self._interruption = interruption
        self._display: Display = display_for(screen)
        self._scope = anyio.CancelScope()
        self._latest = ""
        self._run_token = ""
        self._retries = 0
        self._batch: Batch | None = None

    async def follow(self, target: _Target) -> tuple[Report | None, Exception | None]:
        loop = asyncio.get_running_loop()

        def stop() -> object:
            return loop.call_soon_threadsafe(self._interrupt)

        error: Exception | None = None
        with self._interruption.softly(stop, self._last_words), self._display:
            async with anyio.create_task_group() as tasks:
                error = await self._run(target, tasks)
                tasks.cancel_scope.cancel()
        return _report_of(self._batch), error

    async def _run(self, target: _Target, tasks: TaskGroup) -> Exception | None:
        try:
            async with self._client(target) as sms:
                self._show(self._errand.yardstick.at_first)
                batch = self._batch = self._errand.begin(sms)
                with self._scope:
                    async with batch:
                        tasks.start_soon(self._tick, batch)
                        async for _ in batch:  # a batch goes no faster than it is read
                            pass
                if _report_of(batch) is not None:
                    self._show(partial(self._pace, batch))
        except Exception as error:  # noqa: BLE001 - told by the caller, beside the report if there is one
            return error
        return None

    def _client(self, target: _Target) -> SmsPop:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlaintextTokenWarning)  # the recap has told it
            return SmsPop(
                target.token,
                base_url=target.base_url,
                timeout=self._errand.timeout,
                max_connections=max(16, self._errand.concurrency),
                default_region=self._errand.region,
                on_event=self._note,
            )

    async def _tick(self, batch: Batch) -> None:
        while True:
            began = time.perf_counter()
            if not self._show(partial(self._pace, batch)):
                return
            await anyio.sleep(max(self._display.interval, _LOOKING_SHARE * (time.perf_counter() - began)))

    def _pace(self, batch: Batch) -> Pace:
        return self._errand.yardstick.pace(batch.progress, submitting=bool(self._latest))

    def _show(self, pace: Callable[[], Pace]) -> bool:
        """Show where the run stands; False where that fails, for a run is not lost for its progress bar."""
        try:
            self._display.show(pace())
        except Exception:  # noqa: BLE001 - as it says
            return False
        return True

    def _note(self, event: Event) -> None:
        """Keep what the person may need to know; say what makes the run wait."""
        if isinstance(event, CampaignSubmitted):
            self._latest, self._run_token = event.name, event.run
        elif isinstance(event, CampaignRetried):
            self._retries += 1
            if self._retries <= _RETRIES_TOLD:
                more = " (more of these are not shown)" if self._retries == _RETRIES_TOLD else ""
                what = f"{printable(event.name)} was not taken ({printable(event.reason)})"
                self._screen.say(f"{what}: again in {event.delay:.1f} s{more}")

    def _interrupt(self) -> None:
        """Runs in the event loop, soon after the signal."""
        self._screen.say(
            "Interrupted: nothing more is submitted. Waiting for campaigns under way, "
            f"{self._errand.grace:g} s at most; Ctrl-C again leaves at once.",
            "bold yellow",
        )
        self._scope.cancel()

    def _last_words(self) -> str:
        """Runs in the signal handler: it looks at nothing that may be half-done."""
        way_back, run = self._errand.way_back, self._errand.run or self._run_token
        if way_back is not None and run:
            return f"Left at once. {_LEFT if self._latest else _NOTHING_LEFT}\n{way_back.command(run)}"
        if not self._latest:
            return "Left at once. Nothing was sent."
        return (
            f'Left at once, without a report. The last campaign submitted is "{self._latest}": look in the '
            "dashboard, or with smspop campaigns, for those named like it before you send again."
        )


def _report_of(batch: Batch | None) -> Report | None:
    """The report of a batch that has ended; None for one that never began."""
    try:
        return None if batch is None else batch.report
    except RuntimeError:
        return None
