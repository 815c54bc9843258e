"""python -m benchmarks: compare the provider with SQL by hand and with others, in turns, and say the ratios."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

from benchmarks import pages, report
from benchmarks.lab import Lab

_PAGES = {"plot": pages.plot, "tables": pages.write}


def main() -> None:
    options = _options()
    if options.workload[0] in _PAGES:
        for name in options.workload:
            _PAGES[name]()
        return
    lab = Lab(**{field.name: getattr(options, field.name) for field in fields(Lab) if hasattr(options, field.name)})
    with lab.opened() as opened:
        machine = report.machine(opened.conninfo)
        for name in options.workload:
            _measure(name, opened, machine, options)
    if options.write:
        pages.write()


def _measure(name: str, lab: Lab, machine: dict[str, str], options: argparse.Namespace) -> None:
    """Measure one workload, tell it, and keep it where that is asked for."""
    load, started = report.load(), time.monotonic()
    for part in pages.WORKLOADS[name].measure(lab):
        run = report.run(part, _command(name, lab), load, time.monotonic() - started)
        print("\n".join(f"{key}: {value}" for key, value in {"part": part.key, **machine, **run}.items()))
        for table in pages.WORKLOADS[name].tables(part.record):
            table.show()
        if options.write:
            report.store(part, machine, run)
        load, started = report.load(), time.monotonic()


def _command(name: str, lab: Lab) -> str:
    """Return how a workload was asked for, without what is of this machine."""
    defaults = Lab()
    wishes = [each for each in ("rows", "dimensions", "repeat") if getattr(lab, each) != getattr(defaults, each)]
    return " ".join(["python -m benchmarks", name, *(f"--{each} {getattr(lab, each)}" for each in wishes)])


def _options() -> argparse.Namespace:
    takes = "\n".join(f"  {name:12} {module.TAKES}" for name, module in pages.WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"workloads, and how long each takes on two cores:\n{takes}\n\nof what was stored:\n"
        "  plot         draw the pictures again\n  tables       write RESULTS.md and the table of the peers again",
    )
    names = [*pages.WORKLOADS, *_PAGES]
    parser.add_argument("workload", nargs="*", default=pages.USUAL, metavar="WORKLOAD",
                        help=f"{', '.join(names)}; else {', '.join(pages.USUAL)}")  # fmt: skip
    parser.add_argument("--rows", type=int, help="documents to search among; else what the workload is for")
    parser.add_argument("--dimensions", type=int, help="length of the vectors; else what the workload is for")
    parser.add_argument("--repeat", type=int, default=200, help="turns of an operation that takes 1 ms (200)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the embedded server's data, and use it again")
    parser.add_argument("--dsn", help="the server to use, in schemas of its own; else an embedded one")
    parser.add_argument("--locomo", type=Path, metavar="FILE", help="retrieval: locomo10.json")
    parser.add_argument("--model", metavar="FOLDER", help="retrieval: a model of sentence-transformers, or local")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/, with the tables")
    options = parser.parse_args()
    if wrong := set(options.workload) - set(names):
        parser.error(f"unknown workload {', '.join(sorted(wrong))}: expected some of {', '.join(names)}")
    if set(options.workload) & set(_PAGES) and set(options.workload) - set(_PAGES):
        parser.error("plot and tables measure nothing: ask for them alone")
    return options


main()
