"""Our CSV manifest: one labelled utterance a line.

Needed columns: `file` (relative to the manifest) and `speaker_id`. Used when there: `sex`, `age`, `source` (slices
and `--speakers adults`), `channel` (of stereo files) and `role`: `enrol+test` (or empty) may be enrolled, `impostor
only` is a stranger, other roles stay out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from earwitness.errors import ManifestInvalid
from earwitness.evaluation.table_file import rows_of

ADULT_AGE_MIN = 18


class TrialRole(StrEnum):
    """What an utterance may be used for."""

    ENROL_AND_TEST = "enrol+test"
    IMPOSTOR = "impostor only"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One labelled recording of one person."""

    path: Path
    speaker_id: str
    sex: str
    age: int | None
    source: str
    role: TrialRole
    channel: int | None = None
    """Which channel of a recording with several; from 0."""

    @property
    def is_adult(self) -> bool:
        """18 or over, or of unknown age."""
        return self.age is None or self.age >= ADULT_AGE_MIN


def read_manifest(path: Path) -> list[Utterance]:
    """All utterances, in the file's order. ManifestInvalid names the line that cannot be used."""
    numbered = [(line, _utterance(row, path, line)) for line, row in rows_of(path, needed={"file", "speaker_id"})]
    if not numbered:
        raise ManifestInvalid(f"{path.name} lists no recordings")
    seen: set[tuple[Path, int | None]] = set()
    for line, utterance in numbered:
        if (key := (utterance.path.resolve(), utterance.channel)) in seen:
            raise ManifestInvalid(f"{path.name} line {line}: {utterance.path.name} is listed twice")
        seen.add(key)
    return [utterance for _, utterance in numbered]


def adults(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Those of people 18 and over, or of unknown age."""
    return [utterance for utterance in utterances if utterance.is_adult]


def children(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Those of people known to be under 18."""
    return [utterance for utterance in utterances if not utterance.is_adult]


def _utterance(row: dict[str, str | None], manifest: Path, line: int) -> Utterance:
    def cell(name: str) -> str:
        return (row.get(name) or "").strip()

    if not cell("file") or not cell("speaker_id"):
        raise ManifestInvalid(f"{manifest.name} line {line}: file and speaker_id must not be empty")
    file = manifest.parent / cell("file")
    if not file.is_file() and "\\" in cell("file"):
        file = manifest.parent / cell("file").replace("\\", "/")  # written on Windows
    if not file.is_file():
        windows = "; write folders with /" if "\\" in cell("file") else ""
        raise ManifestInvalid(f"{manifest.name} line {line}: {cell('file')} does not exist{windows}")
    age, channel = cell("age"), cell("channel")
    if age and not age.isdecimal():
        raise ManifestInvalid(f"{manifest.name} line {line}: the age {age!r} is not a whole number")
    if channel and not channel.isdecimal():
        raise ManifestInvalid(f"{manifest.name} line {line}: the channel {channel!r} is not a whole number")
    return Utterance(
        path=file,
        speaker_id=cell("speaker_id"),
        sex=cell("sex").lower(),
        age=int(age) if age else None,
        source=cell("source"),
        role=_role(cell("role")),
        channel=int(channel) if channel else None,
    )


def _role(text: str) -> TrialRole:
    if not text:
        return TrialRole.ENROL_AND_TEST
    return next((role for role in TrialRole if role == text.lower()), TrialRole.OTHER)
