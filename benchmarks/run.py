"""Every figure that the README quotes, against its peers, in one run.

``python benchmarks/run.py [--quick] [--only SCENARIO …] [--json FILE] [--markdown]``

Needs the dependency group ``bench``. Nothing here fails on a timing: a verdict is printed, not asserted. What does
fail is a peer that lost count of its contacts.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from harness import bench
from scenarios import FULL, QUICK, SCENARIOS
from tables import as_data, as_markdown, as_text


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure smspop_async beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and contacts, under 40 seconds")
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="these scenarios alone"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    parser.add_argument("--markdown", action="store_true", help="print the tables for the README")
    options = parser.parse_args()
    began = time.perf_counter()
    with bench(_say) as ready:
        tables = [SCENARIOS[name](ready, QUICK if options.quick else FULL) for name in options.only]
    _say("")
    if options.json:
        options.json.write_text(json.dumps(as_data(tables), indent=1) + "\n")
    print(as_markdown(tables) if options.markdown else as_text(tables))
    if not options.markdown:
        print(f"\n{time.perf_counter() - began:.0f} seconds in all.")


if __name__ == "__main__":
    main()
