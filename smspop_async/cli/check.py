"""``smspop check``: what a send would do, line by line, without a token, a network or a text."""

from string import Template
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from smspop_async.batch.plan import Plan, plan_campaign
from smspop_async.cli.exits import Exit
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.options import ContactsArgument, JsonFlag, ListOptions, TextOptions
from smspop_async.cli.recap import (
    contact_rows,
    cost_values,
    count,
    grid,
    message_rows,
    plan_values,
    problem_table,
)
from smspop_async.cli.screen import Screen
from smspop_async.cli.sources import CHUNK, contacts_file, message_of, name_of

_NO_TEXT: Final = "x"


def check(
    contacts: ContactsArgument,
    /,
    *,
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
    limit: Annotated[int, Parameter(validator=Number(gte=0))] = 20,
    json: JsonFlag = False,
    wanted: ListOptions = ListOptions(),  # noqa: B008 - frozen
) -> int:
    """Check a list, and a text if there is one: nothing is sent, and no token is needed.

    Ends with 0 when every row can be sent to, is a duplicate or is suppressed, and with 3 when rows are invalid.

    Args:
        contacts: A .csv, .txt or .xlsx file, or - for standard input, one number a line.
        text: What would be sent; without it, only the contacts are checked.
        limit: Invalid rows to show.
        json: Write one JSON object to standard output, with up to 10,000 invalid rows.
        wanted: Who would get it.
    """
    screen = Screen()
    message = None if text.message is None and text.message_file is None else message_of(text)
    with Interruption(), contacts_file(contacts, wanted.column, screen) as path:
        plan = plan_campaign(
            path,
            message=_NO_TEXT if message is None else message,
            chunk_size=wanted.chunk_size or CHUNK,
            default_region=wanted.region,
            suppress=wanted.suppress,
            column=wanted.column,
        )
    code = Exit.NOT_CLEAN if plan.invalid_count else Exit.OK
    if json:
        message_values = None if message is None else cost_values(plan)
        screen.tell_json({"exit_code": int(code), "plan": plan_values(plan), "message": message_values})
    else:
        _show(screen, plan, message, name_of(contacts), limit)
    return code


def _how_to_see_them(plan: Plan, limit: int) -> str:
    listed = len(plan.invalid)
    if limit >= listed:
        return f"no more than the first {listed:,} are listed"
    which = "all" if listed == plan.invalid_count else f"the first {listed:,}"
    return f"--limit {listed}, or --json, shows {which}"


def _show(screen: Screen, plan: Plan, message: str | Template | None, source: str, limit: int) -> None:
    rows = list(contact_rows(plan, source))
    if message is not None:
        rows += message_rows(plan, message)
    rows.append(("Campaigns", f"{plan.chunks:,}"))
    screen.tell(grid(rows))
    if plan.invalid_count and limit:
        screen.tell()
        screen.tell(problem_table(plan.invalid[:limit]))
        if more := plan.invalid_count - min(limit, len(plan.invalid)):
            screen.tell(f"and {count(more, 'more row')}: {_how_to_see_them(plan, limit)}")
    screen.tell()
    if plan.invalid_count:
        screen.tell(f"{count(plan.invalid_count, 'row')} would not be sent to. Nothing was sent.", "bold red")
    else:
        screen.tell("All is well. Nothing was sent.", "bold green")
