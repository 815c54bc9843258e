"""Imports as tests make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import samples_of_stores  # noqa: F401 it adds its own to them
from samples import SAMPLES


@pytest.fixture(params=[pytest.param(make, id=name) for name, make in SAMPLES.items()])
def sample_files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """The files of each format, one format after the other."""
    make: Callable[[Path], list[Path]] = request.param
    folder = tmp_path / "sample"
    folder.mkdir()
    return make(folder)
