"""A server that answers at once: what the clients themselves cost. Goals 1 to 4."""

from collections.abc import Sequence

from available import missing
from harness import Bench, Results
from tables import Table, Verdict, spread

from scenarios.common import (
    CHUNK,
    CONCURRENCY,
    LOOPS,
    SENDING,
    Contender,
    Size,
    absent_row,
    faster,
    gain,
    loop_rows,
    rate,
    sending_cells,
    server_notes,
    speed_notes,
)  # fmt: skip

_OTHER_LAYOUTS = ("spaced", "reordered", "identified", "shuffled")
_OTHERS = {"httpx": 10.0, "httpx2": 5.0, "requests": 8.0, "niquests": None, "pyreqwest": None}
"""How many times faster than these the goals want it; None for those that are shown beside."""


def throughput(bench: Bench, size: Size) -> Table:
    """Campaigns of 500: against the bare loop, against it with full parsing, and against other clients."""
    ours = [
        Contender(peer="sdk", loop=loop, plain=plain, contacts=size.contacts)
        for loop in LOOPS
        for plain in (False, True)
    ]
    bare = [one.bare for one in ours if not one.plain]
    absent = {peer: why for peer in _OTHERS if (why := missing(peer))}
    others = {peer: Contender(peer=peer, contacts=size.contacts) for peer in _OTHERS if peer not in absent}
    parsing = Contender(peer="parsing", contacts=size.parsed)
    contenders = [*bare, *ours, parsing, *others.values()]
    results = bench.contest([one.entry() for one in contenders], size.rounds)
    send = ours[0]
    verdicts = [_documented(results, one) for one in ours]
    verdicts += [
        faster(3, "send / bare with full parsing, contacts a second", results, send, parsing, wanted=30)
    ]
    verdicts += [
        faster(4, _beside(peer), results, send, others[peer], wanted=wanted)
        if peer in others
        else _not_here(peer, str(absent[peer]), wanted)
        for peer, wanted in _OTHERS.items()
        if wanted is not None
    ]
    columns = ["client", "loop", *SENDING, "send is faster"]
    return Table(
        title=f"{size.contacts:,} scattered contacts in campaigns of {CHUNK}, {CONCURRENCY} at once, no latency",
        columns=columns,
        rows=[
            *(
                [one.name, one.loop, *sending_cells(results, one), _times(results, send, one)]
                for one in contenders
            ),
            *(absent_row(peer, "asyncio", why, len(columns)) for peer, why in absent.items()),
            *loop_rows(len(columns)),
        ],
        verdicts=verdicts,
        notes=[
            *server_notes(bench, results, contenders),
            *speed_notes(results),
            f"Full parsing is so slow that its peer sent {size.parsed:,} contacts only.",
            "pyreqwest works on a thread of its own, which here shares the core that clients are held to.",
        ],
        results=results,
    )


def _beside(peer: str) -> str:
    return f"send / {peer}, contacts a second"


def _not_here(peer: str, why: str, wanted: float) -> Verdict:
    return Verdict(number=4, goal=_beside(peer), reached="", wanted=f">= {wanted:g} x", met=None, reason=why)


def _documented(results: Results, one: Contender) -> Verdict:
    without = ", without NumPy" if one.plain else ""
    goal = f"send / bare, chunk {CHUNK}, documented layout, {one.loop}{without}"
    return faster(1, goal, results, one, one.bare, wanted=2.5)


def _times(results: Results, send: Contender, one: Contender) -> str:
    comparable = one.loop == send.loop and one.peer != "sdk"
    return f"{spread(gain(results, send, one))} x" if comparable else ""


def layouts(bench: Bench, size: Size) -> Table:
    """The same with replies laid out in other ways than the document shows."""
    ours = [
        Contender(peer="sdk", loop=loop, plain=plain, layout=layout, contacts=size.contacts)
        for loop in size.loops
        for layout in _OTHER_LAYOUTS
        for plain in (False, True)
    ]
    contenders = _with_bare(ours)
    results = bench.contest([one.entry() for one in contenders], size.variety_rounds)
    verdicts = []
    for loop in size.loops:
        for plain in (False, True):
            several = [one for one in ours if (one.loop, one.plain) == (loop, plain)]
            worst = min(several, key=lambda one: gain(results, one, one.bare).median)
            without = ", without NumPy" if plain else ""
            goal = f"send / bare, chunk {CHUNK}, the worst other layout ({worst.layout}), {loop}{without}"
            verdicts.append(faster(1, goal, results, worst, worst.bare, wanted=1.8))
    return Table(
        title=f"Other layouts of the reply: {size.contacts:,} scattered contacts in campaigns of {CHUNK}",
        columns=["client", "loop", "layout", *SENDING],
        rows=[[one.name, one.loop, one.layout, *sending_cells(results, one)] for one in contenders],
        verdicts=verdicts,
        notes=[
            "spaced: a blank behind each colon and comma. reordered: the status before the number.",
            "identified: one more field, of another value in each row. shuffled: rows in another order than asked.",
            *server_notes(bench, results, contenders),
            *speed_notes(results),
        ],
        results=results,
    )


def sizes(bench: Bench, size: Size) -> Table:
    """Larger and smaller campaigns, down to one contact each."""
    wanted = {5000: 3.5, 50: 1.4, 1: 1.1}
    ours = [
        Contender(
            peer="create" if chunk == 1 else "sdk", loop=loop, plain=plain, chunk=chunk, contacts=contacts
        )
        for loop in size.loops
        for chunk, contacts in size.by_chunk.items()
        for plain in (False, True)
    ]
    contenders = _with_bare(ours)
    results = bench.contest([one.entry() for one in contenders], size.variety_rounds)
    verdicts = []
    for one in ours:
        if one.chunk not in wanted:  # 500 is there for the picture, whose points should be of one contest
            continue
        what = "campaigns.create / bare, one contact" if one.chunk == 1 else f"send / bare, chunk {one.chunk}"
        goal = f"{what}, {one.loop}{', without NumPy' if one.plain else ''}"
        verdicts.append(faster(2, goal, results, one, one.bare, wanted=wanted[one.chunk]))
    return Table(
        title=f"Campaigns of other sizes, {CONCURRENCY} at once, no latency",
        columns=["client", "loop", "chunk", "contacts", *SENDING],
        rows=[
            [one.name, one.loop, f"{one.chunk}", f"{one.contacts:,}", *sending_cells(results, one)]
            for one in contenders
        ],
        verdicts=verdicts,
        notes=[*server_notes(bench, results, contenders), *speed_notes(results)],
        results=results,
        picture=_rates(results, contenders),
    )


def _with_bare(ours: Sequence[Contender]) -> list[Contender]:
    """Each of ours once, behind the bare loop under the same circumstances."""
    return list(dict.fromkeys(one for ours_ in ours for one in (ours_.bare, ours_)))


def _rates(results: Results, contenders: Sequence[Contender]) -> dict[str, dict[str, dict[int, float]]]:
    """Contacts a second by size of campaign, for the picture."""
    lines: dict[str, dict[int, float]] = {}
    for one in contenders:
        if one.loop == "asyncio":
            name = "bare" if one.peer == "bare" else "send, without NumPy" if one.plain else "send"
            lines.setdefault(name, {})[one.chunk] = results.figure(one.label, rate).median
    return {"rate": lines}
