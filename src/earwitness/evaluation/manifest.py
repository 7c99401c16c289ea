"""What is evaluated: labelled recordings from a CSV manifest, or from a Kaldi-style trial list.

A *manifest* has one utterance a line. Needed columns: `file` (relative to the manifest) and `speaker_id`. Used when
there: `sex`, `age`, `source` (slices and `--speakers adults`), `channel` (of stereo files), `outcome` (what a search
said of the call) and `role`: `enrol+test` (or empty) may be enrolled, `impostor only` is a stranger, other roles stay
out. It is read as spreadsheets write it: commas, semicolons or tabs; UTF-8, UTF-16 or UTF-32.

A manifest of recordings without labels, for jobs, needs `file` alone. Used when there: `channel`, and to enrol
`consent`, `profile_id` and `speaker_id`.

A *trial list* has `ENROLMENT TEST target|nontarget` a line, with wav.scp and utt2spk beside. The first field names an
utterance of wav.scp, or a speaker of utt2spk, whose utterances that no trial tests are enrolled together. Labels may
also be 1 and 0.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import ManifestInvalid
from earwitness.voice.durations import SPEECH_SECONDS_MAX

ADULT_AGE_MIN = 18

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with UTF-16's mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LABELS = {"target": True, "nontarget": False, "1": True, "0": False}


class TrialRole(StrEnum):
    """What an utterance may be used for."""

    ENROL_AND_TEST = "enrol+test"
    IMPOSTOR = "impostor only"
    OTHER = "other"


_ROLES = {role.value: role for role in TrialRole} | {"": TrialRole.ENROL_AND_TEST}


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One labelled recording of one person."""

    path: Path
    speaker_id: str
    sex: str = ""
    age: int | None = None
    source: str = ""
    role: TrialRole = TrialRole.ENROL_AND_TEST
    #: Which channel of a recording with several; from 0.
    channel: int | None = None
    #: What a search said of it, where the manifest comes from labels; else empty.
    outcome: str = ""

    @property
    def is_adult(self) -> bool:
        """18 or over, or of unknown age."""
        return self.age is None or self.age >= ADULT_AGE_MIN


@dataclass(frozen=True, kw_only=True)
class ListedRecording:
    """A recording to be searched with, or enrolled."""

    path: Path
    #: As the manifest has it.
    name: str
    channel: int | None
    #: Where the consent of the voice's owner is recorded; None where the manifest does not say.
    consent: str | None
    #: The profile that it is for; None for a new one.
    profile_id: str | None
    #: Recordings of one speaker make one new profile.
    speaker_id: str | None
    #: Whose voice it is, as consents call the person; None where the manifest does not say.
    subject: str | None


@dataclass(frozen=True, kw_only=True)
class JoinedRecording:
    """Utterances of one speaker to be heard one after the other."""

    name: str
    speaker_id: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """What is enrolled, what is searched for, and tests of speakers who may not be enrolled."""

    #: One per enrollable speaker.
    enrolments: tuple[JoinedRecording, ...]
    #: Of enrolled speakers.
    tests: tuple[JoinedRecording, ...]
    #: Of speakers that may not be enrolled.
    strangers: tuple[JoinedRecording, ...]


@dataclass(frozen=True, kw_only=True)
class TrialList:
    """A parsed trial list and the recordings it speaks of."""

    #: (enrolment, test) of each trial.
    trials: tuple[tuple[str, str], ...]
    enrolments: dict[str, JoinedRecording]
    tests: dict[str, JoinedRecording]

    @property
    def utterances(self) -> list[Utterance]:
        """Every recording once."""
        everything = [*self.enrolments.values(), *self.tests.values()]
        return list({utterance.path: utterance for one in everything for utterance in one.utterances}.values())

    def recordings(self, net_seconds: Callable[[Utterance], float]) -> Recordings:
        """Return what to enrol and to test; of a long enrolment, as many utterances as an embedding can hear."""
        cut: list[JoinedRecording] = []
        for one in self.enrolments.values():
            ends = np.cumsum([net_seconds(utterance) for utterance in one.utterances])
            count = int(np.searchsorted(ends, SPEECH_SECONDS_MAX)) + 1
            cut.append(JoinedRecording(name=one.name, speaker_id=one.speaker_id, utterances=one.utterances[:count]))
        return Recordings(enrolments=tuple(cut), tests=tuple(self.tests.values()), strangers=())

    def mask(self, enrolments: list[str], tests: list[str]) -> NDArray[np.bool_]:
        """Return the cells that are trials of the list, shape (tests, enrolments)."""
        rows, columns = ({name: index for index, name in enumerate(names)} for names in (tests, enrolments))
        mask = np.zeros((len(tests), len(enrolments)), np.bool_)
        for enrolment, test in self.trials:
            if enrolment in columns:
                mask[rows[test], columns[enrolment]] = True
        return mask


def read_manifest(path: Path, *, within: Path | None = None) -> list[Utterance]:
    """Return all utterances, in the file's order. ManifestInvalid names the line that cannot be used.

    `within`: a folder that all files have to be in, for a manifest of somebody who may see no others.
    """
    seen: dict[tuple[Path, int | None], Utterance] = {}
    for line, row in _table(path, needed={"file", "speaker_id"}):
        utterance = _utterance(row, path, line, within)
        key = utterance.path.resolve(), utterance.channel
        if key in seen:
            raise ManifestInvalid(f"{path.name} line {line}: {utterance.path.name} is listed twice")
        seen[key] = utterance
    if not seen:
        raise ManifestInvalid(f"{path.name} lists no recordings")
    return list(seen.values())


def read_recordings(path: Path, *, bytes_max: int) -> list[ListedRecording]:
    """Return all recordings, in the file's order. ManifestInvalid names the line that cannot be used."""
    seen: dict[tuple[Path, int | None], ListedRecording] = {}
    for line, row in _table(path, needed={"file"}):
        cell = _Cells(row, path, line)
        file = cell.file()
        if file.stat().st_size > bytes_max:
            raise cell.invalid(
                f"{cell('file')} is larger than {bytes_max // 1_000_000} MB; cut it, 20 s of speech are enough"
            )
        recording = ListedRecording(
            path=file,
            name=cell("file"),
            channel=cell.number("channel"),
            consent=cell("consent") or None,
            profile_id=cell("profile_id") or None,
            speaker_id=cell("speaker_id") or None,
            subject=cell("subject") or None,
        )
        key = file.resolve(), recording.channel
        if key in seen:
            raise cell.invalid(f"{cell('file')} is listed twice")
        seen[key] = recording
    if not seen:
        raise ManifestInvalid(f"{path.name} lists no recordings")
    return list(seen.values())


def adults(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return those of people 18 and over, or of unknown age."""
    return [utterance for utterance in utterances if utterance.is_adult]


def children(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return those of people known to be under 18."""
    return [utterance for utterance in utterances if not utterance.is_adult]


def is_trial_list(path: Path) -> bool:
    """Return whether the first line is that of a list of trials, not of a CSV manifest."""
    first = _text_of(path).partition("\n")[0].split()
    return len(first) == 3 and first[2] in _LABELS


def read_trials(path: Path, *, wav_scp: Path | None = None, utt2spk: Path | None = None) -> TrialList:
    """Return a trial list; wav.scp and utt2spk lie beside it unless given. ManifestInvalid names what does not fit."""
    wav_scp = wav_scp or path.parent / "wav.scp"
    wavs = {name: wav_scp.parent / file for name, file in _pairs(wav_scp).items()}
    speakers = _pairs(utt2spk or path.parent / "utt2spk")
    trials = _trials(path)
    tested = {test for _, test, _ in trials}

    def recording(name: str, names: list[str]) -> JoinedRecording:
        for each in names:
            if each not in wavs or each not in speakers:
                raise ManifestInvalid(f"{path.name} names {each}, which is missing from wav.scp or utt2spk")
            if not wavs[each].is_file():
                raise ManifestInvalid(f"wav.scp names {wavs[each]}, which does not exist")
        utterances = tuple(Utterance(path=wavs[each], speaker_id=speakers[each]) for each in names)
        return JoinedRecording(name=name, speaker_id=utterances[0].speaker_id, utterances=utterances)

    spoken: dict[str, list[str]] = {}
    for name in wavs:
        if name not in tested:
            spoken.setdefault(speakers.get(name, ""), []).append(name)
    enrolments: dict[str, JoinedRecording] = {}
    for name in dict.fromkeys(enrolment for enrolment, _, _ in trials):
        names = [name] if name in wavs else spoken.get(name, [])
        if not names:
            raise ManifestInvalid(f"{path.name} enrols {name}, which has no utterance that is not tested as well")
        enrolments[name] = recording(name, names)
    tests = {name: recording(name, [name]) for name in sorted(tested)}
    for enrolment, test, label in trials:
        if enrolment == test:
            raise ManifestInvalid(f"{path.name} tests {test} against itself")
        if (enrolments[enrolment].speaker_id == tests[test].speaker_id) is not _LABELS[label]:
            called = "target" if _LABELS[label] else "nontarget"
            raise ManifestInvalid(f"{path.name} calls {enrolment} {test} {called}, and utt2spk says otherwise")
    pairs = tuple((enrolment, test) for enrolment, test, _ in trials)
    return TrialList(trials=pairs, enrolments=enrolments, tests=tests)


def _trials(path: Path) -> list[tuple[str, str, str]]:
    """Return (enrolment, test, label) of each line."""
    trials: list[tuple[str, str, str]] = []
    for number, words in _lines(path, maxsplit=-1):
        if len(words) != 3 or words[2] not in _LABELS:
            raise ManifestInvalid(f"{path.name} line {number} is not `ENROLMENT TEST target|nontarget`")
        trials.append((words[0], words[1], words[2]))
    if not trials:
        raise ManifestInvalid(f"{path.name} lists no trials")
    return trials


def _pairs(path: Path) -> dict[str, str]:
    """Return `key value` of each line. A wav.scp entry that is a command is refused: nothing in a data file is run."""
    pairs: dict[str, str] = {}
    for number, (key, *rest) in _lines(path, maxsplit=1):
        value = "".join(rest).strip()
        if not value or value.endswith("|"):
            raise ManifestInvalid(
                f"{path.name} line {number} must be `KEY VALUE`; a command (ending in |) is not run, "
                f"write its output to a file"
            )
        pairs[key] = value
    return pairs


def _lines(path: Path, *, maxsplit: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each line that is not empty, with its number."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if words := line.split(maxsplit=maxsplit):
            yield number, words


class _Cells:
    """A row of a manifest, by the names of its columns."""

    def __init__(self, row: dict[str, str], manifest: Path, line: int, within: Path | None = None) -> None:
        self._row = row
        self._within = within
        self._manifest = manifest
        self._line = line

    def __call__(self, name: str) -> str:
        """Return a cell without blanks around it; empty where there is no such column."""
        return self._row.get(name, "").strip()

    def invalid(self, reason: str) -> ManifestInvalid:
        """Return the error that names the line."""
        return ManifestInvalid(f"{self._manifest.name} line {self._line}: {reason}")

    def number(self, name: str) -> int | None:
        """Return a whole number; None for an empty cell."""
        text = self(name)
        if text and not text.isdecimal():
            raise self.invalid(f"the {name} {text!r} is not a whole number")
        return int(text) if text else None

    def file(self) -> Path:
        """Return the file, which is there."""
        if not self("file"):
            raise self.invalid("file must not be empty")
        file = self._manifest.parent / self("file")
        if self._within is not None and not _is_within(self._within, file):
            raise self.invalid("file leads out of what was sent; name it as it was sent")
        if not file.is_file() and "\\" in self("file"):
            file = self._manifest.parent / self("file").replace("\\", "/")  # written on Windows
        if not file.is_file():
            windows = "; write folders with /" if "\\" in self("file") else ""
            raise self.invalid(f"{self('file')} does not exist{windows}")
        return file


def _is_within(folder: Path, file: Path) -> bool:
    """Return whether a file is in a folder, also as Windows would write it."""
    return all(
        Path(str(one)).resolve().is_relative_to(folder.resolve()) for one in (file, str(file).replace("\\", "/"))
    )


def _utterance(row: dict[str, str], manifest: Path, line: int, within: Path | None) -> Utterance:
    cell = _Cells(row, manifest, line, within)
    if not cell("file") or not cell("speaker_id"):
        raise cell.invalid("file and speaker_id must not be empty")
    return Utterance(
        path=cell.file(),
        speaker_id=cell("speaker_id"),
        sex=cell("sex").lower(),
        age=cell.number("age"),
        source=cell("source"),
        role=_ROLES.get(cell("role").lower(), TrialRole.OTHER),
        channel=cell.number("channel"),
        outcome=cell("outcome").lower(),
    )


def _table(path: Path, *, needed: set[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of its last line, by the names of the first row, without blanks around names.

    Raise ManifestInvalid when the file is no such table or lacks a needed column; it says which and where.
    """
    text = _text_of(path)
    delimiter = _delimiter(text.partition("\n")[0], needed)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(rows, list[str]())]
        if missing := needed - set(names):
            columns = f"its columns, told by {_DELIMITERS[delimiter]}, are {', '.join(names)}"
            found = columns if any(names) else "it is empty"
            raise ManifestInvalid(f"{path.name} lacks the column {' and '.join(sorted(missing))}; {found}")
        for row in rows:
            if len(row) > len(names):
                raise ManifestInvalid(
                    f"{path.name} line {rows.line_num}: {len(row)} cells and {len(names)} columns; put a cell that "
                    f"holds {_DELIMITERS[delimiter]} in quotes"
                )
            if any(cell.strip() for cell in row):
                yield rows.line_num, dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise ManifestInvalid(f"{path.name} line {rows.line_num} cannot be read: {error}") from error


def _delimiter(heading: str, needed: set[str]) -> str:
    """Return the one that gives the needed columns; a comma when none does, unless another one is all there is."""
    for delimiter in _DELIMITERS:
        if needed <= {name.strip().strip('"') for name in heading.split(delimiter)}:
            return delimiter
    return "," if "," in heading else max(_DELIMITERS, key=heading.count)


def _text_of(path: Path) -> str:
    """Return the file as text; ManifestInvalid when it cannot be read, or is in none of these encodings."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestInvalid(f"the manifest {path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if encoding is None:  # without a mark: a table begins with a letter of ASCII
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be" if content[:1] == b"\0" else "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestInvalid(
            f"the manifest {path} cannot be read as {encoding.upper()}: line {line} holds other bytes; save it as UTF-8"
        ) from error
