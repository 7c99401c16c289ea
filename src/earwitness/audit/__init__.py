"""The audit trail outside of the records: signed checkpoints, signed files of entries, and whether all fits together.

What belongs here: what is written to a second place, and checking. What must never: what is audited, which those write
who do it; SQL and the chain itself, which are in `store/`; timers, which are in `tasks/`.
"""
