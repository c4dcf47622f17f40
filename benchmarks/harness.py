"""Runs measurements side by side: the stub on one core, one fresh process after another on another core.

Machines drift by a third within minutes, so figures of different minutes are not comparable. A *contest* runs all
its entries in every round, in an order that is rotated from round to round, and ratios are taken within a round.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from attrs import field, frozen

HERE = Path(__file__).parent
_PATIENCE = 120
"""Seconds after which a measurement is given up."""

Measured = dict[str, Any]


@frozen(kw_only=True)
class Machine:
    """Where the two sides run; None where they cannot be held to a core."""

    client: int | None
    server: int | None

    @classmethod
    def split(cls) -> "Machine":
        """Give each side a core of its own, if there are two."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(client=None, server=None)
        cores = sorted(os.sched_getaffinity(0))
        return cls(client=cores[0], server=cores[-1]) if len(cores) > 1 else cls(client=None, server=None)


@frozen
class Figure:
    """A median and its spread."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third, between which the middle half of the values lies."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return low, high


@frozen(kw_only=True)
class Entry:
    """One of those measured in a contest."""

    label: str
    spec: Mapping[str, Any]
    """What `cell` is given, but for the address and the core; ``script`` names another script with ``argv``."""


@frozen
class Results:
    """What a contest measured: for each entry its rounds, in order."""

    rounds: dict[str, list[Measured]] = field()

    def figure(self, label: str, value: Callable[[Measured], float]) -> Figure:
        return Figure([value(measured) for measured in self.rounds[label]])

    def ratio(self, label: str, other: str, value: Callable[[Measured], float]) -> Figure:
        """The one's value to the other's, round by round."""
        pairs = zip(self.rounds[label], self.rounds[other], strict=True)
        return Figure([value(one) / value(two) for one, two in pairs])


class Bench:
    """The stub, and the processes that are measured against it."""

    def __init__(self, port: int, machine: Machine, say: Callable[[str], None]) -> None:
        self._port = port
        self._machine = machine
        self._say = say

    def contest(self, entries: Sequence[Entry], rounds: int) -> Results:
        """Measure all entries once a round; another one begins each time."""
        measured: dict[str, list[Measured]] = {entry.label: [] for entry in entries}
        for number in range(rounds):
            turn = number % len(entries)
            for entry in (*entries[turn:], *entries[:turn]):
                self._say(f"round {number + 1} of {rounds}: {entry.label}")
                measured[entry.label].append(self.measure(entry.spec))
        return Results(measured)

    def measure(self, spec: Mapping[str, Any]) -> Measured:
        """Measure once, in a fresh process.

        Raises:
            RuntimeError: the measurement failed; its last line of complaint is in the text.
        """
        spec = dict(spec)
        if script := spec.get("script"):
            argv = [script, *spec["argv"]]
        else:
            layout, delay = spec.pop("layout", "documented"), spec.pop("delay_ms", 0)
            spec |= {
                "api": f"http://127.0.0.1:{self._port}/{layout}/{delay}/api",
                "cpu": self._machine.client,
            }
            argv = ["cell.py", json.dumps(spec)]
        done = subprocess.run(  # noqa: S603 - our own scripts
            [sys.executable, HERE / argv[0], *argv[1:]],
            env=_environment(), capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{argv}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        measured: Measured = json.loads(done.stdout)
        return measured


def _environment() -> dict[str, str]:
    """The checkout that these benchmarks are in is what they measure, installed or not."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


@contextmanager
def bench(say: Callable[[str], None]) -> Iterator[Bench]:
    """Start the stub, and end it."""
    machine = Machine.split()
    pinned = ["--cpu", str(machine.server)] if machine.server is not None else []
    stub = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, HERE / "stub.py", *pinned],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(),
    )  # fmt: skip
    with stub:
        assert stub.stdout is not None  # noqa: S101 - piped
        try:
            yield Bench(int(stub.stdout.readline()), machine, say)
        finally:
            stub.terminate()
