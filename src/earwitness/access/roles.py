"""What a key may do."""

from enum import StrEnum


class Role(StrEnum):
    """A role belongs to a key; what each may call, the table of `api.operations` says."""

    ADMIN = "admin"
    """Everything."""

    OPERATOR = "operator"
    """Runs calls: tasks, pipelines, voice profiles, and all reads. Makes and deletes no domains and streams."""

    READER = "reader"
    """Reads records and media."""

    PRODUCER = "producer"
    """Sends media, and what a producer asks for before it does."""

    MONITOR = "monitor"
    """Reads metrics, which count all accounts together, and nothing else."""

    AUDITOR = "auditor"
    """Reads the audit trail, and nothing else."""
