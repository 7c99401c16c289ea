"""Raw embeddings of labelled speech over simulated lines, heard once and kept for the benchmarks that need them.

They are kept in .bench-heard, which git ignores: voices of people do not belong into a repository.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import ROOT
from benchmarks.engine import network_for
from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.compensation import no_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.evaluation.evaluate import Evaluator
from earwitness.evaluation.hearing import SpeechPreparer
from earwitness.evaluation.manifest import adults, read_manifest
from earwitness.evaluation.recordings import join_utterances
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.voice.band import Band

ENROL_SECONDS, TEST_SECONDS = 20.0, (10.0, 5.0, 3.0)
"""Shorter tests are the starts of the longest."""

_FOLDER = ROOT / ".bench-heard"
_SEED = 0

RawVectors = NDArray[np.float32]
"""Shape (recordings, dimension); NaN where there was too little speech."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeardSet:
    """A set of recordings over one line."""

    #: Speaker of each recording, and what it is for: `enrol` or `test`.
    speaker: NDArray[np.str_]
    kind: NDArray[np.str_]
    #: By seconds of net speech.
    raw: dict[float, RawVectors]

    def rows(self, people: Sequence[str], kind: str) -> NDArray[np.int64]:
        """Return where recordings of these people and this kind are."""
        return np.flatnonzero(np.isin(self.speaker, list(people)) & (self.kind == kind))


def heard_sets(folder: Path, lines: Sequence[str]) -> dict[str, HeardSet]:
    """Return the adults of a folder with a manifest.csv over each line; the same recordings in the same order."""
    model = network_for(ENCODER_MODEL)
    name = f"{folder.name}-{model.model.numbers_id}"
    if missing := [line for line in lines if not _file(name, line).is_file()]:
        _hear(folder, name, missing)
    return {line: _read(_file(name, line)) for line in lines}


def kept_file(name: str, line: str) -> Path:
    """Return where a benchmark keeps what it heard over a line; the folder is there."""
    _FOLDER.mkdir(exist_ok=True)
    return _FOLDER / f"{name}-{line}.npy"


def _file(name: str, line: str) -> Path:
    return _FOLDER / f"{name}-{line}.npz"


def _read(path: Path) -> HeardSet:
    with np.load(path) as kept:
        raw = {float(key.removeprefix("raw")): kept[key] for key in kept.files if key.startswith("raw")}
        return HeardSet(speaker=kept["speaker"], kind=kept["kind"], raw=raw)


def _hear(folder: Path, name: str, lines: Sequence[str]) -> None:
    model = network_for(ENCODER_MODEL)
    encoder = SpeakerEncoder(model, band=Band.TELEPHONE, compensation=no_compensation(model.model.dimension))
    workers = config.load().workers
    preparer = SpeechPreparer(vad=network_for(VAD_MODEL), encoder=encoder, workers=workers, seed=_SEED)
    _FOLDER.mkdir(exist_ok=True)
    with progress_of() as show:
        utterances = adults(read_manifest(folder / "manifest.csv"))
        net = preparer.net_seconds(utterances, show)
        recordings = join_utterances(
            utterances, net.__getitem__, enrol_seconds=ENROL_SECONDS, test_seconds=TEST_SECONDS[0], seed=_SEED
        )
        evaluator = Evaluator(
            preparer=preparer,
            compensation=no_compensation(encoder.dimension),
            recordings=recordings,
            enrol_seconds=ENROL_SECONDS,
            progress=show,
        )
        for line in lines:
            sides = [("enrol", ENROL_SECONDS), *(("test", seconds) for seconds in TEST_SECONDS)]
            evaluator.hear("test", line, net_seconds=TEST_SECONDS)
            heard = {side: evaluator.heard(side[0], line, net_seconds=side[1]) for side in sides}
            enrolled, tested = heard[sides[0]], heard[sides[1]]
            nothing = np.full(encoder.dimension, np.nan, np.float32)
            columns: dict[str, NDArray[np.generic]] = {}
            for which, seconds in sides:
                own = [nothing if one.raw is None else one.raw for one in heard[which, seconds]]
                none_of_other = [nothing] * (len(tested) if which == "enrol" else len(enrolled))
                rows = [*own, *none_of_other] if which == "enrol" else [*none_of_other, *own]
                columns[f"raw{seconds:g}"] = np.stack(rows)
            np.savez(
                _file(name, line),
                allow_pickle=False,
                speaker=np.array([one.recording.speaker_id for one in (*enrolled, *tested)]),
                kind=np.array(["enrol"] * len(enrolled) + ["test"] * len(tested)),
                **columns,
            )
