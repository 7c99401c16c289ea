"""A connection of psycopg's that gives up a server which does not answer.

Loaded only where records are in PostgreSQL.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from earwitness.store.driver_errors import mark_silent
from earwitness.store.postgres_answers import SILENT, Answers

_ResultT = TypeVar("_ResultT")


# `Any`: rows of whatever columns, here and below.
class AnsweringConnection(psycopg.Connection[Any]):
    """Every wait for the server has an end."""

    answers: Answers | None = None
    #: How long one answer may take; None for as long as it takes, as a migration's may.
    answer_seconds: float | None = None

    def wait(self, gen: PQGen[_ResultT], *arguments: Any, **options: Any) -> _ResultT:
        """Return what the exchange returns. Raise OperationalError, and close, when the server does not answer."""
        if self.answers is None:
            return super().wait(gen, *arguments, **options)
        limited = gen if self.answer_seconds is None else _within(gen, self.answer_seconds)
        try:
            result = super().wait(limited, *arguments, **options)
        except _Silent as error:
            self.answers.missed()
            self.close()
            raise mark_silent(psycopg.OperationalError(SILENT)) from error
        self.answers.heard()
        return result


class _Silent(Exception):
    """The server did not answer in time."""


def connect(answers: Answers, seconds: float, *arguments: Any, **options: Any) -> AnsweringConnection:
    """Return a new connection to a server that answers. Raise what psycopg raises, StoreUnavailable of a silent one."""
    answers.require()
    begun = time.monotonic()
    try:
        made = AnsweringConnection.connect(*arguments, **options)
    except psycopg.OperationalError as error:
        # The error is of the last host; one before it may have been waited for.
        if time.monotonic() - begun < options["connect_timeout"]:
            raise
        answers.missed()
        raise mark_silent(error) from None
    answers.heard()
    made.answers, made.answer_seconds = answers, seconds
    return made


def _within(gen: PQGen[_ResultT], seconds: float) -> Generator[Any, Any, _ResultT]:
    """Do what an exchange does. Raise _Silent when it has not ended after so long, and the server says nothing."""
    until = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= until:  # psycopg tells of "nothing" ten times a second
                gen.close()
                raise _Silent
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
