"""What an evaluation reads: manifests, trial lists, conditions, requirements; and how recordings are divided."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earwitness.errors import EvaluationError, ManifestInvalid, RequirementInvalid
from earwitness.evaluation.codecs import MU_LAW, coded, lost_packets
from earwitness.evaluation.conditions import CHANNELS, parse_condition
from earwitness.evaluation.manifest import (
    TrialRole,
    Utterance,
    adults,
    children,
    is_trial_list,
    read_manifest,
    read_recordings,
    read_trials,
)
from earwitness.evaluation.recordings import join_utterances, seed_for
from earwitness.evaluation.requirements import parse_requirement
from earwitness.voice.band import Band


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Path]:
    for name in "abcd":
        (tmp_path / f"{name}.wav").write_bytes(b"")

    def write(text: str) -> Path:
        path = tmp_path / "manifest.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_reads_what_it_needs(manifest: Callable[[str], Path]) -> None:
    path = manifest(
        "\ufefffile,speaker_id,sex,age,source,role,more\n"
        "a.wav,s1,F,17,x,enrol+test,\nb.wav,s2,m,18,,impostor only,\nc.wav,s3,,,,digits,\nd.wav,s4\n"
    )
    utterances = read_manifest(path)
    assert [utterance.role for utterance in utterances] == [
        TrialRole.ENROL_AND_TEST,
        TrialRole.IMPOSTOR,
        TrialRole.OTHER,
        TrialRole.ENROL_AND_TEST,
    ]
    assert [utterance.speaker_id for utterance in adults(utterances)] == ["s2", "s3", "s4"]
    assert [utterance.speaker_id for utterance in children(utterances)] == ["s1"]
    assert utterances[0].sex == "f"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column file and speaker_id"),
        ("file,name\n", "lacks the column speaker_id"),
        ("file,speaker_id\n", "lists no recordings"),
        ("file,speaker_id\na.wav,\n", "line 2"),
        ("file,speaker_id\na.wav,s\ne.wav,s\n", r"line 3: e\.wav does not exist"),
        ("file,speaker_id,age\na.wav,s,old\n", "age 'old'"),
        ("file,speaker_id,channel\na.wav,s,left\n", "channel 'left'"),
        ("file,speaker_id\na.wav,s\nb.wav,s\n./a.wav,t\n", r"line 4: a\.wav is listed twice"),
    ],
)
def test_bad_manifests_say_where(manifest: Callable[[str], Path], text: str, words: str) -> None:
    with pytest.raises(ManifestInvalid, match=words):
        read_manifest(manifest(text))


WRITTEN = "file,speaker_id,age\na.wav,s1,40\nb.wav,s2,\n"


def test_recordings_need_no_labels(manifest: Callable[[str], Path], tmp_path: Path) -> None:
    path = manifest("file;channel;consent;speaker_id;profile_id\na.wav;1;form 12;s1;\nb.wav;;;;vp-1\na.wav;0\n")
    first, second, third = read_recordings(path, bytes_max=10)
    assert (first.path, first.name, first.channel) == (tmp_path / "a.wav", "a.wav", 1)
    assert (first.consent, first.speaker_id, first.profile_id) == ("form 12", "s1", None)
    assert (second.channel, second.consent, second.speaker_id, second.profile_id) == (None, None, None, "vp-1")
    assert (third.name, third.channel) == ("a.wav", 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("file\n", "lists no recordings"),
        ("path\na.wav\n", "lacks the column file"),
        ("file\na.wav\na.wav\n", "line 3: a.wav is listed twice"),
        ("file,channel\na.wav,x\n", "line 2: the channel 'x'"),
        ("file\nnothing.wav\n", "line 2: nothing.wav does not exist"),
        ("file,consent\n,form\n", "line 2: file must not be empty"),
        ("file\nlarge.wav\n", "line 2: large.wav is larger than 0 MB"),
        ('file\n"a.wav\n', "cannot be read"),
        ("file\na.wav,form,s1\n", "3 cells and 1 columns"),
    ],
)
def test_bad_lists_of_recordings_say_where(
    manifest: Callable[[str], Path], tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "large.wav").write_bytes(bytes(11))
    with pytest.raises(ManifestInvalid, match=words):
        read_recordings(manifest(text), bytes_max=10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
def test_manifests_as_spreadsheets_write_them(
    manifest: Callable[[str], Path], encoding: str, delimiter: str, mark: str
) -> None:
    path = manifest("")
    mark = mark if encoding.endswith("e") else ""  # the others write their own
    path.write_bytes((mark + WRITTEN.replace(",", delimiter).replace("\n", "\r\n")).encode(encoding))
    assert not is_trial_list(path)
    assert [(each.path.name, each.speaker_id, each.age) for each in read_manifest(path)] == [
        ("a.wav", "s1", 40),
        ("b.wav", "s2", None),
    ]


def test_folders_written_with_backslashes(manifest: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.wav").write_bytes(b"")
    assert read_manifest(manifest("file,speaker_id\nsub\\e.wav,s\n"))[0].path == tmp_path / "sub" / "e.wav"
    with pytest.raises(ManifestInvalid, match="write folders with /"):
        read_manifest(manifest("file,speaker_id\nsub\\f.wav,s\n"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file;name\na.wav;s\n", "lacks the column speaker_id; its columns, told by semicolons, are file, name"),
        (b"file,speaker_id\na.wav,s,1,2\n", "line 2: 4 cells and 2 columns"),
        (b'file,speaker_id\n"a.wav,s\n', "line 2 cannot be read"),
        (b"file,speaker_id\na.wav,J\xf6rg\n", "as UTF-8: line 2 holds other bytes; save it as UTF-8"),
    ],
)
def test_what_is_no_table_says_which_it_is(manifest: Callable[[str], Path], content: bytes, words: str) -> None:
    path = manifest("")
    path.write_bytes(content)
    with pytest.raises(ManifestInvalid, match=words):
        read_manifest(path)


def test_unreadable_manifests(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "binary.csv"):
        with pytest.raises(ManifestInvalid):
            read_manifest(path)
        with pytest.raises(ManifestInvalid):
            is_trial_list(path)


def test_two_channels_of_one_file_are_two_recordings(manifest: Callable[[str], Path]) -> None:
    utterances = read_manifest(manifest("file,speaker_id,channel\na.wav,agent,0\na.wav,caller,1\n"))
    assert [utterance.channel for utterance in utterances] == [0, 1]


@pytest.fixture
def trial_folder(tmp_path: Path) -> Path:
    names = ["a1", "a2", "b1", "b2"]
    for name in names:
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(800), 8000)
    (tmp_path / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
    (tmp_path / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in names))
    return tmp_path


def test_reads_trial_lists(trial_folder: Path) -> None:
    path = trial_folder / "trials"
    path.write_text("a1 a2 target\na1 b2 nontarget\nb b2 1\nb a2 0\n")
    assert is_trial_list(path)
    listed = read_trials(path)
    assert listed.enrolments["a1"].utterances[0].path.name == "a1.wav"
    assert [utterance.path.name for utterance in listed.enrolments["b"].utterances] == ["b1.wav"]
    assert listed.mask(["a1", "b"], ["a2", "b2"]).tolist() == [[True, True], [True, True]]
    assert listed.mask(["b"], ["a2", "b2"]).tolist() == [[True], [True]]
    assert len(listed.utterances) == 4


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ("a1 a2 target\nmore words than three here\n", "line 2"),
        ("a1 a2 target\na1 zz nontarget\n", "names zz"),
        ("zz a2 target\n", "enrols zz"),
        ("a1 a2 nontarget\n", "utt2spk says otherwise"),
        ("a a1 target\na a2 target\n", "no utterance that is not tested"),
        ("a1 a1 target\n", "against itself"),
    ],
)
def test_bad_trial_lists_say_where(trial_folder: Path, trials: str, words: str) -> None:
    path = trial_folder / "trials"
    path.write_text(trials)
    with pytest.raises(ManifestInvalid, match=words):
        read_trials(path)


def test_commands_in_wav_scp_are_never_run(trial_folder: Path) -> None:
    (trial_folder / "wav.scp").write_text("a1 touch /tmp/should-not-exist |\n")
    (trial_folder / "trials").write_text("a1 a2 target\n")
    with pytest.raises(ManifestInvalid, match="is not run"):
        read_trials(trial_folder / "trials")


@pytest.mark.parametrize(
    ("name", "enrol", "test", "band"),
    [
        ("telephone", "telephone", "telephone", Band.TELEPHONE),
        ("gsm", "telephone", "gsm", Band.TELEPHONE),
        ("clean", "clean", "clean", Band.WIDEBAND),
        ("recorded", "recorded", "recorded", Band.TELEPHONE),
        ("gsm>reverb", "gsm", "reverb", Band.TELEPHONE),
    ],
)
def test_conditions(name: str, enrol: str, test: str, band: Band) -> None:
    condition = parse_condition(name)
    assert (condition.enrol, condition.test, condition.band) == (enrol, test, band)


@pytest.mark.parametrize("name", ["", "underwater", "gsm>", ">gsm", "clean>gsm", "telephone>clean"])
def test_impossible_conditions(name: str) -> None:
    with pytest.raises(EvaluationError):
        parse_condition(name)


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_depend_on_nothing_but_their_seed(name: str) -> None:
    random = np.random.default_rng(0)
    speech = (random.standard_normal(32_000) * 0.1).astype(np.float32)
    others = [(random.standard_normal(9_000) * 0.1).astype(np.float32)]
    first, again, other = (CHANNELS[name](speech, np.random.default_rng(seed), others) for seed in (1, 1, 5))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] in (8000, 16000, 48_000)
    assert len(first[0]) / first[1] == pytest.approx(2.0, abs=0.1)
    assert np.isfinite(first[0]).all()
    is_random = name in ("gsm", "noise10", "reverb", "internet-mobile") or name.startswith("loss-")
    assert is_random is not np.array_equal(first[0], other[0])


def test_packets_are_lost_in_bursts_and_as_many_as_said() -> None:
    lost = lost_packets(200_000, share=0.05, random=np.random.default_rng(0))
    bursts = np.count_nonzero(np.diff(lost.astype(np.int8)) == 1)
    assert lost.mean() == pytest.approx(0.05, abs=0.002)
    assert lost.sum() / bursts == pytest.approx(2.0, abs=0.1)


def test_what_is_lost_fades_from_what_came_before() -> None:
    tone = (0.2 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype(np.float32)
    whole, rate = coded(tone, MU_LAW)
    holed, _ = coded(tone, MU_LAW, random=np.random.default_rng(3), loss=0.3)
    assert rate == 8_000
    np.testing.assert_allclose(whole, tone, atol=0.01)
    heard, was = (each.reshape(-1, 160).std(axis=1) for each in (holed, whole))
    assert len(heard) == len(was)
    halvings = np.round(-np.log2(np.maximum(heard / was, 1 / 64))).astype(int).tolist()
    assert {0, 1} <= set(halvings) <= {0, 1, 2, 3, 6}  # then silence


def utterance(speaker: str, number: int, role: TrialRole = TrialRole.ENROL_AND_TEST) -> Utterance:
    path = Path(f"{speaker}-{number}.wav")
    return Utterance(path=path, speaker_id=speaker, sex="", age=None, source="", role=role)


def test_no_utterance_serves_twice() -> None:
    spoken = [utterance(speaker, number) for speaker in "abc" for number in range(30)]
    divided = join_utterances(spoken, lambda _: 3.0, enrol_seconds=20, test_seconds=10, seed=0)
    used = [each.path for one in (*divided.enrolments, *divided.tests) for each in one.utterances]
    assert len(used) == len(set(used))
    assert [one.speaker_id for one in divided.enrolments] == ["a", "b", "c"]
    assert len(divided.tests) == 12
    assert all(len(one.utterances) * 3.0 >= 10 for one in divided.tests)


def test_strangers_are_never_enrolled_and_other_roles_stay_out() -> None:
    spoken = [utterance("stranger", number, TrialRole.IMPOSTOR) for number in range(4)]
    spoken += [utterance("digits", number, TrialRole.OTHER) for number in range(30)]
    spoken += [utterance("short", 0)]
    divided = join_utterances(spoken, lambda _: 4.0, enrol_seconds=20, test_seconds=10, seed=0)
    assert divided.enrolments == divided.tests == ()
    assert [one.speaker_id for one in divided.strangers] == ["stranger"]


@pytest.mark.parametrize("seed", range(8))
def test_who_has_two_recordings_is_enrolled_from_the_longer_one(seed: int) -> None:
    spoken = [utterance("a", 0), utterance("a", 1)]
    seconds = dict(zip(spoken, (15.0, 30.0), strict=True))
    divided = join_utterances(spoken, seconds.__getitem__, enrol_seconds=20, test_seconds=10, seed=seed)
    assert [one.utterances for one in (*divided.enrolments, *divided.tests)] == [(spoken[1],), (spoken[0],)]


def test_seeds_are_the_same_on_every_machine() -> None:
    assert seed_for(0, "gsm", "x/1") == 2870650025
    assert seed_for(0, "a") != seed_for(1, "a")


@pytest.mark.parametrize(
    ("text", "rate", "sign", "bound", "condition"),
    [
        ("eer_percent<=0.5", "eer_percent", "<=", 0.5, None),
        (" gsm>telephone : found_percent >= 90 ", "found_percent", ">=", 90.0, "gsm>telephone"),
        ("cllr<1", "cllr", "<", 1.0, None),
        ("amr-4.75: cllr<1", "cllr", "<", 1.0, "amr-4.75"),
    ],
)
def test_requirements(text: str, rate: str, sign: str, bound: float, condition: str | None) -> None:
    parsed = parse_requirement(text, ["telephone", "gsm>telephone", "amr-4.75"])
    assert (parsed.rate, parsed.sign, parsed.bound, parsed.condition) == (rate, sign, bound, condition)


@pytest.mark.parametrize("text", ["", "eer", "eer<=1", "eer_percent=1", "eer_percent<=1.2.3", "moon:eer_percent<=1"])
def test_bad_requirements(text: str) -> None:
    with pytest.raises(RequirementInvalid):
        parse_requirement(text, ["telephone"])
