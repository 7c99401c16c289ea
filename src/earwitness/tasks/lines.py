"""What is told of the lines of a domain: to the JSON API, to commands and to the log."""

from dataclasses import dataclass
from typing import NamedTuple

from earwitness.models.catalogue import ENCODER_MODEL, entry
from earwitness.store.records import LineMonitor, LineVersion, Scope
from earwitness.store.store import Store
from earwitness.voice.band import Band
from earwitness.voice.line import Codec, LineHealth, LineLearning, LineState, state_of

_OFF = "strangers score as if they were alike, so more of them are named than the stated share"


class LineName(NamedTuple):
    """Which line: a codec of a domain."""

    scope: Scope
    domain_id: str
    codec: Codec


@dataclass(frozen=True, kw_only=True)
class LineReport:
    """What a domain has learnt of one line, and whether it is well."""

    codec: Codec
    state: LineState
    #: Of the mean that searches use; 0 for the shipped one.
    voices: int
    #: The latest first; none before the line was learnt.
    versions: tuple[LineVersion, ...]
    #: Voices that are kept to learn from.
    waiting_voices: int
    #: None before the first search.
    monitor: LineMonitor | None
    #: What to do; None when nothing is.
    advice: str | None

    @property
    def current(self) -> LineVersion | None:
        """The version that searches use."""
        return self.versions[0] if self.versions else None


@dataclass(frozen=True, kw_only=True)
class DomainLines:
    """What a domain has learnt of its lines."""

    learning: LineLearning
    #: Of all profiles.
    voiceprints: int
    #: Of these, made by an earlier version of earwitness.
    former_voiceprints: int
    #: By codec.
    lines: tuple[LineReport, ...]

    @property
    def advice(self) -> str | None:
        """What to do about former voiceprints; None without any."""
        if not self.former_voiceprints:
            return None
        return (
            f"{self.former_voiceprints} of {self.voiceprints} voiceprints were made by an earlier version and are "
            "compared as then, without what is learnt of the line; enrol these voices again when there is a chance"
        )


def lines_of(store: Store, scope: Scope, domain_id: str, *, band: Band, default: LineLearning) -> DomainLines:
    """Return what a domain of a band has learnt; `default` is whether it learns when it was not told.

    What was learnt from voices of another encoder is unknown to the present one, as it is to searches.
    """
    encoder_id = entry(ENCODER_MODEL).encoder_id(band)
    learning = store.lines.learning(scope, domain_id) or default
    votes = store.lines.vote_counts(scope, domain_id)
    monitors = {one.codec: one for one in store.lines.monitors(scope, domain_id)}
    versions: dict[Codec, list[LineVersion]] = {}
    for version in store.lines.versions(scope, domain_id):
        versions.setdefault(version.codec, []).append(version)
    encoders = store.lines.encoders(scope, domain_id)

    def report(codec: Codec) -> LineReport:
        theirs = tuple(versions.get(codec, ()))
        voices = theirs[0].voices if theirs and theirs[0].encoder_id == encoder_id else 0
        state = state_of(voices)
        monitor = monitors.get(codec)
        health = monitor.health if monitor is not None else LineHealth.TOO_FEW
        return LineReport(
            codec=codec,
            state=state,
            voices=voices,
            versions=theirs,
            waiting_voices=votes.get(codec, 0),
            monitor=monitor,
            advice=advice(health, state, learning, domain_id=domain_id),
        )

    return DomainLines(
        learning=learning,
        voiceprints=sum(encoders.values()),
        former_voiceprints=sum(count for encoder_id, count in encoders.items() if _is_former(encoder_id)),
        lines=tuple(report(codec) for codec in sorted({*votes, *monitors, *versions})),
    )


def advice(health: LineHealth, state: LineState, learning: LineLearning, *, domain_id: str) -> str | None:
    """Return what to do about a line of a domain; None when nothing is."""
    if health is not LineHealth.OFF:
        return None
    if learning is LineLearning.OFF:
        return (
            f"{_OFF}; let the domain learn the line (`earwitness line on --domain {domain_id}`), or set "
            "strangers_named_percent lower"
        )
    if state is LineState.LEARNT:
        return (
            f"{_OFF}; if the line has changed, a new trunk perhaps, let it be learnt anew (`earwitness line reset "
            f"--domain {domain_id}`)"
        )
    return f"{_OFF}; the line is not learnt yet: it takes 50 different voices, 10 of them within a day"


def _is_former(encoder_id: str) -> bool:
    """Whether voiceprints were kept compensated, as versions before 0.3 did: the hash of that stands in their id."""
    return encoder_id.count("/") == 2
