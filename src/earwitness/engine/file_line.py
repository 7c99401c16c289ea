"""What a gallery file keeps of its line: means, never voices.

`identify` learns it from many recordings at once. Another such learning takes its place if it heard more voices; the
two are not added up, because nobody could tell whether they heard the same people. Where they may have heard the same
but for a few, the former mean goes: the voices of these few could be computed from the two.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from earwitness.engine.space import Line
from earwitness.errors import ConfigurationError
from earwitness.voice.embedding import Vector
from earwitness.voice.line import VOICES_MAX, VOICES_MIN, LineChange, LineLearning

VERSIONS_MAX = 20
"""Kept to go back to; older ones go."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileLineVersion:
    """The line as it was from a time on."""

    number: int
    why: LineChange
    #: How many voices the mean is of; 0 without one.
    voices: int
    #: Shape (dimension,), not of unit length; None: the shipped one.
    mean: Vector | None
    created_at: datetime
    #: The version whose mean this one has again; None unless that was asked for.
    reverted_to: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FileLine:
    """The line of a gallery file. Changes return a copy."""

    learning: LineLearning = LineLearning.ON
    #: The latest first.
    versions: tuple[FileLineVersion, ...] = field(default=())

    @property
    def current(self) -> Line:
        """The line as searches use it."""
        if not self.versions:
            return Line()
        latest = self.versions[0]
        return Line(mean=latest.mean, voices=latest.voices, version=latest.number)

    def takes(self, line: Line) -> bool:
        """Whether a line that was learnt takes the place of the present one."""
        present = self.current
        return (
            self.learning is LineLearning.ON
            and line.voices >= VOICES_MIN
            and present.voices < VOICES_MAX
            and line.voices > present.voices
        )

    def learnt(self, line: Line, *, at: datetime) -> "FileLine":
        """Return the same on a line that was learnt, without the versions of nearly as many voices."""
        far = [one for one in self.versions if one.mean is None or abs(one.voices - line.voices) >= VOICES_MIN]
        learnt = self._with(LineChange.LEARNT, voices=line.voices, mean=line.mean, at=at).versions[:1]
        return replace(self, versions=(*learnt, *far)[:VERSIONS_MAX])

    def reset(self, *, at: datetime) -> "FileLine":
        return self._with(LineChange.RESET, voices=0, mean=None, at=at)

    def reverted(self, number: int, *, at: datetime) -> "FileLine":
        """Go back to an earlier version, as a new one; raise ConfigurationError when there is none."""
        for version in self.versions:
            if version.number == number:
                change = self._with(LineChange.REVERTED, voices=version.voices, mean=version.mean, at=at)
                latest = replace(change.versions[0], reverted_to=number)
                return replace(change, versions=(latest, *change.versions[1:]))
        raise ConfigurationError(f"the line has no version {number}; `earwitness line show` lists them")

    def switched(self, learning: LineLearning) -> "FileLine":
        """Return the same, to be learnt from now on or not; what was learnt stays in use."""
        return replace(self, learning=learning)

    def _with(self, why: LineChange, *, voices: int, mean: Vector | None, at: datetime) -> "FileLine":
        number = self.current.version + 1
        version = FileLineVersion(number=number, why=why, voices=voices, mean=mean, created_at=at)
        return replace(self, versions=(version, *self.versions)[:VERSIONS_MAX])


# `Any`: JSON, here and below.
def line_document(line: FileLine) -> dict[str, Any]:
    """Return a line as a gallery file keeps it."""
    return {"learning": str(line.learning), "versions": [_version_document(version) for version in line.versions]}


def parse_line(document: Mapping[str, Any] | None) -> FileLine:
    """Return the line of a gallery file, which has none if it is older. Raise ValueError, KeyError or TypeError."""
    if document is None:
        return FileLine()
    return FileLine(
        learning=LineLearning(document["learning"]),
        versions=tuple(_parse_version(version) for version in document["versions"]),
    )


def _version_document(version: FileLineVersion) -> dict[str, Any]:
    mean = None if version.mean is None else base64.b64encode(version.mean.astype("<f4").tobytes()).decode()
    return {
        "number": version.number,
        "why": str(version.why),
        "voices": version.voices,
        "created_at": version.created_at.isoformat(),
        "reverted_to": version.reverted_to,
        "mean": mean,
    }


def _parse_version(document: Mapping[str, Any]) -> FileLineVersion:
    mean = None
    if document["mean"] is not None:
        mean = np.frombuffer(base64.b64decode(document["mean"], validate=True), "<f4").astype(np.float32)
        if not np.isfinite(mean).all():
            raise ValueError("a mean must be finite")
    reverted_to = document["reverted_to"]
    return FileLineVersion(
        number=int(document["number"]),
        why=LineChange(document["why"]),
        voices=int(document["voices"]),
        mean=mean,
        created_at=datetime.fromisoformat(document["created_at"]),
        reverted_to=None if reverted_to is None else int(reverted_to),
    )
