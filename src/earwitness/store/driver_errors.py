"""Where the databases' errors become ours: once, with their cause kept.

An error of the database's surroundings (away, locked, disk full) becomes StoreUnavailable. An error of ours (a
misspelt statement, a broken constraint) passes unchanged, because only a change of the code can mend it.

Why PostgreSQL did not let us in is told apart by its words: a refusal during the connection has no number (SQLSTATE) in
libpq, only a text, which a server in another language translates. What is not known here becomes "PostgreSQL is away".
The sentences name no host, role or database, because clients of the service see them.
"""

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy.exc

from earwitness.errors import BadRequest, EarwitnessError, RecordDamaged, StoreDamaged, StoreFull, StoreUnavailable
from earwitness.log import frames_of

_RowT = TypeVar("_RowT")
_RecordT = TypeVar("_RecordT")
_ErrorT = TypeVar("_ErrorT", bound=Exception)

_log = logging.getLogger("earwitness.store")

_SQLITE_ADVICE = {
    "SQLITE_BUSY": "another process has the database locked; end it, or try again",
    "SQLITE_LOCKED": "another process has the database locked; end it, or try again",
    "SQLITE_PROTOCOL": "another process has the database locked; end it, or try again",
    "SQLITE_FULL": "the records' disk is full; make room, or delete something, and try again",
    "SQLITE_IOERR": "the disk does not answer as it should; see the machine's logs",
    "SQLITE_CANTOPEN": "the database file cannot be opened; look at the folder's rights and the disk",
    "SQLITE_READONLY": "the database file cannot be written; look at its rights and the disk",
    "SQLITE_NOMEM": "there is not enough memory; try again",
    "SQLITE_INTERRUPT": "the store is closing; try again",
}

_SQLITE_DAMAGE = {
    "SQLITE_CORRUPT": "the database file is damaged; restore it from a backup",
    "SQLITE_NOTADB": "the file is no database; look at the store's address, or restore it from a backup",
}

_NOT_OURS = (
    "no such table",
    "no such column",
    "already exists",
    "unsupported file format",
    "malformed database schema",
    "could not decode to utf-8",
)
"""What SQLite and its driver say in words alone, of a file that is not as our migrations made it."""

_POSTGRES_READ_ONLY = "25006"
"""The server we reach became a replica."""

_POSTGRES_FULL = "53100"

_POSTGRES_SURROUNDINGS = {
    _POSTGRES_READ_ONLY,
    "42501",  # the role may not do this
    "25P03",  # the connection was idle in a transaction for too long: this process was stopped, or had no turn
}
_POSTGRES_COLLISIONS = {"40P01", "40001"}  # deadlock, serialization failure


_REFUSED_OPTIONS = ("unsupported startup parameter", "command-line options")
"""What PgBouncer and Amazon's RDS Proxy say."""

_SILENT = "earwitness_silent"
"""An attribute of errors of connections that were given up, because the server did not answer."""

_URL = "EARWITNESS_STORE_URL"
_SEE = "docs/records.md has the commands"

_NO_CHANGES = "PostgreSQL takes no changes: it is a standby, or default_transaction_read_only is on"

_REFUSALS = (
    ("timeout expired", f"PostgreSQL's host does not answer; look at host and port in {_URL}, and at firewalls"),
    ("password authentication failed", f"PostgreSQL knows no such role, or the password is wrong; correct {_URL}"),
    ("no password supplied", f"PostgreSQL asks for a password; add it to {_URL}, as in postgresql://ROLE:PASSWORD@…"),
    ("authentication failed", f"PostgreSQL does not accept this role; correct {_URL}, or the server's pg_hba.conf"),
    (
        "no pg_hba.conf entry",
        "PostgreSQL's pg_hba.conf lets this role in from elsewhere only, or with TLS only; add it",
    ),
    ("is not permitted to log in", f"the role may not log in to PostgreSQL; ALTER ROLE … LOGIN, or correct {_URL}"),
    ("permission denied for database", f"the role may not connect to this database; make it the owner ({_SEE})"),
    ("permission denied", f"the role may not use what is in this database; make it the owner ({_SEE})"),
    ("failed to resolve host", f"no address is known for PostgreSQL's host; correct {_URL}, or the machine's DNS"),
    (
        "could not translate host name",
        f"no address is known for PostgreSQL's host; correct {_URL}, or the machine's DNS",
    ),
    ("does not support ssl", f"PostgreSQL does not speak TLS; switch its ssl on, or leave sslmode out of {_URL}"),
    ("certificate", f"PostgreSQL's certificate is not trusted; correct sslmode and sslrootcert in {_URL}"),
    ("ssl error", f"PostgreSQL and earwitness do not agree on TLS; correct sslmode and sslrootcert in {_URL}"),
    ("invalid sslmode", f"sslmode in {_URL} is none that PostgreSQL knows; verify-full is the safe one"),
    ("invalid uri query parameter", f"{_URL} has a parameter that PostgreSQL does not know; correct it"),
    ("invalid connection option", f"{_URL} has a parameter that PostgreSQL does not know; correct it"),
    ("read-only transaction", _NO_CHANGES),
    ("session is read-only", _NO_CHANGES),
    ("server is in hot standby mode", _NO_CHANGES),
    ("connection refused", f"nothing listens at PostgreSQL's host and port; start it, or correct {_URL}"),
    ("does not answer", "PostgreSQL does not answer; look whether its processes and its disk stand still"),
    (
        "too many clients",
        "PostgreSQL has no connection left; raise its max_connections, or lower store_connections of EARWITNESS_LIMITS",
    ),
    ("connection slots are reserved", "PostgreSQL has no connection left; raise its max_connections"),
    ("the database system is", "PostgreSQL is starting or stopping; try again"),
)
"""By words of libpq's or the server's message, in lower case; the first that fits counts."""


@contextmanager
def translating_errors() -> Generator[None]:
    """Raise what the database's errors mean, in place of them."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, UnicodeEncodeError) as error:
        meaning = translated(error)
        if meaning is error:
            raise
        raise meaning from _cause(error)


def translated(error: Exception) -> Exception:
    """Return what the error means to a caller; the error itself when it is one of ours."""
    inner = error.orig if isinstance(error, sqlalchemy.exc.StatementError) else error
    if isinstance(inner, EarwitnessError):  # a value that a column refused while it was bound
        return inner
    if isinstance(inner, UnicodeEncodeError):  # the same, of a read that is compiled
        return BadRequest("a text holds half of a surrogate pair; leave it out")
    if isinstance(inner, sqlite3.Error):
        return _sqlite_meaning(inner) or error
    if _sqlstate(error) == _POSTGRES_FULL:
        return StoreFull("the disk of PostgreSQL is full; make room there, and try again")
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) or (
        _sqlstate(error) in _POSTGRES_SURROUNDINGS or _is_wrong_address(error)
    ):
        return StoreUnavailable(
            _refusal(str(inner)) or "PostgreSQL is away, locked or full; see its logs, and try again"
        )
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return StoreUnavailable("all connections to PostgreSQL are in use; try again")
    return error


def convert(make: Callable[[_RowT], _RecordT], row: _RowT) -> _RecordT:
    """Return what `make` makes of a row.

    Raise RecordDamaged when the row holds what nobody can have written: the file is damaged in a place that the
    database does not check.
    """
    try:
        return make(row)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        context = {"error": type(error).__name__, "frames": frames_of(error)}
        _log.error("a record is damaged; restore the database from a backup", extra=context)
        raise RecordDamaged("a record is damaged; restore the database from a backup") from error


def is_collision(error: Exception) -> bool:
    """Return whether PostgreSQL ended one of two transactions that met, so that running it again will do."""
    return _sqlstate(error) in _POSTGRES_COLLISIONS


def is_refused_option(error: sqlalchemy.exc.OperationalError) -> bool:
    """Return whether a connection pooler does not take the options that a connection begins with."""
    return any(words in str(error.orig).lower() for words in _REFUSED_OPTIONS)


def is_read_only(driver_error: BaseException) -> bool:
    """Return whether PostgreSQL takes no changes over this connection, as a replica does."""
    return getattr(driver_error, "sqlstate", None) == _POSTGRES_READ_ONLY


def mark_silent(error: _ErrorT) -> _ErrorT:
    """Return the driver's error, marked as that of a server which did not answer in time."""
    setattr(error, _SILENT, True)
    return error


def is_silent(error: Exception) -> bool:
    """Return whether the server did not answer in time, so that trying again costs that time again."""
    inner = error.orig if isinstance(error, sqlalchemy.exc.StatementError) else error
    return getattr(inner, _SILENT, False)


def is_busy(error: BaseException | None) -> bool:
    """Return whether SQLite met somebody else's lock, so that waiting may help."""
    inner = error.orig if isinstance(error, sqlalchemy.exc.StatementError) else error
    return isinstance(inner, sqlite3.Error) and _sqlite_family(inner) == "SQLITE_BUSY"


def _sqlstate(error: Exception) -> str | None:
    """Return PostgreSQL's own number of an error, read without loading its driver, which SQLite's users need not."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, sqlalchemy.exc.DBAPIError) else None


def _is_wrong_address(error: Exception) -> bool:
    """Return whether libpq refused the address before it connected, for which there is no number either."""
    return isinstance(error, sqlalchemy.exc.ProgrammingError) and _sqlstate(error) is None


def _sqlite_meaning(error: sqlite3.Error) -> StoreUnavailable | None:
    family = _sqlite_family(error)
    if family in _SQLITE_ADVICE:
        kind = StoreFull if family == "SQLITE_FULL" else StoreUnavailable
        return kind(_SQLITE_ADVICE[family])
    if family in _SQLITE_DAMAGE:
        return StoreDamaged(_SQLITE_DAMAGE[family])
    if any(words in str(error).lower() for words in _NOT_OURS):
        return StoreDamaged(
            "the database does not hold earwitness's tables as they should be; restore it from a backup"
        )
    return None


def _sqlite_family(error: sqlite3.Error) -> str:
    name: str = getattr(error, "sqlite_errorname", "")
    return "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR


def _cause(error: Exception) -> Exception | None:
    """Return the cause to keep; none for a refused value, because the database's message quotes it."""
    inner = error.orig if isinstance(error, sqlalchemy.exc.StatementError) else error
    return None if isinstance(inner, EarwitnessError | UnicodeEncodeError) else error


def _refusal(message: str) -> str | None:
    """Return what happened and what to do, or None for a text that says nothing that is known here."""
    lowered = message.lower()
    if 'database "' in lowered and "does not exist" in lowered and "fatal" in lowered:
        return f"PostgreSQL has no such database; create it ({_SEE}), or correct {_URL}"
    if 'role "' in lowered and "does not exist" in lowered and "fatal" in lowered:
        return f"PostgreSQL has no such role; create it ({_SEE}), or correct {_URL}"
    return next((sentence for words, sentence in _REFUSALS if words in lowered), None)
