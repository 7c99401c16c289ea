"""A gallery as one file: profiles, their voiceprints and the encoder that made them.

JSON with the vectors in base64 (float32, little endian), readable by the owner alone, replaced as a whole. The
service keeps its galleries encrypted in a database; this file is for the command line.
"""

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from earwitness.engine.folders import profile_name
from earwitness.errors import GalleryOfAnotherModel, GalleryUnreadable, GalleryUnwritable, ProfileNotFound
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Voiceprint

_FORMAT = "earwitness gallery 1"
_LOCK_SECONDS_MAX = 30.0


@dataclass(frozen=True, kw_only=True)
class GalleryFile:
    """The content of a gallery file."""

    band: Band
    encoder_id: str
    voiceprints: tuple[Voiceprint, ...] = field(default=())

    def with_voiceprints(self, added: Sequence[Voiceprint]) -> "GalleryFile":
        """A copy that holds these as well; one of the same profile and id is replaced."""
        for voiceprint in added:
            self.require(voiceprint.embedding.encoder_id)
        kept = {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in self.voiceprints}
        kept |= {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in added}
        return replace(self, voiceprints=tuple(kept[key] for key in sorted(kept)))

    def without_profile(self, profile_id: str) -> "GalleryFile":
        """A copy that holds nothing of this profile; ProfileNotFound when it held nothing."""
        name = profile_name(profile_id)
        kept = tuple(voiceprint for voiceprint in self.voiceprints if voiceprint.profile_id != name)
        if len(kept) == len(self.voiceprints):
            raise ProfileNotFound("nobody of that name is enrolled; `earwitness profiles` lists who is")
        return replace(self, voiceprints=kept)

    def require(self, encoder_id: str) -> "GalleryFile":
        """Itself, or GalleryOfAnotherModel when its vectors come from another encoder, band or compensation."""
        if self.encoder_id != encoder_id:
            raise GalleryOfAnotherModel(
                f"the gallery was made with {self.encoder_id} and the model here is {encoder_id}; their numbers do not "
                f"compare: enrol the voices again, or use the earwitness version that made it"
            )
        return self


def read_gallery(path: Path) -> GalleryFile:
    """The gallery of a file; GalleryUnreadable when there is none or it is damaged."""
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
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r}")
        encoder_id = str(document["encoder_id"])
        return GalleryFile(
            band=Band(document["band"]),
            encoder_id=encoder_id,
            voiceprints=tuple(_parse(item, encoder_id) for item in document["voiceprints"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GalleryUnreadable(f"{path} is not a gallery of this version, or is damaged: {error}") from error


def write_gallery(path: Path, gallery: GalleryFile) -> None:
    """Replace the file; it is either the old gallery or the new one, whatever happens."""
    document = {
        "format": _FORMAT,
        "band": gallery.band,
        "encoder_id": gallery.encoder_id,
        "voiceprints": [
            {
                "profile": voiceprint.profile_id,
                "voiceprint": voiceprint.voiceprint_id,
                "net_speech_seconds": voiceprint.embedding.net_speech_seconds,
                "vector": base64.b64encode(voiceprint.embedding.vector.astype("<f4").tobytes()).decode(),
            }
            for voiceprint in gallery.voiceprints
        ],
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


# `Any`: as in read_gallery.
def _parse(item: dict[str, Any], encoder_id: str) -> Voiceprint:
    vector = np.frombuffer(base64.b64decode(item["vector"], validate=True), "<f4").astype(np.float32)
    return Voiceprint(
        profile_id=profile_name(str(item["profile"])),
        voiceprint_id=str(item["voiceprint"]),
        embedding=Embedding(vector=vector, encoder_id=encoder_id, net_speech_seconds=float(item["net_speech_seconds"])),
    )
