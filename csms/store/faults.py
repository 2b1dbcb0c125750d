"""Whose fault it is that a write failed: the database's, which is waited for, or the write's own."""

import sqlite3
from enum import Enum, auto
from typing import Any, Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError, StatementError

from csms.domain.errors import BadDatabase, Conflict, CsmsError


class Blame(Enum):
    """``DATABASE``: no write can be stored until it recovers or people mend it. ``WRITE``: this one never can be."""

    DATABASE = auto()
    WRITE = auto()
    UNKNOWN = auto()


def blame_for(error: BaseException) -> Blame:
    """Whose fault an error is. What is not known to be either's is UNKNOWN: nothing is concluded from it alone."""
    if isinstance(error, DBAPIError):
        return _blame_of_driver(error)
    if isinstance(error, StatementError):  # a value that could not be handed to the driver
        return Blame.WRITE
    if isinstance(error, SQLAlchemyError):
        return Blame.UNKNOWN
    return Blame.DATABASE if isinstance(error, OSError | MemoryError) else Blame.WRITE


def _blame_of_driver(error: DBAPIError) -> Blame:
    code = getattr(error.orig, "sqlite_errorcode", None)
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated:
        return Blame.DATABASE
    if code is not None:
        return _SQLITE.get(code & 0xFF, Blame.UNKNOWN)
    if state is not None:
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2], Blame.UNKNOWN)
    return _WITHOUT_CODE.get(type(error), Blame.UNKNOWN)


def _each(names: str, blame: Blame) -> dict[str, Blame]:
    return dict.fromkeys(names.split(), blame)


def _coded(names: str, blame: Blame) -> dict[int, Blame]:
    return {getattr(sqlite3, f"SQLITE_{name}"): blame for name in names.split()}


_SQLITE: Final = _coded(
    "BUSY LOCKED NOMEM IOERR FULL CANTOPEN PROTOCOL INTERRUPT ABORT READONLY PERM AUTH CORRUPT NOTADB", Blame.DATABASE
) | _coded("CONSTRAINT TOOBIG MISMATCH RANGE", Blame.WRITE)

_POSTGRES: Final = _each("08 25 28 3D 40 42501 53 55 57 58 F0", Blame.DATABASE) | _each("21 22 23 54", Blame.WRITE)
"""SQLSTATE classes. Connection, transaction state (read-only), authorization, no such database, rollback (deadlock),
privilege, resources (disk full), lock, operator (time-out, shutdown), system, configuration; cardinality, data,
constraint, program limit."""

_WITHOUT_CODE: Final[dict[type[Any], Blame]] = {
    OperationalError: Blame.DATABASE,
    DataError: Blame.WRITE,
    IntegrityError: Blame.WRITE,
}
"""What the driver found before it asked the server."""


def as_domain_error(error: BaseException, where: str) -> CsmsError:
    """What callers outside this package see of a database's error."""
    if isinstance(error, IntegrityError):
        return Conflict(f"this does not fit what is stored already ({line_of(error)})")
    return BadDatabase(f"{where}: {line_of(error)}")


def line_of(error: BaseException) -> str:
    """The first line of what the database said."""
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip()
    return text.splitlines()[0] if text else type(cause).__name__
