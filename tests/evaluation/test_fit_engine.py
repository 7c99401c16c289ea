"""scripts/fit_engine.py from what was heard to the files it writes, on voices that are made up."""

import importlib.util
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from earwitness.engine.calibration import read_calibration
from earwitness.engine.compensation import parse_compensation, unit_length
from earwitness.errors import LabelsDoubtful
from earwitness.evaluation.hearing import PreparedSpeech
from earwitness.evaluation.manifest import JoinedRecording
from earwitness.voice.band import Band

DIMENSION, PERSONS, TESTS_EACH = 24, 24, 3
SCRIPT = Path(__file__).parents[2] / "scripts" / "fit_engine.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_engine", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MadeUpVoices:
    """What an Evaluator has heard: voices of random directions, moved one way by each line."""

    def __init__(self, band: Band, *, copied: int = 0) -> None:
        self.preparer = SimpleNamespace(encoder=SimpleNamespace(encoder_id=f"made-up-1/{band}"))
        self._own = np.random.default_rng(0).standard_normal((PERSONS, DIMENSION))
        self._own[PERSONS - copied :] = self._own[0]
        self.asked: list[tuple[str, str]] = []

    def hear(self, which: str, channel: str, *, net_seconds: Sequence[float]) -> None:
        assert sorted(net_seconds) == [3.0, 5.0, 10.0]
        self.asked.append((which, channel))

    def heard(self, which: str, channel: str, *, net_seconds: float) -> list[PreparedSpeech]:
        random = np.random.default_rng(zlib.crc32(f"{which} {channel} {net_seconds}".encode()))
        shift = np.random.default_rng(zlib.crc32(channel.encode())).standard_normal(DIMENSION)
        heard: list[PreparedSpeech] = []
        for person, own in enumerate(self._own):
            for number in range(1 if which == "enrol" else TESTS_EACH):
                name = f"s{person:02}"
                recording = JoinedRecording(name=f"{name}/{which}{number}", speaker_id=name, utterances=())
                vector = unit_length((own + 0.3 * shift + 0.4 * random.standard_normal(DIMENSION))[None])[0]
                # One recording had too little speech.
                raw = None if (person, number, channel) == (3, 1, "noise10") else vector
                heard.append(PreparedSpeech(recording=recording, raw=raw, net_seconds=net_seconds))
        return heard


def fit(script: Any, folder: Path, band: Band, *, accepted: Sequence[str] = (), copied: int = 0) -> MadeUpVoices:
    voices = MadeUpVoices(band, copied=copied)
    script.fit_band(band, [voices], [], made_from="a test", accepted=list(accepted), folder=folder)
    return voices


@pytest.mark.parametrize("band", list(Band))
def test_the_files_of_a_band_belong_together(script: Any, tmp_path: Path, band: Band) -> None:
    voices = fit(script, tmp_path, band)
    assert voices.asked == [("test", line) for line in script.LINES[band]]
    compensation = parse_compensation(tmp_path / f"compensation-campplus-{band}.json")
    assert len(compensation.directions) == (5 if band is Band.TELEPHONE else 0)
    calibration = read_calibration(tmp_path / f"calibration-campplus-{band}.json")
    assert calibration.encoder_id == f"made-up-1/{band}/{compensation.id}"
    assert (calibration.persons, calibration.person_pairs) == (PERSONS, PERSONS * (PERSONS - 1) // 2)
    assert [one.net_seconds for one in calibration.fits] == [3.0, 5.0, 10.0]
    assert calibration.unknown_line_margin == script.UNKNOWN_LINE_MARGIN[band]


def test_labels_in_doubt_end_it(script: Any, tmp_path: Path) -> None:
    with pytest.raises(LabelsDoubtful, match="s00 and s23 sound like one person"):
        fit(script, tmp_path, Band.TELEPHONE, copied=1)
    fit(script, tmp_path, Band.TELEPHONE, copied=1, accepted=["s00=s23"])


def test_what_is_replaced_is_kept_as_a_former_one(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Voiceprints that were made of it are compared with it for as long as there are any."""
    data, made = tmp_path / "data", tmp_path / "made"
    for folder in (data / "former", made):
        folder.mkdir(parents=True)
    fit(script, data, Band.TELEPHONE)
    shipped = read_calibration(data / "calibration-campplus-telephone.json").encoder_id.replace("/", "-")
    monkeypatch.setattr(script, "DATA", data)
    fit(script, made, Band.TELEPHONE)
    script.keep_former(made)
    assert list((data / "former").iterdir()) == []  # the same numbers
    calibration = made / "calibration-campplus-telephone.json"
    document = json.loads(calibration.read_text())
    calibration.write_text(json.dumps({**document, "encoder_id": "made-up-1/telephone/00000000"}))
    script.keep_former(made)
    assert sorted(path.name for path in (data / "former").iterdir()) == [
        f"calibration-{shipped}.json",
        f"compensation-{shipped}.json",
    ]
