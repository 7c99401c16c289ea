"""Verification trials on net speech: what the evaluation would give an encoder, for encoders that are not ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Numbers
from benchmarks.engine import engine_for, network_for
from earwitness import config
from earwitness.evaluation.hearing import SpeechPreparer
from earwitness.evaluation.manifest import adults, read_manifest
from earwitness.evaluation.metrics import ErrorCurve, Scores, SpeakerWeights, draws, percentiles, widened
from earwitness.evaluation.recordings import join_utterances
from earwitness.evaluation.scores import ScoreTable
from earwitness.models.catalogue import VAD_MODEL
from earwitness.progress import Progress
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SEARCH_SECONDS_MIN, Samples

ENROL_SECONDS, TEST_SECONDS = 20.0, 10.0
_SEED = 0


Vectors = NDArray[np.float32]
"""Shape (n, dimension), rows of unit length."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """Net speech of one person, as an encoder gets it."""

    speaker_id: str
    samples: Samples


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Every test is tried against every enrolment."""

    enrolments: list[Spoken]
    """By telephone."""

    tests: dict[str, list[Spoken]]
    """By condition."""

    def all(self) -> list[Spoken]:
        """Enrolments, then the tests of each condition in order."""
        return [*self.enrolments, *(spoken for tests in self.tests.values() for spoken in tests)]


def hear_trials(manifest: Path, conditions: Sequence[str], show: Progress) -> Trials:
    """The adults' enrolments and tests, cut, simulated and freed of silence as `earwitness evaluate` does."""
    preparer = _preparer()
    utterances = adults(read_manifest(manifest))
    net = preparer.net_seconds(utterances, show)
    recordings = join_utterances(
        utterances, net.__getitem__, enrol_seconds=ENROL_SECONDS, test_seconds=TEST_SECONDS, seed=_SEED
    )

    def hear(which: str, channel: str) -> list[Spoken]:
        enrolling = which == "enrol"
        spoken = recordings.enrolments if enrolling else [*recordings.tests, *recordings.strangers]
        heard = preparer.net_speech(
            spoken,
            channel=channel,
            net_seconds=ENROL_SECONDS if enrolling else TEST_SECONDS,
            others=[*recordings.enrolments, *recordings.tests],
            doing=f"{which} {channel}",
            progress=show,
        )
        needed = ENROL_SECONDS_MIN if enrolling else SEARCH_SECONDS_MIN
        return [
            Spoken(speaker_id=recording.speaker_id, samples=speech.samples)
            for recording, speech in zip(spoken, heard, strict=True)
            if speech.seconds >= needed
        ]

    return Trials(
        enrolments=hear("enrol", "telephone"), tests={condition: hear("test", condition) for condition in conditions}
    )


def trial_rates(enrolled: list[Spoken], tested: list[Spoken], scores: Scores) -> Numbers:
    """EER and minDCF with 95 % intervals by speaker (`.low`, `.high`); `scores` has shape (tests, enrolments)."""
    table = ScoreTable(
        enrolled=np.array([one.speaker_id for one in enrolled]),
        tested=np.array([one.speaker_id for one in tested]),
        scores=scores,
        net_seconds=np.array([len(one.samples) / CANONICAL_RATE for one in tested]),
        trials=np.ones(scores.shape, np.bool_),
        same_recording=np.zeros(scores.shape, np.bool_),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = [_errors(_curve(table, weights)) for weights in draws(table.speakers, seed=_SEED)]
    numbers = _errors(_curve(table, dict.fromkeys(table.speakers, 1)))
    known = len(set(table.tested[table.known].tolist()))
    for name in list(numbers):
        interval = percentiles([each[name] for each in replicates])
        if name.endswith("_percent"):
            interval = widened(interval, speakers=known)
        numbers[f"{name}.low"], numbers[f"{name}.high"] = interval
    return numbers | {"targets": int(table.target_cells.sum()), "nontargets": int(table.nontarget_cells.sum())}


def _errors(curve: ErrorCurve) -> Numbers:
    return {"eer_percent": 100.0 * curve.eer(), "min_dcf": curve.min_dcf()}


def _curve(table: ScoreTable, weights: SpeakerWeights) -> ErrorCurve:
    row = np.array([weights.get(speaker, 0) for speaker in table.tested.tolist()], np.float64)
    column = np.array([weights.get(speaker, 0) for speaker in table.enrolled.tolist()], np.float64)
    both = row[:, None] * column[None, :]
    own = np.broadcast_to(row[:, None], both.shape)
    return table.trial_set().curve(own[table.target_cells], both[table.nontarget_cells])


def _preparer() -> SpeechPreparer:
    encoder = engine_for(Band.TELEPHONE).encoder
    return SpeechPreparer(vad=network_for(VAD_MODEL), encoder=encoder, workers=config.load().workers, seed=_SEED)
