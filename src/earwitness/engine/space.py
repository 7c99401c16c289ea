"""Where embeddings are compared: which encoder made them, what is taken out of them, and what their scores mean.

A *raw* embedding is the encoder's own output at unit length; its id is `MODEL/BAND`. A *compensated* one has the hash
of its compensation behind that: `MODEL/BAND/HASH`. Voiceprints are kept raw. Those that version 0.2 made are
compensated, which cannot be undone: they are compared in the space they were made for (a *former* space), whose
compensation and calibration are shipped for as long as such voiceprints may exist.

A calibration belongs to the shipped compensation. On a line that is known (line.py learns it) voices are compared about
the line's mean, and in the shipped space as well, and the lower score counts: whatever was learnt, nobody is named whom
the shipped mean would not name.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import resources

import numpy as np

from earwitness.engine.calibration import Calibration, parse_calibration, shipped_calibration
from earwitness.engine.compensation import Compensation, parse_compensation, shipped_compensation
from earwitness.errors import GalleryOfAnotherModel
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Vector
from earwitness.voice.line import LineState, state_of

_COMPENSATED = re.compile(r"[\w.-]+/[a-z]+/[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """What is known of a line: what moves all voices that are heard over it one way."""

    #: Where the raw embeddings of the line lie, shape (dimension,), not of unit length; None: where the shipped do.
    mean: Vector | None = None
    #: Different voices that the mean is of.
    voices: int = 0
    #: Counts up with every change; 0 before the first.
    version: int = 0
    #: Whether the monitor says that strangers do not score as strangers on it (engine/monitor.py).
    is_off: bool = False

    @property
    def state(self) -> LineState:
        """How well it is known."""
        return LineState.UNKNOWN if self.mean is None else state_of(self.voices)

    @property
    def unknown(self) -> float:
        """The share of the threshold's margin that it needs: 1 while nothing is known of it, or when it is off."""
        return 1.0 if self.mean is None or self.is_off else PRIOR_VOICES / (PRIOR_VOICES + self.voices)


UNKNOWN_LINE = Line()

PRIOR_VOICES = 5
"""The shipped mean weighs as much as so many voices of the line: w = n / (n + 5) is what n voices weigh."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """How raw embeddings of one encoder and band are compared."""

    #: Of the raw embeddings that it takes.
    encoder_id: str
    #: What the calibration was fitted with.
    shipped: Compensation
    #: What cosines of compensated embeddings mean.
    calibration: Calibration
    line: Line = UNKNOWN_LINE

    @cached_property
    def compensation(self) -> Compensation:
        """The shipped one, about the mean of the line where that is known."""
        return self.shipped if self.line.mean is None else Compensation(self.line.mean, self.shipped.directions)

    @property
    def id(self) -> str:
        """Encoder, band and compensation in one name; embeddings of different ones never meet."""
        return f"{self.encoder_id}/{self.compensation.id}"

    def on(self, line: Line) -> "Space":
        """Return the same on another line."""
        return replace(self, line=line)

    def calibrated(self, calibration: Calibration) -> "Space":
        """Return the same with another calibration; raise GalleryOfAnotherModel when it is not one of this space."""
        if calibration is self.calibration:
            return self
        return replace(self, calibration=calibration).require_calibration()

    def require_calibration(self) -> "Space":
        """Return itself; raise GalleryOfAnotherModel when its calibration was fitted for another one."""
        self.calibration.require(f"{self.encoder_id}/{self.shipped.id}")
        return self

    def llr(self, first: Embedding, second: Embedding) -> float:
        """Return the natural-log likelihood ratio of two raw embeddings being of one person, by the shorter one."""
        one, other = self.compensation.apply(np.stack([first.vector, second.vector]))
        seconds = min(first.net_speech_seconds, second.net_speech_seconds)
        return self.calibration.llr(float(one @ other), net_seconds=seconds)

    def takes(self, encoder_id: str) -> bool:
        """Whether voiceprints of this id can be compared: raw ones of its encoder, and those of its former spaces."""
        return encoder_id == self.encoder_id or self._former(encoder_id) is not None

    def former(self, encoder_id: str) -> "Space":
        """Return the space of voiceprints that were kept compensated; raise GalleryOfAnotherModel if unknown."""
        if (found := self._former(encoder_id)) is None:
            raise of_another_model(self.encoder_id, encoder_id)
        return found

    def _former(self, encoder_id: str) -> "Space | None":
        if raw_id_of(encoder_id) != self.encoder_id or not _COMPENSATED.fullmatch(encoder_id):
            return None
        # A calibration of the user's own counts for what it was fitted for.
        is_present = encoder_id == f"{self.encoder_id}/{self.shipped.id}"
        return self.on(UNKNOWN_LINE) if is_present else _shipped_former(encoder_id)


def shipped_space(model_id: str, band: Band) -> Space:
    """Return what comes with earwitness for an encoder and band."""
    calibration = shipped_calibration(model_id, band)
    compensation = shipped_compensation(model_id, band)
    space = Space(encoder_id=raw_id_of(calibration.encoder_id), shipped=compensation, calibration=calibration)
    return space.require_calibration()


def of_another_model(expected: str, encoder_id: str) -> GalleryOfAnotherModel:
    return GalleryOfAnotherModel(
        f"the gallery and the model are of {expected} and a voice of {encoder_id}; their numbers do not compare: enrol "
        f"the voices again with the present model"
    )


def raw_id_of(encoder_id: str) -> str:
    """Return the id of the raw embeddings that embeddings of this id were made from: itself, if they are raw."""
    return "/".join(encoder_id.split("/")[:2])


@lru_cache
def _shipped_former(encoder_id: str) -> Space | None:
    folder = resources.files("earwitness.engine").joinpath("data", "former")
    name = f"{encoder_id.replace('/', '-')}.json"
    file = folder.joinpath(f"calibration-{name}")
    if not file.is_file():
        return None
    return Space(
        encoder_id=raw_id_of(encoder_id),
        shipped=parse_compensation(folder.joinpath(f"compensation-{name}")),
        calibration=parse_calibration(file.read_text(encoding="utf-8"), name=file.name),
    ).require_calibration()
