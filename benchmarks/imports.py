"""How long imports take: ``python imports.py [--cpu=N] module[:name] …`` prints JSON.

This script imports next to nothing itself, so that what it measures is not in memory already.
"""

import os
import sys
import time
from importlib import import_module

places = sys.argv[1:]
if places[0].startswith("--cpu="):
    core = places.pop(0).removeprefix("--cpu=")
    if core.isdigit() and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
cpu, wall = time.process_time(), time.perf_counter()
for place in places:
    module, _, name = place.partition(":")
    loaded = import_module(module)
    if name:
        getattr(loaded, name)
print(f'{{"wall": {time.perf_counter() - wall}, "cpu": {time.process_time() - cpu}}}')
