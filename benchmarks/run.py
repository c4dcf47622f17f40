"""Every figure that the README quotes, and every goal, against its peers, in one run.

``python benchmarks/run.py [--quick] [--only SCENARIO …] [--json FILE] [--pictures FOLDER] [--markdown]``

Needs the dependency group ``bench``, and half an hour; ``--quick`` takes a minute or so and says which goals it is too
short for. Nothing here fails on a timing: a verdict is printed, not asserted. A peer that is not installed gets a row
that says how to install it. What does fail is a scenario in which a peer lost count of its contacts; the others are
measured and printed all the same.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from available import missing
from harness import Bench, bench
from scenarios import FULL, QUICK, SCENARIOS, Size
from tables import Table, as_data, as_markdown, as_text


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _measured(ready: Bench, name: str, size: Size) -> Table:
    try:
        return SCENARIOS[name](ready, size)
    except RuntimeError as error:
        return Table(title=name, columns=["this scenario failed"], rows=[[str(error)]], failed=True)


def _draw(tables: Sequence[Table], folder: Path) -> None:
    if absent := missing("matplotlib"):
        print(f"No pictures: matplotlib is {absent}", file=sys.stderr)
        return
    from pictures import draw  # noqa: PLC0415 - matplotlib is for those who ask for pictures

    draw([table.picture for table in tables], folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure smspop_async beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and contacts, a minute or so")
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="these scenarios alone"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the pictures of the docs there")
    parser.add_argument("--markdown", action="store_true", help="print the tables for the README")
    options = parser.parse_args()
    began = time.perf_counter()
    with bench(_say) as ready:
        tables = [_measured(ready, name, QUICK if options.quick else FULL) for name in options.only]
    _say("")
    if options.json:
        options.json.write_text(json.dumps(as_data(tables)) + "\n")
    if options.pictures:
        _draw(tables, options.pictures)
    print(as_markdown(tables) if options.markdown else as_text(tables))
    if not options.markdown:
        print(f"\n{time.perf_counter() - began:.0f} seconds in all.")
    if any(table.failed for table in tables):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
