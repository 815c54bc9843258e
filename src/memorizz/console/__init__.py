"""A memory to look at, in a browser: `memorizz console`.

    _app.py         the application: its pages, what opens and closes with it
    _gate.py        who may reach it
    _page.py        one request: what it is about, and how it is answered
    _sight.py       whose memories a page shows, and as of when
    _show.py        how values are written for people
    _overview.py    what there is
    _memories.py    lists, and what a search finds
    _document.py    one document, whole
    _conversations.py  conversations, read as a chat
    _map.py         vectors as points
    _changes.py     what changes something, with --write
    _health.py      sizes, indexes, growth, the doctor
    _course.py      what was noted of the stores, as lines
    templates/, assets/   what browsers get; nothing is fetched from elsewhere

Pages are made on the server, by the contract alone, and work without scripts. Needs the extra `console`.
"""

try:
    from memorizz.console._app import Console, app, serve
except ImportError as error:
    from memorizz.integrations._providers import missing

    raise missing(error, "console") from error

__all__ = ["Console", "app", "serve"]
