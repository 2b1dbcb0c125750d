"""Opening a database: its schema, its lock, and one clear line for everything that is wrong."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from csms.domain.errors import BadDatabase
from csms.store import migrate, open_store, reads
from csms.store.database import parse_url, writing_engine
from csms.store.tables import METADATA


def test_the_migrated_schema_is_the_one_the_tables_say(conn: Connection) -> None:
    context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
    assert compare_metadata(context, METADATA) == []


async def test_a_new_database_gets_its_tables(empty_url: str) -> None:
    store = open_store(empty_url)
    assert (await store.read(reads.counts)).plug_ins == 0
    await store.close()
    migrate(empty_url)


async def test_an_opened_database_can_be_opened_again(url: str) -> None:
    for _ in range(2):
        await open_store(url, exclusive=True).close()


def test_an_older_schema_is_refused_until_it_is_migrated(empty_url: str) -> None:
    _execute(empty_url, "CREATE TABLE something (id INTEGER)")
    with pytest.raises(BadDatabase, match=r"older than this program .*; run `csms migrate`$"):
        open_store(empty_url)


def test_a_newer_schema_is_refused_with_both_revisions(empty_url: str) -> None:
    migrate(empty_url)
    _execute(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    for use in (open_store, migrate):
        with pytest.raises(BadDatabase, match=r"its schema 9999 is newer than this program \(\d{4}\)"):
            use(empty_url)


def _execute(url: str, statement: str) -> None:
    engine = writing_engine(parse_url(url))
    with engine.begin() as conn:
        conn.execute(text(statement))
    engine.dispose()


async def test_a_second_server_is_refused_and_a_command_beside_it_is_not(url: str) -> None:
    server = open_store(url, exclusive=True)
    with pytest.raises(BadDatabase, match="another server uses it"):
        open_store(url, exclusive=True)
    beside = open_store(url)
    await beside.writer.run(lambda conn: conn.execute(text("DELETE FROM secret")).rowcount)
    await beside.close()
    await server.close()
    await open_store(url, exclusive=True).close()


def test_a_locked_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csms.store.database.BUSY_TIMEOUT_S", 0.01)
    url = f"sqlite:///{tmp_path / 'busy.db'}"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "busy.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        _check_one_line(url, "locked by another program")


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 100)
    _check_one_line(f"sqlite:///{tmp_path / 'letter.txt'}", "is no SQLite database")


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_missing_folder_is_one_line(tmp_path: Path, exclusive: bool) -> None:
    _check_one_line(f"sqlite:///{tmp_path / 'none' / 'x.db'}", "cannot be", exclusive=exclusive)


def test_an_unreachable_server_is_one_line() -> None:
    _check_one_line("postgresql+psycopg://nobody:hidden@127.0.0.1:1/none", r"cannot be used \(.*check \[database\] url")


@pytest.mark.parametrize("url", ["", "sqlite://", "mysql://x/y", "sqlite:///:memory:", "postgresql://x/y"])
def test_another_kind_of_url_is_one_line_with_the_remedy(url: str) -> None:
    _check_one_line(url, "write sqlite:///file.db or postgresql\\+psycopg://")


def _check_one_line(url: str, expected: str, *, exclusive: bool = False) -> None:
    with pytest.raises(BadDatabase, match=expected) as caught:
        open_store(url, exclusive=exclusive)
    message = str(caught.value)
    assert "\n" not in message
    assert "hidden" not in message
    assert caught.value.field == "database.url"
