"""The line in a gallery file: means and counts, never a voice; every change is a version that can be gone back to."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from earwitness.engine.file_line import VERSIONS_MAX, FileLine
from earwitness.engine.gallery_file import GalleryFile, read_gallery, write_gallery
from earwitness.engine.line import learn_at_once
from earwitness.engine.space import Line
from earwitness.errors import ConfigurationError, GalleryUnreadable
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Voiceprint
from earwitness.voice.line import LineChange, LineLearning, LineState
from spaces import SHIPPED, embedded, voices

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def learnt(voices: int, *mean: float) -> Line:
    return Line(mean=np.array(mean, np.float32), voices=voices, version=1)


def test_a_line_of_more_voices_takes_the_place_of_one_of_fewer() -> None:
    empty = FileLine()
    assert (empty.current.state, empty.current.version) == (LineState.UNKNOWN, 0)
    assert empty.takes(learnt(10, 0.1, 0.2))
    twenty = empty.learnt(learnt(20, 0.1, 0.2), at=NOW)
    assert (twenty.current.state, twenty.current.voices, twenty.current.version) == (LineState.LEARNING, 20, 1)
    assert not twenty.takes(learnt(20, 0.3, 0.2))
    assert twenty.takes(learnt(21, 0.3, 0.2))
    assert not twenty.switched(LineLearning.OFF).takes(learnt(50, 0.3, 0.2))
    fifty = twenty.learnt(learnt(50, 0.3, 0.2), at=NOW)
    assert fifty.current.state is LineState.LEARNT
    assert not fifty.takes(learnt(50, 0.4, 0.2))


def test_no_voice_can_be_computed_from_two_versions() -> None:
    heard = embedded(voices(11, seed=1))
    ten, eleven = learn_at_once(SHIPPED, heard[:10]), learn_at_once(SHIPPED, heard)
    assert ten is not None
    assert eleven is not None
    assert ten.mean is not None
    assert eleven.mean is not None
    line = FileLine().learnt(ten, at=NOW)
    assert line.takes(eleven)
    # What the versions would tell, if both were kept: the voice that was added.
    (told,) = SHIPPED.shipped.apply((16 * eleven.mean - 15 * ten.mean)[None])
    assert SHIPPED.shipped.cosines(heard[10].vector[None], told) > 0.99
    for changed in (line, line.reset(at=NOW), line.reset(at=NOW).reverted(1, at=NOW)):
        means = [one.mean for one in changed.learnt(eleven, at=NOW).versions if one.mean is not None]
        assert len(means) == 1
        np.testing.assert_array_equal(means[0], eleven.mean)
    twenty = line.learnt(learnt(20, 0.1, 0.2), at=NOW)
    assert [one.number for one in twenty.versions] == [2, 1]


def test_reset_and_revert_are_versions_too() -> None:
    line = FileLine().learnt(learnt(20, 0.1, 0.2), at=NOW).reset(at=NOW + timedelta(hours=1))
    assert (line.current.state, line.current.voices, line.current.version) == (LineState.UNKNOWN, 0, 2)
    assert line.takes(learnt(10, 0.3, 0.3))
    back = line.reverted(1, at=NOW + timedelta(hours=2))
    assert (back.current.voices, back.current.version) == (20, 3)
    assert [(one.number, one.why, one.reverted_to) for one in back.versions] == [
        (3, LineChange.REVERTED, 1),
        (2, LineChange.RESET, None),
        (1, LineChange.LEARNT, None),
    ]
    np.testing.assert_array_equal(back.current.mean, np.array([0.1, 0.2], np.float32))
    with pytest.raises(ConfigurationError, match="no version 9"):
        back.reverted(9, at=NOW)


def test_no_more_versions_are_kept_than_can_be_looked_through() -> None:
    line = FileLine()
    for _ in range(VERSIONS_MAX + 5):
        line = line.reset(at=NOW)
    assert [one.number for one in line.versions] == list(range(VERSIONS_MAX + 5, 5, -1))


def stored(line: FileLine) -> GalleryFile:
    embedding = Embedding(vector=np.array([0.6, 0.8], np.float32), encoder_id="e", net_speech_seconds=12.0)
    voiceprint = Voiceprint(profile_id="ada", voiceprint_id="1", embedding=embedding)
    return replace(GalleryFile(band=Band.TELEPHONE, encoder_id="e"), line=line).with_voiceprints([voiceprint])


def test_it_comes_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "gallery.json"
    line = FileLine().learnt(learnt(20, 0.1, 0.2), at=NOW).reset(at=NOW).reverted(1, at=NOW).switched(LineLearning.OFF)
    write_gallery(path, stored(line))
    read = read_gallery(path)
    assert read.line.learning is LineLearning.OFF
    assert [(one.number, one.why, one.voices, one.created_at, one.reverted_to) for one in read.line.versions] == [
        (one.number, one.why, one.voices, one.created_at, one.reverted_to) for one in line.versions
    ]
    np.testing.assert_array_equal(read.line.current.mean, line.current.mean)


def test_the_version_of_the_gallery_counts_changes_of_its_voices(tmp_path: Path) -> None:
    first = stored(FileLine())
    assert first.version == 1
    assert first.without_profile("ada").version == 2
    write_gallery(tmp_path / "gallery.json", first.without_profile("ada"))
    assert read_gallery(tmp_path / "gallery.json").version == 2


@pytest.mark.parametrize("change", [{"learning": "perhaps"}, {"versions": [{}]}, {"versions": None}, {"mean": 1}])
def test_a_damaged_line_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored(FileLine().learnt(learnt(20, 0.1, 0.2), at=NOW)))
    document = json.loads(path.read_text())
    if "mean" in change:
        document["line"]["versions"][0]["mean"] = "AAAA"
    else:
        document["line"] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(GalleryUnreadable):
        read_gallery(path)


def test_a_mean_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored(FileLine().learnt(learnt(20, 0.1, 0.2, 0.3), at=NOW)))
    with pytest.raises(GalleryUnreadable, match="different lengths"):
        read_gallery(path)
