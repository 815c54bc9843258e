"""The `memorizz` command, also as `python -m memorizz`."""

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from memorizz.cli import app

        app()
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit("memorizz: the command line is not installed: pip install 'memorizz-postgresql[cli]'")


if __name__ == "__main__":
    main()
