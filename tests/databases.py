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
def copied_database(template: str, folder: Path) -> Iterator[str]:
    """URL of a copy of a database that nobody uses now (much faster than migrating each time); gone afterwards."""
    if template.startswith("sqlite:///"):
        copy = folder / f"{uuid4().hex}.db"
        copy.write_bytes(Path(template.removeprefix("sqlite:///")).read_bytes())
        yield f"sqlite:///{copy}"
        return
    name, original = _new_name(), template.rsplit("/", 1)[1]
    administer(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(original)))
    try:
        yield postgres_url(name)
    finally:
        drop(name)


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
