"""The pictures of the documentation, drawn from the data of a run.

``run.py --pictures FOLDER`` draws those for which its scenarios ran; ``python pictures.py RESULTS.json FOLDER`` draws
them again from what ``--json`` wrote. The same data give the same bytes: no dates, no random names.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "smspop-async",
    "svg.fonttype": "none",  # text stays text: small files, and small differences between two of them
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": "#4a4a4a",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "xtick.color": "#4a4a4a",
    "ytick.color": "#4a4a4a",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
_LOOKS: dict[str, dict[str, Any]] = {
    "send": {"color": "#0b6e99"},
    "send, without NumPy": {"color": "#0b6e99", "linestyle": "--", "markerfacecolor": "white"},
    "bare": {"color": "#b0703c"},
    "ideal": {"color": "#9a9a9a", "linewidth": 3.5},
    "idle": {"color": "#9a9a9a"},
    "CSV file": {"color": "#0b6e99"},
    "generator": {"color": "#b0703c", "linestyle": "--"},
}
_WIDTH, _HEIGHT = 6.4, 3.2

Data = Mapping[str, Mapping[Any, Any]]


def rate(axes: list[Axes], data: Data) -> None:
    """Contacts a second against the size of campaigns."""
    (one,) = axes
    for name, line in data.items():
        points = sorted((int(chunk), value) for chunk, value in line.items())
        one.plot(*zip(*points, strict=True), marker="o", label=name, **_LOOKS[name])
    chunks = sorted({int(chunk) for line in data.values() for chunk in line})
    one.set(xscale="log", yscale="log", xlabel="contacts in a campaign", ylabel="contacts a second")
    one.set_xticks(chunks, [f"{chunk:,}" for chunk in chunks])
    one.minorticks_off()
    one.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    one.set_title("Contacts a second, 16 campaigns at once, on a server that answers at once")
    one.legend()


def memory(axes: list[Axes], data: Data) -> None:
    """Peak memory against the number of contacts."""
    (one,) = axes
    for name, line in data.items():
        points = sorted((int(count), value) for count, value in line.items())
        one.plot(*zip(*points, strict=True), marker="o", label=f"from a {name}", **_LOOKS[name])
    counts = sorted({int(count) for line in data.values() for count in line})
    one.set(xscale="log", xlabel="contacts streamed", ylabel="peak memory of the process, MB", ylim=(0, None))
    one.set_xticks(counts, [f"{count:,}" for count in counts])
    one.minorticks_off()
    one.set_title("Peak memory while contacts stream through")
    one.legend(loc="lower right")


def lag(axes: list[Axes], data: Data) -> None:
    """How often the event loop was late, and by how much."""
    (one,) = axes
    for name, seen in data.items():
        step, total = seen["step"] * 1000, sum(seen["bars"]) or 1
        coarse = _coarser(seen["bars"], 5)
        edges = [at * 5 * step for at in range(len(coarse) + 1)]
        one.stairs([times / total for times in coarse], edges, label=name, baseline=None, **_LOOKS[name])
    one.axvline(5, color="#4a4a4a", linewidth=0.8, linestyle=":")
    one.set(
        yscale="log",
        xlabel="milliseconds that a task was woken late",
        ylabel="share of wake-ups",
        xlim=(0, None),
    )
    one.set_title("The event loop while contacts are sent, and idle")
    one.legend()


def _coarser(bars: list[int], times: int) -> list[int]:
    return [sum(bars[at : at + times]) for at in range(0, len(bars), times)]


def completion(axes: list[Axes], data: Data) -> None:
    """What share of the campaigns was answered when, beside the best that could be."""
    for one, (server, curves) in zip(axes, data.items(), strict=True):
        for name in ("ideal", "bare", "send"):
            moments = curves[name]
            shares = [at / (len(moments) - 1) for at in range(len(moments))]
            one.plot(moments, shares, label=name, **_LOOKS[name])
        one.set(xlabel="seconds", title=server, xlim=(0, None), ylim=(0, 1.02))
        one.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes[0].set_ylabel("campaigns answered")
    axes[0].legend()


PICTURES: dict[str, tuple[Callable[[list[Axes], Data], None], int]] = {
    "rate": (rate, 1),
    "memory": (memory, 1),
    "lag": (lag, 1),
    "completion": (completion, 2),
}
"""How each is drawn, and on how many panels."""


def merged(several: Iterable[Mapping[str, Data]]) -> dict[str, dict[str, dict[Any, Any]]]:
    """Join what several scenarios say for the same picture."""
    whole: dict[str, dict[str, dict[Any, Any]]] = {}
    for one in several:
        for picture, lines in one.items():
            for name, line in lines.items():
                whole.setdefault(picture, {}).setdefault(name, {}).update(line)
    return whole


def draw(several: Iterable[Mapping[str, Data]], folder: Path) -> list[Path]:
    """Draw every picture for which there are data; what the scenarios say is as in `tables.Table`."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, data in merged(several).items():
            paint, panels = PICTURES[name]
            figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
            paint(list(figure.subplots(1, panels, squeeze=False)[0]), data)
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            drawn.append(path)
    return drawn


if __name__ == "__main__":
    tables = json.loads(Path(sys.argv[1]).read_text())["tables"]
    for path in draw([table["picture"] for table in tables], Path(sys.argv[2])):
        print(path)
