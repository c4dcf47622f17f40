"""What scenarios hand back, and how it is printed: for a terminal, for the README, as JSON."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from harness import Figure, Results

_PACKAGES = ("aiohttp", "httpx", "requests", "uvloop", "phonenumbers")


@frozen(kw_only=True)
class Verdict:
    """A goal, and whether this run reached it."""

    goal: str
    reached: str
    met: bool | None
    """None where the goal is a later step's, and the figure is for information."""

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: "not yet a goal"}[self.met]


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


def spread(figure: Figure, form: str = ",.2f", scale: float = 1.0) -> str:
    """A median with its quartiles in brackets."""
    low, high = figure.quartiles
    if len(figure.values) == 1:
        return f"{figure.median * scale:{form}}"
    return f"{figure.median * scale:{form}} ({low * scale:{form}} - {high * scale:{form}})"


def circumstances() -> list[str]:
    """The machine, the versions and the day, without which a figure means nothing."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {_processor()}, {cores} cores"
    )
    return [where, ", ".join(versions)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def command() -> str:
    """How this run was started; where its output went does not matter."""
    shown = [word for word in sys.argv[1:] if word in ("--quick", "--markdown")]
    return " ".join(["python benchmarks/run.py", *shown])


def as_text(tables: Sequence[Table]) -> str:
    """For a terminal."""
    blocks = ["\n".join([command(), *circumstances(), "Medians; quartiles in brackets."])]
    for table in tables:
        lines = [table.columns, *table.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        body.insert(1, "  ".join("-" * width for width in widths))
        verdicts = [f"[{verdict.word}] {verdict.goal}: {verdict.reached}" for verdict in table.verdicts]
        blocks.append("\n".join([f"== {table.title}", *body, *verdicts, *table.notes]))
    return "\n\n".join(blocks)


def as_markdown(tables: Sequence[Table]) -> str:
    """For the README."""
    blocks = []
    for table in tables:
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        verdicts = [f"- {verdict.goal}: {verdict.reached} ({verdict.word})" for verdict in table.verdicts]
        parts = [f"**{table.title}**", body, "\n".join([*verdicts, *(f"- {note}" for note in table.notes)])]
        blocks.append("\n\n".join(filter(None, parts)))
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
                "verdicts": [asdict(verdict) for verdict in table.verdicts],
                "notes": list(table.notes),
                "rounds": table.results.rounds if table.results is not None else {},
            }
            for table in tables
        ],
    }
