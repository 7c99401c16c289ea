"""Files as they were met in the field, and a gallery of the seven voices that may be in them.

INDEX.md in the folder says what each file is and what its right answer is. Without the folder its tests are skipped.
"""

import os
from pathlib import Path

import pytest
import soundfile
from development_speech import RATE, recordings_of, telephone_line

from earwitness.engine.engine import Engine
from earwitness.engine.enrol import voiceprints_of
from earwitness.engine.gallery_file import GalleryFile, write_gallery

# Read at import: tests/conftest.py clears these variables in each test.
FIELD_DIR = Path(os.environ.get("EARWITNESS_FIELD_DIR", Path(__file__).parents[3] / "shared" / "field-inputs"))

KNOWN = ("ls533", "ls1688", "ls2609", "ls3005", "ls3331", "so0563", "so1027")
ENROLLED_SECONDS = 30


@pytest.fixture(scope="session")
def field_dir() -> Path:
    """The folder of files met in the field."""
    if not (FIELD_DIR / "INDEX.md").is_file():
        pytest.skip(f"no files at {FIELD_DIR}; set EARWITNESS_FIELD_DIR to run this on files met in the field")
    return FIELD_DIR


@pytest.fixture(scope="session")
def known(engine: Engine, speech_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery file, to be read only: the seven voices, each from the first half of its recordings, 30 s at 8 kHz."""
    folder = tmp_path_factory.mktemp("known")
    voiceprints = []
    for speaker, files in recordings_of(speech_dir, KNOWN).items():
        path = folder / f"{speaker}.wav"
        line = telephone_line(files[: len(files) // 2])
        soundfile.write(path, line[: ENROLLED_SECONDS * RATE], RATE, subtype="PCM_16")
        voiceprints += voiceprints_of(engine, speaker, [path]).voiceprints
    gallery = folder / "gallery.json"
    encoder_id = engine.encoder.encoder_id
    write_gallery(gallery, GalleryFile(band=engine.band, encoder_id=encoder_id).with_voiceprints(voiceprints))
    return gallery
