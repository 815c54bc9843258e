"""The process that reads a database of Kuzu: `python _kuzu_reader.py DATABASE QUERY ...` writes its rows as JSON.

It is one of its own because what is damaged in such a file may end the process that reads it.
"""

import json
import sys
from importlib import import_module
from typing import Any


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def main(path: str, *queries: str) -> None:
    """Write a line for each row of what the queries return."""
    kuzu = import_module("kuzu")
    try:
        connection = kuzu.Connection(kuzu.Database(path, read_only=True))
        for query in queries:
            found = connection.execute(query)
            while found.has_next():
                sys.stdout.write(json.dumps([_text(value) for value in found.get_next()]) + "\n")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
