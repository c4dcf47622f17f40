"""Waiting that a cancellation does not end: of asyncio's own, too, which reaches into a shielded scope.

`asyncio.run` cancels all tasks at once when it ends, and a task that was cancelled before its first step never takes
it. So who waits for another task must know whether that has begun, which a turn of the loop or two tells.
"""

from collections.abc import Callable
from typing import Final

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint

_TURNS: Final = 2
"""Turns of the loop after which a task that was to begin has begun."""


async def see_begun(begun: Callable[[], bool]) -> BaseException | None:
    """Wait until a task has begun, or never will; return the last cancellation that happened meanwhile."""
    late: BaseException | None = None
    for _ in range(_TURNS):
        if begun():
            break
        try:
            await cancel_shielded_checkpoint()
        except anyio.get_cancelled_exc_class() as cancelled:
            late = cancelled
    return late


async def wait_out(event: anyio.Event, hurry: Callable[[], object] = lambda: None) -> BaseException | None:
    """Wait for `event` whatever happens, and return the last cancellation that happened meanwhile.

    Args:
        event: Comes in any case.
        hurry: Called at each cancellation.
    """
    late: BaseException | None = None
    while not event.is_set():
        try:
            with anyio.CancelScope(shield=True):
                await event.wait()
        except anyio.get_cancelled_exc_class() as cancelled:
            late = cancelled
            hurry()
    return late
