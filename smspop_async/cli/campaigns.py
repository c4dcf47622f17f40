"""``smspop campaigns``: what the account has sent, as the API lists it."""

import asyncio
import warnings
from collections.abc import Iterable
from typing import Annotated, Any

import anyio
from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt
from rich.table import Table

from smspop_async.api.models import Campaign
from smspop_async.batch.client import SmsPop
from smspop_async.cli.account import address, require_token
from smspop_async.cli.exits import Exit
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.options import TARGET, JsonFlag
from smspop_async.cli.screen import Screen, printable
from smspop_async.config import PlaintextTokenWarning


def campaigns(
    *,
    limit: PositiveInt = 20,
    json: JsonFlag = False,
    timeout: PositiveFloat = 60.0,
    base_url: Annotated[str | None, Parameter(group=TARGET)] = None,
) -> int:
    """List the account's campaigns, in the order in which the API gives them.

    Args:
        limit: Campaigns to list.
        json: Write one JSON object to standard output, with the texts.
        timeout: Seconds one request may take.
        base_url: The address of the API. [default: SMSPOP_BASE_URL, or https://smspop.co.zw/api]
    """
    screen = Screen()
    url = address(base_url, screen)
    require_token()
    with Interruption() as interruption:
        found = anyio.run(_fetch, url, limit, timeout, interruption)
    if found is None:
        raise KeyboardInterrupt
    if json:
        screen.tell_json({"exit_code": int(Exit.OK), "campaigns": [_values(campaign) for campaign in found]})
    elif found:
        screen.tell(_table(found))
    else:
        screen.tell("There are no campaigns yet.")
    return Exit.OK


async def _fetch(url: str, limit: int, seconds: float, interruption: Interruption) -> list[Campaign] | None:
    """The first campaigns, or None when interrupted."""
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    found: list[Campaign] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlaintextTokenWarning)  # told already
        client = SmsPop(base_url=url, timeout=seconds)
    with interruption.softly(lambda: loop.call_soon_threadsafe(scope.cancel), lambda: "Left at once."):
        async with client:
            with scope:
                async for campaign in client.campaigns.list():
                    found.append(campaign)
                    if len(found) == limit:
                        break
    return None if scope.cancelled_caught else found


def _table(found: Iterable[Campaign]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for header in ("ID", "Name", "Sender", "Status"):
        table.add_column(header)
    for campaign in found:
        cells = (campaign.id, campaign.name, campaign.sender_id, campaign.status)
        table.add_row(*map(printable, cells))
    return table


def _values(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "message": campaign.message,
        "sender_id": campaign.sender_id,
        "status": campaign.status,
    }
