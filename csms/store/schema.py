"""The schema's revision: checked at the start, brought up by ``csms migrate`` (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, inspect, text

from csms.domain.errors import BadDatabase
from csms.store.database import checked, parse_url, writing_engine
from csms.store.server_lock import server_lock


def migrate(url: str) -> None:
    """Create the tables, or bring older ones to this program's schema.

    Raises BadDatabase for a schema newer than this program, a locked file, an unreachable server, one that runs.
    """
    parsed = parse_url(url)
    engine = writing_engine(parsed)
    try:
        lock = checked(parsed, lambda: server_lock(parsed, engine))
        try:
            checked(parsed, lambda: _migrate(parsed, engine))
        finally:
            lock.release()
    finally:
        engine.dispose()


def ensure(url: URL, engine: Engine) -> None:
    """Create the tables of an empty database; refuse any other schema than this program's with BadDatabase."""
    checked(url, lambda: _ensure(url, engine))


def _ensure(url: URL, engine: Engine) -> None:
    with engine.begin() as conn:
        found = _revision(conn)
        is_empty = found is None and not inspect(conn).get_table_names()
    if is_empty:
        return _migrate(url, engine)
    if found == head():
        return None
    if found is None or found in _known():
        raise _refused(url, found, "older than this program", "run `csms migrate`")
    raise _newer(url, found)


def _migrate(url: URL, engine: Engine) -> None:
    with engine.begin() as conn:
        if conn.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('tidewatt migrate'))"))
        found = _revision(conn)
        if found is not None and found not in _known():
            raise _newer(url, found)
        config = _config()
        config.attributes["connection"] = conn
        command.upgrade(config, "head")


def head() -> str:
    """The revision this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _revision(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _newer(url: URL, found: str) -> BadDatabase:
    return _refused(url, found, "newer than this program", "use the newer program")


def _refused(url: URL, found: str | None, what: str, remedy: str) -> BadDatabase:
    return BadDatabase(
        f"database {url.render_as_string()}: its schema {found or 'unknown'} is {what} ({head()}); {remedy}",
        field="database.url",
    )
