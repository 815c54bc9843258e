"""Values that are strange in the place of any argument: of several lines, too long, or that cannot be written out."""

from __future__ import annotations

from typing import Any

LINES = "a\r\nb\x1b[2J\x85\u2028c"


class Mute:
    """What has no representation at all."""

    def __repr__(self) -> str:
        raise RuntimeError(LINES)


# Strange in the place of anything; of the numbers Python writes out none of more than 4,300 digits.
VALUES: dict[str, Any] = {
    "a text of lines": LINES,
    "a long text": "x\n" * 100_000,
    "a large number": 10**5000,
    "a mute object": Mute(),
    "a list": [LINES, Mute(), 10**5000],
    "a dict": {f"${LINES}": Mute(), Mute(): 1},
}
