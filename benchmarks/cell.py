"""One measurement in a process of its own: ``python cell.py '{"kind": "throughput", …}'`` prints JSON.

A fresh process for each means that no run warms, fills or fragments anything for the next one. What is measured
stands in `cells`; nothing of it is imported before the packages that this run is to do without are out of reach.
"""

import asyncio
import json
import os
import sys
from importlib import import_module

KINDS = {
    "throughput": "sending",
    "journal": "sending",
    "app": "app",
    "lag": "sending",
    "memory": "sending",
    "waiting": "sending",
    "prime": "server",
    "capacity": "server",
    "normalising": "offline",
    "equality": "offline",
    "decoding": "offline",
    "disk": "disk",
}
"""The module of `cells` in which each kind is an async function of the spec."""


def main() -> None:
    spec = json.loads(sys.argv[1])
    for name in spec.get("without", ()):
        sys.modules[name] = None  # type: ignore[assignment] # documented: importing it fails from now on
    if spec.get("cpu") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {spec["cpu"]})
    measure = getattr(import_module(f"cells.{KINDS[spec['kind']]}"), spec["kind"])
    factory = import_module("uvloop").new_event_loop if spec.get("loop") == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        measured = runner.run(measure(spec))
    loaded = [name for name in ("numpy",) if sys.modules.get(name)]
    print(json.dumps({**measured, "loaded": loaded}))


if __name__ == "__main__":
    main()
