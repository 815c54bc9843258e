"""What `memorizz doctor` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from memorizz.cli import _show
from memorizz.memory_provider.postgresql.maintenance import Examination, Finding, IndexFacts, Level, StoreFacts

_VECTOR_INDEXES = ("hnsw", "halfvec")
# Said only where it is on, as a finding.
_UNSAID = "default_transaction_read_only"
_STYLES = {Level.DANGER: "bold red", Level.WARNING: "yellow", Level.NOTE: "cyan"}


def show(where: str, facts: Examination | None, findings: Sequence[Finding]) -> None:
    """Print the page: what it is, what is in it, what was found."""
    _show.say()
    _show.say("memorizz doctor", "bold")
    _show.say()
    about = _show.pairs([("connected to", where)] if facts is None else list(_about(where, facts)))
    _show.show(about, 2)
    if facts is not None and facts.stores:
        _show.say()
        _show.heading("Stores", _show.size(sum(each.table_bytes + each.index_bytes for each in facts.stores)))
        _show.say()
        _show.show(_stores(facts), 2)
    _show.say()
    _show.heading("Findings", _summary(findings))
    _show.say()
    if not findings:
        _show.show(Text("Nothing endangers it, nothing slows it down.", "green"), 2)
    else:
        _show.show(_findings(findings), 2)
    _show.say()


def _about(where: str, facts: Examination) -> Iterator[tuple[str, str | Text]]:
    server, database = facts.server, facts.database
    is_folder = where.startswith("the embedded server")
    yield "connected to", f"{where}, database {database.name}, user {server.user}" if is_folder else where
    vector = f"pgvector {database.vector_version} in schema {database.vector_schema}"
    yield "server", f"PostgreSQL {server.version}, {vector if database.vector_version else 'no pgvector'}"
    yield "schema", _schema(facts)
    yield "rights", _rights(facts)
    yield "connections", f"{server.connections} of {server.connections_allowed} in use"
    yield "settings", ", ".join(f"{name} {value}" for name, value in facts.settings.items() if name != _UNSAID)


def _schema(facts: Examination) -> str:
    parts = [facts.database.schema or "none"]
    if facts.applied:
        last = facts.applied[-1]
        parts.append(f"version {last.version} since {_show.when(last.at)}")
        parts.append(f"{len(facts.pending)} migration(s) pending" if facts.pending else "nothing pending")
    else:
        parts.append("no tables yet")
    if facts.facts is not None:
        model = facts.facts.model
        method = next((index.method for index in facts.indexes if _is_searched(index)), "no")
        named = "" if model.name is None else f" by {model.name}"
        parts.append(f"vectors of {model.dimensions} dimensions{named}, {method} index")
        parts.append(f"words in {facts.facts.layout.text_search_config.removeprefix('pg_catalog.')}")
    return ", ".join(parts)


def _is_searched(index: IndexFacts) -> bool:
    return index.method in _VECTOR_INDEXES and not index.standby


def _rights(facts: Examination) -> Text:
    rights = facts.rights
    named = {
        "read": rights.read,
        "write": rights.write,
        "make tables": rights.create_tables,
        "make schemas": rights.create_schemas,
        "make the extension": rights.create_extension,
    }
    shown = [Text(name) if may else Text(f"not: {name}", "yellow") for name, may in named.items() if may is not None]
    return Text(", ").join(shown)


def _stores(facts: Examination) -> Table:
    vectors = {index.store: index for index in facts.indexes if _is_searched(index)}
    columns = {"store": _show.LEFT} | dict.fromkeys(
        ("rows", "embedded", "expired", "table", "indexes", "vector\nindex", "used"), _show.RIGHT
    )
    return _show.table(columns, [_store(store, vectors.get(store.name)) for store in facts.stores])


def _store(store: StoreFacts, vectors: IndexFacts | None) -> list[str | Text]:
    size = "none" if vectors is None else _show.size(vectors.bytes) if vectors.valid else Text("invalid", "yellow")
    return [
        store.name,
        _show.number(store.rows, estimated=store.estimated),
        _show.number(store.with_embedding, estimated=store.estimated),
        _show.number(store.expired),
        _show.size(store.table_bytes),
        _show.size(store.index_bytes),
        size,
        "" if vectors is None else f"{vectors.scans:,}",
    ]


def _summary(findings: Sequence[Finding]) -> str:
    counted = Counter(finding.level for finding in findings)
    return ", ".join(f"{counted[level]} {level}{'s' * (counted[level] > 1)}" for level in Level if counted[level])


def _findings(findings: Sequence[Finding]) -> Table:
    found = Table.grid(padding=(0, 2, 0, 0))
    found.add_column(no_wrap=True)
    found.add_column(ratio=1)
    for finding in findings:
        found.add_row(Text(finding.level, _STYLES[finding.level]), Text(_show.plain(finding.text)))
        if finding.advice:
            found.add_row("", Text.assemble(("do  ", "dim"), _show.plain(_show.to_type(finding.advice))))
    return found
