"""Jobs: work that nobody waits for in a call. Words for what a job does and where it is.

What belongs here: kinds and states. What must never: who runs a job, or where its recordings lie.
"""

from enum import StrEnum


class JobKind(StrEnum):
    """What is done with each item of a job."""

    SEARCH = "search"
    """Who of the domain speaks in it."""

    ENROL = "enrol"
    """The voice in it becomes a voiceprint of a profile of the domain."""

    EXPORT = "export"
    """No recording comes: parts of the domain are written, to be fetched."""

    REEMBED = "reembed"
    """No recording comes: a voiceprint of another encoder is made again by the present one, from the kept speech."""


class JobState(StrEnum):
    """Where a job is. It moves once, from OPEN to one of the others."""

    OPEN = "open"
    """Items come in, or are worked on."""

    DONE = "done"
    """Each of its items has a result, or a reason why there is none."""

    CANCELLED = "cancelled"
    """Somebody ended it; results so far are kept."""

    DOMAIN_DELETED = "domain_deleted"
    """The domain was deleted, and with it every result."""


class ItemState(StrEnum):
    """Where one item of a job is. It moves once, from WAITING to one of the others."""

    WAITING = "waiting"
    """For its turn, or for whoever works on it to be done."""

    DONE = "done"
    """There is a result."""

    FAILED = "failed"
    """There is none, and a reason."""


class PartKind(StrEnum):
    """What a part of an export holds."""

    DOMAIN = "domain"
    """The domain itself."""

    PROFILES = "profiles"
    """Some of its voice profiles, with their tags."""

    VOICEPRINTS = "voiceprints"
    """Some of its voiceprints, and the speech of their enrolment if that is asked for."""

    CONSENTS = "consents"
    """Some of the consents that are recorded in it."""

    LABELS = "labels"
    """Some of its labelled calls, with what the searches said."""
