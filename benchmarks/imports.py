"""How long imports take: ``python imports.py module[:name] …`` prints JSON.

This script imports next to nothing itself, so that what it measures is not in memory already.
"""

import sys
import time
from importlib import import_module

wall = time.perf_counter()
for place in sys.argv[1:]:
    module, _, name = place.partition(":")
    loaded = import_module(module)
    if name:
        getattr(loaded, name)
print(f'{{"wall": {time.perf_counter() - wall}}}')
