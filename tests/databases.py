"""Throw-away databases for tests: a SQLite file, or a database of its own on the PostgreSQL server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.servers import POSTGRES

ENGINES = (pytest.param("sqlite", id="sqlite"), pytest.param("postgres", id="postgres", marks=pytest.mark.postgres))
"""For ``pytest.mark.parametrize`` and ``pytest.fixture(params=…)``: everything that stores is tested on both."""


@contextmanager
def empty_database(engine: str, folder: Path) -> Iterator[str]:
    """URL of a database without tables, gone afterwards."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / f'{uuid4().hex}.db'}"
        return
    name = _new_name()
    administer(SQL("CREATE DATABASE {}").format(Identifier(name)))
    try:
        yield postgres_url(name)
    finally:
        drop(name)


@contextmanager
def fresh_database(template: str, folder: Path) -> Iterator[str]:
    """URL of a migrated database without rows: a copy of the SQLite file, or the PostgreSQL one itself, emptied after.

    One test at a time may use a PostgreSQL template; making a database for each costs seconds.
    """
    if template.startswith("sqlite:///"):
        copy = folder / f"{uuid4().hex}.db"
        copy.write_bytes(Path(template.removeprefix("sqlite:///")).read_bytes())
        yield f"sqlite:///{copy}"
        return
    try:
        yield template
    finally:
        _delete_rows(template)


def _delete_rows(url: str) -> None:
    """Delete every row, also of the tables that are append-only, in any order: as a replica no trigger acts."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        named = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = [name for (name,) in named if name != "alembic_version"]
        deletes = [SQL("DELETE FROM {}").format(Identifier(name)) for name in tables]
        conn.execute(SQL("; ").join([SQL("SET session_replication_role = replica"), *deletes]))


def postgres_url(database: str) -> str:
    """URL of a database of the test server, as the program takes it."""
    return f"postgresql+psycopg://{POSTGRES}/{database}"


def drop(database: str) -> None:
    """Drop a database, whoever is still connected."""
    administer(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(database)))


def administer(statement: SQL | psycopg.sql.Composed) -> None:
    """One statement outside a transaction, in the server's database ``test``."""
    with psycopg.connect(f"postgresql://{POSTGRES}/test", autocommit=True, connect_timeout=5) as conn:
        conn.execute(statement)


def _new_name() -> str:
    return f"tidewatt_{uuid4().hex}"
