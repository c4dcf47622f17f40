"""``smspop sandbox``: a local SMSPop to point a program at, until Ctrl-C."""

import asyncio
import os
import shlex
from pathlib import Path
from typing import Annotated, Final

import anyio
from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt
from cyclopts.validators import Number

from smspop_async.cli.exits import Exit
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.recap import grid
from smspop_async.cli.screen import Screen
from smspop_async.config import BASE_URL_VARIABLE, TOKEN_VARIABLE, check_token
from smspop_async.errors import ConfigurationError
from smspop_async.sandbox import Sandbox

SANDBOX_TOKEN_VARIABLE: Final = "SMSPOP_SANDBOX_TOKEN"  # noqa: S105 - the name of a variable, not a token
_SENDERS: Final = ("BRAND1", "SMSPoe", "DEMO")


def sandbox(
    *,
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8025,
    db: Path | None = None,
    credits: NonNegativeInt = 1_000_000,  # noqa: A002 - the word of the field
    latency: NonNegativeFloat = 0.0,
    sender: Annotated[tuple[str, ...], Parameter(negative=())] = _SENDERS,
) -> int:
    """Run a local SMSPop that answers like the API and texts nobody, until Ctrl-C (which ends it with 0).

    It listens on this machine only. SMSPOP_SANDBOX_TOKEN sets its token; without it, a new one is made.

    Args:
        port: The port; 0 for a free one.
        db: A file that keeps campaigns, credits and tokens. In memory by default.
        credits: The opening balance.
        latency: Seconds that every request takes.
        sender: A sender ID of the account; may be given several times.
    """
    screen = Screen()
    server = Sandbox(
        port=port,
        token=_token(),
        credits=credits,
        senders=sender,
        latency=latency,
        db=db,
    )
    with Interruption() as interruption:
        anyio.run(_serve, server, screen, interruption)
    screen.say("The sandbox has ended." if db is None else f"The sandbox has ended; its state is in {db}.")
    return Exit.OK


def _token() -> str | None:
    """The token that was chosen for it, or None.

    Raises:
        ConfigurationError: No request could bear it. The text never shows it.
    """
    token = os.environ.get(SANDBOX_TOKEN_VARIABLE)
    if token is None:
        return None
    try:
        return check_token(token)
    except ConfigurationError:
        problem = "has a character that no token has" if token.strip() else "is empty"
        raise ConfigurationError(
            f"{SANDBOX_TOKEN_VARIABLE} {problem}. Set it to letters and digits of your choice, or type: "
            f"unset {SANDBOX_TOKEN_VARIABLE}   to have a token made."
        ) from None


async def _serve(server: Sandbox, screen: Screen, interruption: Interruption) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with interruption.softly(lambda: loop.call_soon_threadsafe(stop.set), lambda: "Left at once."):
        async with server:
            _welcome(server, screen)
            await stop.wait()


def _welcome(server: Sandbox, screen: Screen) -> None:
    screen.tell("The sandbox is ready. It texts nobody.", "bold green")
    screen.tell(grid((("API", server.api_url), ("Inbox", server.inbox_url), ("Token", server.token))))
    screen.tell("\nPaste this where your program runs:\n")
    # Quoted, because a token holds a bar; and as text, so that no line is broken.
    screen.tell(f"export {BASE_URL_VARIABLE}={shlex.quote(server.api_url)}")
    screen.tell(f"export {TOKEN_VARIABLE}={shlex.quote(server.token)}")
    screen.tell("\nCtrl-C ends it.")
