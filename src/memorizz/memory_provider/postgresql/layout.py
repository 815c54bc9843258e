"""Where the tables of a provider are, and how a text becomes words there."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from memorizz.memory_provider._values import InvalidText


@dataclass(frozen=True, slots=True)
class Layout:
    """A schema of ours in a database.

    `identity` was made with the schema and is the same wherever it is connected to from; `vector_schema` is where
    pgvector is installed. `distributed` says that Citus has spread the stores over several servers, by their tenant.
    """

    schema: str
    identity: str
    vector_schema: str
    text_search_config: str
    on_invalid_text: InvalidText = "error"
    distributed: bool = False

    def table(self, name: str) -> sql.Identifier:
        """Return a table that stands beside those of the stores: settings, stores, embedding_models, and the like."""
        return sql.Identifier(self.schema, f"memorizz_{name}")


# Ends the name of a column whose vectors are not searched: those of another model, while the model changes.
STANDBY = "_standby"


def vector_column(model: int) -> str:
    """Return the name of the column that holds the vectors of an embedding model, by the model's number."""
    return "embedding" if model == 1 else f"embedding_{model}"


def parts_table(store: str) -> str:
    """Return the name of the table that holds the vectors of a store's parts; no store can have it."""
    return f"memorizz_{store}_parts"


def history_table(store: str) -> str:
    """Return the name of the table that holds the changes of a store's documents; no store can have it."""
    return f"memorizz_{store}_history"


def parts_history_table(store: str) -> str:
    """Return the name of the table that holds the changes of its documents' parts; no store can have it."""
    return f"memorizz_{store}_parts_history"


def partition_of(table: str, number: int) -> str:
    """Return the name of a partition of a table of documents, or of that of their parts; no store can have it."""
    return f"{table}{number}" if table.startswith("memorizz_") else f"memorizz_{table}_p{number}"


def lookup_function(store: str) -> str:
    """Return the name of the function that asks the indexes of a store behind the wall (sql/lookup.py)."""
    return f"memorizz_{store}_ids"


def membership_function(store: str) -> str:
    """Return the name of the function that says whether a document is there for a transaction of one memory."""
    return f"memorizz_{store}_has"


def tables_of(store: str) -> tuple[str, ...]:
    """Return the names of all tables with documents of a store, or what was made of them: each has their tenant."""
    return store, parts_table(store), history_table(store), parts_history_table(store)
