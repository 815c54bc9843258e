"""Attack views of tenants, memories and agents by generated calls, and say what they have reached of others: nothing.

    python scripts/attack_scopes.py                    100,000 calls, a few minutes
    python scripts/attack_scopes.py --calls 1000 --seed 7
    python scripts/attack_scopes.py --walls                    behind both walls, as the application's role
    python scripts/attack_scopes.py --dsn "dbname=attacked"    in an empty database of yours, as a superuser

Every public method is called, with hostile filters, ids and cursors, and exports; where the MCP SDK is installed, its
tools too. What is attacked, and how it is counted: tests/attacks.py. Exit code 1 if anything was read or changed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

import psycopg  # noqa: E402
from psycopg import sql  # noqa: E402

import attacks  # noqa: E402
from memorizz import PostgreSQLConfig, PostgreSQLProvider  # noqa: E402
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer  # noqa: E402
from memorizz.memory_provider.postgresql.maintenance import Maintenance  # noqa: E402

_FAST = {"fsync": "off", "synchronous_commit": "off"}
_ROLE = "memorizz_attacker"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--walls", action="store_true", help="behind row-level security of tenants and of memories")
    parser.add_argument("--dsn", help="an empty database, as a superuser; by default one of a server for this alone")
    given = parser.parse_args()
    with _server(given.dsn) as dsn:
        started = time.monotonic()
        config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
        with PostgreSQLProvider(config, embedder=attacks.Letters()) as provider:
            attacks.prepare(provider)
        with (
            _walled(config, dsn) if given.walls else nullcontext(config) as attackers,
            PostgreSQLProvider(attackers, embedder=attacks.Letters()) as provider,
        ):
            found = attacks.attack(provider, dsn, given.calls, given.seed, attacks.tools())
    for name, count in sorted(found.calls.items()):
        print(f"{count:8,} {name}")
    seconds = time.monotonic() - started
    print(f"{found.calls.total():,} calls in {seconds:.0f} s, of which {found.raised:,} raised an error")
    print(f"{len(found.foreign):,} that read or changed what is another's")
    print("\n".join(found.foreign[:20]))
    return 1 if found.foreign else 0


@contextmanager
def _server(dsn: str | None) -> Iterator[str]:
    """Give where to attack: the database that was named, or a server that is made and removed."""
    if dsn is not None:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="memorizz-attack-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "data", settings=_FAST)
        try:
            yield server.acquire()
        finally:
            server.release()
            server.stop()


@contextmanager
def _walled(config: PostgreSQLConfig, dsn: str) -> Iterator[PostgreSQLConfig]:
    """Put up both walls and give what opens the database behind them; take them down again."""
    with Maintenance(config) as maintenance:
        maintenance.enable_tenants(_ROLE, memories=True)
        try:
            yield config.replace(user=_ROLE)
        finally:
            maintenance.disable_tenants()
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(_ROLE)))


if __name__ == "__main__":
    sys.exit(main())
