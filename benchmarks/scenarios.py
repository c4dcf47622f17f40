"""What is measured, and against which goal. A scenario runs one contest and makes a table of it.

To measure something more: write a function of a `Bench` and a `Size` that returns a `Table`, and add it to
`SCENARIOS`. A new way of measuring is a new kind of `cell`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from operator import itemgetter

from attrs import frozen
from harness import Bench, Entry, Measured, Results
from tables import Table, Verdict, spread

CHUNK = 500
CONCURRENCY = 16
_LOOPS = ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)
_NAMES = {
    "bare": "bare aiohttp loop",
    "httpx": "httpx",
    "requests": "requests, one by one",
    "sdk": "smspop_async.send",
    "stream": "smspop_async.stream",
}
_DEPENDENCIES = ("aiohttp", "attrs", "cattrs", "anyio", "phonenumbers")
_BUSY = 0.7
"""Share of the time that the stub computes, from which on it may be what is measured."""
_MIB = 2**20


@frozen(kw_only=True)
class Size:
    """How much of everything."""

    rounds: int
    contacts: int
    slow_chunks: int
    """Campaigns sent to the slow server by those who send several at once."""
    slow_single: int
    """The same by the one who sends one after another."""
    slow_rounds: int
    lag_rounds: int
    memory_contacts: tuple[int, int]
    import_rounds: int


FULL = Size(
    rounds=9, contacts=100_000, slow_chunks=480, slow_single=24, slow_rounds=2,
    lag_rounds=5, memory_contacts=(100_000, 1_000_000), import_rounds=7,
)  # fmt: skip
QUICK = Size(
    rounds=2, contacts=100_000, slow_chunks=96, slow_single=5, slow_rounds=1,
    lag_rounds=1, memory_contacts=(50_000, 200_000), import_rounds=1,
)  # fmt: skip


def _sending(peer: str, **more: object) -> dict[str, object]:
    spec = {
        "kind": "throughput",
        "peer": peer,
        "chunk": CHUNK,
        "concurrency": CONCURRENCY,
        "warm_up": CONCURRENCY,
    }
    return {**spec, **more}


def _wall(measured: Measured) -> float:
    return float(measured["wall"])


def _cpu(measured: Measured) -> float:
    return float(measured["cpu"])


def _rate(measured: Measured) -> float:
    return float(measured["contacts"]) / float(measured["wall"])


def _busy(measured: Measured) -> float:
    return float(measured["stub_cpu"]) / float(measured["wall"])


def _peak(measured: Measured) -> float:
    return float(measured["peak"]) / _MIB


def throughput(bench: Bench, size: Size) -> Table:
    """Contacts per second on a server that answers at once: what the client itself costs."""
    contestants = [(peer, loop) for loop in _LOOPS for peer in ("bare", "sdk")]
    contestants += [("httpx", "asyncio"), ("requests", "asyncio")]
    labels = {
        (peer, loop): _NAMES[peer] + (", uvloop" if loop == "uvloop" else "") for peer, loop in contestants
    }
    entries = [
        Entry(label=label, spec=_sending(peer, loop=loop, contacts=size.contacts))
        for (peer, loop), label in labels.items()
    ]
    results = bench.contest(entries, size.rounds)
    rows = []
    for (peer, loop), label in labels.items():
        yardstick = labels["bare", loop]
        ratio = results.ratio(label, yardstick, _wall)
        rows.append(
            [
                label,
                spread(results.figure(label, _rate), ",.0f"),
                spread(results.figure(label, _wall)),
                spread(results.figure(label, _cpu)),
                f"{results.figure(label, _cpu).median / (size.contacts / CHUNK) * 1e6:,.0f}",
                "1" if peer == "bare" else spread(ratio),
                f"{results.figure(label, _busy).median:.0%}",
            ]
        )
    return Table(
        title=f"{size.contacts:,} scattered contacts in campaigns of {CHUNK}, {CONCURRENCY} at once, no latency",
        columns=[
            "client",
            "contacts/s",
            "seconds",
            "CPU seconds",
            "CPU µs per campaign",
            "time, bare = 1",
            "server busy",
        ],
        rows=rows,
        verdicts=[
            *_against_bare(results, labels),
            _against(results, labels, "httpx", 10),
            _against(results, labels, "requests", 8),
        ],
        notes=[_stub_note(bench, results, size)],
        results=results,
    )


def _against_bare(results: Results, labels: dict[tuple[str, str], str]) -> list[Verdict]:
    verdicts = []
    for loop in _LOOPS:
        sdk, bare = labels["sdk", loop], labels["bare", loop]
        wall, cpu = results.ratio(sdk, bare, _wall), results.ratio(sdk, bare, _cpu)
        rate = results.ratio(sdk, bare, _rate)
        verdicts += [
            Verdict(
                goal=f"send takes no longer than 3 x the bare loop, {loop}",
                reached=f"{spread(wall)} x in time, {spread(cpu)} x in CPU time",
                met=wall.median <= 3,  # noqa: PLR2004 - the goal's
            ),
            Verdict(
                goal=f"later: send >= 2.5 x the contacts a second of bare, {loop}",
                reached=f"{spread(rate)} x",
                met=None,
            ),
        ]
    return verdicts


def _against(results: Results, labels: dict[tuple[str, str], str], peer: str, goal: int) -> Verdict:
    rate = results.ratio(labels["sdk", "asyncio"], labels[peer, "asyncio"], _rate)
    return Verdict(
        goal=f"later: send >= {goal} x the contacts a second of {peer}", reached=f"{spread(rate)} x", met=None
    )


def _stub_note(bench: Bench, results: Results, size: Size) -> str:
    """Proof that the clients were measured, and not the server."""
    alone = bench.measure({"kind": "capacity", "chunk": CHUNK, "rounds": 40, "pipelined": 32})
    capacity = alone["requests"] / alone["wall"]
    fastest = max(results.figure(label, _rate).median for label in results.rounds) / CHUNK
    busiest = max(_busy(measured) for rounds in results.rounds.values() for measured in rounds)
    warning = (
        "" if busiest < _BUSY and fastest < capacity / 2 else " THE SERVER MAY BE WHAT LIMITS THESE FIGURES."
    )
    return (
        f"The server alone, asked by a raw pipelined client: {capacity:,.0f} campaigns/s; the fastest client here made "
        f"{fastest:,.0f}; the server computed at most {busiest:.0%} of any run, and saw each of the {size.contacts:,} "
        f"contacts of every run once.{warning}"
    )


def slow_server(bench: Bench, size: Size) -> Table:
    """A server that takes 200 ms a campaign: is the concurrency used to the full?"""
    chunk, delay = 50, 0.2
    several, single = size.slow_chunks * chunk, size.slow_single * chunk
    entries = [
        Entry(
            label=_NAMES[peer],
            spec=_sending(
                peer, chunk=chunk, contacts=single if peer == "requests" else several, delay_ms=delay * 1000
            )
            | {"warm_up": 1},
        )
        for peer in ("bare", "sdk", "requests")
    ]
    results = bench.contest(entries, size.slow_rounds)
    one_by_one, bare, sdk = _NAMES["requests"], _NAMES["bare"], _NAMES["sdk"]
    best = -(-size.slow_chunks // CONCURRENCY) * delay
    ideal = {bare: best, sdk: best, one_by_one: size.slow_single * delay}
    rows = [
        [
            label,
            f"{size.slow_single if label == one_by_one else size.slow_chunks}",
            spread(results.figure(label, _wall)),
            f"{results.figure(label, _wall).median / ideal[label]:.3f}",
            spread(results.ratio(label, one_by_one, _rate)),
        ]
        for label in (one_by_one, bare, sdk)
    ]
    return Table(
        title=f"A server that takes 200 ms a campaign, campaigns of {chunk}, {CONCURRENCY} at once",
        columns=["client", "campaigns", "seconds", "to the ideal time", "contacts/s, one by one = 1"],
        rows=rows,
        verdicts=[
            Verdict(
                goal="later: send >= 15.5 x one by one (16 is the bound)",
                reached=f"{spread(results.ratio(sdk, one_by_one, _rate))} x",
                met=None,
            )
        ],
        notes=["The first campaign of send goes alone (the canary), which is one more wait than the ideal."],
        results=results,
    )


def loop_lag(bench: Bench, size: Size) -> Table:
    """How long the event loop is held at worst, for the web app that the client lives in."""
    entries = [
        Entry(label=_NAMES[peer], spec=_sending(peer, contacts=size.contacts) | {"kind": "lag"})
        for peer in ("bare", "sdk")
    ]
    results = bench.contest(entries, size.lag_rounds)
    names = {"worst": "worst lag, ms", "own": "of it our own at most, ms", "idle": "idle loop beside it, ms"}
    rows = [
        [label, *(spread(results.figure(label, itemgetter(key)), ".1f", 1000) for key in names)]
        for label in results.rounds
    ]
    worst = results.figure(_NAMES["sdk"], itemgetter("own"))
    return Table(
        title=f"The event loop while {size.contacts:,} scattered contacts are sent, {CONCURRENCY} at once",
        columns=["client", *names.values()],
        rows=rows,
        verdicts=[
            Verdict(
                goal="later: the loop is never held for more than 5 ms",
                reached=f"{spread(worst, '.1f', 1000)} ms",
                met=None,
            )
        ],
        results=results,
    )


def memory(bench: Bench, size: Size) -> Table:
    """How the peak of memory grows with the list, where nobody keeps the outcomes."""
    counts = size.memory_contacts
    entries = [
        Entry(label=f"{count:,}", spec=_sending("stream", contacts=count) | {"kind": "memory"})
        for count in counts
    ]
    results = bench.contest(entries, 1)
    peaks = [results.figure(entry.label, _peak) for entry in entries]
    growth = peaks[1].median - peaks[0].median
    return Table(
        title="Peak memory of a process that streams scattered contacts",
        columns=["contacts", "peak, MiB"],
        rows=[[entry.label, spread(peak, ".1f")] for entry, peak in zip(entries, peaks, strict=True)],
        verdicts=[
            Verdict(
                goal="later: at most 40 MB more for 10,000,000 contacts than for 100,000",
                reached=f"{growth:.1f} MiB more for {counts[1]:,} than for {counts[0]:,}",
                met=None,
            )
        ],
        results=results,
    )


def imports(bench: Bench, size: Size) -> Table:
    """What importing the package costs, against importing what it depends on."""
    places = {
        "import smspop_async": ["smspop_async"],
        "from smspop_async import SmsPop": ["smspop_async:SmsPop"],
        "its dependencies": list(_DEPENDENCIES),
    }
    entries = [
        Entry(label=label, spec={"script": "imports.py", "argv": argv}) for label, argv in places.items()
    ]
    results = bench.contest(entries, size.import_rounds)
    package, dependencies = "import smspop_async", "its dependencies"
    ratio = results.ratio(package, dependencies, _wall)
    return Table(
        title="Import, each in a fresh process",
        columns=["what", "ms", "dependencies = 1"],
        rows=[
            [
                label,
                spread(results.figure(label, _wall), ".0f", 1000),
                spread(results.ratio(label, dependencies, _wall)),
            ]
            for label in places
        ],
        verdicts=[
            Verdict(
                goal="import smspop_async <= 0.35 x importing its dependencies",
                reached=f"{spread(ratio)} x",
                met=ratio.median <= 0.35,  # noqa: PLR2004 - the goal's
            )
        ],
        results=results,
    )


SCENARIOS: dict[str, Callable[[Bench, Size], Table]] = {
    "throughput": throughput,
    "slow_server": slow_server,
    "loop_lag": loop_lag,
    "memory": memory,
    "imports": imports,
}
