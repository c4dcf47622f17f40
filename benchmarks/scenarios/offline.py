"""What needs no server: the normaliser, decoding, importing. Goals 6, 7, 11 and 12."""

from harness import Bench, Entry, Figure, Results
from spellings import CANONICAL
from tables import Table, Verdict, at_least, at_most, spread

from scenarios.common import CHUNK, SPEED, Size, wall

_STRINGS = 200_000
_DEPENDENCIES = ("aiohttp", "attrs", "cattrs", "anyio", "phonenumbers")


def normaliser(bench: Bench, size: Size) -> Table:
    """The normaliser against the full parser, spelling by spelling, and what they disagree about."""
    contacts, parsed = 100_000, 500
    run = bench.measure(
        {"kind": "normalising", "contacts": contacts, "parsed": parsed, "rounds": size.offline_rounds}
    )
    equal = bench.measure({"kind": "equality", "strings": size.odd_strings})
    taken: dict[str, dict[str, list[float]]] = run["taken"]
    ratios = {
        name: Figure([full / fast for full, fast in zip(both["full"], both["fast"], strict=True)])
        for name, both in taken.items()
    }
    plain = [both for name, both in taken.items() if name not in (CANONICAL, "mixed")]
    combined = Figure(
        [
            sum(both["full"][at] for both in plain) / sum(both["fast"][at] for both in plain)
            for at in range(size.offline_rounds)
        ]
    )
    rows = [
        [
            name,
            spread(Figure(both["fast"]), ",.0f", 1e9),
            spread(Figure(both["full"]), ",.0f", 1e9),
            f"{spread(ratios[name], ',.0f')} x",
        ]
        for name, both in taken.items()
    ]
    differences = Verdict(
        number=6,
        goal=f"differences from the full parser on {equal['strings']:,} random and edge strings",
        reached=f"{equal['differences']}",
        wanted="0",
        met=False if equal["differences"] else True if equal["strings"] >= _STRINGS else None,
        reason=f"the goal is about {_STRINGS:,} strings",
    )
    return Table(
        title=f"Normalising scattered numbers, {CHUNK} at a time, in CPU time",
        columns=["spelling", "ns a number", "full parser, ns", "full parser = 1"],
        rows=rows,
        verdicts=[
            at_least(6, "normaliser / full parser, canonical spelling", ratios[CANONICAL], 300, form=",.0f"),
            at_least(6, "normaliser / full parser, other plain spellings, each a list", combined, 80, form=",.0f"),
            at_least(6, "normaliser / full parser, the same mixed in one list", ratios["mixed"], 80, form=",.0f"),
            differences,
        ],
        notes=[
            "Full parser: phonenumbers' parse, is_valid_number and format_number. mixed: all but the first, at random.",
            f"Of the {equal['strings']:,} random and edge strings, the fast path decided {equal['decided']:,}.",
        ],
        results=Results({"normalising": [run], "equality": [equal]}),
    )  # fmt: skip


def decoding(bench: Bench, size: Size) -> Table:
    """From a reply's bytes to a status for each number sent, against cattrs' default on classes of the same shape."""
    runs = {
        (layout, plain): bench.measure(
            {"kind": "decoding", "layout": layout, "chunk": CHUNK, "replies": 30}
            | {"rounds": size.offline_rounds, "without": SPEED if plain else ()}
        )
        for layout in ("documented", "spaced")
        for plain in (False, True)
    }
    rows, verdicts = [], []
    for (layout, plain), run in runs.items():
        taken = run["taken"]
        without = ", without NumPy" if plain else ""
        names = {
            "classify": f"smspop_async{without}",
            "objects": f"smspop_async{without}, every contact's object made",
        }
        if not plain:
            names |= {"cattrs": "json.loads and cattrs' default", "json": "json.loads alone"}
        against = {
            who: Figure([other / own for other, own in zip(taken["cattrs"], taken[who], strict=True)])
            for who in names
        }
        rows += [
            [name, layout, spread(Figure(taken[who]), ",.0f", 1e6), f"{spread(against[who])} x"]
            for who, name in names.items()
        ]
        goal = f"decode to typed results / cattrs' default, {layout}{without}"
        verdicts.append(at_least(7, goal, against["classify"], 15))
    return Table(
        title=f"The reply to a campaign of {CHUNK}, from bytes to a status for each number sent, in CPU time",
        columns=["reader", "layout", "µs a reply", "cattrs = 1"],
        rows=rows,
        verdicts=verdicts,
        notes=[
            "Both gave every number the status that the server had said.",
            "The library keeps statuses in a column and makes the object of a contact when it is asked for.",
        ],
        results=Results({f"{layout}, plain {plain}": [run] for (layout, plain), run in runs.items()}),
    )


def imports(bench: Bench, size: Size) -> Table:
    """What importing the package costs, against importing what it depends on."""
    places = {
        "import smspop_async": ["smspop_async"],
        "from smspop_async import SmsPop": ["smspop_async:SmsPop"],
        "its dependencies": list(_DEPENDENCIES),
    }
    entries = [
        Entry(label=label, spec={"script": "imports.py", "pinned": True, "argv": argv})
        for label, argv in places.items()
    ]
    bench.contest(entries, 1)  # compiles what is not compiled yet, and reads the files once
    results = bench.contest(entries, size.import_rounds)
    package, dependencies = "import smspop_async", "its dependencies"
    ratio = results.ratio(package, dependencies, wall)
    return Table(
        title="Import, each in a fresh process",
        columns=["what", "ms", "dependencies = 1"],
        rows=[
            [
                label,
                spread(results.figure(label, wall), ".1f", 1000),
                spread(results.ratio(label, dependencies, wall), ".3f"),
            ]
            for label in places
        ],
        verdicts=[at_most(11, f"{package} / importing its dependencies", ratio, 0.35)],
        results=results,
    )
