"""The benchmarks are scripts beside the package: their folder comes last on the path, so that it shadows nothing."""

import sys
from pathlib import Path

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)
