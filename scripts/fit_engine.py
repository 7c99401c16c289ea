"""Rebuild what the engine ships, from manifests of labelled speech: channel compensation and calibration.

    python scripts/fit_engine.py MANIFEST… [--accept-labels A=B]…

Writes compensation-*.json and calibration-*.json to src/earwitness/engine/data; nothing when recordings are copies, or
when the voices contradict labels that nobody accepted. Adults only: children's voices are so alike that they would set
everybody's threshold.

The compensation is fitted first, on enrolments and tests of 10 s over every line; the calibration then on scores of 3,
5 and 10 s over every line against enrolments over the first. Each line is centred by its own mean, as lines are once
they are learnt; what thresholds gain before is UNKNOWN_LINE_MARGIN. What was shipped before is kept in data/former,
because voiceprints of version 0.2 may be of it.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.calibration import Calibration, read_calibration, write_calibration
from earwitness.engine.compensation import (
    Compensation,
    Vectors,
    no_compensation,
    parse_compensation,
    write_compensation,
)
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.errors import EarwitnessError
from earwitness.evaluation.evaluate import Evaluator
from earwitness.evaluation.fit import FIT_SECONDS, fit_calibration, fit_compensation, line_means
from earwitness.evaluation.hearing import PreparedSpeech, SpeechPreparer
from earwitness.evaluation.labels import LabelDoubts, require_no_copies
from earwitness.evaluation.manifest import Recordings, Utterance, adults, read_manifest
from earwitness.evaluation.recordings import copies, join_utterances
from earwitness.evaluation.scores import ScoreTable
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import open_session
from earwitness.progress import Progress
from earwitness.voice.band import Band
from earwitness.voice.embedding import Vector

DATA = Path(__file__).parents[1] / "src" / "earwitness" / "engine" / "data"
SEED = 0
ENROL_SECONDS, TEST_SECONDS = 20.0, 10.0
LINES = {Band.TELEPHONE: ["telephone", "gsm", "noise10", "reverb"], Band.WIDEBAND: ["clean"]}
UNKNOWN_LINE_MARGIN = {Band.TELEPHONE: 0.06, Band.WIDEBAND: 0.06}
"""What thresholds gain while a line is not known, in units of score.

The furthest that the rare end of a simulated line lay from where it lies once the line is learnt, of eight lines that
no fit had heard (docs/decisions/2026-11-26-refit.md). The wide band has no such lines; it takes the telephone's.
"""


def main(manifests: list[Path], accepted: list[str]) -> None:
    """Fit both bands, and only then write: compensation and calibration of a band belong together."""
    settings = config.load()
    cache = ModelCache(settings.models_dir)
    vad, model = open_session(cache, VAD_MODEL), open_session(cache, ENCODER_MODEL)
    sets = [adults(read_manifest(manifest)) for manifest in manifests]
    require_no_copies(copies(utterance for utterances in sets for utterance in utterances))
    made_from = f"adults of {', '.join(f'{path.parent.name}/{path.name}' for path in manifests)}, seed {SEED}"
    preparers = {
        band: SpeechPreparer(
            vad=vad,
            encoder=SpeakerEncoder(model, band=band, compensation=no_compensation(model.model.dimension)),
            workers=settings.workers,
            seed=SEED,
        )
        for band in Band
    }
    with TemporaryDirectory() as folder, progress_of() as show:
        recordings = [recordings_of(utterances, preparers[Band.TELEPHONE], show) for utterances in sets]
        for band, preparer in preparers.items():
            evaluators = [evaluator_of(each, preparer, show) for each in recordings]
            fit_band(band, evaluators, sets, made_from=made_from, accepted=accepted, folder=Path(folder))
        keep_former(Path(folder))
        for made in sorted(Path(folder).iterdir()):
            shutil.move(made, DATA / made.name)


def fit_band(
    band: Band,
    evaluators: Sequence[Evaluator],
    sets: Sequence[list[Utterance]],
    *,
    made_from: str,
    accepted: list[str],
    folder: Path,
) -> None:
    """Write compensation and calibration of a band into `folder`; raise LabelsDoubtful when labels are in doubt.

    Babble is made of voices of the same set.
    """
    for evaluator in evaluators:
        for line in LINES[band]:
            evaluator.hear("test", line, net_seconds=sorted({*FIT_SECONDS, TEST_SECONDS}))
    under_lines = heard_under_lines(evaluators, band)
    means = dict(zip(LINES[band], line_means(under_lines), strict=True))
    file = folder / f"compensation-{ENCODER_MODEL}-{band}.json"
    write_compensation(file, fit_compensation(under_lines), made_from=made_from)
    # Read again, because the file's rounding is what every embedding will meet.
    compensation = parse_compensation(file)

    def score(seconds: float) -> list[ScoreTable]:
        return [centred(evaluators, line, seconds, compensation, means) for line in LINES[band]]

    def calibrate(tables: dict[float, list[ScoreTable]]) -> Calibration:
        return fit_calibration(
            tables,
            encoder_id=f"{evaluators[0].preparer.encoder.encoder_id}/{compensation.id}",
            made_from=made_from,
            sexes={utterance.speaker_id: utterance.sex for utterances in sets for utterance in utterances},
            unknown_line_margin=UNKNOWN_LINE_MARGIN[band],
        )

    tables = {TEST_SECONDS: score(TEST_SECONDS)}
    LabelDoubts.of(tables[TEST_SECONDS][0], calibrate(tables), accepted=accepted).require_none()
    tables |= {seconds: score(seconds) for seconds in FIT_SECONDS if seconds not in tables}
    calibration = calibrate(tables)
    write_calibration(folder / f"calibration-{ENCODER_MODEL}-{band}.json", calibration)


def recordings_of(utterances: list[Utterance], preparer: SpeechPreparer, show: Progress) -> Recordings:
    """Return what is enrolled and tested; the same in all bands."""
    net = preparer.net_seconds(utterances, show)
    return join_utterances(
        utterances, net.__getitem__, enrol_seconds=ENROL_SECONDS, test_seconds=TEST_SECONDS, seed=SEED
    )


def evaluator_of(recordings: Recordings, preparer: SpeechPreparer, show: Progress) -> Evaluator:
    return Evaluator(
        preparer=preparer,
        compensation=no_compensation(preparer.encoder.dimension),
        recordings=recordings,
        enrol_seconds=ENROL_SECONDS,
        progress=show,
    )


def heard_by_all(evaluators: Sequence[Evaluator], which: str, line: str, *, net_seconds: float) -> list[PreparedSpeech]:
    return [one for each in evaluators for one in each.heard(which, line, net_seconds=net_seconds)]


def heard_under_lines(evaluators: Sequence[Evaluator], band: Band) -> list[Vectors]:
    """Return raw embeddings of the recordings, enrolments and tests, that could be heard under every line."""
    under = [
        [
            *heard_by_all(evaluators, "enrol", line, net_seconds=ENROL_SECONDS),
            *heard_by_all(evaluators, "test", line, net_seconds=TEST_SECONDS),
        ]
        for line in LINES[band]
    ]
    everywhere = [all(one.raw is not None for one in same) for same in zip(*under, strict=True)]
    return [raw_vectors([one for one, use in zip(heard, everywhere, strict=True) if use]) for heard in under]


def centred(
    evaluators: Sequence[Evaluator], line: str, seconds: float, compensation: Compensation, means: dict[str, Vector]
) -> ScoreTable:
    """Return the scores of tests over a line, the starts of those of 10 s, against enrolments over the first line.

    Both sides are centred by the mean of their own line. No utterance serves twice (join_utterances).
    """
    first = next(iter(means))
    enrolled = [
        one for one in heard_by_all(evaluators, "enrol", first, net_seconds=ENROL_SECONDS) if one.raw is not None
    ]
    tested = [one for one in heard_by_all(evaluators, "test", line, net_seconds=seconds) if one.raw is not None]
    rows, columns = (
        Compensation(means[own], compensation.directions).apply(raw_vectors(side)).astype(np.float64)
        for side, own in ((tested, line), (enrolled, first))
    )
    scores = rows @ columns.T
    return ScoreTable(
        enrolled=np.array([one.recording.speaker_id for one in enrolled]),
        tested=np.array([one.recording.speaker_id for one in tested]),
        scores=scores,
        net_seconds=np.array([one.net_seconds for one in tested]),
        trials=np.ones(scores.shape, np.bool_),
        same_recording=np.zeros(scores.shape, np.bool_),
    )


def keep_former(folder: Path) -> None:
    """Copy what is shipped to data/former under the id of its compensation, where the new files in `folder` differ."""
    for calibration in folder.glob("calibration-*.json"):
        compensation = calibration.name.replace("calibration", "compensation")
        id_ = read_calibration(DATA / calibration.name).encoder_id
        if id_ == read_calibration(calibration).encoder_id:
            continue
        for name in (calibration.name, compensation):
            shutil.copyfile(DATA / name, DATA / "former" / f"{name.partition('-')[0]}-{id_.replace('/', '-')}.json")


def raw_vectors(heard: list[PreparedSpeech]) -> Vectors:
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
