"""How far a copy has come, on disk: what a copy that was interrupted goes on from."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from memorizz.errors import ConfigurationError, StorageFull
from memorizz.moving._files import is_full
from memorizz.moving._report import Existing, Problem

_VERSION = 1


@dataclass(slots=True)
class Stage:
    """How far one store has come: everything up to the document `after` is in the target."""

    after: str | None = None
    copied: int = 0
    present: int = 0
    not_copied: int = 0
    expired: int = 0
    incomplete: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
    omissions: list[Problem] = field(default_factory=list[Problem])
    done: bool = False


class Journal:
    """A file that says how far each store has come, there before a store is begun and gone when all are finished.

    It is written whole, beside the old one, and takes its place when it is on disk: whenever the program is killed,
    one of the two is there.
    """

    @classmethod
    def of(cls, source: str, target: str, existing: Existing, path: str | Path | None = None) -> Self:
        """Return the journal of a copy, in a file of its own in the platform's folder where no path is given."""
        about = {"source": source, "target": target, "existing": existing}
        return cls(Path(path) if path is not None else _default_path(source, target), about)

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        self.path = path
        self._about = dict(about)
        self.stages: dict[str, Stage] = {}
        self.resumed = self.path.exists()
        if self.resumed:
            self._read()

    def _read(self) -> None:
        found: Any = None
        try:
            found = json.loads(self.path.read_text("utf-8"))
            about = {key: found[key] for key in self._about}
            for name, stage in found["stores"].items():
                problems, omissions = ([Problem(**each) for each in stage.pop(of)] for of in ("problems", "omissions"))
                self.stages[name] = Stage(**stage, problems=problems, omissions=omissions)
            known = found["version"] == _VERSION
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"the journal {self.path} cannot be read ({error}): it is none, or is damaged; name another file, or "
                "delete it and begin anew with existing='merge' or 'replace'"
            ) from error
        if not known or about != self._about:
            raise ConfigurationError(
                f"the journal {self.path} is of another copy, {about.get('existing')} from {about.get('source')} to "
                f"{about.get('target')}: finish that one, or name another file"
            )

    def write(self) -> None:
        """Put what is known on disk; when this returns, it is there."""
        stores = {store: asdict(stage) for store, stage in self.stages.items()}
        text = json.dumps({"version": _VERSION, **self._about, "stores": stores}, indent=1)
        new = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            if is_full(error):
                raise StorageFull(
                    f"no room to write the journal {self.path} ({error.strerror}): make room, or name another file"
                ) from error
            raise ConfigurationError(
                f"the journal {self.path} cannot be written ({error.strerror}): name another file; what was copied "
                "so far is in the target"
            ) from error

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on disk too; Windows opens no folders and needs none of this."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _default_path(source: str, target: str) -> Path:
    """Return where the journal of a copy is: in the platform's own folder for what programs remember."""
    name = sha256(f"{source}\n{target}".encode()).hexdigest()[:16]
    return _state_folder() / "memorizz" / f"copy-{name}.json"


def _state_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
