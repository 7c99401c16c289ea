"""Copies among the recordings of a manifest are found by what is in them."""

from pathlib import Path

import numpy as np
import soundfile

from earwitness.evaluation.manifest import TrialRole, Utterance
from earwitness.evaluation.recordings import copies


def test_copies_are_found_by_their_samples(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    one, other = (np.round(random.uniform(-0.5, 0.5, 8_000) * 32_768) / 32_768 for _ in range(2))
    for name, samples in (("a.wav", one), ("b.flac", one), ("c.wav", other), ("d.wav", one[:-1])):
        soundfile.write(tmp_path / name, samples, 8_000)
    (tmp_path / "e.wav").write_bytes(b"no audio")
    listed = [
        Utterance(path=path, speaker_id="s", sex="", age=None, source="", role=TrialRole.ENROL_AND_TEST)
        for path in sorted(tmp_path.iterdir())
    ]
    found = [(earlier.path.name, copy.path.name) for earlier, copy in copies(listed)]
    assert found == [("a.wav", "b.flac")]
