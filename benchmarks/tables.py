"""What scenarios hand back, and how it is printed: for a terminal, for the README, as JSON."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen
from available import version_of
from harness import Figure, Machine, Results

_PACKAGES = (
    "aiohttp", "uvloop", "httpx", "httpx2", "requests", "niquests", "pyreqwest", "phonenumbers", "cattrs", "numpy",
)  # fmt: skip


_NUMBERED = 12


@frozen(kw_only=True)
class Verdict:
    """A goal, and whether this run reached it."""

    number: int
    """Of the goal, in the list of goals."""
    goal: str
    """What is compared with what."""
    reached: str
    wanted: str
    met: bool | None
    """None where this run cannot tell."""
    reason: str = ""
    """Why it cannot."""

    @property
    def label(self) -> str:
        """What the goal is called in the table: those of the web apps stand in another list."""
        return str(self.number) if self.number <= _NUMBERED else "a web app"

    @property
    def word(self) -> str:
        if self.met is None:
            return f"not measurable yet: {self.reason}"
        return "met" if self.met else "MISSED"


@frozen(kw_only=True)
class Table:
    """The outcome of a scenario."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()
    results: Results | None = None
    """The raw measurements, for the JSON."""
    picture: Mapping[str, Any] = field(factory=dict)
    """What `pictures` draws, by the picture's name, as plain data."""
    failed: bool = False
    """The scenario came to no result."""


def spread(figure: Figure, form: str = ",.2f", scale: float = 1.0) -> str:
    """A median with its quartiles in brackets."""
    low, high = figure.quartiles
    if len(figure.values) == 1:
        return f"{figure.median * scale:{form}}"
    return f"{figure.median * scale:{form}} ({low * scale:{form}} - {high * scale:{form}})"


def at_least(
    number: int, goal: str, figure: Figure, wanted: float, *, form: str = ",.2f", beside: str = ""
) -> Verdict:
    """The verdict on a ratio that should be high."""
    return Verdict(
        number=number, goal=goal, reached=f"{spread(figure, form)} x{beside}", wanted=f">= {wanted:g} x",
        met=figure.median >= wanted,
    )  # fmt: skip


def at_most(
    number: int, goal: str, figure: Figure, wanted: float, *, form: str = ",.3f", unit: str = " x"
) -> Verdict:
    """The verdict on a ratio that should be low."""
    return Verdict(
        number=number, goal=goal, reached=f"{spread(figure, form)}{unit}", wanted=f"<= {wanted:g}{unit}",
        met=figure.median <= wanted,
    )  # fmt: skip


def circumstances() -> list[str]:
    """The machine, the versions and the day, without which a figure means nothing."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"{name} {found}" for name in _PACKAGES if (found := version_of(name))]
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {_processor()}, {cores} cores"
    )
    return [f"{where}, {Machine.split()}", ", ".join(versions)]


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def command() -> str:
    """How this run was started; where its output went does not matter."""
    words = [word for word in sys.argv[1:] if word in ("--quick", "--markdown")]
    return " ".join(["python benchmarks/run.py", *words])


def goals(tables: Sequence[Table]) -> Table:
    """All verdicts in one table, in the order of the goals."""
    verdicts = sorted((verdict for table in tables for verdict in table.verdicts), key=lambda one: one.number)
    return Table(
        title="Goals",
        columns=["goal", "what", "reached", "wanted", "verdict"],
        rows=[
            *([one.label, one.goal, one.reached, one.wanted, one.word] for one in verdicts),
            *(["", table.title, "", "", "FAILED, see above"] for table in tables if table.failed),
        ],
    )


def as_text(tables: Sequence[Table]) -> str:
    """For a terminal: what was measured, and at the end the goals."""
    blocks = ["\n".join([command(), *circumstances(), "Medians; quartiles in brackets."])]
    for table in (*tables, goals(tables)):
        lines = [table.columns, *table.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        body.insert(1, "  ".join("-" * width for width in widths))
        blocks.append("\n".join([f"== {table.title}", *body, *table.notes]))
    return "\n\n".join(blocks)


def as_markdown(tables: Sequence[Table]) -> str:
    """For the README: the goals first."""
    blocks = []
    for table in (goals(tables), *tables):
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {note}" for note in table.notes)
        blocks.append("\n\n".join(filter(None, [f"**{table.title}**", body, notes])))
    where, versions = circumstances()
    blocks.append(f"`{command()}`, {where}; {versions}. Medians, with the quartiles in brackets.")
    return "\n\n".join(blocks)


def as_data(tables: Sequence[Table]) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "command": command(),
        "circumstances": circumstances(),
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [list(row) for row in table.rows],
                "verdicts": [asdict(verdict) | {"verdict": verdict.word} for verdict in table.verdicts],
                "notes": list(table.notes),
                "rounds": table.results.rounds if table.results is not None else {},
                "picture": dict(table.picture),
            }
            for table in tables
        ],
    }
