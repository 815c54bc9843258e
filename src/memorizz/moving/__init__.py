"""Memories on their way: from one provider to another, and to files and back.

_copy.py       copy: batch by batch, gone on with where it was interrupted
_reading.py    documents on their way out of a source
_compare.py    both sides compared
_dump.py       what mongodump has written
_journal.py    how far a copy has come, on disk
_report.py     what a copy did, or would do
_streams.py    what is moved: a source of documents, and what its documents add up to
_export.py     into a file, and out of it again
_files.py      how a file appears whole or not at all, and what its format is
_manifest.py   what a file says of itself
_lines.py      a file of JSON Lines
_parquet.py    a file of Parquet
"""

from memorizz.moving._copy import copy
from memorizz.moving._dump import Dump
from memorizz.moving._export import ExportFile, export, load, opened
from memorizz.moving._report import Problem, Progress, Report, StoreReport
from memorizz.moving._streams import Source, Stored, dimensions

__all__ = [
    "Dump",
    "ExportFile",
    "Problem",
    "Progress",
    "Report",
    "Source",
    "StoreReport",
    "Stored",
    "copy",
    "dimensions",
    "export",
    "load",
    "opened",
]
