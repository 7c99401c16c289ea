"""Bring a database to this version's schema, or say why not.

Alembic is loaded only when there is something to migrate; a start in the ordinary case reads one row.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, select

from earwitness.errors import SchemaTooNew, StoreError
from earwitness.store.schema import HEAD, alembic_version

_FOLDER = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """The revision of the database; None when it has no schema yet."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar()


def migrate(connection: Connection) -> None:
    """Run what is missing, in the connection's transaction; SchemaTooNew when the database knows more than we do."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    require_known(current_revision(connection))
    command.upgrade(config, "head")


def require_current(revision: str | None) -> None:
    """Nothing when the schema is this version's; SchemaTooNew, or StoreError when it is older."""
    require_known(revision)
    if revision != HEAD:
        raise StoreError(f"the records have schema {revision} and this version needs {HEAD}; run `earwitness migrate`")


def require_known(revision: str | None) -> None:
    """SchemaTooNew when no migration of ours makes this revision."""
    known = {path.name.split("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py")}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the records have schema {revision} and this version of earwitness knows none after {HEAD}; "
            f"use the version that wrote them, or a newer one"
        )
