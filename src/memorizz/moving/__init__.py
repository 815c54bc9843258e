"""Memories on their way: from one provider to another, and to files and back.

_streams.py    what is moved: a source of documents, and what its documents add up to
_export.py     into a file, and out of it again
_files.py      how a file appears whole or not at all, and what its format is
_manifest.py   what a file says of itself
_lines.py      a file of JSON Lines
_parquet.py    a file of Parquet
"""

from memorizz.moving._export import ExportFile, export, load, opened

__all__ = ["ExportFile", "export", "load", "opened"]
