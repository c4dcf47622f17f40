"""A long send in somebody's web app: what the visitors of that app notice."""

from available import missing
from harness import Bench, Entry, Measured
from tables import Table, Verdict, at_most, spread

from scenarios.common import CHUNK, Size

_CLIENTS = 50
_CONTACTS = 200_000
_SERVERS = {"at once": "0", "200 ms": "200"}
_NO_PAUSE = (
    "Visitors ask again as soon as they are answered, so the app never rests: the send takes its share of the core "
    "from them. What it is compared with is the mean of the p99 before and the p99 after."
)
_GOAL = "p99 of a trivial endpoint while 200,000 contacts are sent / idle, 50 visitors"


def visitors(bench: Bench, size: Size) -> Table:
    """The example app under fifty visitors who ask without a pause, idle and while it sends."""
    for package in ("fastapi", "uvicorn"):
        if absent := missing(package):
            verdict = Verdict(
                number=13, goal=_GOAL, reached="", wanted="<= 2", met=None, reason=f"{package} is {absent}"
            )
            return Table(
                title="A web app", columns=["what"], rows=[[f"{package} is {absent}"]], verdicts=[verdict]
            )
    entries = [
        Entry(
            label=label,
            spec={
                "kind": "app",
                "latency": latency,
                "contacts": _CONTACTS,
                "chunk": CHUNK,
                "concurrency": 8,
                "clients": _CLIENTS,
                "seconds": 3,
            },
        )
        for label, latency in _SERVERS.items()
    ]
    results = bench.contest(entries, size.lag_rounds)
    ratios = {label: results.figure(label, _slower) for label in _SERVERS}
    verdicts = [
        at_most(
            13, f"{_GOAL}, SMSPop answers {label if label == 'at once' else 'after ' + label}", ratio, 2.0
        )
        for label, ratio in ratios.items()
    ]
    return Table(
        title=f"The example web app under {_CLIENTS} visitors, while it sends to {_CONTACTS:,} contacts with a journal",
        columns=[
            "SMSPop answers",
            "phase",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "requests/s",
            "the send took, s",
        ],
        rows=[
            [
                label,
                words,
                *(
                    spread(results.figure(label, lambda run, p=p, ph=phase: run[ph][p]), ".1f", 1000)
                    for p in ("p50", "p99", "p99.9")
                ),
                spread(
                    results.figure(label, lambda run, ph=phase: run[ph]["requests"] / run[ph]["seconds"]),
                    ",.0f",
                ),
                spread(results.figure(label, lambda run: run["wall"]), ".1f") if phase == "busy" else "",
            ]
            for label in _SERVERS
            for phase, words in (("idle", "before"), ("busy", "while it sends"), ("again", "after"))
        ],
        verdicts=verdicts,
        notes=[
            _NO_PAUSE,
        ],
        results=results,
    )


def _slower(run: Measured) -> float:
    return float(2 * run["busy"]["p99"] / (run["idle"]["p99"] + run["again"]["p99"]))
