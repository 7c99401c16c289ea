"""The gallery file: whole or not at all, for its owner alone, never with another model's vectors."""

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

import started
from earwitness.engine.gallery_file import GalleryFile, changing, read_gallery, write_gallery
from earwitness.errors import GalleryOfAnotherModel, GalleryUnreadable, GalleryUnwritable, ProfileNotFound
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Voiceprint
from patience import PATIENCE_SECONDS


def voiceprint(profile: str, name: str = "1", encoder_id: str = "e") -> Voiceprint:
    vector = np.array([0.6, 0.8], np.float32)
    embedding = Embedding(vector=vector, encoder_id=encoder_id, net_speech_seconds=12.5)
    return Voiceprint(profile_id=profile, voiceprint_id=name, embedding=embedding)


@pytest.fixture
def stored() -> GalleryFile:
    empty = GalleryFile(band=Band.TELEPHONE, encoder_id="e")
    return empty.with_voiceprints([voiceprint("b"), voiceprint("a"), voiceprint("a", "2")])


def test_comes_back_as_written(tmp_path: Path, stored: GalleryFile) -> None:
    path = tmp_path / "deep" / "gallery.json"
    write_gallery(path, stored)
    read = read_gallery(path)
    assert (read.band, read.encoder_id) == (Band.TELEPHONE, "e")
    assert [(each.profile_id, each.voiceprint_id) for each in read.voiceprints] == [("a", "1"), ("a", "2"), ("b", "1")]
    np.testing.assert_array_equal(read.voiceprints[0].embedding.vector, np.array([0.6, 0.8], np.float32))


def test_only_the_owner_may_read_it(tmp_path: Path, stored: GalleryFile) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


def test_forgetting_leaves_nothing(tmp_path: Path, stored: GalleryFile) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored)
    write_gallery(path, stored.without_profile("a"))
    assert [each.profile_id for each in read_gallery(path).voiceprints] == ["b"]
    assert sorted(file.name for file in tmp_path.glob("*gallery*")) == ["gallery.json"]
    with pytest.raises(ProfileNotFound):
        stored.without_profile("nobody")


def test_what_version_0_2_wrote_is_kept_until_enrolled_again(tmp_path: Path, stored: GalleryFile) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored)
    document = json.loads(path.read_text())
    former = "campplus-0.2.2-r1/telephone/dfc758e8"
    path.write_text(json.dumps({**document, "format": "earwitness gallery 1", "encoder_id": former}))
    read = read_gallery(path)
    assert (read.encoder_id, read.former_count) == ("campplus-0.2.2-r1/telephone", 3)
    write_gallery(path, read.with_voiceprints([voiceprint("a", "2", read.encoder_id)]))
    again = read_gallery(path)
    assert json.loads(path.read_text())["format"] == "earwitness gallery 2"
    assert [(one.voiceprint_id, one.embedding.encoder_id) for one in again.voiceprints if one.profile_id == "a"] == [
        ("1", former),
        ("2", read.encoder_id),
    ]
    assert again.former_count == 2


def test_another_model_is_refused(stored: GalleryFile) -> None:
    with pytest.raises(GalleryOfAnotherModel):
        stored.require("other")
    with pytest.raises(GalleryOfAnotherModel):
        stored.with_voiceprints([voiceprint("c", encoder_id="other")])


def test_an_interrupted_write_leaves_the_old_gallery(
    tmp_path: Path, stored: GalleryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GalleryUnwritable, match="No space left"):
        write_gallery(path, stored.without_profile("a"))
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.glob("*gallery*")) == ["gallery.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": "earwitness gallery 9"}', '{"format": "earwitness gallery 1"}'],
)
def test_what_is_no_gallery_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gallery.json"
    path.write_text(content)
    with pytest.raises(GalleryUnreadable):
        read_gallery(path)


@pytest.mark.parametrize("vector", ["!!", "AAAA", "AAAAAAAAAAA=", ""])
def test_damaged_vectors_are_refused(tmp_path: Path, stored: GalleryFile, vector: str) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, stored)
    document = json.loads(path.read_text())
    document["voiceprints"][0]["vector"] = vector
    path.write_text(json.dumps(document))
    with pytest.raises(GalleryUnreadable):
        read_gallery(path)


def test_no_gallery_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnreadable, match="earwitness enroll NAME"):
        read_gallery(tmp_path / "none.json")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, stored: GalleryFile) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(GalleryUnwritable):
        write_gallery(blocked / "gallery.json", stored)
    with pytest.raises(GalleryUnwritable), changing(blocked / "gallery.json"):
        pytest.fail("nothing may be changed here")


ENROL = """
import sys
from pathlib import Path
import numpy as np
from earwitness.engine.gallery_file import GalleryFile, changing, read_gallery, write_gallery
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Voiceprint
path = Path(sys.argv[1])
embedding = Embedding(vector=np.array([1, 0], np.float32), encoder_id="e", net_speech_seconds=10.0)
for number in range(10):
    with changing(path):
        known = read_gallery(path) if path.exists() else GalleryFile(band=Band.TELEPHONE, encoder_id="e")
        added = Voiceprint(profile_id=f"{sys.argv[2]}-{number}", voiceprint_id="1", embedding=embedding)
        write_gallery(path, known.with_voiceprints([added]))
"""


@pytest.mark.slow
def test_two_processes_enrolling_at_once_lose_nobody(tmp_path: Path) -> None:
    path = tmp_path / "gallery.json"
    processes = [started.start([sys.executable, "-c", ENROL, str(path), name]) for name in ("first", "second")]
    assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0]
    assert len(read_gallery(path).voiceprints) == 20
