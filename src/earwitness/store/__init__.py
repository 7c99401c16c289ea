"""The records: what the service knows, in SQLite or PostgreSQL.

What belongs here: all SQL, the schema and its migrations, records, and the transactions that keep them whole. What
must never: the wire's shapes and faults' statuses, life-cycle rules, reading settings or the clock.
"""
