"""What `asyncio.run` does to all tasks at its end."""

import asyncio
from pathlib import Path

SERVERS = ("rawserver", "selector_events", "web_protocol")
"""Modules that answer, or accept a connection: the server of a test is nobody's whose loop ends."""


def cancel_all_but(ours: set[asyncio.Task]) -> None:
    """Cancel all tasks at once, but those that were there before, and those of servers."""
    for task in asyncio.all_tasks() - ours:
        if Path(task.get_coro().cr_code.co_filename).stem not in SERVERS:
            task.cancel()
