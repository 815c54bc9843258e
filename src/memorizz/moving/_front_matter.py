"""The front matter of Markdown: YAML 1.2 as its core schema has it, of which nothing but JSON values can come.

A time stays the text that it is written as. Needs PyYAML, the extra `markdown`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from memorizz.errors import ConfigurationError

_BEGIN = re.compile(r"---[ \t]*\r?\n")
_END = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)

_KNOWN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}
# What a scalar without quotes is; anything else is a text: 007 and 12:30 and no, as whoever writes them means it.
_SCALARS: Mapping[re.Pattern[str], Callable[[str], Any]] = {
    re.compile("~|null|Null|NULL|"): lambda text: None,
    re.compile("true|True|TRUE|false|False|FALSE"): lambda text: text.lower() == "true",
    re.compile("[-+]?(?:0|[1-9][0-9]*)"): int,
    re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"): float,
}


def begins(text: str) -> bool:
    """Return True for a text that begins with front matter, whether it ends or not."""
    return _BEGIN.match(text) is not None


def split(text: str) -> tuple[str | None, str]:
    """Return the front matter of a file, None where it has none, and what stands below it.

    Raises ValueError for one that does not end.
    """
    begin = _BEGIN.match(text)
    if begin is None:
        return None, text
    end = _END.search(text, begin.end())
    if end is None:
        raise ValueError("line 1: the front matter that begins here does not end: expected a line of ---")
    return text[begin.end() : end.start()], text[end.end() :]


def parse(front: str) -> dict[str, Any]:
    """Return what front matter says.

    Raises ValueError, with the line in the file, for what is no YAML or no mapping, for tags, aliases and keys that
    stand twice; ConfigurationError where PyYAML is missing.
    """
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise ConfigurationError(
            "front matter is YAML, which PyYAML reads: pip install 'memorizz-postgresql[markdown]'"
        ) from None
    try:
        # BaseLoader takes every scalar for a text, and makes nothing else.
        node: Any = yaml.compose(front, yaml.BaseLoader)
        return {} if node is None else _Reader(yaml).mapping(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(_at(mark, error.problem or error.context)) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _at(mark: Any, problem: str | None) -> str:
    # The first line of a file is the one that begins the front matter.
    return f"line {mark.line + 2}: {problem}" if mark is not None else f"{problem}"


class _Reader:
    """Makes values of the nodes of a document."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._seen: set[int] = set()

    def mapping(self, node: Any) -> dict[str, Any]:
        if not isinstance(node, self._yaml.MappingNode):
            raise ValueError(_at(node.start_mark, "expected keys with values"))  # noqa: TRY004 as all that is wrong
        return self._value(node)

    def _value(self, node: Any) -> Any:
        if id(node) in self._seen:
            # A few lines of them stand for values without end.
            raise ValueError(_at(node.start_mark, "an alias is used for this, and aliases are not read"))
        self._seen.add(id(node))
        if node.tag not in _KNOWN_TAGS:
            raise ValueError(_at(node.start_mark, f"the tag {node.tag!r:.80} is not read"))
        if isinstance(node, self._yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, self._yaml.SequenceNode):
            return [self._value(each) for each in node.value]
        found: dict[str, Any] = {}
        for key, each in node.value:
            if not isinstance(key, self._yaml.ScalarNode):
                raise ValueError(_at(key.start_mark, "a key is no text"))  # noqa: TRY004
            if key.value in found:
                raise ValueError(_at(key.start_mark, f"the key {key.value!r:.80} stands here twice"))
            found[key.value] = self._value(each)
        return found

    @staticmethod
    def _scalar(node: Any) -> Any:
        if node.style is not None:
            return node.value
        for pattern, made in _SCALARS.items():
            if pattern.fullmatch(node.value):
                try:
                    return made(node.value)
                except ValueError:
                    raise ValueError(_at(node.start_mark, "this number has too many digits")) from None
        return node.value
