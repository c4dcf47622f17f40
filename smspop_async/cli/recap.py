"""What a plan says, as rows to read and as values for JSON: contacts, segments, credits, the culprit."""

from collections.abc import Iterable, Iterator
from string import Template
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from smspop_async.batch.plan import InvalidRow, Plan
from smspop_async.cli.screen import printable
from smspop_async.cli.sources import stray_field
from smspop_async.mask import mask_number
from smspop_async.message import Culprit, measure

PROBLEMS_SHOWN: Final = 10
_CULPRITS_SHOWN: Final = 3

Row = tuple[str, str | Text]


def grid(rows: Iterable[Row]) -> Table:
    """Lay out labelled lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, content in rows:
        table.add_row(label, content)
    return table


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 campaign``, ``2,000 campaigns``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def contact_rows(plan: Plan, source: str) -> Iterator[Row]:
    """Who gets the text, and who does not."""
    yield "Contacts", f"{plan.valid:,} to text, of {count(plan.total, 'row')} in {printable(source)}"
    left_out = [
        Text(words, style=style)
        for number, words, style in (
            (plan.invalid_count, f"{plan.invalid_count:,} invalid", "red"),
            (plan.duplicates, count(plan.duplicates, "duplicate"), ""),
            (plan.suppressed, f"{plan.suppressed:,} suppressed", ""),
        )
        if number
    ]
    if left_out:
        yield "Left out", Text(", ").join(left_out)


def message_rows(plan: Plan, message: str | Template) -> Iterator[Row]:
    """What the text takes, and which character makes it take more."""
    cost = plan.cost
    longest = "the longest text: " if isinstance(message, Template) else ""
    size = f"{cost.characters:,} characters in {cost.encoding}"
    yield "Message", f"{longest}{count(cost.segments, 'segment')} ({size})"
    for culprit in cost.unicode_because[:_CULPRITS_SHOWN]:
        yield "", Text(_accusation(culprit), style="yellow")
    if len(cost.unicode_because) > _CULPRITS_SHOWN:
        yield (
            "",
            Text(f"and {len(cost.unicode_because) - _CULPRITS_SHOWN} more such characters", style="yellow"),
        )
    if isinstance(message, str) and (saving := _saving(plan, message)):
        yield "", Text(saving, style="yellow")
    if field := stray_field(message):
        yield "", Text(f"{field} would be sent as it stands: did you mean --template?", style="yellow")
    yield "Credits", f"about {plan.credits:,} (one a segment a contact: assumed, the API names no price)"


def _accusation(culprit: Culprit) -> str:
    shown = f"'{culprit.character}' " if culprit.character.isprintable() else ""
    advice = {
        None: "leave it out, or the text stays Unicode",
        "": "leave it out",
    }.get(culprit.suggestion, f"write {culprit.suggestion!r} instead")
    return f"Unicode because of {shown}({culprit.name}) at character {culprit.position + 1}: {advice}"


def _saving(plan: Plan, message: str) -> str | None:
    """What the suggestions would save, where every culprit has one."""
    swaps = {culprit.character: culprit.suggestion for culprit in plan.cost.unicode_because}
    if not swaps or None in swaps.values():
        return None
    plain = measure(message.translate({ord(char): swap or "" for char, swap in swaps.items()}))
    saved = (plan.cost.segments - plain.segments) * plan.valid
    if plain.encoding != "GSM-7" or saved <= 0:
        return None
    return f"That would make it {count(plain.segments, 'segment')} and save {count(saved, 'credit')}"


def problem_table(rows: Iterable[InvalidRow]) -> Table:
    """The rows that are no contacts, with their lines, masked."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    table.add_column("What stands there", no_wrap=True)
    table.add_column("Why it is not sent to")
    for row in rows:
        table.add_row(
            f"{line_of(row.line, row.index):,}", printable(mask_number(row.text)), printable(row.reason)
        )
    return table


def line_of(line: int | None, index: int) -> int:
    """The line of a row, or its place from 1."""
    return index + 1 if line is None else line


def plan_values(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, without a whole phone number or a text."""
    return {
        "total": plan.total,
        "valid": plan.valid,
        "invalid": plan.invalid_count,
        "duplicates": plan.duplicates,
        "suppressed": plan.suppressed,
        "campaigns": plan.chunks,
        "problems": [
            {"line": line_of(row.line, row.index), "shown": mask_number(row.text), "reason": row.reason}
            for row in plan.invalid
        ],
    }


def cost_values(plan: Plan) -> dict[str, Any]:
    """What the text takes, as plain values."""
    cost = plan.cost
    return {
        "segments": plan.segments,
        "credits": plan.credits,
        "encoding": cost.encoding,
        "characters": cost.characters,
        "unicode_because": [
            {
                "character": culprit.character,
                "position": culprit.position,
                "name": culprit.name,
                "suggestion": culprit.suggestion,
            }
            for culprit in cost.unicode_because
        ],
    }
