"""Rebuild what the engine ships, from any manifest of labelled speech: channel compensation and calibration.

    python scripts/fit_engine.py MANIFEST

Writes compensation-*.json and calibration-*.json to src/earwitness/engine/data. Adults
only: children's voices are so alike that they would set everybody's threshold. The compensation is fitted first, on
tests of 10 s under every channel; the calibration then on scores of 3, 5 and 10 s under all pairs of channels a call
may meet.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.calibration import write_calibration
from earwitness.engine.compensation import Compensation, no_compensation, shipped_compensation, write_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.evaluation.conditions import parse_condition
from earwitness.evaluation.evaluate import Evaluator
from earwitness.evaluation.fit import FIT_SECONDS, fit_calibration, fit_compensation
from earwitness.evaluation.hearing import PreparedSpeech, SpeechPreparer
from earwitness.evaluation.manifest import adults, read_manifest
from earwitness.evaluation.recordings import join_utterances
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import open_session
from earwitness.voice.band import Band

SEED = 0
ENROL_SECONDS, TEST_SECONDS = 20.0, 10.0
CHANNELS = {Band.TELEPHONE: ["telephone", "gsm", "noise10", "reverb"], Band.WIDEBAND: ["clean"]}
CONDITIONS = {
    Band.TELEPHONE: ["telephone", "gsm", "noise10", "reverb", "gsm>telephone", "gsm>gsm"],
    Band.WIDEBAND: ["clean"],
}
UNKNOWN_LINE_MARGIN = {Band.TELEPHONE: 0.0, Band.WIDEBAND: 0.0}
"""What thresholds gain while a line is not known, in units of score."""


def main(manifest: Path) -> None:
    settings = config.load()
    cache = ModelCache(settings.models_dir)
    vad, model = open_session(cache, VAD_MODEL), open_session(cache, ENCODER_MODEL)
    utterances = adults(read_manifest(manifest))
    made_from = f"adults of {manifest.parent.name}/{manifest.name}, seed {SEED}"
    package = Path(__file__).parents[1] / "src" / "earwitness"
    with progress_of() as show:
        for band in Band:
            nothing = no_compensation(model.model.dimension)
            encoder = SpeakerEncoder(model, band=band, compensation=nothing)
            preparer = SpeechPreparer(vad=vad, encoder=encoder, workers=settings.workers, seed=SEED)
            net = preparer.net_seconds(utterances, show)
            # Shorter tests are more tests: each duration divides the utterances anew.
            recordings = {
                seconds: join_utterances(
                    utterances, net.__getitem__, enrol_seconds=ENROL_SECONDS, test_seconds=seconds, seed=SEED
                )
                for seconds in FIT_SECONDS
            }
            evaluator = Evaluator(
                preparer=preparer,
                compensation=nothing,
                recordings=recordings[TEST_SECONDS],
                enrol_seconds=ENROL_SECONDS,
                progress=show,
            )
            file = package / "engine" / "data" / f"compensation-{ENCODER_MODEL}-{band}.json"
            write_compensation(file, fit(evaluator, band), made_from=made_from)
            # Read again, because the file's rounding is what every embedding will meet.
            read_back = shipped_compensation(ENCODER_MODEL, band)
            tables = {}
            for seconds in FIT_SECONDS:
                at_seconds = replace(evaluator, compensation=read_back, recordings=recordings[seconds])
                tables[seconds] = [
                    at_seconds.score(parse_condition(name), test_seconds=seconds) for name in CONDITIONS[band]
                ]
            space_id = f"{encoder.encoder_id}/{read_back.id}"
            calibration = fit_calibration(
                tables,
                encoder_id=space_id,
                made_from=made_from,
                sexes={utterance.speaker_id: utterance.sex for utterance in utterances},
                unknown_line_margin=UNKNOWN_LINE_MARGIN[band],
            )
            write_calibration(package / "engine" / "data" / f"calibration-{ENCODER_MODEL}-{band}.json", calibration)


def fit(evaluator: Evaluator, band: Band) -> Compensation:
    """From enrolments and tests alike, each under every channel of the band."""
    under = [
        [
            *evaluator.heard("enrol", channel, net_seconds=ENROL_SECONDS),
            *evaluator.heard("test", channel, net_seconds=TEST_SECONDS),
        ]
        for channel in CHANNELS[band]
    ]
    everywhere = [all(one.raw is not None for one in same) for same in zip(*under, strict=True)]
    vectors = [raw_vectors([one for one, use in zip(heard, everywhere, strict=True) if use]) for heard in under]
    reference = raw_vectors(evaluator.heard("test", CHANNELS[band][0], net_seconds=TEST_SECONDS))
    return fit_compensation(reference=reference, same_under_channels=vectors)


def raw_vectors(heard: list[PreparedSpeech]) -> np.ndarray:
    return np.stack([one.raw for one in heard if one.raw is not None])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
