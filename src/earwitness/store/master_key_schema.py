"""The tables of master keys: the check, which says which one the records are under, and who has taken up the next.

What belongs here: tables. What must never: a key that is not wrapped.
"""

from sqlalchemy import PrimaryKeyConstraint, Table

from earwitness.store.columns import text, time, whole, wrapped_again, wrapped_key
from earwitness.store.tables import metadata

vault_checks = Table(
    "vault_checks",
    metadata,
    text("name", "a word of the service's own: `check` or `signing`"),
    wrapped_key(),
    text("identity", "tells these records from all others; their media have it too", default="''"),
    text("master_key_id", "which master key is in force; nothing of the key follows from it", default="''"),
    time("in_force_since", says="a time", nullable=True),
    text("source", "a word of the service's own: where that key came from", default="''"),
    text("next_key_id", "which master key is taking its place; empty when none is", default="''"),
    whole("next_in_use", "1 when new data keys are wrapped under that one", default="0"),
    wrapped_again("next_wrapped_key", "the same data key, while a master key takes the place of another"),
    PrimaryKeyConstraint("name"),
)

master_key_holders = Table(
    "master_key_holders",
    metadata,
    text("holder", "a random text that a process made at its start"),
    text("master_key_id", "which master key it has taken up"),
    PrimaryKeyConstraint("holder"),
)
"""While a master key takes the place of another: which processes have it."""
