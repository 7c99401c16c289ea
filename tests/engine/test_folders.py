"""Folders as people have them: hidden files, documents, recordings of other kinds, names of other systems."""

import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from earwitness.engine.enrol import people_in, recordings_in
from earwitness.errors import AudioUnreadable, GalleryUnreadable

PASSED_OVER = ("._a.wav", ".DS_Store", "Thumbs.db", "notes.txt", "list.csv", ".cache/x.wav")
MEANT = ("a.wav", "b.M4A", "c.vox", "d.mp3")
"""Those of a kind that is not read too: opening them names them."""


def fill(folder: Path) -> None:
    for name in PASSED_OVER + MEANT:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"x")


def test_recordings_are_given_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path / "calls")
    assert [file.name for file in recordings_in(tmp_path / "calls")] == list(MEANT)
    fill(tmp_path / "people" / "ann")
    (tmp_path / "people" / "._ben.wav").write_bytes(b"x")
    (tmp_path / "people" / "ben.amr").write_bytes(b"x")
    people = people_in(tmp_path / "people")
    assert {name: [file.name for file in files] for name, files in people.items()} == {
        "ann": list(MEANT),
        "ben": ["ben.amr"],
    }


def test_folders_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(AudioUnreadable, match="no recordings"):
        recordings_in(tmp_path)
    with pytest.raises(GalleryUnreadable, match="no recordings"):
        people_in(tmp_path)


def test_a_name_is_one_name_however_it_is_written(tmp_path: Path) -> None:
    written: dict[Literal["NFC", "NFD"], str] = {"NFC": "1.wav", "NFD": "2.wav"}
    for form, name in written.items():
        folder = tmp_path / unicodedata.normalize(form, "Zoë Ünal")
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert list(people_in(tmp_path)) == [unicodedata.normalize("NFC", "Zoë Ünal")]
