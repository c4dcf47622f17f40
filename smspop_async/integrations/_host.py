"""A task group in a task of its own.

A task group must be left in the task that entered it. Frameworks and test fixtures do not care: some enter a context
manager in the task that starts the app and leave it in another. So the group lives in a task that does nothing else,
and others ask that task to open and to close it.
"""

import asyncio
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from smspop_async.errors import ConfigurationError


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
