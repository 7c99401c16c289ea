"""Where else a voice was heard: it is searched for among the voiceprints of calls, as long as these are kept.

The same encoder, space and calibration compare as in a search. But a search asks which one of several people it is, and
a voice can have been heard in any number of calls, so every call is judged by itself: how many calls of strangers would
score so high, among as many as were looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp

import numpy as np

from earwitness.engine.gallery import Gallery
from earwitness.engine.space import Space
from earwitness.engine.voiceprint_rows import RowOwner
from earwitness.store.tasks import KeptVoice
from earwitness.voice.decision import Threshold
from earwitness.voice.embedding import Embedding

VOICES_MAX = 20_000
"""Calls that one look-back compares with, the latest: 20,000 calls of 20 s of speech are 111 hours of it."""

HEARD_MAX = 100
"""Calls that are told, the most alike first."""

_BELOW_MAX = 10
"""Of these, calls below the threshold."""

_LOG_RATIO_MAX = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardCall:
    """A call whose voice is like the one that is searched for."""

    task_id: str
    heard_at: datetime
    #: Cosine, -1 to 1.
    score: float
    #: How many times likelier one person is than two.
    likelihood_ratio: float
    #: Share of pairs of different persons that score at least this high.
    false_match_rate: float
    #: How many of the calls that were looked at would score at least so high if all of them were strangers.
    strangers_expected: float
    #: Whether it reaches the threshold, as a match does.
    is_match: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardElsewhere:
    """Where a voice was heard among the calls that are kept."""

    #: The most alike first.
    calls: tuple[HeardCall, ...]
    #: Calls that were compared.
    looked_at: int
    #: Calls that were not, because another encoder made their voiceprints.
    of_other_encoder: int
    #: For the speech of the voice; a call with less speech has one of its own.
    threshold: Threshold
    net_speech_seconds: float


def look_back(
    space: Space,
    probes: Sequence[Embedding],
    kept: Sequence[KeptVoice],
    *,
    strangers_named_percent: float,
) -> HeardElsewhere:
    """Return the calls whose voice is like one of the probes, which are of one person.

    Probes and calls of another encoder than the space's are left out. At most `strangers_named_percent` of voices that
    were heard nowhere else find a call, as in a search. The probes share that, each being a chance to be mistaken.
    """
    probes = [probe for probe in probes if probe.encoder_id == space.encoder_id]
    mine = [] if not probes else [one for one in kept if one.encoder_id == space.encoder_id]
    gallery = Gallery(space)
    if mine:
        vectors = np.frombuffer(b"".join(one.vector for one in mine), "<f4").reshape(len(mine), -1)
        owners = [RowOwner(one.task_id, one.task_id) for one in mine]
        gallery.add_rows(owners, vectors.astype(np.float32), encoder_id=space.encoder_id)

    def threshold(net_seconds: float) -> Threshold:
        return space.calibration.threshold(
            gallery_size=max(len(mine), 1),
            strangers_named_percent=strangers_named_percent / max(len(probes), 1),
            net_seconds=net_seconds,
            line_unknown=space.line.unknown,
        )

    by_task = {one.task_id: one for one in mine}
    best: dict[str, HeardCall] = {}
    for probe in probes:
        for hit in gallery.search(probe, count=HEARD_MAX + 1):
            call = by_task[hit.profile_id]
            seconds = min(probe.net_speech_seconds, call.net_speech_seconds)
            rate = space.calibration.false_match_rate(hit.score, net_seconds=seconds)
            ratio = space.calibration.llr(hit.score, net_seconds=seconds)
            found = HeardCall(
                task_id=call.task_id,
                heard_at=call.created_at,
                score=hit.score,
                likelihood_ratio=exp(min(max(ratio, -_LOG_RATIO_MAX), _LOG_RATIO_MAX)),
                false_match_rate=rate,
                strangers_expected=rate * len(mine) * len(probes),
                is_match=hit.score >= threshold(seconds).score,
            )
            if call.task_id not in best or best[call.task_id].score < found.score:
                best[call.task_id] = found
    most_alike = sorted(best.values(), key=lambda one: (not one.is_match, -one.score, one.task_id))
    matches = [one for one in most_alike if one.is_match]
    others = [one for one in most_alike if not one.is_match][:_BELOW_MAX]
    longest = max((probe.net_speech_seconds for probe in probes), default=0.0)
    return HeardElsewhere(
        calls=tuple([*matches, *others][:HEARD_MAX]),
        looked_at=len(mine),
        of_other_encoder=len(kept) - len(mine),
        threshold=threshold(longest),
        net_speech_seconds=longest,
    )
