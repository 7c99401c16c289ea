"""Kaldi-style trial lists: `ENROLMENT TEST target|nontarget` a line, with wav.scp and utt2spk beside.

The first field names an utterance of wav.scp, or a speaker of utt2spk, whose utterances that no trial tests are
enrolled together. Labels may also be 1 and 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.errors import ManifestInvalid
from earwitness.evaluation.manifest import TrialRole, Utterance
from earwitness.evaluation.recordings import JoinedRecording, Recordings
from earwitness.evaluation.scores import Mask
from earwitness.evaluation.table_file import text_of
from earwitness.voice.embedding import SPEECH_SECONDS_MAX

_LABELS = {"target": True, "nontarget": False, "1": True, "0": False}


@dataclass(frozen=True, kw_only=True)
class TrialList:
    """A parsed trial list and the recordings it speaks of."""

    trials: tuple[tuple[str, str, bool], ...]
    """(enrolment, test, is target)."""

    enrolments: dict[str, JoinedRecording]
    tests: dict[str, JoinedRecording]

    @property
    def utterances(self) -> list[Utterance]:
        """Every recording once."""
        everything = [*self.enrolments.values(), *self.tests.values()]
        return list({utterance.path: utterance for one in everything for utterance in one.utterances}.values())

    def recordings(self, net_seconds: Callable[[Utterance], float]) -> Recordings:
        """What to enrol and to test; of a long enrolment, as many utterances as an embedding can hear."""
        cut: list[JoinedRecording] = []
        for one in self.enrolments.values():
            ends = np.cumsum([net_seconds(utterance) for utterance in one.utterances])
            count = int(np.searchsorted(ends, SPEECH_SECONDS_MAX)) + 1
            cut.append(JoinedRecording(name=one.name, speaker_id=one.speaker_id, utterances=one.utterances[:count]))
        return Recordings(enrolments=tuple(cut), tests=tuple(self.tests.values()), strangers=())

    def mask(self, enrolments: list[str], tests: list[str]) -> Mask:
        """The cells (tests, enrolments) that are trials of the list."""
        rows, columns = ({name: index for index, name in enumerate(names)} for names in (tests, enrolments))
        mask = np.zeros((len(tests), len(enrolments)), np.bool_)
        for enrolment, test, _ in self.trials:
            if enrolment in columns:
                mask[rows[test], columns[enrolment]] = True
        return mask


def is_trial_list(path: Path) -> bool:
    """True for a list of trials, false for a CSV manifest; told by the first line."""
    first = text_of(path).partition("\n")[0].split()
    return len(first) == 3 and first[2] in _LABELS


def read_trials(path: Path, *, wav_scp: Path | None = None, utt2spk: Path | None = None) -> TrialList:
    """A trial list; wav.scp and utt2spk lie beside it unless given. ManifestInvalid names what does not fit."""
    wav_scp = wav_scp or path.parent / "wav.scp"
    wavs = {name: wav_scp.parent / file for name, file in _pairs(wav_scp).items()}
    speakers = _pairs(utt2spk or path.parent / "utt2spk")
    trials = _trials(path)
    tested = {test for _, test, _ in trials}
    spoken: dict[str, list[str]] = {}
    for name in wavs:
        spoken.setdefault(speakers.get(name, ""), []).append(name)

    def recording(name: str, names: list[str]) -> JoinedRecording:
        for each in names:
            if each not in wavs or each not in speakers:
                raise ManifestInvalid(f"{path.name} names {each}, which is missing from wav.scp or utt2spk")
        utterances = tuple(_utterance(wavs[each], speakers[each]) for each in names)
        return JoinedRecording(name=name, speaker_id=utterances[0].speaker_id, utterances=utterances)

    enrolments: dict[str, JoinedRecording] = {}
    for name in dict.fromkeys(enrolment for enrolment, _, _ in trials):
        names = [name] if name in wavs else [each for each in spoken.get(name, []) if each not in tested]
        if not names:
            raise ManifestInvalid(f"{path.name} enrols {name}, which has no utterance that is not tested as well")
        enrolments[name] = recording(name, names)
    tests = {name: recording(name, [name]) for name in sorted(tested)}
    for enrolment, test, is_target in trials:
        if enrolment == test:
            raise ManifestInvalid(f"{path.name} tests {test} against itself")
        same = enrolments[enrolment].speaker_id == tests[test].speaker_id
        if same is not is_target:
            raise ManifestInvalid(
                f"{path.name} calls {enrolment} {test} {'target' if is_target else 'nontarget'}, and utt2spk says "
                f"otherwise"
            )
    return TrialList(trials=tuple(trials), enrolments=enrolments, tests=tests)


def _trials(path: Path) -> list[tuple[str, str, bool]]:
    trials: list[tuple[str, str, bool]] = []
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or words[2] not in _LABELS:
            raise ManifestInvalid(f"{path.name} line {number} is not `ENROLMENT TEST target|nontarget`")
        trials.append((words[0], words[1], _LABELS[words[2]]))
    if not trials:
        raise ManifestInvalid(f"{path.name} lists no trials")
    return trials


def _pairs(path: Path) -> dict[str, str]:
    """`key value` a line. A wav.scp entry that is a command is refused: nothing in a data file is run."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        key, *rest = line.split(maxsplit=1) or [""]
        if not key:
            continue
        value = rest[0].strip() if rest else ""
        if not value or value.endswith("|"):
            raise ManifestInvalid(
                f"{path.name} line {number} must be `KEY VALUE`; a command (ending in |) is not run, "
                f"write its output to a file"
            )
        pairs[key] = value
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{path} cannot be read: {error}") from error


def _utterance(path: Path, speaker_id: str) -> Utterance:
    if not path.is_file():
        raise ManifestInvalid(f"wav.scp names {path}, which does not exist")
    return Utterance(path=path, speaker_id=speaker_id, sex="", age=None, source="", role=TrialRole.ENROL_AND_TEST)
