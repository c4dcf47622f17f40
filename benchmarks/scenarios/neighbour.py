"""What the rest of the process notices: its memory, and its event loop. Goals 8 and 9."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import Bench, Entry, Measured, Results
from tables import Table, Verdict, spread

from scenarios.common import CHUNK, CONCURRENCY, LOOPS, MEGABYTE, Contender, Size, loop_rows, wall

_GROWTH = 40.0
"""Megabytes."""
_SMALLEST, _LARGEST = 100_000, 10_000_000
_HELD = 5.0
"""Milliseconds."""
_LAGGING = 1_000_000


def memory(bench: Bench, size: Size) -> Table:
    """How the peak of memory grows with the list, where nobody keeps the outcomes."""
    counts = size.memory_contacts
    with TemporaryDirectory() as folder:
        files = {count: Path(folder) / f"{count}.csv" for count in counts}
        for count, file in files.items():
            bench.measure({"script": "inputs.py", "argv": [file, count]})
        runs = {
            (source, count): bench.contest([_streaming(source, count, files[count])], 1)
            for count in counts
            for source in ("CSV file", "generator")
        }
    measured = {key: next(iter(results.rounds.values()))[0] for key, results in runs.items()}
    peaks = {key: run["peak"] / MEGABYTE for key, run in measured.items()}
    verdicts = []
    for source in ("CSV file", "generator"):
        growth = peaks[source, counts[-1]] - peaks[source, counts[0]]
        proper = (counts[0], counts[-1]) == (_SMALLEST, _LARGEST)
        verdicts.append(
            Verdict(
                number=8,
                goal=f"growth of peak memory, {counts[0]:,} to {counts[-1]:,} contacts from a {source}",
                reached=f"{growth:.1f} MB",
                wanted=f"<= {_GROWTH:g} MB",
                met=False if growth > _GROWTH else True if proper else None,
                reason=f"the goal is about {_LARGEST:,} contacts",
            )
        )
    return Table(
        title=f"Peak memory of a process that streams scattered contacts, campaigns of {CHUNK}, {CONCURRENCY} at once",
        columns=["source", "contacts", "peak, MB", "seconds", "contacts/s", "worst lag, ms", "our own at most, ms"],
        rows=[
            [source, f"{count:,}", f"{peaks[source, count]:.1f}", *_beside(run)]
            for (source, count), run in sorted(measured.items())
        ],
        verdicts=verdicts,
        notes=[
            "Peak: VmHWM of the process where there is one, else its largest resident set.",
            "The lag is from a cold start on: the first connections, the opened file and all first uses are in it.",
        ],
        results=_all(measured),
        picture={
            "memory": {
                source: {count: peaks[source, count] for count in counts} for source in ("CSV file", "generator")
            }
        },
    )  # fmt: skip


def _streaming(source: str, count: int, file: Path) -> Entry:
    one = Contender(peer="stream", contacts=count)
    return one.entry("memory", file=str(file) if source == "CSV file" else None)


def _beside(run: Measured) -> list[str]:
    seconds, busy = wall(run), run["busy"]
    rate = run["contacts"] / seconds
    return [f"{seconds:.1f}", f"{rate:,.0f}", f"{busy['worst'] * 1000:.1f}", f"{busy['own'] * 1000:.1f}"]


def _all(measured: dict[tuple[str, int], Measured]) -> Results:
    return Results({f"{source}, {count}": [run] for (source, count), run in measured.items()})


def loop_lag(bench: Bench, size: Size) -> Table:
    """How long the event loop is held at worst, for the web app that the client lives in."""
    ours = [
        Contender(peer="sdk", loop=loop, plain=plain, contacts=size.lag_contacts)
        for loop in LOOPS
        for plain in (False, True)
    ]
    contenders = [Contender(peer="bare", contacts=size.bare_lag_contacts), *ours]
    results = bench.contest([one.entry("lag") for one in contenders], size.lag_rounds)
    columns = {
        "worst lag, ms": lambda run: run["busy"]["worst"],
        "our own at most, ms": lambda run: run["busy"]["own"],
        "99.9 % under, ms": lambda run: run["busy"]["p999"],
        "idle loop, worst, ms": lambda run: run["idle"]["worst"],
        "idle, 99.9 % under, ms": lambda run: run["idle"]["p999"],
    }
    headings = ["client", "loop", "contacts", "seconds", *columns, "looks above 5 ms", "idle, above 5 ms"]
    send, bare = ours[0].label, contenders[0].label
    return Table(
        title=f"The event loop while scattered contacts are sent, campaigns of {CHUNK}, {CONCURRENCY} at once",
        columns=headings,
        rows=[
            [
                one.name, one.loop, f"{one.contacts:,}", spread(results.figure(one.label, wall)),
                *(spread(results.figure(one.label, look), ".1f", 1000) for look in columns.values()),
                *(_above(results, one, which) for which in ("busy", "idle")),
            ]
            for one in contenders
        ] + loop_rows(len(headings)),
        verdicts=[_held(results, one, size) for one in ours],
        notes=[
            (
                "A task looked how late it woke each time that it slept a millisecond; waking it takes a turn of the "
                "loop or two more than the one that held it. The worst is that of a run. Of a delay, no more than "
                "the processor time that the process used meanwhile is its own doing. The idle loop is the same one "
                "in the same process, watched for as long afterwards."
            )
        ],
        results=results,
        picture={
            "lag": {
                "send": _bars(results.rounds[send], "busy"),
                "bare": _bars(results.rounds[bare], "busy"),
                "idle": _bars(results.rounds[send], "idle"),
            }
        },
    )  # fmt: skip


def _above(results: Results, one: Contender, which: str) -> str:
    runs = results.rounds[one.label]
    held, looks = (sum(run[which][name] for run in runs) for name in ("held", "looks"))
    return f"{held} of {looks:,}"


def _held(results: Results, one: Contender, size: Size) -> Verdict:
    worst = results.figure(one.label, lambda run: run["busy"]["worst"] * 1000)
    own = results.figure(one.label, lambda run: run["busy"]["own"] * 1000)
    idle = results.figure(one.label, lambda run: run["idle"]["worst"] * 1000)
    noisy, enough = idle.median > _HELD, size.lag_contacts >= _LAGGING
    without = ", without NumPy" if one.plain else ""
    return Verdict(
        number=9,
        goal=f"worst lag of the event loop, {size.lag_contacts:,} contacts, {one.loop}{without}",
        reached=f"{spread(worst, '.1f')} ms (our own {own.median:.1f}, idle {idle.median:.1f})",
        wanted=f"<= {_HELD:g} ms",
        met=None if noisy else False if worst.median > _HELD else True if enough else None,
        reason="something else held even the idle loop longer"
        if noisy
        else f"the goal is about {_LAGGING:,} contacts",
    )


def _bars(runs: list[Measured], which: str) -> dict[str, Any]:
    """One histogram of all runs."""
    bars: list[int] = []
    for run in runs:
        more = run[which]["bars"]
        bars += [0] * (len(more) - len(bars))
        for at, times in enumerate(more):
            bars[at] += times
    return {"step": runs[0][which]["step"], "bars": bars}
