"""Runs measurements side by side: the stub on one core, one fresh process after another on another core.

Machines drift by a third within minutes, so figures of different minutes are not comparable. A *contest* runs all
its entries in every round, in an order that changes from round to round, and ratios are taken within a round.
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
from available import first_on_path

HERE = Path(__file__).parent
_PATIENCE = 900
"""Seconds after which a measurement is given up; ten million contacts take a minute or more."""
_AT_ONCE = "0"
"""The stub's latency where a spec names none."""
_AGAINST_TIME = ("throughput", "lag")
"""Kinds of measurement for which the stub should have its replies ready."""

Measured = dict[str, Any]


@frozen(kw_only=True)
class Machine:
    """Where the two sides run; None where they cannot be held to a core."""

    client: int | None
    server: int | None

    def __str__(self) -> str:
        if self.client is None:
            return "client and server not held to cores"
        return f"client held to core {self.client}, server to core {self.server}"

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
    """What `cell` is given, but for the address and the core; ``script`` names another script with ``argv``, which is
    told the core if it is to be ``pinned``."""

    @property
    def wanted(self) -> tuple[str, int, int] | None:
        """The replies that the stub should have ready: their layout, contacts in a campaign, and contacts in all."""
        if self.spec.get("kind") not in _AGAINST_TIME:
            return None
        return self.spec.get("layout", "documented"), self.spec["chunk"], self.spec["contacts"]


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


def turned(entries: Sequence[Entry], number: int, rounds: int) -> list[Entry]:
    """Order a round: each two begin elsewhere, and every other one runs backwards.

    So a drift of the machine meets everybody, and nobody always follows the same neighbour.
    """
    turn = number // 2 * max(1, 2 * len(entries) // rounds) % len(entries)
    order = [*entries[turn:], *entries[:turn]]
    return order[::-1] if number % 2 else order


class Bench:
    """The stub, and the processes that are measured against it."""

    def __init__(self, port: int, machine: Machine, say: Callable[[str], None]) -> None:
        self._port = port
        self._machine = machine
        self._say = say
        self._runs = 0

    def prime(self, entries: Sequence[Entry]) -> None:
        """Let the stub make the replies for a contest beforehand, as far as it can remember them."""
        most: dict[tuple[str, int], int] = {}
        for layout, chunk, contacts in filter(None, (entry.wanted for entry in entries)):
            most[layout, chunk] = max(contacts, most.get((layout, chunk), 0))
        if most:
            self._say("priming the server")
            self.measure({"kind": "prime", "wanted": [[*key, contacts] for key, contacts in most.items()]})

    def contest(self, entries: Sequence[Entry], rounds: int) -> Results:
        """Measure all entries once a round, in an order that `turned` gives."""
        self.prime(entries)
        measured: dict[str, list[Measured]] = {entry.label: [] for entry in entries}
        for number in range(rounds):
            for entry in turned(entries, number, rounds):
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
            core = [f"--cpu={self._machine.client}"] if spec.get("pinned") else []
            argv = [script, *core, *map(str, spec["argv"])]
        else:
            layout, latency = spec.get("layout", "documented"), spec.get("latency", _AT_ONCE)
            self._runs += 1
            own = "" if latency == _AT_ONCE else f"~{self._runs}"  # a path of its own has draws of its own
            spec |= {
                "api": f"http://127.0.0.1:{self._port}/{layout}/{latency}{own}/api",
                "cpu": self._machine.client,
            }
            argv = ["cell.py", json.dumps(spec)]
        try:
            done = subprocess.run(  # noqa: S603 - our own scripts
                [sys.executable, HERE / argv[0], *argv[1:]],
                env=_environment(first_on_path(spec.get("peer", ""))),
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{' '.join(argv)}: not done after {_PATIENCE} seconds") from None
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        measured: Measured = json.loads(done.stdout)
        return measured


def _environment(first: Sequence[str] = ()) -> dict[str, str]:
    """The checkout that these benchmarks are in is what they measure, installed or not; and no proxy is asked."""
    path = os.pathsep.join([*first, str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**direct, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


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
