"""Words that MongoDB's text index misses, as terms that it can keep: those that PostgreSQL's provider finds too.

The index knows no words in scripts without spaces, and keeps what people call by a part of it whole. Such terms are
made of each name, role and content, stored beside it, and added to the words of a question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Vowel points, directional marks and other characters that are not seen.
_UNSEEN = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2069\ufe0f\ufeff]+"
)
# Of a run of combining marks ten are kept: to put a run in its normal order takes time by its square.
_MARKS = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a\u07eb-\u07f3"
    "\u0816-\u082d\u0859-\u085b\u0898-\u08ff\u0e38-\u0e3a\u0e48-\u0e4b\u0eb8-\u0ebb\u0ec8-\u0ecb\u0f18-\u0f87"
    "\u135d-\u135f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe20-\ufe2f]"
)
_MANY_MARKS = re.compile(f"({_MARKS}{{10}}){_MARKS}+")
# Thai, Lao, Burmese, Khmer, Hangul, Han, kana, and emoji.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2600-\u27bf\u2b00-\u2bff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff"
    "\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff\U0001f000-\U0001faff"
    "\U00020000-\U0003ffff]+"
)
# The index takes an apostrophe for a part of its word.
_IN_ONE_PIECE = re.compile(r"[^\W_][-._/#@:+=?&%~\\'\u2019]+[^\W_]|[a-z][A-Z]|[A-Z][A-Z][a-z]")
_WORD = re.compile(r"[^\W_]+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[^\WA-Z_]+")
_SEMITIC = re.compile("[\u0621-\u064a\u0671-\u06d3]{3,}|[\u05d0-\u05ea]{3,}")
_ARTICLE = re.compile(
    "^(?:[\u0648\u0641\u0628\u0643]?\u0627\u0644|\u0644\u0644|[\u05d5\u05e9\u05db\u05d1\u05dc\u05de]?\u05d4)(?=..)"
)
# One spelling of alef, yeh and teh marbuta.
_SPELLING = str.maketrans("\u0623\u0625\u0622\u0671\u0649\u0629", "\u0627\u0627\u0627\u0627\u064a\u0647")
# Of longer texts the beginning is searched, as on PostgreSQL.
_MAX_TEXT = 50_000


def stored_terms(text: str) -> str:
    """Return the further terms of a text that is stored, with spaces between them."""
    return " ".join(dict.fromkeys(_terms(text, alone=True)))


def asked_terms(question: str) -> list[str]:
    """Return the further terms of a question; a character is a term of its own only where it stands alone."""
    return list(dict.fromkeys(_terms(question, alone=False)))


def _terms(text: str, *, alone: bool) -> Iterator[str]:
    given = text[:_MAX_TEXT]
    text = _UNSEEN.sub("", unicodedata.normalize("NFKC", _MANY_MARKS.sub(r"\1", given)))
    for piece in text.split():
        if _UNSPACED.search(piece) or piece not in given:
            yield from _WORD.findall(_UNSPACED.sub(" ", piece))
        if _IN_ONE_PIECE.search(piece):
            yield from _PARTS.findall(piece)
    for word in _SEMITIC.findall(text):
        yield _ARTICLE.sub("", word).translate(_SPELLING)
    for run in _UNSPACED.findall(text):
        if alone or len(run) == 1:
            yield from map(_as_term, run)
        for place in range(len(run) - 1):
            yield _as_term(run[place : place + 2])


def _as_term(characters: str) -> str:
    """Return a term of letters and digits alone: some of these characters would part it, others would be folded."""
    return "u" + "u".join(f"{ord(each):x}" for each in characters)
