"""The table of labels: what people say of results.

Who spoke is sealed under the key of the domain, as the result is that it speaks of; a label goes with its task,
with its profile and with its domain.
"""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import scope, sealed, text, time, where
from earwitness.store.tables import ID, belongs_to, metadata

task_labels = Table(
    "task_labels",
    metadata,
    *scope(),
    text("task_id", ID),
    text("domain_id", ID),
    text("profile_id", "the profile that the label is about; found by it when the profile is deleted", nullable=True),
    sealed("label_ciphertext", "who spoke, by somebody's word"),
    text("key_id", "the id of the key that labelled"),
    time("created_at"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("speaker_search_tasks", "task_id"),
    Index("task_labels_by_domain", "account_id", "region", "domain_id", "task_id"),
    Index("task_labels_by_profile", "account_id", "region", "profile_id", **where("profile_id IS NOT NULL")),
)
