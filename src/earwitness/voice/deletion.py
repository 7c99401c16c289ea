"""What can be deleted of somebody, and why: the words in which deletions are written down."""

from enum import StrEnum


class DeletionKind(StrEnum):
    """What was deleted. The words lie in ledgers beside backups: none is ever renamed or given another meaning."""

    DOMAIN = "domain"
    """A voice profile domain with all that is sealed under its key: profiles, voiceprints, lines, results of tasks."""

    PROFILE = "profile"
    """A voice profile with its voiceprints, its votes, and the voiceprints of the tasks it was enrolled from."""

    VOICEPRINT = "voiceprint"
    """One voiceprint of a profile, with the speech behind it."""

    TASK = "task"
    """A speaker search task with its result and voiceprint."""

    TASK_VOICEPRINT = "task-voiceprint"
    """The voiceprint of a task, with the speech behind it."""

    VOTE = "vote"
    """A voice that a line was learnt from."""

    PIPELINE = "pipeline"
    """A pipeline with its metadata, tasks and events."""

    STREAM = "stream"
    """A stream with all its media."""

    CALL = "call"
    """A call of a Voice Connector with its numbers and events."""

    CONNECTOR = "connector"
    """A Voice Connector with its secrets."""

    RESULT = "result"
    """Who was found by a task, which stays."""

    SUBJECT = "subject"
    """Everything that was made for a subject of consents, when it withdrew them."""

    JOB = "job"
    """A job with its results."""

    EXPORT = "export"
    """The parts of an export."""

    ACCESS_KEY = "access-key"
    """An access key with its secret, or the secret that it had before it got another."""

    BEARER_TOKEN = "bearer-token"  # noqa: S105  no secret
    """A bearer token, which does not work any more."""


class DeletionReason(StrEnum):
    """Why something was deleted."""

    REQUESTED = "requested"
    EXPIRED = "expired"
    CONSENT_WITHDRAWN = "consent-withdrawn"
