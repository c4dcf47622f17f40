"""A server that takes its time: is the concurrency used to the full? Goals 5 and 10."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve
from draws import LEAST, MOST, SHAPE, list_schedule, pareto
from harness import Bench, Measured, Results
from tables import Table, Verdict, at_least, at_most, spread

from scenarios.common import CONCURRENCY, Contender, Size, rate, wall

_CHUNK = 25
_FIXED = 200
"""Milliseconds."""
_ENOUGH = 2_400
"""Campaigns from which on the one that goes alone weighs little enough for a verdict."""
_POINTS = 200
_CANARY = 0.01
"""Share of the ideal time that the campaign which goes alone may cost: half of what the goal allows for everything."""
_WARM_UP = 1
"""Campaigns of the warm-up; each takes a draw of its own, before those of the run."""


def waiting(bench: Bench, size: Size) -> Table:
    """Time to finish on a server of fixed latency and on one with a heavy tail, against the best possible."""
    single = Contender(peer="requests", chunk=_CHUNK, contacts=size.slow_single * _CHUNK)
    bare = Contender(peer="bare", chunk=_CHUNK, contacts=size.slow_chunks * _CHUNK)
    sdk = evolve(bare, peer="sdk")
    fixed = bench.contest(
        [one.entry("waiting", latency=f"{_FIXED}", warm_up=_WARM_UP) for one in (single, bare, sdk)],
        size.slow_rounds,
    )
    seeds, passed_over = seeds_for(size.slow_chunks, size.slow_rounds)
    heavy = _joined(
        bench.contest(
            [one.entry("waiting", latency=f"pareto-{seed}", warm_up=_WARM_UP) for one in (bare, sdk)], 1
        )
        for seed in seeds
    )
    servers = {f"{_FIXED} ms": fixed, "heavy tail": heavy}
    one_by_one = fixed.ratio(sdk.label, single.label, rate)
    verdicts = [at_least(5, f"send / one by one, {_FIXED} ms a campaign", one_by_one, 15.5)]
    verdicts += [
        at_most(
            10, f"time to finish / ideal, {server}", results.figure(sdk.label, to_ideal), 1.02, form=".4f"
        )
        for server, results in servers.items()
    ]
    curves = {
        server: _curves(results.rounds[sdk.label][0], results.rounds[bare.label][0])
        for server, results in servers.items()
    }
    return Table(
        title=f"A server that takes its time, campaigns of {_CHUNK}, {CONCURRENCY} at once",
        columns=[
            "client",
            "server",
            "campaigns",
            "seconds",
            "to the ideal time",
            "contacts/s, one by one = 1",
        ],
        rows=[
            _row(results, one, server, single)
            for server, results in servers.items()
            for one in (single, bare, sdk)
            if one.label in results.rounds
        ],
        verdicts=[_if_enough(size, verdict) for verdict in verdicts],
        notes=_notes(servers, sdk.label, seeds, passed_over),
        results=Results(
            {
                f"{label}, {server}": runs
                for server, results in servers.items()
                for label, runs in results.rounds.items()
            }
        ),
        picture={"completion": curves},
    )


def _row(results: Results, one: Contender, server: str, single: Contender) -> list[str]:
    against_ideal = spread(results.figure(one.label, to_ideal), ".4f") if one != single else ""
    against_single = (
        spread(results.ratio(one.label, single.label, rate)) if single.label in results.rounds else ""
    )
    campaigns = f"{one.contacts // _CHUNK:,}"
    return [
        one.name,
        server,
        campaigns,
        spread(results.figure(one.label, wall)),
        against_ideal,
        against_single,
    ]


def seeds_for(campaigns: int, count: int) -> tuple[list[int], list[int]]:
    """The first seeds whose draws tell something of the client, and those passed over before them.

    On a heavy tail the campaign that goes alone may happen to draw more than the whole margin of the goal. Which seeds
    do is told by the draws, before anything is measured. With too few campaigns for a verdict all are taken.
    """
    taken: list[int] = []
    passed_over: list[int] = []
    for seed in itertools.count(1):
        if len(taken) == count:
            break
        run = {"delays": list(itertools.islice(pareto(seed), _WARM_UP, _WARM_UP + campaigns))}
        fine = campaigns < _ENOUGH or with_canary(run) / ideal(run) - 1 < _CANARY
        (taken if fine else passed_over).append(seed)
    return taken, passed_over


def _notes(
    servers: Mapping[str, Results], send: str, seeds: Sequence[int], passed_over: Sequence[int]
) -> list[str]:
    return [
        (
            "The ideal is list scheduling of the delays that the server made in that run, in order of arrival, on "
            f"{CONCURRENCY} slots: it knows no network and no client."
        ),
        *(_parts(server, results, send) for server, results in servers.items()),
        "One by one needs few campaigns, its rate being constant.",
        (
            f"Heavy tail: Pareto, shape {SHAPE}, from {LEAST * 1000:.0f} ms, at most {MOST:.1f} s; a seed a round: "
            f"{', '.join(map(str, seeds))}. Passed over, because there the canary alone costs {_CANARY:.0%} of the "
            f"ideal time or more: {', '.join(map(str, passed_over)) or 'none'}."
        ),
    ]


def _parts(server: str, results: Results, send: str) -> str:
    """What of the time above the ideal is due to what."""
    canary = results.figure(send, lambda run: with_canary(run) / ideal(run) - 1)
    rest = results.figure(send, lambda run: wall(run) / with_canary(run) - 1)
    late = results.figure(send, lambda run: float(run["late"]))
    latest = results.figure(send, lambda run: float(run["latest"]))
    return (
        f"{server}: the first campaign of send goes alone (the canary), which costs {spread(canary, '.2%')} of the "
        f"ideal time, whoever the client is; everything else together {spread(rest, '.2%')}. The server itself was "
        f"late by {spread(late, '.2f', 1000)} ms on average and {spread(latest, '.1f', 1000)} ms at worst, which "
        "counts against the clients."
    )


def ideal(run: Measured) -> float:
    """The least time in which the delays of a run can be waited for."""
    return max(list_schedule(run["delays"], CONCURRENCY))


def with_canary(run: Measured) -> float:
    """The same where the first goes alone, and all others wait for it."""
    first, *others = run["delays"]
    return float(first) + max(list_schedule(others, CONCURRENCY))


def to_ideal(run: Measured) -> float:
    return wall(run) / ideal(run)


def _if_enough(size: Size, verdict: Verdict) -> Verdict:
    if size.slow_chunks >= _ENOUGH:
        return verdict
    reason = f"{size.slow_chunks} campaigns are too few beside the one that goes alone; {_ENOUGH:,} are not"
    return evolve(verdict, met=None, reason=reason)


def _joined(several: Iterable[Results]) -> Results:
    rounds: dict[str, list[Measured]] = {}
    for results in several:
        for label, runs in results.rounds.items():
            rounds.setdefault(label, []).extend(runs)
    return Results(rounds)


def _curves(sdk: Measured, bare: Measured) -> dict[str, list[float]]:
    """When what share of the campaigns was answered, at some points, for the picture."""
    moments = {
        "ideal": sorted(list_schedule(sdk["delays"], CONCURRENCY)),
        "send": sdk["answered"],
        "bare": bare["answered"],
    }
    return {
        name: [all_[at * (len(all_) - 1) // _POINTS] for at in range(_POINTS + 1)]
        for name, all_ in moments.items()
    }
