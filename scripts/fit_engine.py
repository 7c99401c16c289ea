"""Rebuild what the engine ships, from manifests of labelled speech: channel compensation and calibration.

    python scripts/fit_engine.py MANIFEST… [--accept-labels A=B]…

Writes compensation-*.json and calibration-*.json to src/earwitness/engine/data; nothing when recordings are copies, or
when the voices contradict labels that nobody accepted. Adults only: children's voices are so alike that they would set
everybody's threshold. The compensation is fitted first, on tests of 10 s under every channel; the calibration then on
scores of 3, 5 and 10 s under all pairs of channels a call may meet.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.calibration import Calibration, write_calibration
from earwitness.engine.compensation import Compensation, no_compensation, parse_compensation, write_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.errors import EarwitnessError
from earwitness.evaluation.conditions import parse_condition
from earwitness.evaluation.evaluate import Evaluator
from earwitness.evaluation.fit import FIT_SECONDS, fit_calibration, fit_compensation
from earwitness.evaluation.hearing import PreparedSpeech, SpeechPreparer
from earwitness.evaluation.labels import LabelDoubts, require_no_copies
from earwitness.evaluation.manifest import Utterance, adults, read_manifest
from earwitness.evaluation.recordings import copies, join_utterances
from earwitness.evaluation.scores import ScoreTable
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import open_session
from earwitness.progress import Progress
from earwitness.voice.band import Band

DATA = Path(__file__).parents[1] / "src" / "earwitness" / "engine" / "data"
SEED = 0
ENROL_SECONDS, TEST_SECONDS = 20.0, 10.0
CHANNELS = {Band.TELEPHONE: ["telephone", "gsm", "noise10", "reverb"], Band.WIDEBAND: ["clean"]}
CONDITIONS = {
    Band.TELEPHONE: ["telephone", "gsm", "noise10", "reverb", "gsm>telephone", "gsm>gsm"],
    Band.WIDEBAND: ["clean"],
}
UNKNOWN_LINE_MARGIN = {Band.TELEPHONE: 0.0, Band.WIDEBAND: 0.0}
"""What thresholds gain while a line is not known, in units of score."""


def main(manifests: list[Path], accepted: list[str]) -> None:
    """Fit both bands, and only then write: compensation and calibration of a band belong together."""
    settings = config.load()
    cache = ModelCache(settings.models_dir)
    vad, model = open_session(cache, VAD_MODEL), open_session(cache, ENCODER_MODEL)
    utterances = adults(utterance for manifest in manifests for utterance in read_manifest(manifest))
    require_no_copies(copies(utterances))
    made_from = f"adults of {', '.join(f'{path.parent.name}/{path.name}' for path in manifests)}, seed {SEED}"
    with TemporaryDirectory() as folder, progress_of() as show:
        for band in Band:
            encoder = SpeakerEncoder(model, band=band, compensation=no_compensation(model.model.dimension))
            preparer = SpeechPreparer(vad=vad, encoder=encoder, workers=settings.workers, seed=SEED)
            fit_band(band, preparer, utterances, made_from=made_from, accepted=accepted, folder=Path(folder), show=show)
        for made in sorted(Path(folder).iterdir()):
            shutil.move(made, DATA / made.name)


def fit_band(
    band: Band,
    preparer: SpeechPreparer,
    utterances: list[Utterance],
    *,
    made_from: str,
    accepted: list[str],
    folder: Path,
    show: Progress,
) -> None:
    """Write compensation and calibration of a band into `folder`; raise LabelsDoubtful when labels are in doubt."""
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
        compensation=no_compensation(preparer.encoder.dimension),
        recordings=recordings[TEST_SECONDS],
        enrol_seconds=ENROL_SECONDS,
        progress=show,
    )
    file = folder / f"compensation-{ENCODER_MODEL}-{band}.json"
    write_compensation(file, fit(evaluator, band), made_from=made_from)
    # Read again, because the file's rounding is what every embedding will meet.
    compensation = parse_compensation(file)

    def score(seconds: float) -> list[ScoreTable]:
        of_duration = replace(evaluator, compensation=compensation, recordings=recordings[seconds])
        return [of_duration.score(parse_condition(name), test_seconds=seconds) for name in CONDITIONS[band]]

    def calibrate(tables: dict[float, list[ScoreTable]]) -> Calibration:
        return fit_calibration(
            tables,
            encoder_id=f"{preparer.encoder.encoder_id}/{compensation.id}",
            made_from=made_from,
            sexes={utterance.speaker_id: utterance.sex for utterance in utterances},
            unknown_line_margin=UNKNOWN_LINE_MARGIN[band],
        )

    tables = {TEST_SECONDS: score(TEST_SECONDS)}
    LabelDoubts.of(tables[TEST_SECONDS][0], calibrate(tables), accepted=accepted).require_none()
    tables |= {seconds: score(seconds) for seconds in FIT_SECONDS if seconds not in tables}
    calibration = calibrate(tables)
    write_calibration(folder / f"calibration-{ENCODER_MODEL}-{band}.json", calibration)


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--accept-labels", action="append", default=[], metavar="IDS", help="as `earwitness evaluate`")
    given = parser.parse_args()
    try:
        main(given.manifests, given.accept_labels)
    except EarwitnessError as error:
        sys.exit(f"error: {error}")
