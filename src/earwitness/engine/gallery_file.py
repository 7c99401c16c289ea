"""The gallery file of the command line: JSON with the vectors in base64 (float32, little endian).

It is readable by the owner alone and replaced as a whole. The service keeps its galleries encrypted in a database.
Format 2 holds raw voiceprints. Format 1 held compensated ones; they are kept as they are until enrolled again, and say
so by an encoder id of their own.
"""

import base64
import contextlib
import json
import os
import tempfile
import unicodedata
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from earwitness.engine.file_line import FileLine, line_document, parse_line
from earwitness.engine.space import of_another_model, raw_id_of
from earwitness.errors import GalleryUnreadable, GalleryUnwritable, ProfileNotFound
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Voiceprint

_FORMAT, _FORMAT_1 = "earwitness gallery 2", "earwitness gallery 1"
_LOCK_SECONDS_MAX = 30.0


@dataclass(frozen=True, kw_only=True)
class GalleryFile:
    """The content of a gallery file."""

    band: Band
    #: Of raw embeddings. Voiceprints of another id are former ones, compensated.
    encoder_id: str
    voiceprints: tuple[Voiceprint, ...] = field(default=())
    #: Counts up with every change of the voiceprints; 0 in a file of format 1.
    version: int = 0
    #: What was learnt of the line of its calls.
    line: FileLine = field(default_factory=FileLine)

    @property
    def former_count(self) -> int:
        """Voiceprints that a former version made."""
        return sum(self.is_former(voiceprint) for voiceprint in self.voiceprints)

    def is_former(self, voiceprint: Voiceprint) -> bool:
        return voiceprint.embedding.encoder_id != self.encoder_id

    def with_voiceprints(self, added: Sequence[Voiceprint]) -> "GalleryFile":
        """Return a copy that holds these as well; one of the same profile and id is replaced."""
        for voiceprint in added:
            self.require(voiceprint.embedding.encoder_id)
        kept = {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in self.voiceprints}
        kept |= {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in added}
        return replace(self, voiceprints=tuple(kept[key] for key in sorted(kept)), version=self.version + 1)

    def without_profile(self, profile_id: str) -> "GalleryFile":
        """Return a copy that holds nothing of this profile; ProfileNotFound when it held nothing."""
        name = profile_name(profile_id)
        kept = tuple(voiceprint for voiceprint in self.voiceprints if voiceprint.profile_id != name)
        if len(kept) == len(self.voiceprints):
            raise ProfileNotFound("nobody of that name is enrolled; `earwitness profiles` lists who is")
        return replace(self, voiceprints=kept, version=self.version + 1)

    def require(self, encoder_id: str) -> "GalleryFile":
        """Return itself; raise GalleryOfAnotherModel when another encoder made its vectors, or in another band."""
        if self.encoder_id != encoder_id:
            raise of_another_model(encoder_id, self.encoder_id)
        return self


def read_gallery(path: Path) -> GalleryFile:
    """Read the gallery of a file; raise GalleryUnreadable when there is none or it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GalleryUnreadable(
            f"there is no gallery at {path}; enrol somebody first: `earwitness enroll NAME FILES…`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GalleryUnreadable(f"the gallery {path} cannot be read: {error}") from error
    # `Any`: json; every value is converted or compared here, and what does not fit is one error.
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] not in (_FORMAT, _FORMAT_1):
            raise ValueError(f"format {document['format']!r}")
        encoder_id = str(document["encoder_id"])  # in format 1 of compensated voiceprints
        read = GalleryFile(
            band=Band(document["band"]),
            encoder_id=raw_id_of(encoder_id),
            voiceprints=tuple(_parse(item, encoder_id) for item in document["voiceprints"]),
            version=int(document.get("version", 0)),
            line=parse_line(document.get("line")),
        )
        _require_one_length(read)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GalleryUnreadable(
            f"{path} is not a gallery of this version, or is damaged: {error}; "
            "restore it from a copy, or move it away and enrol again"
        ) from error
    return read


def write_gallery(path: Path, gallery: GalleryFile) -> None:
    """Replace the file; it is either the old gallery or the new one, whatever happens."""
    document = {
        "format": _FORMAT,
        "band": gallery.band,
        "encoder_id": gallery.encoder_id,
        "version": gallery.version,
        "line": line_document(gallery.line),
        "voiceprints": [_document(voiceprint, gallery) for voiceprint in gallery.voiceprints],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A temporary file is made with rights for the owner alone, and the gallery keeps them.
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise GalleryUnwritable(f"the gallery {path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def changing(path: Path) -> Generator[None]:
    """Hold the gallery for a read-change-write, so that two enrolments at once both end up in it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_SECONDS_MAX):
            yield
    except filelock.Timeout:
        raise GalleryUnwritable(f"another process has been changing the gallery {path} for 30 s; try again") from None
    except OSError as error:
        raise GalleryUnwritable(f"the gallery {path} cannot be written: {error.strerror or error}") from error


def profile_name(text: str) -> str:
    """Return what a person is called in a gallery: the name without blanks around it, in Unicode's composed form (NFC).

    macOS gives file names decomposed: `Zoë` typed and `Zoë` read from a folder would be two people.
    """
    return unicodedata.normalize("NFC", text.strip())


def _require_one_length(gallery: GalleryFile) -> None:
    lengths = {len(one.embedding.vector) for one in gallery.voiceprints}
    lengths |= {len(version.mean) for version in gallery.line.versions if version.mean is not None}
    if len(lengths) > 1:
        raise ValueError("its vectors are of different lengths")


# `Any`: JSON.
def _document(voiceprint: Voiceprint, gallery: GalleryFile) -> dict[str, Any]:
    embedding = voiceprint.embedding
    document = {
        "profile": voiceprint.profile_id,
        "voiceprint": voiceprint.voiceprint_id,
        "net_speech_seconds": embedding.net_speech_seconds,
        "vector": base64.b64encode(embedding.vector.astype("<f4").tobytes()).decode(),
    }
    return {**document, "encoder_id": embedding.encoder_id} if gallery.is_former(voiceprint) else document


# `Any`: as in read_gallery.
def _parse(item: dict[str, Any], encoder_id: str) -> Voiceprint:
    vector = np.frombuffer(base64.b64decode(item["vector"], validate=True), "<f4").astype(np.float32)
    return Voiceprint(
        profile_id=profile_name(str(item["profile"])),
        voiceprint_id=str(item["voiceprint"]),
        embedding=Embedding(
            vector=vector,
            encoder_id=str(item.get("encoder_id", encoder_id)),
            net_speech_seconds=float(item["net_speech_seconds"]),
        ),
    )
