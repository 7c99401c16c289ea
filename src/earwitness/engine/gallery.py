"""Enrolled voiceprints: as a matrix that is searched, and as a file of the command line.

`Gallery`: add, delete and exact search without rebuilding. Rows live in blocks of fixed size, so adding never copies
what is there. A deleted row is overwritten by the last one, whose old place is zeroed: nothing of a deleted voice stays
in memory.

`GalleryFile`: JSON with the vectors in base64 (float32, little endian), readable by the owner alone, replaced as a
whole. The service keeps its galleries encrypted in a database.
"""

import base64
import contextlib
import json
import os
import tempfile
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from earwitness.errors import GalleryOfAnotherModel, GalleryUnreadable, GalleryUnwritable, ProfileNotFound
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Vector, Voiceprint

_FORMAT = "earwitness gallery 1"
_LOCK_SECONDS_MAX = 30.0
_BLOCK_ROWS = 16_384
_FIRST_LOOK = 64
"""Best rows looked at before asking for more, so that several voiceprints of one profile do not crowd others out."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A profile and the score of its closest voiceprint."""

    profile_id: str
    voiceprint_id: str
    score: float


@dataclass(frozen=True, slots=True)
class _Owner:
    profile_id: str
    voiceprint_id: str


class Gallery:
    """Voiceprints of one encoder id. Not safe for concurrent change; searches may run together."""

    def __init__(self, encoder_id: str, dimension: int) -> None:
        self.encoder_id = encoder_id
        self._dimension = dimension
        self._blocks: list[NDArray[np.float32]] = []
        self._owners: list[_Owner] = []
        self._rows: dict[str, dict[str, int]] = {}  # profile id → voiceprint id → row

    def __len__(self) -> int:
        """Return how many voiceprints are enrolled."""
        return len(self._owners)

    @property
    def profile_count(self) -> int:
        """Profiles the voiceprints belong to."""
        return len(self._rows)

    @property
    def profile_ids(self) -> list[str]:
        """Profiles enrolled, in order."""
        return sorted(self._rows)

    def add(self, voiceprint: Voiceprint) -> None:
        """Enrol one voiceprint; one of the same id under the same profile is replaced."""
        self._check(voiceprint.embedding)
        rows = self._rows.setdefault(voiceprint.profile_id, {})
        row = rows.get(voiceprint.voiceprint_id)
        if row is None:
            row = len(self._owners)
            if row == len(self._blocks) * _BLOCK_ROWS:
                self._blocks.append(np.empty((_BLOCK_ROWS, self._dimension), np.float32))
            self._owners.append(_Owner(voiceprint.profile_id, voiceprint.voiceprint_id))
            rows[voiceprint.voiceprint_id] = row
        self._row(row)[:] = voiceprint.embedding.vector

    def add_all(self, voiceprints: Iterable[Voiceprint]) -> None:
        for voiceprint in voiceprints:
            self.add(voiceprint)

    def delete(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile; return how many there were. Raise ProfileNotFound when it has none."""
        if profile_id not in self._rows:
            raise ProfileNotFound("nobody of that name is enrolled")
        rows = sorted(self._rows.pop(profile_id).values(), reverse=True)
        for row in rows:
            self._drop(row)
        return len(rows)

    def search(self, probe: Embedding, *, count: int = 10) -> list[Hit]:
        """Return the `count` closest profiles, best first, ties by profile id. Every voiceprint is compared."""
        self._check(probe)
        scores = self.scores(probe)
        wanted = min(count, len(self._rows))
        look = max(_FIRST_LOOK, wanted)
        while True:
            hits = self._best(scores, look)
            if len(hits) >= wanted or look >= len(scores):
                return hits[:count]
            look *= 4

    def scores(self, probe: Embedding) -> NDArray[np.float32]:
        """Return the cosine of the probe with every voiceprint, in row order; shape (voiceprints,)."""
        scores = np.empty(len(self._owners), np.float32)
        for first, block in self._filled():
            np.matmul(block, probe.vector, out=scores[first : first + len(block)])
        return scores

    def _best(self, scores: NDArray[np.float32], look: int) -> list[Hit]:
        """Return profiles among the `look` best rows and all rows that tie with the last of these."""
        if look < len(scores):
            floor = np.partition(scores, len(scores) - look)[len(scores) - look]
            rows = np.flatnonzero(scores >= floor)
        else:
            rows = np.arange(len(scores))
        best: dict[str, Hit] = {}
        for row in rows.tolist():
            owner, score = self._owners[row], float(scores[row])
            known = best.get(owner.profile_id)
            if known is None or (-score, owner.voiceprint_id) < (-known.score, known.voiceprint_id):
                best[owner.profile_id] = Hit(owner.profile_id, owner.voiceprint_id, score)
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.profile_id))

    def _filled(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, block in enumerate(self._blocks):
            first = number * _BLOCK_ROWS
            if first < len(self._owners):
                yield first, block[: len(self._owners) - first]

    def _row(self, row: int) -> Vector:
        return self._blocks[row // _BLOCK_ROWS][row % _BLOCK_ROWS]

    def _drop(self, row: int) -> None:
        last = len(self._owners) - 1
        if row != last:
            self._row(row)[:] = self._row(last)
            owner = self._owners[last]
            self._owners[row] = owner
            self._rows[owner.profile_id][owner.voiceprint_id] = row
        self._row(last)[:] = 0.0
        self._owners.pop()
        if last == (len(self._blocks) - 1) * _BLOCK_ROWS:
            self._blocks.pop()

    def _check(self, embedding: Embedding) -> None:
        if embedding.encoder_id != self.encoder_id or embedding.vector.shape != (self._dimension,):
            raise GalleryOfAnotherModel(
                f"the gallery was made with {self.encoder_id} and this voice with {embedding.encoder_id}; their "
                f"numbers do not compare: enrol the voices again with the present model"
            )


@dataclass(frozen=True, kw_only=True)
class GalleryFile:
    """The content of a gallery file."""

    band: Band
    encoder_id: str
    voiceprints: tuple[Voiceprint, ...] = field(default=())

    def with_voiceprints(self, added: Sequence[Voiceprint]) -> "GalleryFile":
        """Return a copy that holds these as well; one of the same profile and id is replaced."""
        for voiceprint in added:
            self.require(voiceprint.embedding.encoder_id)
        kept = {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in self.voiceprints}
        kept |= {(voiceprint.profile_id, voiceprint.voiceprint_id): voiceprint for voiceprint in added}
        return replace(self, voiceprints=tuple(kept[key] for key in sorted(kept)))

    def without_profile(self, profile_id: str) -> "GalleryFile":
        """Return a copy that holds nothing of this profile; ProfileNotFound when it held nothing."""
        name = profile_name(profile_id)
        kept = tuple(voiceprint for voiceprint in self.voiceprints if voiceprint.profile_id != name)
        if len(kept) == len(self.voiceprints):
            raise ProfileNotFound("nobody of that name is enrolled; `earwitness profiles` lists who is")
        return replace(self, voiceprints=kept)

    def require(self, encoder_id: str) -> "GalleryFile":
        """Return itself; raise GalleryOfAnotherModel when another encoder, band or compensation made its vectors."""
        if self.encoder_id != encoder_id:
            raise GalleryOfAnotherModel(
                f"the gallery was made with {self.encoder_id} and the model here is {encoder_id}; their numbers do not "
                f"compare: enrol the voices again, or use the earwitness version that made it"
            )
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


def profile_name(text: str) -> str:
    """Return what a person is called in a gallery: the name without blanks around it, in Unicode's composed form (NFC).

    macOS gives file names decomposed: `Zoë` typed and `Zoë` read from a folder would be two people.
    """
    return unicodedata.normalize("NFC", text.strip())


# `Any`: as in read_gallery.
def _parse(item: dict[str, Any], encoder_id: str) -> Voiceprint:
    vector = np.frombuffer(base64.b64decode(item["vector"], validate=True), "<f4").astype(np.float32)
    return Voiceprint(
        profile_id=profile_name(str(item["profile"])),
        voiceprint_id=str(item["voiceprint"]),
        embedding=Embedding(vector=vector, encoder_id=encoder_id, net_speech_seconds=float(item["net_speech_seconds"])),
    )
