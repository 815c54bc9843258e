"""Memories of other programs: their exports, logs and files are recognised and read, without a model.

_formats.py      what a format is: Format, and the Found and LeftOut that it reads
_registry.py     which formats there are
_source.py       a file, a folder or a zip, of which members are read
_json.py         JSON piece by piece
_database.py     a database, in one snapshot
_kuzu_reader.py  the process that reads one of Kuzu
_reading.py      what the modules of the formats share
_importing.py    import_file: check the whole file, then store what is new

Each format is a module with one public name, `FORMAT`, and a line in _registry.py. Its `recognises(source)` looks at
`member.beginnings` or `member.head`, the first 64 kB, and never says True for a file of another format; its
`read(source, options)` yields Found and LeftOut, and raises `member.invalid(where, reason)` for what is damaged. A
member has `elements()` of a JSON array, `json()` for other JSON, `json_lines()`, `lines()` and `opened()`;
`source.database` is one of PostgreSQL, SQLite or Kuzu. Documents have `source`, an object: `format` and `id`, the
file's own, and what else tells where they come from.
"""

from memorizz.importers._formats import DateOrder, Format, Found, LeftOut, Options
from memorizz.importers._importing import Import, Noted, Progress, Report, import_file, opened, read, stable_id

__all__ = [
    "DateOrder",
    "Format",
    "Found",
    "Import",
    "LeftOut",
    "Noted",
    "Options",
    "Progress",
    "Report",
    "import_file",
    "opened",
    "read",
    "stable_id",
]
