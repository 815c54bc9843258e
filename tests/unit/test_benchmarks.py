"""What is measured, as far as it can be told without measuring."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.operations import NOT_COMPARED
from benchmarks.reading import READING
from benchmarks.writing import WRITING

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_every_public_operation_is_compared_with_sql_by_hand_or_said_why_not() -> None:
    """A new method has a row in the benchmarks, or a reason to have none."""
    methods = _REFERENCE.read_text("utf-8").partition("\n## Methods\n")[2].partition("\n## ")[0]
    public = {name for name in re.findall(r"^### (\w+)$", methods, re.MULTILINE) if name.islower()}
    compared = {operation.name.partition(":")[0] for operation in READING + WRITING}
    assert compared | NOT_COMPARED.keys() == public
    assert not compared & NOT_COMPARED.keys()
