"""The tables of repeats: what tells a recording that is played again, and which calls were such.

A fingerprint is sealed as the voiceprint that it was made with is, and goes with it.
"""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import scope, score, sealed, text, time
from earwitness.store.tables import ID, belongs_to, metadata

task_fingerprints = Table(
    "task_fingerprints",
    metadata,
    *scope(),
    text("task_id", ID),
    text("domain_id", ID),
    sealed("fingerprint_ciphertext", "how loud the speech was over time, in four bands"),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("task_voiceprints", "task_id"),
    Index("task_fingerprints_by_domain", "account_id", "region", "domain_id"),
)

task_repeats = Table(
    "task_repeats",
    metadata,
    *scope(),
    text("task_id", ID),
    text("of_task_id", "the earlier task that heard the same recording; it may be deleted since"),
    score("likeness", "how alike the two are over time, 1 for the same recording"),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("speaker_search_tasks", "task_id"),
)
