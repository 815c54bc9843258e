"""A PostgreSQL server of one's own, out of a wheel: nothing to install, nothing to configure, nothing left running.

Tried on Linux. It is written for macOS and Windows too, and was not tried there.

_server.py     EmbeddedServer: join, leave, look, stop
_known.py      which data folders this user has
_folder.py     the data folder: whose it is, making it, its settings
_programs.py   the wheel's programs, and the user that they run as
_watch.py      who uses the server, and the watcher that stops it when nobody does
"""

from memorizz.memory_provider.postgresql.embedded._server import (
    EmbeddedServer,
    ServerStatus,
    default_path,
    known_servers,
)

__all__ = ["EmbeddedServer", "ServerStatus", "default_path", "known_servers"]
