"""The client of the fixture ``smspop_client``: closed in the loop that it was used in, whichever that is.

An `SmsPop` belongs to the event loop of its first request and has to be closed there. A synchronous fixture has no
loop, does not know which one the test will run, and by the time it is torn down that loop may be running in another
thread, be idle, or be gone.

So on first use the client begins an async generator in the loop at hand. Every orderly end of a loop
(`asyncio.run`, a runner of a pytest plugin, the portal of a web framework's test client) calls
``loop.shutdown_asyncgens()``, and there the generator closes the client, in its own loop, while that still runs. A
loop that outlives the test, because a wider fixture keeps it, is asked at the test's end to run the generator to
its end.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

from attrs import define

from smspop_async.api.submit import Submitter
from smspop_async.batch.client import SmsPop
from smspop_async.config import RetryPolicy
from smspop_async.integrations.pytest_sandbox import SmsPopSandbox

TIMEOUT: Final = 10.0
"""Seconds: a test that lets the sandbox hang should not hang for long."""
HURRIED: Final = RetryPolicy(initial_backoff=0.01, max_backoff=0.05)
"""What is tried again is tried again at once: the sandbox does not get better by waiting."""
_CLOSING: Final = 10.0


@contextmanager
def client_of(sandbox: SmsPopSandbox) -> Generator[SmsPop]:
    """A client of a sandbox, to be used in any one event loop while the block lasts."""
    client = FixtureClient(token=sandbox.token, base_url=sandbox.api_url, timeout=TIMEOUT, retry=HURRIED)
    try:
        yield client
    finally:
        client.close_from_outside()


@define
class _Tie:
    """Ties a client, and the copies made of it, to the loop of its first use."""

    loop: asyncio.AbstractEventLoop | None = None
    ending: AsyncGenerator[None] | None = None


class FixtureClient(SmsPop):
    """An `SmsPop` that closes itself with the event loop it is used in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tie = _Tie()

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, SmsPop.__name__)

    @property
    def submitter(self) -> Submitter:
        """What submits campaigns. Everything that opens a connection asks for it first, in the loop."""
        if self._tie.ending is None:
            self._begin()
        return super().submitter

    def with_options(self, **options: Any) -> Self:
        """As `SmsPop.with_options`."""
        copy = super().with_options(**options)
        copy._tie = self._tie  # noqa: SLF001 - of the same class
        return copy

    def close_from_outside(self) -> None:
        """Close the client from synchronous code, in the loop that it belongs to, if there still is one."""
        loop, ending = self._tie.loop, self._tie.ending
        if loop is None or ending is None or loop.is_closed():
            return
        if not loop.is_running():
            loop.run_until_complete(_end(ending))
            return
        with suppress(RuntimeError):  # it is ending by itself at this moment
            asyncio.run_coroutine_threadsafe(_end(ending), loop).result(_CLOSING)

    def _begin(self) -> None:
        with suppress(RuntimeError):  # outside of any loop nothing is opened
            self._tie.loop = asyncio.get_running_loop()
            self._tie.ending = ending = self._until_the_loop_ends()
            with suppress(StopIteration):
                ending.__anext__().send(None)  # up to the yield; nothing is awaited on the way

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.aclose()


async def _end(ending: AsyncGenerator[None]) -> None:
    await ending.aclose()
    await asyncio.sleep(0)  # closed transports let go of their sockets in the loop's next turn
