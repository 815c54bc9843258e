"""Memories on their way: from one provider to another, and to files and back.

_copy.py       copy: batch by batch, gone on with where it was interrupted
_reading.py    documents on their way out of a source
_limits.py     how much of them is in memory at once
_compare.py    both sides compared
_dump.py       what mongodump has written
_journal.py    how far a copy has come, on disk
_report.py     what a copy did, or would do
_streams.py    what is moved: a source of documents, and what its documents add up to
_export.py     into a file
_load.py       out of a file again
_files.py      how a file appears whole or not at all, and what its format is
_manifest.py   what a file says of itself
_lines.py      a file of JSON Lines
_parquet.py    a file of Parquet
_pages.py      how much memory it would take
_markdown.py   a folder with a file for each document
_mem0.py       a list as mem0 has it
graph.py       the memory file of the reference memory server of MCP
"""

from memorizz.moving._copy import copy
from memorizz.moving._dump import Dump
from memorizz.moving._export import Exported, export
from memorizz.moving._files import is_export
from memorizz.moving._load import ExportFile, load, opened
from memorizz.moving._report import Problem, Progress, Report, StoreReport
from memorizz.moving._streams import ProviderSource, Source, dimensions

__all__ = [
    "Dump",
    "ExportFile",
    "Exported",
    "Problem",
    "Progress",
    "ProviderSource",
    "Report",
    "Source",
    "StoreReport",
    "copy",
    "dimensions",
    "export",
    "is_export",
    "load",
    "opened",
]
