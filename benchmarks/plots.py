"""The pictures: recall against latency, latency and bytes against rows; out of what was stored, nothing is measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.raw_tables import OWN

# A card of its own, so that it can be read on a dark page too.
_STYLE = {
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "#fafafa",
    "axes.edgecolor": "#767676",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "grid.color": "#e2e2e2",
    "font.size": 9.0,
    "legend.frameon": False,
    # The same figures make the same file.
    "svg.hashsalt": "memorizz",
}
_PANELS = ("1 %", "10 %", "100 %", "4 %, one subject, asked about another")
# What was tried by hand, by its name: label, colour, marker. Told apart without colour, too.
_FAMILIES = (
    (r"HNSW, ef_search \d+", "HNSW, ef_search 10 to 800", "#0072b2", "o"),
    (r"HNSW, relaxed, ef_search \d+", "HNSW, iterative scan", "#009e73", "s"),
    (r"bits, .*", "bits, best 200 to 800 compared", "#cc79a7", "^"),
    (r"exact.*", "exact", "#5f5f5f", "D"),
)
_OURS = ("memorizz", "#d55e00", "*")
_BY_HAND: dict[str, Any] = {"marker": "o", "linestyle": ":", "fillstyle": "none"}
_LINES = {
    "0.1 %": "#0072b2",
    "1 %": "#009e73",
    "10 %": "#cc79a7",
    "100 %": "#d55e00",
    "4 %, one subject, asked about another": "#5f5f5f",
}
# What was searched, and what takes room, by their names in the record: label, colour.
_SEARCHES = {
    "top 10, 0.1 %": ("a memory of 0.1 %", "#0072b2"),
    "top 10, 1 %": ("a memory of 1 %", "#009e73"),
    "top 10, 10 %": ("a memory of 10 %", "#cc79a7"),
    "top 10, 100 %": ("no filter", "#d55e00"),
    "words and a vector, 1 %": ("words and a vector, 1 %", "#5f5f5f"),
}
_ROOM = {
    "table": ("the table", "#0072b2"),
    "hnsw": ("the index of the vectors", "#d55e00"),
    "gin": ("the words and keys", "#009e73"),
    "btree": ("all other indexes", "#5f5f5f"),
}


def draw(everything: dict[str, Any], folder: Path) -> Iterator[Path]:
    """Draw what can be drawn of the stored parts, as PNG and as SVG."""
    records = [part["record"] for key, part in everything.items() if key.startswith("cells/")]
    with mpl.rc_context(_STYLE):
        for record in records:
            if record["rows"] == 100_000:
                yield from _save(_recall(record), folder, f"recall-{record['dimensions']}")
        for dimensions in sorted({record["dimensions"] for record in records}):
            sizes = [record for record in records if record["dimensions"] == dimensions]
            sizes.sort(key=lambda record: record["rows"])
            if len(sizes) > 1:
                yield from _save(_rows(sizes), folder, f"rows-{dimensions}")
        scales = [part["record"] for key, part in everything.items() if key.startswith("scale/")]
        for dimensions in sorted({record["dimensions"] for record in scales}):
            sizes = [record for record in scales if record["dimensions"] == dimensions]
            sizes.sort(key=lambda record: record["rows"])
            yield from _save(_scale(sizes), folder, f"scale-{dimensions}")


def _save(figure: Figure, folder: Path, name: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, said in (("png", {"Software": None}), ("svg", {"Date": None})):
        path = folder / f"{name}.{kind}"
        figure.savefig(path, dpi=150, metadata=said)
        yield path


def _recall(record: dict[str, Any]) -> Figure:
    """Draw a panel for each kind of filter: every way by hand, and ours."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    figure.suptitle(f"Recall against latency: {record['rows']:,} rows of {record['dimensions']:,} dimensions, top 10")
    cells = {cell["name"]: cell for cell in record["cells"]}
    panels: list[Axes] = list(figure.subplots(2, 2, sharey=True).flat)
    for panel, name in zip(panels, _PANELS, strict=True):
        cell = cells[name]
        panel.set_title("no filter" if name == "100 %" else f"a memory of {name}")
        for pattern, label, colour, marker in _FAMILIES:
            found = [way for way in cell["tried"][OWN] if re.fullmatch(pattern, way["name"])]
            panel.plot(*_points(found), marker=marker, color=colour, label=label, linewidth=1, markersize=5, alpha=0.85)
        label, colour, marker = _OURS
        panel.plot(*_points([cell["surveyed"]]), marker=marker, color=colour, label=label, markersize=15, linestyle="")
        _in_milliseconds(panel.set_xscale, panel.xaxis)
        panel.set_ylim(-0.05, 1.07)
    for panel in panels[2:]:
        panel.set_xlabel("median latency (ms)")
    for panel in panels[::2]:
        panel.set_ylabel("recall@10")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _points(ways: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [way["ms"] for way in ways], [way["recall"] for way in ways]


def _rows(records: list[dict[str, Any]]) -> Figure:
    """Draw a line for each kind of filter, over the sizes of the store."""
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    panel = figure.subplots()
    panel.set_title(f"Latency against rows: {records[0]['dimensions']:,} dimensions, top 10")
    sizes = [record["rows"] for record in records]
    for name, colour in _LINES.items():
        cells = [next(cell for cell in record["cells"] if cell["name"] == name) for record in records]
        label = "no filter" if name == "100 %" else f"a memory of {name}"
        panel.plot(sizes, [cell["provider"]["ms"] for cell in cells], marker="o", color=colour, label=label)
        panel.plot(sizes, [cell["best"][OWN]["ms"] for cell in cells], color=colour, **_BY_HAND)
    panel.plot([], [], color="#333333", label="the same, the best SQL by hand", **_BY_HAND)
    _over_sizes(panel, sizes)
    _in_milliseconds(panel.set_yscale, panel.yaxis)
    panel.set_ylabel("median latency (ms)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _scale(records: list[dict[str, Any]]) -> Figure:
    """Draw what searches take, and what a document takes, over the sizes of the store."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    figure.suptitle(f"Latency and bytes against rows: {records[0]['dimensions']:,} dimensions")
    latency, room = figure.subplots(1, 2)
    sizes = [record["rows"] for record in records]
    for name, (label, colour) in _SEARCHES.items():
        found = [next(each for each in record["searches"] if each["name"] == name) for record in records]
        latency.plot(sizes, [each["p50"] for each in found], marker="o", color=colour, label=label)
        latency.plot(sizes, [each["p95"] for each in found], color=colour, **_BY_HAND)
    latency.plot([], [], color="#333333", label="the same, p95", **_BY_HAND)
    latency.set_title("Top 10")
    latency.set_ylabel("median latency (ms)")
    _in_milliseconds(latency.set_yscale, latency.yaxis)
    below = [0.0] * len(records)
    for name, (label, colour) in _ROOM.items():
        above = [start + record["bytes"].get(name, 0.0) for start, record in zip(below, records, strict=True)]
        room.plot(sizes, above, marker="o", color=colour, label=label)
        room.fill_between(sizes, below, above, color=colour, alpha=0.25)
        below = above
    room.set_title("Bytes of a document, one upon the other")
    room.set_ylim(0)
    room.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    for panel in (latency, room):
        _over_sizes(panel, sizes)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return figure


def _over_sizes(panel: Axes, sizes: list[int]) -> None:
    panel.set_xscale("log")
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.set_xticks([], minor=True)
    panel.set_xlabel("rows in the store")


def _in_milliseconds(set_scale: Callable[[str], None], axis: Any) -> None:
    set_scale("log")
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5), numticks=15))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
