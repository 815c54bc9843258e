"""Where PgBouncer is; Debian installs it outside of the path of those who are not root."""

from __future__ import annotations

import os
import shutil


def pgbouncer() -> str | None:
    """Return the program, None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
