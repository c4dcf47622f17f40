"""What a durable journal costs: goal 12; and what it could not cost less than."""

from collections.abc import Sequence

from attrs import evolve
from harness import Bench, Results
from tables import Table, Verdict, at_least, at_most, spread

from scenarios.common import (
    CHUNK,
    CONCURRENCY,
    SENDING,
    Contender,
    Size,
    cpu_rate,
    gain,
    sending_cells,
    server_notes,
    wall,
)  # fmt: skip

_GOAL = 0.9
_SLOW = 200
"""Milliseconds."""
_SLOW_CONTACTS = 100_000
_ON_THE_CLOCK = (
    "All contacts are written down before the first is sent; each campaign waits for the disk (fsync) before it "
    "leaves. Every part of it is on the clock: the file is made, filled, and closed."
)
_READ_BACK = (
    "Of a list of more than 250,000 contacts only so many are kept in memory while it is written down; the others are "
    "read back from the journal."
)


def journal(bench: Bench, size: Size) -> Table:
    """`send` with and without a journal, on the server that answers at once and on one that takes its time."""
    plain = [Contender(peer="sdk", loop=loop, contacts=size.contacts) for loop in size.loops]
    pairs = [(one, evolve(one, peer="journal")) for one in plain]
    bares = [one.bare for one in plain]
    entries = [entry for one, kept in pairs for entry in (one.entry(), kept.entry("journal"))]
    entries += [one.entry() for one in bares]
    results = bench.contest(entries, size.rounds)
    long = evolve(pairs[0][0], contacts=size.long_contacts), evolve(pairs[0][1], contacts=size.long_contacts)
    longer = bench.contest([long[0].entry(), long[1].entry("journal")], size.variety_rounds)
    slow = evolve(pairs[0][0], contacts=_SLOW_CONTACTS), evolve(pairs[0][1], contacts=_SLOW_CONTACTS)
    waited = bench.contest(
        [slow[0].entry(latency=f"{_SLOW}"), slow[1].entry("journal", latency=f"{_SLOW}")], size.slow_rounds
    )
    verdicts = [_verdict(results, one, kept, one.loop) for one, kept in pairs]
    verdicts.append(_verdict(longer, *long, f"{size.long_contacts:,} contacts"))
    on_disk = results.figure(pairs[0][1].label, lambda measured: measured["disk"] / measured["contacts"])
    verdicts.append(
        at_most(12, f"bytes a contact on the disk, chunk {CHUNK}", on_disk, 12, form=",.1f", unit="")
    )
    contenders = [*bares, *(one for pair in pairs for one in pair)]
    return Table(
        title=f"A durable journal: {size.contacts:,} scattered contacts in campaigns of {CHUNK}, {CONCURRENCY} at once",
        columns=["client", "loop", "server", *SENDING, "without = 1"],
        rows=[
            *([one.name, one.loop, "at once", *sending_cells(results, one), ""] for one in bares),
            *_rows(results, pairs, "at once"),
            *_rows(longer, [long], f"at once; {size.long_contacts:,} contacts"),
            *_rows(waited, [slow], f"{_SLOW} ms"),
        ],
        verdicts=verdicts,
        notes=[
            _ON_THE_CLOCK,
            _READ_BACK,
            _bound(bench, results, pairs),
            *server_notes(bench, results, contenders),
        ],
        results=results,
    )


def _verdict(results: Results, one: Contender, kept: Contender, where: str) -> Verdict:
    return at_least(
        12,
        f"send with a durable journal / without, chunk {CHUNK}, contacts a second, {where}",
        gain(results, kept, one),
        _GOAL,
        beside=f", {results.ratio(kept.label, one.label, cpu_rate).median:,.2f} x in CPU time",
    )


def _bound(bench: Bench, results: Results, pairs: Sequence[tuple[Contender, Contender]]) -> str:
    """How much the goal leaves for a journal, and how much of that the waits for the disk take by themselves."""
    plain, kept = pairs[0]
    campaigns = plain.contacts / CHUNK
    without, with_it = (results.figure(one.label, wall).median / campaigns * 1e6 for one in (plain, kept))
    least = bench.measure(plain.entry("disk").spec)
    alone, sqlite = (least[name] / campaigns * 1e6 for name in ("alone", "sqlite"))
    return (
        f"Without a journal a campaign takes {without:,.0f} µs on {plain.loop}, so that the goal leaves "
        f"{without / _GOAL - without:,.0f} for one; it takes {with_it - without:,.0f}. As many waits for the "
        f"disk, with 6 bytes a contact and nothing else, take {alone:,.0f}: nothing that waits so can reach more than "
        f"{without / (without + alone):,.2f} x. With SQLite between, one row for the whole list and one for each group "
        f"of claims, it is {sqlite:,.0f}: {without / (without + sqlite):,.2f} x."
    )


def _rows(results: Results, pairs: list[tuple[Contender, Contender]], server: str) -> list[list[str]]:
    return [
        [
            one.name,
            one.loop,
            server,
            *sending_cells(results, one),
            "" if one.peer == "sdk" else spread(gain(results, one, other)),
        ]
        for plain, kept in pairs
        for one, other in ((plain, plain), (kept, plain))
    ]
