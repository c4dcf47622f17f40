"""Telling this task's own cancellation from one that comes out of what it waited for.

A task that awaits another one gets that one's CancelledError as if it was its own: a token that a shared task fetches,
a database whose pool is being closed. Whoever takes that for a cancellation ends without a word and without an account.
"""

import asyncio


def is_cancelled() -> bool:
    """Whether somebody has cancelled the task that runs.

    If not, a CancelledError that was caught in it is a failure of somebody else.
    """
    this = asyncio.current_task()
    return this is None or this.cancelling() > 0
