"""Connections to PostgreSQL: their number, their limits, what is behind them, and when they are of no use any more.

Limits are asked for when a connection begins. A pooler that hands one server's connection to many clients, as PgBouncer
in transaction mode, refuses or ignores what a client asks for then, and knows no prepared statements of before; so
behind one the limits are set in each transaction, and nothing is prepared. Reads run in no transaction; for them the
role has to have a limit of its own.
"""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy.exc
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text

from earwitness.errors import ConfigurationError
from earwitness.store.driver_errors import is_read_only, is_refused_option, translating_errors
from earwitness.store.postgres_answers import Answers

_MARK = "earwitness.asked"
"""A setting of our own that PostgreSQL keeps for a connection; it is there when what we ask for reaches PostgreSQL."""

ANSWER_SECONDS_MORE = 1.0
"""How much longer an answer may take than the server may work on it: then it is not the statement that takes so long.
"""

_CONNECT_SECONDS_MIN = 2
"""libpq's, which takes less for this."""

_log = logging.getLogger("earwitness.store")


@dataclass(frozen=True, kw_only=True)
class Connecting:
    """How to connect to one database."""

    url: URL
    wait_seconds_max: float
    answers: Answers = field(default_factory=Answers)
    is_pooled: bool = False

    def engine(self, *, connections_max: int, reads_only: bool = False) -> Engine:
        """Return an engine that has so many connections at most; raise ConfigurationError without the driver.

        One that `reads_only` runs each statement by itself, and does not ask whether a connection lives before it.
        """
        # Before a change a server that was restarted is to be noticed, because a change is not made twice.
        more: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if reads_only else {"pool_pre_ping": True}
        arguments = {"prepare_threshold": None} if self.is_pooled else {"options": self._options()}
        try:
            engine = create_engine(
                self.url.set(drivername="postgresql+psycopg"),
                pool_size=connections_max,
                max_overflow=0,
                pool_timeout=self.wait_seconds_max,
                hide_parameters=True,
                connect_args={**self._network(), **arguments},
                **more,
            )
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "records in PostgreSQL need its driver; install it with `pip install 'earwitness[postgres]'`"
            ) from error
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "handle_error", _leave_a_replica)
        if self.is_pooled and not reads_only:
            event.listen(engine, "begin", self._limit)
        return engine

    # `Any`: what psycopg takes, and its connection, which is loaded where it is used.
    def _connect(self, _dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        from earwitness.store.postgres_connection import connect

        self.answers.require_open()
        return connect(self.answers, self.wait_seconds_max + ANSWER_SECONDS_MORE, *arguments, **options)

    def _limits(self) -> dict[str, str]:
        wait_ms = max(1, int(self.wait_seconds_max * 1000))
        return {
            "statement_timeout": str(wait_ms),
            "lock_timeout": str(wait_ms),
            "idle_in_transaction_session_timeout": str(2 * wait_ms),
            "synchronous_commit": "on",
        }

    def _options(self) -> str:
        return " ".join(f"-c {name}={value}" for name, value in {**self._limits(), _MARK: "on"}.items())

    def _limit(self, connection: Connection) -> None:
        """Set the limits of a transaction that begins; they end with it."""
        asked = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in self._limits().items())
        connection.exec_driver_sql(f"SELECT {asked}")  # names and numbers of our own

    def _network(self) -> dict[str, int]:
        """Return after how long a machine that is gone without a word is given up; without it that takes minutes.

        Hosts are tried one after the other, and share the time.
        """
        wait = max(_CONNECT_SECONDS_MIN, round(self.wait_seconds_max))
        return {
            "connect_timeout": max(_CONNECT_SECONDS_MIN, wait // _host_count(self.url)),
            "keepalives_idle": wait,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 1_000 * (wait + 3),
        }


def connecting(url: URL, *, wait_seconds_max: float) -> Connecting:
    """Find out how to connect: with limits for each connection or, where they do not arrive, for each transaction.

    Raise StoreUnavailable and ConfigurationError.
    """
    direct = Connecting(url=url, wait_seconds_max=wait_seconds_max)
    pooled = replace(direct, is_pooled=True)
    with translating_errors():
        try:
            if _read(direct, f"current_setting('{_MARK}', true)") == "on":
                return direct
        except sqlalchemy.exc.OperationalError as error:
            if not is_refused_option(error):
                raise
        if _read(pooled, "current_setting('statement_timeout')") == "0":
            _log.warning(
                "a connection pooler is before PostgreSQL, and the role has no statement_timeout: a read may wait for "
                "ever; run ALTER ROLE … SET statement_timeout = '5s'"
            )
    return pooled


def _read(connecting: Connecting, expression: str) -> str | None:
    engine = connecting.engine(connections_max=1, reads_only=True)
    try:
        with engine.connect() as connection:
            return connection.execute(text(f"SELECT {expression}")).scalar()
    finally:
        engine.dispose()


def _host_count(url: URL) -> int:
    """Return how many hosts an address names: as several parameters, or in one with commas."""
    named = url.query.get("host", ())
    hosts = ",".join([named] if isinstance(named, str) else named)
    return hosts.count(",") + 1


def _leave_a_replica(context: ExceptionContext) -> None:
    """After a fail-over the server we are connected to may take no changes any more: connect anew, all of us."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True
