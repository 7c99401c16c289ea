"""What is wrong with the voiceprints of a domain: people who are enrolled twice, copies, voiceprints to be made again.

A search names the closest voiceprint, so each of these costs later searches something. Nothing is changed here; what is
to be done, people decide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earwitness.engine.gallery import Gallery
from earwitness.errors import NotFound
from earwitness.store.records import GalleryEntry, Page, PageKey, ProfileVoiceprint, Scope, VoiceProfileDomain
from earwitness.store.store import Store
from earwitness.voice.band import Band
from earwitness.voice.embedding import ENROL_SECONDS_MIN, Embedding, Voiceprint
from earwitness.voice.finding import FindingKind
from earwitness.voice.speech_quality import quality_fault, quality_of

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine

COPY_SCORE = 0.9999
"""Two recordings of one voice do not come so close; one recording that is enrolled twice does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one voiceprint."""

    kind: FindingKind
    profile_id: str
    voiceprint_id: str
    #: The other profile of twins; the same one for a copy within a profile; None where there is none.
    other_profile_id: str | None
    #: How alike the two are; None for poor audio.
    score: float | None
    #: What it is and what to do, for people.
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found among some voiceprints of a domain."""

    findings: tuple[Finding, ...]
    #: Voiceprints that were looked at, and those of them that an earlier encoder made: these are not compared.
    looked_at: int
    former: int
    next_key: PageKey | None


def examine(
    store: Store,
    scope: Scope,
    domain: VoiceProfileDomain,
    *,
    engine: "Engine",
    gallery: "Gallery",
    after: PageKey | None,
    limit: int,
) -> Examination:
    """Look at some voiceprints of a domain, all of a profile together. Raise NotFound when the domain is deleted."""
    page = _whole_profiles(store, scope, domain.domain_id, after=after, limit=limit)
    findings: list[Finding] = []
    former = 0
    by_profile: dict[str, list[GalleryEntry]] = {}
    for entry in page.items:
        by_profile.setdefault(entry.profile_id, []).append(entry)
    for profile_id, entries in by_profile.items():
        kept = {one.voiceprint_id: one for one in store.profile_voiceprints.list(scope, profile_id)}
        present = [entry for entry in entries if entry.encoder_id == engine.encoder.encoder_id]
        former += len(entries) - len(present)
        voiceprints = [
            _voiceprint(entry, kept[entry.voiceprint_id]) for entry in present if entry.voiceprint_id in kept
        ]
        for place, voiceprint in enumerate(voiceprints):
            findings += _poor(kept[voiceprint.voiceprint_id], Band(domain.band))
            findings += _alike(engine, gallery, voiceprint)
            findings += _unlike(engine, gallery, voiceprint, voiceprints[:place], voiceprints[place + 1 :])
    return Examination(findings=tuple(findings), looked_at=len(page.items), former=former, next_key=page.next_key)


def _whole_profiles(
    store: Store, scope: Scope, domain_id: str, *, after: PageKey | None, limit: int
) -> Page[GalleryEntry]:
    """Return the next voiceprints of a domain, about `limit`, and of no profile only some. Raise NotFound."""
    items: tuple[GalleryEntry, ...] = ()
    while True:
        read = store.profile_voiceprints.gallery_page(scope, domain_id, after=after, limit=limit)
        if read is None:
            raise NotFound("the voice profile domain does not exist; look at its id and the Region")
        items, after = items + read.page.items, read.page.next_key
        if after is None:
            return Page(items=items, next_key=None)
        # The last profile may go on behind the page, and then begins the next one.
        whole = tuple(entry for entry in items if entry.profile_id != items[-1].profile_id)
        if whole:
            return Page(items=whole, next_key=(whole[-1].profile_id, whole[-1].voiceprint_id))


def _voiceprint(entry: GalleryEntry, kept: ProfileVoiceprint) -> Voiceprint:
    vector = np.frombuffer(entry.vector, "<f4")
    embedding = Embedding(vector=vector, encoder_id=entry.encoder_id, net_speech_seconds=kept.net_speech_seconds)
    return Voiceprint(profile_id=entry.profile_id, voiceprint_id=entry.voiceprint_id, embedding=embedding)


def _poor(kept: ProfileVoiceprint, band: Band) -> Iterator[Finding]:
    fault = None
    if kept.net_speech_seconds < ENROL_SECONDS_MIN:
        fault = f"it is made of {kept.net_speech_seconds:.1f} s of speech; enrol {ENROL_SECONDS_MIN:.0f} s or more"
    else:
        fault = quality_fault(quality_of(kept.quality), band)
    if fault is not None:
        yield Finding(
            kind=FindingKind.POOR,
            profile_id=kept.profile_id,
            voiceprint_id=kept.voiceprint_id,
            other_profile_id=None,
            score=None,
            advice=fault,
        )


def _alike(engine: "Engine", gallery: "Gallery", voiceprint: Voiceprint) -> Iterator[Finding]:
    """Yield the other profiles that a search for this voiceprint would name."""
    decision = engine.search(voiceprint.embedding, gallery)
    for one in decision.candidates:
        if (
            one.profile_id == voiceprint.profile_id
            or decision.threshold is None
            or one.score < decision.threshold.score
        ):
            continue
        is_copy = one.score >= COPY_SCORE
        yield Finding(
            kind=FindingKind.COPY if is_copy else FindingKind.TWINS,
            profile_id=voiceprint.profile_id,
            voiceprint_id=voiceprint.voiceprint_id,
            other_profile_id=one.profile_id,
            score=one.score,
            advice="the same recording is enrolled under both profiles; find out whose it is and delete the other"
            if is_copy
            else "listen to both: where it is one person, delete one of the profiles; where it is two, searches for "
            "either may be ambiguous",
        )


def _unlike(
    engine: "Engine",
    gallery: "Gallery",
    voiceprint: Voiceprint,
    before: Sequence[Voiceprint],
    after: Sequence[Voiceprint],
) -> Iterator[Finding]:
    """Yield what speaks against a voiceprint among those of its own profile."""
    others = [*before, *after]
    if not others:
        return
    own = Gallery(gallery.space)
    own.add_all(others)
    decision = engine.search(voiceprint.embedding, own)
    best = decision.candidates[0]
    threshold = decision.threshold
    if best.score >= COPY_SCORE and any(one.voiceprint_id == best.voiceprint_id for one in before):
        kind = FindingKind.COPY
        advice = "the same recording is enrolled twice under this profile; the second adds nothing"
    elif threshold is not None and best.score < threshold.score:
        kind = FindingKind.UNLIKE
        advice = (
            "it does not sound like the other voiceprints of its profile: another person, or poor audio; enrol the "
            "person again"
        )
    else:
        return
    yield Finding(
        kind=kind,
        profile_id=voiceprint.profile_id,
        voiceprint_id=voiceprint.voiceprint_id,
        other_profile_id=voiceprint.profile_id,
        score=best.score,
        advice=advice,
    )
