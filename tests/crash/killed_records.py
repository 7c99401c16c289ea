"""The records of a service that is killed: in its data folder, or at PostgreSQL."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.store.store import Store


@dataclass(frozen=True)
class Records:
    """Where the records of a service are."""

    #: Empty for the data folder.
    url: str = ""
    #: What the service and commands are told.
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def opened(self, data: Path) -> Store:
        """Those of a data folder."""
        return open_records(Settings(data_dir=data, store_url=self.url), may_make=False)

    def connected(self, data: Path) -> Any:
        """A connection that sees each change at once; `execute` and `close` are the same for both databases."""
        if self.url:
            return psycopg.connect(self.url, autocommit=True)
        return sqlite3.connect(data / "records.db", isolation_level=None)
