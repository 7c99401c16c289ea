"""RetentionSchedule: how long a domain keeps what it holds of voices, in the limits of what the product promises.

What belongs here: the kinds of data that age, how long each is kept by itself and at most, and which schedules are
allowed. What must never: deletion, which `tasks/expire.py` does, or the records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from earwitness.errors import BadRequest


class RetentionKind(StrEnum):
    """What ages, each with a time of its own in a schedule."""

    VOICEPRINT = "voiceprint"
    """The voiceprint of a call, from which a profile can be made; with it the caller's votes on the line."""
    RESULTS = "results"
    """Tasks with who was found, and events that tell it."""
    PROFILE = "profile"
    """Voiceprints of a profile, after its last enrolment."""
    AUDIO = "audio"
    """Speech behind voiceprints, where it is kept."""
    LAST_CONTACT = "lastContact"
    """Profiles that nobody was found to be, nor enrolled again."""


VOICEPRINT_KEPT = timedelta(hours=24)
"""From the later of its making and the end of its task: that satisfies both of Amazon's texts (va-data-retention,
va-architecture)."""

RESULTS_KEPT = timedelta(days=7)
"""Tasks and jobs with their results, pipelines and calls, after their end; events after they were written. Sources, as
far as AWS says: va-data-retention and va-task-result-poll."""

PROFILE_KEPT = timedelta(days=3 * 365)
"""How long a voiceprint may be used before its owner must be enrolled again (va-data-retention)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSchedule:
    """How long one domain keeps what it holds; None stands for the service's own time."""

    #: After the call, whole hours; with `look_back` at most as long as results, otherwise 24.
    voiceprint_hours: int | None = None
    #: After the end of the call, whole hours, at most 168.
    results_hours: int | None = None
    #: After the last enrolment, whole days, at most 1,095.
    profile_days: int | None = None
    #: After it was recorded, whole days; 0 for not at all. None: as long as its voiceprint.
    audio_days: int | None = None
    #: After a profile was last found or enrolled, whole days, at most 1,095. None: profiles age by enrolment alone.
    last_contact_days: int | None = None
    #: Whether voiceprints of calls are kept to look for a voice in earlier calls.
    look_back: bool = False
    #: What the published page calls the domain; empty: it does not name it.
    published_name: str = ""

    @property
    def voiceprint(self) -> timedelta:
        """Return how long the voiceprint of a call is kept: never longer than the results it belongs to."""
        own = VOICEPRINT_KEPT if self.voiceprint_hours is None else timedelta(hours=self.voiceprint_hours)
        return min(own, self.results)

    @property
    def results(self) -> timedelta:
        """Return how long results are kept."""
        return RESULTS_KEPT if self.results_hours is None else timedelta(hours=self.results_hours)

    @property
    def profile(self) -> timedelta:
        """Return how long a voiceprint may be used after its enrolment."""
        return PROFILE_KEPT if self.profile_days is None else timedelta(days=self.profile_days)

    @property
    def audio(self) -> timedelta | None:
        """Return how long speech behind voiceprints is kept; None: as long as they are."""
        return None if self.audio_days is None else timedelta(days=self.audio_days)

    @property
    def last_contact(self) -> timedelta | None:
        """Return after how long without contact a profile is deleted; None: never for that."""
        return None if self.last_contact_days is None else timedelta(days=self.last_contact_days)

    def require_allowed(self) -> None:
        """Raise BadRequest, with what may be, for a schedule that keeps longer than the product promises."""
        for fault in self._faults():
            raise BadRequest(fault)

    def _faults(self) -> Iterator[str]:
        limits = {
            "resultsHours": (self.results_hours, 1, 168),
            "voiceprintHours": (self.voiceprint_hours, 1, 168),
            "profileDays": (self.profile_days, 1, PROFILE_KEPT.days),
            "audioDays": (self.audio_days, 0, PROFILE_KEPT.days),
            "lastContactDays": (self.last_contact_days, 1, PROFILE_KEPT.days),
        }
        for name, (value, least, most) in limits.items():
            if value is not None and not least <= value <= most:
                yield f"{name} is {value}; it may be {least} to {most}"
        hours = self.voiceprint_hours
        if hours is not None and timedelta(hours=hours) > VOICEPRINT_KEPT and not self.look_back:
            yield (
                f"voiceprintHours is {hours}: voiceprints of calls are kept 24 hours at most, unless lookBack is "
                f"true, which the published page tells; give 24 or less, or lookBack"
            )
        if hours is not None and timedelta(hours=hours) > self.results:
            kept = self.results // timedelta(hours=1)
            yield f"voiceprintHours is {hours} and results are kept {kept} hours: a voiceprint ends with its results"
        if self.audio is not None and self.audio > self.profile:
            yield f"audioDays is {self.audio_days}, longer than profiles are kept; give {self.profile.days} or less"


DEFAULT_SCHEDULE = RetentionSchedule()
"""Of domains that were told nothing."""
