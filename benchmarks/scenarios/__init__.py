"""What is measured, and against which goal. A scenario runs its contests and makes a table of them.

To measure something more: write a function of a `Bench` and a `Size` that returns a `Table`, and add it to
`SCENARIOS`. A new way of measuring is a new kind of `cell`.
"""

from collections.abc import Callable

from harness import Bench
from tables import Table

from scenarios.common import FULL, QUICK, Size
from scenarios.journal import journal
from scenarios.neighbour import loop_lag, memory
from scenarios.offline import decoding, imports, normaliser
from scenarios.sending import layouts, sizes, throughput
from scenarios.visitors import visitors
from scenarios.waiting import waiting

__all__ = ["FULL", "QUICK", "SCENARIOS", "Size"]

SCENARIOS: dict[str, Callable[[Bench, Size], Table]] = {
    "throughput": throughput,  # goals 1, 3 and 4
    "layouts": layouts,  # 1
    "sizes": sizes,  # 2
    "waiting": waiting,  # 5 and 10
    "normaliser": normaliser,  # 6
    "decoding": decoding,  # 7
    "memory": memory,  # 8
    "loop_lag": loop_lag,  # 9
    "imports": imports,  # 11
    "journal": journal,  # 12
    "visitors": visitors,  # a web app with a send in it
}
