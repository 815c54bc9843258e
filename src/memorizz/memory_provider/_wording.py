"""What the wording of a text tells: whether it asks something, asks when, or says when."""

from __future__ import annotations

import re
from collections.abc import Mapping

# The marks that end a question, and what may stand behind them. Python's and PostgreSQL's regular expressions read
# these alike, all but a space that does not break, which PostgreSQL's \s leaves out. A semicolon is a question mark in
# Greek alone.
_BEHIND = r"""[\s\u00a0\u2007\u202f"'\u2019\u201d\u00bb\u300d\u300f\uff09)\]]*$"""
QUESTION = r"[?\uff1f\u061f\u037e]" + _BEHIND
GREEK_QUESTION = r"[\u0370-\u03ff\u1f00-\u1fff][^.!;]*;" + _BEHIND
# Of a long text so many characters are looked at: the last ones for a question, the first ones for a time.
END, BEGINNING = 200, 10_000

# How a question that a time answers begins, in the languages of text search configurations.
_ASKS_WHEN: Mapping[str, str] = {
    "english": "when|what (?:day|date|month|year|time)|which (?:day|month|year)|how long ago",
    "german": "wann|seit wann|welche[mnrs]? (?:tag|datum|monat|jahr|uhrzeit)|wie lange",
    "french": "quand|quel(?:le)? (?:jour|date|mois|ann\u00e9e|heure)",
    "spanish": "cu\u00e1ndo|cuando|qu\u00e9 (?:d\u00eda|fecha|mes|a\u00f1o|hora)",
    "italian": "quando|(?:che|quale) (?:giorno|data|mese|anno|ora)",
}
# Words that tell a time.
_SAYS_WHEN: Mapping[str, str] = {
    "english": "yesterday|today|tomorrow|tonight|ago|(?:last|next|this|past|every) "
    "(?:night|day|morning|evening|week|weekend|month|year|spring|summer|fall|autumn|winter|[a-z]+day)|weekend|"
    "(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august|september|october|"
    "november|december|recently|just now|(?:in|since) (?:may|[0-9]{4})",
    "german": "gestern|vorgestern|heute|morgen|neulich|k\u00fcrzlich|(?:letzte|n\u00e4chste|vorige|diese)[mnrs]? "
    "(?:woche|monat|jahr|nacht|sommer|winter|wochenende)|vor [a-z0-9]+ (?:tag|woche|monat|jahr)(?:en|n|e)?|"
    "(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|januar|februar|m\u00e4rz|april|juni|juli|"
    "august|september|oktober|"
    "november|dezember|(?:im|seit) (?:mai|[0-9]{4})",
    "french": "hier|avant-hier|aujourd.hui|demain|r\u00e9cemment|il y a|(?:semaine|mois|ann\u00e9e|"
    "an|\u00e9t\u00e9|hiver) "
    "(?:dernier|derni\u00e8re|prochain|prochaine)|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|janvier|"
    "f\u00e9vrier|avril|juin|juillet|ao\u00fbt|septembre|octobre|novembre|d\u00e9cembre|(?:en|"
    "depuis) (?:mars|mai|[0-9]{4})",
    "spanish": "ayer|anteayer|hoy|anoche|recientemente|hace [a-z0-9]+ (?:d\u00edas?|semanas?|mes|meses|a\u00f1os?)|"
    "(?:semana|mes|a\u00f1o|verano|invierno) (?:pasad[oa]|pr\u00f3xim[oa])|lunes|martes|mi\u00e9rcoles|jueves|viernes|"
    "s\u00e1bado|domingo|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|"
    "(?:en|desde) [0-9]{4}",
    "italian": "ieri|oggi|domani|stasera|recentemente|(?:giorn[oi]|settiman[ae]|mes[ei]|ann[oi]) fa|"
    "(?:settimana|mese|anno|estate|inverno) (?:scors[oa]|prossim[oa])|luned\u00ec|marted\u00ec|"
    "mercoled\u00ec|gioved\u00ec|"
    "venerd\u00ec|sabato|domenica|gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|"
    "dicembre|nel [0-9]{4}",
}


def _language(config: str) -> str:
    """Return the language of a text search configuration, which may be named with its schema."""
    return config.rpartition(".")[2]


def asks_when(question: str | None, config: str) -> bool:
    """Return True if a time answers a question; False in a language that there are no words for."""
    begins = _ASKS_WHEN.get(_language(config))
    if question is None or begins is None:
        return False
    return re.search(rf"\b(?:{begins})\b", question[:BEGINNING], re.IGNORECASE) is not None


def time_words(config: str) -> str:
    """Return the alternatives of a regular expression for what tells a time; nothing matches it without words."""
    return _SAYS_WHEN.get(_language(config), "")


def is_question(text: str) -> bool:
    """Return True if a text ends with a question mark."""
    end = text[-END:]
    return re.search(QUESTION, end) is not None or re.search(GREEK_QUESTION, end) is not None


def says_when(text: str, config: str) -> bool:
    """Return True if a text tells a time."""
    words = time_words(config)
    return bool(words) and re.search(rf"\b(?:{words})\b", text[:BEGINNING], re.IGNORECASE) is not None
