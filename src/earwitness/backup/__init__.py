"""Backups: made of a running service, proved whole without it, put back into an empty place without what was deleted.

`making` writes one, `checking` reads it as somebody who distrusts it, `restoring` puts it back and deletes again what
the `ledger` says; `keeping` is the duty of a running service to tell the ledgers. docs/backup.md describes what lies
where. What must never be here: SQL, which is in `store/`, and what an operator is told, which is in `cli/`.
"""
