"""Bring a database to this version's schema, or say why not.

A new database gets the tables at once, an older one by migrations; a test holds the one against the other. Alembic is
loaded only when there is something to migrate: to load it takes longer than to make all tables.
"""

from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select, update

from earwitness.errors import SchemaTooNew, StoreError
from earwitness.store.schema import HEAD, alembic_version, metadata

_FOLDER = Path(__file__).parent / "migrations"
RESTORING = "restoring"
"""The revision of a database that a restore has not finished: nobody opens it."""

_BEFORE_0_2_0 = {"0001", "0002"}
"""Revisions whose databases have a part of what 0003 makes; 0003 adds the rest."""


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None when it has no schema yet."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar()


def make_once(connection: Connection) -> None:
    """Make this version's tables in the connection's transaction, unless another process has made them meanwhile."""
    if current_revision(connection) is None:
        metadata.create_all(connection, checkfirst=False)
        alembic_version.create(connection, checkfirst=False)
        connection.execute(insert(alembic_version).values(version_num=HEAD))


def migrate(connection: Connection) -> None:
    """Run what is missing, in the connection's transaction; raise SchemaTooNew when the database knows more than we."""
    revision = current_revision(connection)
    require_known(revision)
    if revision in _BEFORE_0_2_0:
        connection.execute(delete(alembic_version))  # Alembic knows no migration of this number any more
    _upgrade(connection, "head")


def make_at(connection: Connection, revision: str) -> None:
    """Make the tables of this revision in an empty database; raise SchemaTooNew when we know none of this name."""
    require_known(revision)
    if revision == HEAD:
        make_once(connection)
    else:
        _upgrade(connection, revision)


def set_revision(connection: Connection, revision: str) -> None:
    """Say that the database has this revision."""
    connection.execute(update(alembic_version).values(version_num=revision))


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def require_current(revision: str | None) -> None:
    """Raise SchemaTooNew or, for an older schema than this version's, StoreError."""
    require_known(revision)
    if revision != HEAD:
        raise StoreError(f"the records have schema {revision} and this version needs {HEAD}; run `earwitness migrate`")


def require_known(revision: str | None) -> None:
    """Raise SchemaTooNew when no migration of ours makes this revision, or ever made it."""
    if revision == RESTORING:
        raise StoreError("a restore of these records was cut short; run the same `earwitness restore` again")
    known = _BEFORE_0_2_0 | {path.name.split("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py")}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the records have schema {revision} and this version of earwitness knows none after {HEAD}; "
            f"use the version that wrote them, or a newer one"
        )
