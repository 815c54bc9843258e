"""python -m benchmarks: compare the provider with hand-written psycopg, in turns, and say the ratios."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import memory, report
from benchmarks.operations import Bench, Result
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer


def main() -> None:
    options = _options()
    with _server(options.dsn) as conninfo:
        load = f"{os.getloadavg()[0]:.1f}"
        results, facts = _operations(conninfo, options)
        growths = memory.measure(conninfo) if options.only in "memory" else []
        facts["load"] = f"{load} before, {os.getloadavg()[0]:.1f} after, of which the benchmark itself is about 1"
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if results:
        report.show("provider / raw", report.HEAD, report.lines(results))
    if growths:
        report.show("memory", report.MEMORY_HEAD, report.memory_lines(growths))
    if options.write:
        report.write(facts, results, growths)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="documents to search among (10000)")
    parser.add_argument("--repeat", type=int, default=200, help="turns of an operation that takes 1 ms (200)")
    parser.add_argument(
        "--only", default="", metavar="NAME", help="what has this in its name: store, top, async, memory"
    )
    parser.add_argument("--dsn", help="the server to use, in a schema of its own; else an embedded one")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    return parser.parse_args()


@contextmanager
def _server(dsn: str | None) -> Generator[str]:
    """Give the connection string of a server: the one named, or an embedded one of this run."""
    if dsn is not None:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="memorizz-benchmark-") as folder:
        # The server's own user must reach its data.
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "data")
        try:
            yield server.acquire()
        finally:
            server.release()


def _operations(conninfo: str, options: argparse.Namespace) -> tuple[list[Result], dict[str, str]]:
    with closing(Bench(conninfo, options.rows)) as bench:
        facts = report.machine(conninfo, options.rows)
        chosen = {name: measure for name, measure in bench.measurements().items() if options.only in name}
        if chosen:
            print(f"storing {options.rows:,} documents twice, and a conversation of {options.rows:,} turns ...")
            bench.fill()
            bench.check()
        results: list[Result] = []
        for name, measure in chosen.items():
            print(f"{name} ...")
            results += measure(options.repeat)
    return results, facts


main()
