"""Why PostgreSQL did not let us in, told apart by its words.

A refusal during the connection has no number (SQLSTATE) in libpq, only a text, which a server in another language
translates. What is not known here is told as PostgreSQL being away. The sentences name no host, role or database,
because clients of the service see them.
"""

_URL = "EARWITNESS_STORE_URL"
_SEE = "docs/records.md has the commands"

_REFUSALS = (
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
    ("connection refused", f"nothing listens at PostgreSQL's host and port; start it, or correct {_URL}"),
    ("timeout expired", f"PostgreSQL's host does not answer; look at host and port in {_URL}, and at firewalls"),
    ("too many clients", "PostgreSQL has no connection left; raise its max_connections, or lower EARWITNESS_THREADS"),
    ("connection slots are reserved", "PostgreSQL has no connection left; raise its max_connections"),
    ("the database system is", "PostgreSQL is starting or stopping; try again"),
)
"""By words of libpq's or the server's message, in lower case; the first that fits counts."""


def refusal(message: str) -> str | None:
    """Return what happened and what to do, or None for a text that says nothing that is known here."""
    lowered = message.lower()
    if 'database "' in lowered and "does not exist" in lowered and "fatal" in lowered:
        return f"PostgreSQL has no such database; create it ({_SEE}), or correct {_URL}"
    if 'role "' in lowered and "does not exist" in lowered and "fatal" in lowered:
        return f"PostgreSQL has no such role; create it ({_SEE}), or correct {_URL}"
    return next((sentence for words, sentence in _REFUSALS if words in lowered), None)
