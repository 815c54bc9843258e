"""The database of another program: read in one snapshot, row by row, and never written to."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from memorizz.errors import ConfigurationError, InvalidFile, quoted

if TYPE_CHECKING:
    import psycopg

# Rows that are fetched at once: some of them may be large.
_ROWS = 100


class Database(ABC):
    """What an import reads: always the same rows, whatever the program that they are of does meanwhile."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self._most = most

    @cached_property
    def tables(self) -> Mapping[str, Mapping[str, str]]:
        """The tables, of each its columns, and of each column its type."""
        return self._read_tables()

    @abstractmethod
    def _read_tables(self) -> Mapping[str, Mapping[str, str]]: ...

    @abstractmethod
    def rows(self, table: str, columns: Sequence[str], order: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """Yield columns of a table, all as texts or None, in an order; bytes as hexadecimal digits."""

    def _checked(self, row: Sequence[Any], table: str) -> tuple[Any, ...]:
        """Return a row; raises InvalidFile where it is larger than one may be."""
        if sum(len(value) for value in row if value is not None) > self._most:
            reason = f"a row has more than {self._most:,} characters (--max-document-mb raises that)"
            raise InvalidFile(self.name, table, reason)
        return tuple(row)

    def _checked_name(self, name: str) -> str:
        """Return the name of a table or column; raises InvalidFile for one that could be more in a statement."""
        if re.fullmatch(r"\w+", name) is None:
            raise InvalidFile(self.name, quoted(name), "expected a name of letters, digits and underscores")
        return name


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


class _PostgreSQL(Database):
    def __init__(self, connection: psycopg.Connection[Any], name: str, most: int) -> None:
        super().__init__(name, most)
        self._connection = connection

    def _read_tables(self) -> Mapping[str, Mapping[str, str]]:
        with _translated(self.name):
            found = self._connection.execute(
                "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, NULL) "
                "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid "
                "WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped "
                "AND c.relnamespace <> 'pg_catalog'::regnamespace AND pg_catalog.pg_table_is_visible(c.oid) "
                "ORDER BY 1, 2"
            ).fetchall()
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind in found:
            tables.setdefault(table, {})[column] = kind
        return tables

    def rows(self, table: str, columns: Sequence[str], order: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        from psycopg import sql

        statement = sql.SQL("SELECT {} FROM {} t ORDER BY {}").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", column)) for column in columns),
            sql.Identifier(table),
            sql.SQL(", ").join(sql.Identifier("t", column) for column in order),
        )
        # A cursor of the server's: no more than some rows are here at once.
        with _translated(self.name), closing(self._connection.cursor("memorizz_import")) as cursor:
            cursor.itersize = _ROWS
            for row in cursor.execute(statement):
                yield self._checked(row, table)


@contextmanager
def open_postgresql(url: str, most: int) -> Generator[Database]:
    """Open a database by its URL; raises ConfigurationError for a URL that is none, ConnectionFailed."""
    import psycopg

    from memorizz.memory_provider.postgresql import PostgreSQLConfig

    # Says where it is without the password, and refuses what is no URL of a database.
    name = PostgreSQLConfig(dsn=url).where
    with _translated(name):
        connection = psycopg.connect(url, autocommit=False, application_name="memorizz import")
    with closing(connection):
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with _translated(name):
            connection.execute("SET LOCAL TIME ZONE 'UTC'")
            connection.execute("SET LOCAL datestyle TO 'ISO'")
            connection.execute("SET LOCAL idle_in_transaction_session_timeout TO 0")
        yield _PostgreSQL(connection, name, most)


@contextmanager
def _translated(name: str) -> Generator[None]:
    from memorizz.memory_provider.postgresql._errors import DriverError, translated

    try:
        yield
    except DriverError as error:
        raise translated(error, name) from error


# --- SQLite -------------------------------------------------------------------------------------------------------


class SQLite(Database):
    """A file of SQLite."""

    def __init__(self, connection: sqlite3.Connection, name: str, most: int) -> None:
        super().__init__(name, most)
        self._connection = connection

    def _read_tables(self) -> Mapping[str, Mapping[str, str]]:
        with self._damage():
            names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
            return {name: self._columns(name) for (name,) in names.fetchall()}

    def _columns(self, table: str) -> dict[str, str]:
        found = self._connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
        return dict(found.fetchall())

    def rows(
        self, table: str, columns: Sequence[str], order: Iterable[str], *, descending: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        kinds = self.tables.get(table, {})
        wanted = ", ".join(
            f'hex("{name}")' if kinds.get(name) == "BLOB" else f'CAST("{name}" AS TEXT)'
            for name in (self._checked_name(column) for column in columns)
        )
        source = f'"{self._checked_name(table)}"'
        way = "DESC" if descending else "ASC"
        sorted_by = ", ".join(f'"{self._checked_name(name)}" {way}' for name in order)
        # The names have been checked.
        statement = f"SELECT {wanted} FROM {source} ORDER BY {sorted_by}"  # noqa: S608
        with self._damage(table), closing(self._connection.cursor()) as cursor:
            for row in cursor.execute(statement):
                yield self._checked(row, table)

    @contextmanager
    def _damage(self, table: str = "the database") -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InvalidFile(self.name, table, f"it cannot be read on ({error})") from error


@contextmanager
def open_sqlite(path: Path, most: int) -> Generator[SQLite]:
    """Open a file of SQLite; raises ConfigurationError where it cannot be opened."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be opened by SQLite: {error}") from error
    with closing(connection):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
        database = SQLite(connection, str(path), most)
        with database._damage():  # pyright: ignore[reportPrivateUsage]
            # What stands in the file runs nothing.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        yield database


# --- Kuzu ---------------------------------------------------------------------------------------------------------


class _Kuzu(Database):
    """The nodes of each label as a table. Kuzu has all rows of a query in its memory, which is another process's."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(str(path), most)
        self._path = path

    def _read_tables(self) -> Mapping[str, Mapping[str, str]]:
        found = [*self._asked("the database", "CALL show_tables() RETURN name, type")]
        return {name: self._columns(name) for name, kind in found if kind == "NODE"}

    def _columns(self, label: str) -> dict[str, str]:
        return dict(self._asked(label, f"CALL table_info('{self._checked_name(label)}') RETURN name, type"))

    def rows(self, table: str, columns: Sequence[str], order: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        label, *names = (self._checked_name(name) for name in (table, *columns))
        wanted = ", ".join(f"t.`{name}`" for name in names)
        sorted_by = ", ".join(f"t.`{self._checked_name(name)}`" for name in order)
        for row in self._asked(table, f"MATCH (t:`{label}`) RETURN {wanted} ORDER BY {sorted_by}"):
            yield self._checked(row, table)

    def _asked(self, where: str, query: str) -> Iterator[Any]:
        """Yield the rows that a query returns."""
        with (
            TemporaryFile() as errors,
            subprocess.Popen(  # noqa: S603 a program of ours, and no shell reads the arguments
                [sys.executable, "-P", str(_KUZU_READER), str(self._path.absolute()), query],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            ) as process,
        ):  # fmt: skip
            try:
                assert process.stdout is not None
                yield from map(json.loads, process.stdout)
            except GeneratorExit:
                process.kill()
                raise
            code = process.wait()
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").partition("\n")[0]
        if "Could not set lock" in said:
            raise ConfigurationError(f"{self.name} is open in another program: expected it to be closed there")
        if code:
            reason = said or f"Kuzu was ended by signal {-code}, as damage may do"
            raise InvalidFile(self.name, where, f"it cannot be read on ({reason})")


_KUZU_READER = Path(__file__).with_name("_kuzu_reader.py")


def open_kuzu(path: Path, most: int) -> Database:
    """Open a file of Kuzu; raises ConfigurationError where the package that reads one is missing."""
    if find_spec("kuzu") is None:
        raise ConfigurationError(f"{path} is of Kuzu: this needs pip install 'memorizz-postgresql[graphiti]'")
    return _Kuzu(path, most)
