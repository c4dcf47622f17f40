"""A task group in a task of its own.

A task group must be left in the task that entered it. Frameworks and test fixtures do not care: some enter a context
manager in the task that starts the app and leave it in another. So the group lives in a task that does nothing else,
and others ask that task to open and to close it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from smspop_async.batch.waiting import see_begun, wait_out
from smspop_async.errors import ConfigurationError

Job = Callable[[Callable[[], None]], Awaitable[None]]
"""What a task does; it calls what it is given when it has started."""


class TaskHost:
    """Holds a task group from `open` to `aclose`, whichever tasks call these. For one use.

    Args:
        closing: Set when it begins to close.
    """

    def __init__(self, *, closing: anyio.Event) -> None:
        self._task: asyncio.Task[None] | None = None
        self._group: TaskGroup | None = None
        self._closing = closing

    @property
    def is_open(self) -> bool:
        """Whether tasks may be started."""
        return self._group is not None and not self._closing.is_set()

    @property
    def group(self) -> TaskGroup:
        """The task group.

        Raises:
            ConfigurationError: it was not opened.
        """
        if self._group is None:
            raise ConfigurationError("The sends are not open: use `async with Sends(sms) as sends`.")
        return self._group

    async def open(self) -> None:
        """Make the group ready."""
        if self._task is not None:
            raise RuntimeError("These sends were opened before: make new ones.")
        opened = anyio.Event()
        self._task = asyncio.create_task(self._hold(opened), name="smspop sends")
        await opened.wait()

    async def start(self, job: Job) -> None:
        """Start a task, and wait until it says that it has started.

        Raises:
            Exception: what it raised before that. A cancellation ends a task that has not started.
        """
        opening = _Opening(job)
        self.group.start_soon(opening.run)
        await opening.wait()

    async def _hold(self, opened: anyio.Event) -> None:
        async with anyio.create_task_group() as self._group:
            opened.set()
            await self._closing.wait()

    def close(self) -> None:
        """Let the group end when its tasks have."""
        self._closing.set()

    async def aclose(self, cut_off: Callable[[], object]) -> None:
        """Close, and wait for the tasks.

        Args:
            cut_off: Called when the waiting is cancelled: it makes the tasks end soon, and they are waited for all the
                same. asyncio's own cancellation reaches the waiting inside the shield, and anyio's does not: it has
                patience to the end.
        """
        self.close()
        late: asyncio.CancelledError | None = None
        while self._task is not None and not self._task.done():
            try:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({self._task})
            except asyncio.CancelledError as cancelled:
                late = cancelled
                cut_off()
        if late is not None:
            raise late


class _Opening:
    """A task until it has started.

    `TaskGroup.start` is for this, and waits for ever where the task is cancelled before its first step (anyio 4.16).
    `asyncio.run` does that at its end, to all tasks at once.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._begun = self._started = False
        self._known = anyio.Event()
        """Set when it has started, or ended without that."""
        self._error: BaseException | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Be the task."""
        self._begun = True
        try:
            with self._scope:
                await self._job(self._start)
        except (Exception, anyio.get_cancelled_exc_class()) as error:
            if self._started:
                raise
            self._error = error
        finally:
            self._known.set()

    def _start(self) -> None:
        self._started = True
        self._known.set()

    async def wait(self) -> None:
        """Wait until it has started, and raise what it raised before that."""
        try:
            await self._known.wait()
        except anyio.get_cancelled_exc_class():
            if not self._started:
                self._scope.cancel()
                await see_begun(lambda: self._begun)
                if self._begun:
                    await wait_out(self._known)
            raise
        if self._error is not None:
            raise self._error
