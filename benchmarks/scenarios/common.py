"""What scenarios share: how much of everything, who contends, and how a contest of senders becomes a table."""

from collections.abc import Sequence

from attrs import evolve, frozen
from available import Missing, missing
from harness import Bench, Entry, Figure, Measured, Results
from tables import Verdict, at_least, spread

CHUNK = 500
CONCURRENCY = 16
LOOPS = ("asyncio",) if missing("uvloop") else ("asyncio", "uvloop")
SPEED = ("numpy",)
"""What the extra ``speed`` installs; a *plain* contender runs as if it were not there."""
MEGABYTE = 10**6
_BUSY = 0.7
"""Share of the time that the stub computes, from which on it may be what is measured."""
_NAMES = {
    "bare": "bare aiohttp loop",
    "parsing": "bare + full parsing",
    "requests": "requests, one by one",
    "sdk": "smspop_async.send",
    "journal": "send with a journal",
    "stream": "smspop_async.stream",
    "create": "campaigns.create",
}


@frozen(kw_only=True)
class Size:
    """How much of everything."""

    rounds: int
    contacts: int
    parsed: int
    """Contacts of those who parse each number in full, which is slow."""
    variety_rounds: int
    """Rounds of the contests on other layouts and other sizes of campaigns."""
    loops: Sequence[str]
    """The event loops of those."""
    by_chunk: dict[int, int]
    """Contacts in all for each size of campaign."""
    long_contacts: int
    """Contacts of a list of which a journal keeps only the beginning in memory."""
    slow_chunks: int
    """Campaigns sent to the slow server by those who send several at once."""
    slow_single: int
    """The same by the one who sends one after another."""
    slow_rounds: int
    offline_rounds: int
    odd_strings: int
    lag_rounds: int
    lag_contacts: int
    bare_lag_contacts: int
    memory_contacts: Sequence[int]
    import_rounds: int


FULL = Size(
    rounds=9, contacts=200_000, parsed=10_000, variety_rounds=5, loops=LOOPS,
    by_chunk={1: 5_000, 50: 100_000, 500: 200_000, 5000: 1_000_000}, long_contacts=1_000_000,
    slow_chunks=2_400, slow_single=25, slow_rounds=2,
    offline_rounds=9, odd_strings=200_000, lag_rounds=3, lag_contacts=1_000_000, bare_lag_contacts=100_000,
    memory_contacts=(100_000, 1_000_000, 10_000_000), import_rounds=5,
)  # fmt: skip
QUICK = Size(
    rounds=1, contacts=100_000, parsed=5_000, variety_rounds=1, loops=("asyncio",),
    by_chunk={1: 2_000, 50: 20_000, 500: 100_000, 5000: 200_000}, long_contacts=300_000,
    slow_chunks=160, slow_single=5, slow_rounds=1,
    offline_rounds=3, odd_strings=20_000, lag_rounds=1, lag_contacts=200_000, bare_lag_contacts=100_000,
    memory_contacts=(50_000, 200_000), import_rounds=2,
)  # fmt: skip


@frozen(kw_only=True)
class Contender:
    """A peer under certain circumstances."""

    peer: str
    contacts: int
    loop: str = "asyncio"
    plain: bool = False
    layout: str = "documented"
    chunk: int = CHUNK

    @property
    def name(self) -> str:
        return _NAMES.get(self.peer, self.peer) + (", without NumPy" if self.plain else "")

    @property
    def label(self) -> str:
        return f"{self.name}, {self.loop}, {self.layout}, {self.chunk}"

    @property
    def bare(self) -> "Contender":
        """The bare loop under the same circumstances."""
        return evolve(self, peer="bare", plain=False)

    def entry(self, kind: str = "throughput", **more: object) -> Entry:
        spec = {
            "kind": kind,
            "peer": self.peer,
            "loop": self.loop,
            "layout": self.layout,
            "chunk": self.chunk,
            "contacts": self.contacts,
            "concurrency": CONCURRENCY,
            "warm_up": CONCURRENCY,
            "without": SPEED if self.plain else (),
        }
        return Entry(label=self.label, spec={**spec, **more})


def wall(measured: Measured) -> float:
    return float(measured["wall"])


def cpu(measured: Measured) -> float:
    return float(measured["cpu"])


def rate(measured: Measured) -> float:
    return float(measured["contacts"]) / float(measured["wall"])


def cpu_rate(measured: Measured) -> float:
    return float(measured["contacts"]) / float(measured["cpu"])


def busy(measured: Measured) -> float:
    return float(measured["stub_cpu"]) / float(measured["wall"])


def loop_rows(columns: int) -> list[list[str]]:
    """What stands in a table for an event loop that is not here."""
    absent = missing("uvloop")
    return [absent_row("", "uvloop", absent, columns)] if absent else []


def absent_row(name: str, loop: str, absent: Missing, columns: int) -> list[str]:
    """What stands in a table for one that cannot be measured here, in a row of so many columns."""
    return [name, loop, str(absent), *[""] * (columns - 3)]


def gain(results: Results, one: Contender, other: Contender) -> Figure:
    """How many times the other's contacts a second the one makes."""
    return results.ratio(one.label, other.label, rate)


def faster(
    number: int, goal: str, results: Results, one: Contender, other: Contender, *, wanted: float
) -> Verdict:
    """The verdict on how many times faster the one is; processor time, which noise touches less, stands beside."""
    in_cpu = results.ratio(one.label, other.label, cpu_rate)
    return at_least(
        number, goal, gain(results, one, other), wanted, beside=f", {in_cpu.median:,.2f} x in CPU time"
    )


SENDING = ["contacts/s", "bare = 1", "CPU µs a campaign", "in CPU time, bare = 1", "server busy"]
"""The columns of `sending_cells`."""


def sending_cells(results: Results, one: Contender) -> list[str]:
    """What there is to say of each contender of a contest of senders; ratios say how many times better than bare."""
    per_campaign = results.figure(
        one.label, lambda measured: cpu(measured) / measured["contacts"] * one.chunk * 1e6
    )
    against = ["", ""]
    if one.bare.label in results.rounds and one.peer != "bare":
        in_cpu = results.ratio(one.label, one.bare.label, cpu_rate)
        against = [spread(gain(results, one, one.bare)), spread(in_cpu)]
    return [
        spread(results.figure(one.label, rate), ",.0f"),
        against[0],
        f"{per_campaign.median:,.0f}",
        against[1],
        f"{results.figure(one.label, busy).median:.0%}",
    ]


def server_notes(bench: Bench, results: Results, contenders: Sequence[Contender]) -> list[str]:
    """Proof that the clients were measured, and not the server."""
    notes = []
    for layout, chunk in dict.fromkeys((one.layout, one.chunk) for one in contenders):
        requests = 1_300_000 // (chunk + 160)
        pipelined = max(4, min(64, 16_000 // chunk))
        alone = bench.measure(
            {"kind": "capacity", "layout": layout, "chunk": chunk, "pipelined": pipelined}
            | {"rounds": max(1, requests // pipelined)}
        )
        capacity = alone["requests"] / alone["wall"]
        labels = [one.label for one in contenders if (one.layout, one.chunk) == (layout, chunk)]
        fastest = max(results.figure(label, rate).median for label in labels) / chunk
        runs = [measured for label in labels for measured in results.rounds[label]]
        busiest = max(map(busy, runs))
        ready = sum(run["from_memory"] for run in runs) / sum(run["requests"] for run in runs)
        limits = busiest > _BUSY or fastest > capacity / 2
        notes.append(
            f"The server alone, campaigns of {chunk}, {layout}: {capacity:,.0f} a second to a raw pipelined client "
            f"({alone['stub_cpu'] / alone['requests'] * 1e6:,.0f} CPU µs each); the fastest client here made "
            f"{fastest:,.0f}; the server computed at most {busiest:.0%} of any run and had {ready:.0%} of the replies "
            f"ready.{' THE SERVER MAY BE WHAT LIMITS THESE FIGURES.' if limits else ''}"
        )
    return [*notes, "The server saw every contact of every run once; every client knew what became of each."]


def speed_notes(results: Results) -> list[str]:
    """Whether what the extra installs was used at all; without it the rows with and without are the same thing."""
    loaded = {
        name
        for label, runs in results.rounds.items()
        if label.startswith(("smspop_async", "campaigns")) and "without" not in label
        for run in runs
        for name in run["loaded"]
    }
    if loaded:
        return [f"Loaded by the library where it was not kept from it: {', '.join(sorted(loaded))}."]
    return ["The library did not load NumPy: the rows with and without measure the same code."]
