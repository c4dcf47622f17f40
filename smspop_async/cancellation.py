"""Telling this task's own cancellation from one that comes out of what it waited for.

A task that awaits another one gets that one's CancelledError as if it was its own: a token that a shared task fetches,
a database whose pool is being closed. Whoever takes that for a cancellation ends without a word and without an account.
"""

import asyncio


def is_own(error: BaseException) -> bool:
    """Whether what was caught is a cancellation of the task that runs; else it is a failure, whatever its class."""
    this = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (this is None or this.cancelling() > 0)
