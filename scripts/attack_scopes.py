"""Attack views of tenants, memories and agents by generated calls, and say what they have reached of others: nothing.

    python scripts/attack_scopes.py                    100,000 calls, a few minutes
    python scripts/attack_scopes.py --calls 1000 --seed 7

Every public method is called, with hostile filters, ids and cursors, and exports; where the MCP SDK is installed, its
tools too. What is attacked, and how it is counted: tests/attacks.py. Exit code 1 if anything was read or changed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

import attacks  # noqa: E402
from memorizz import PostgreSQLConfig, PostgreSQLProvider  # noqa: E402
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer  # noqa: E402

_FAST = {"fsync": "off", "synchronous_commit": "off"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memorizz-attack-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "data", settings=_FAST)
        dsn, started = server.acquire(), time.monotonic()
        try:
            config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
            with PostgreSQLProvider(config, embedder=attacks.Letters()) as provider:
                attacks.prepare(provider)
                found = attacks.attack(provider, dsn, given.calls, given.seed, attacks.tools())
        finally:
            server.release()
            server.stop()
    for name, count in sorted(found.calls.items()):
        print(f"{count:8,} {name}")
    seconds = time.monotonic() - started
    print(f"{found.calls.total():,} calls in {seconds:.0f} s, of which {found.raised:,} raised an error")
    print(f"{len(found.foreign):,} that read or changed what is another's")
    print("\n".join(found.foreign[:20]))
    return 1 if found.foreign else 0


if __name__ == "__main__":
    sys.exit(main())
