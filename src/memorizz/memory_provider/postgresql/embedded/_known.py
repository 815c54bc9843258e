"""The data folders that this user's servers were started in, so that none of them is forgotten."""

from __future__ import annotations

import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any, cast

from memorizz.errors import one_line

logger = logging.getLogger("memorizz.embedded")


def note(path: Path) -> None:
    """Note a data folder. Where nothing can be noted, as on a read-only disk, the log says so and all else works."""
    try:
        paths = noted()
        if path in paths:
            return
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        # Two at once may lose one of them, which is noted when it is started again.
        temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        temporary.write_text(json.dumps([*map(str, paths), str(path)], indent=1), "utf-8")
        os.replace(temporary, file)
    except (OSError, RuntimeError) as error:
        logger.info("`memorizz server list` will not name %s, which cannot be noted: %s", path, one_line(str(error)))


def noted() -> list[Path]:
    """Return the data folders that were noted and are still there, the oldest first."""
    try:
        found: object = json.loads(_file().read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    paths = cast("list[Any]", found) if isinstance(found, list) else []
    return [Path(path) for path in paths if isinstance(path, str) and _is_there(Path(path))]


def _is_there(path: Path) -> bool:
    try:
        return (path / "PG_VERSION").exists()
    except OSError:
        return False


def _file() -> Path:
    import platformdirs

    return platformdirs.user_state_path("memorizz") / "servers.json"
