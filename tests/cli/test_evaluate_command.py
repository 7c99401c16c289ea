"""`earwitness evaluate` from a manifest and from a trial list, on the sample calls."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.engine.calibration import read_calibration
from earwitness.samples import KNOWN, STRANGERS, first_call, second_call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]
NAMES = (*KNOWN, *STRANGERS)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(argument) for argument in arguments)])


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = ["file,speaker_id,sex,age,source"]
    for number, name in enumerate(NAMES):
        for call, path in (("1", first_call(name)), ("2", second_call(name))):
            copy = tmp_path / f"{name}-{call}.flac"
            copy.write_bytes(path.read_bytes())
            lines.append(f"{copy.name},{name},{'f' if name in ('fiona', 'sally') else 'm'},{10 + 5 * number},samples")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines))
    return path


SHORT = ("--enrol-seconds", 10, "--test-seconds", 10)


def test_a_list_of_matches_alone_says_what_it_does_not_say(manifest: Path) -> None:
    def said(outcome: str) -> str:
        lines = manifest.read_text().splitlines()
        named = [f"{line.removesuffix(',match')},{outcome}" for line in lines[1:]]
        manifest.write_text("\n".join([lines[0].removesuffix(",outcome") + ",outcome", *named]))
        return " ".join(run(manifest, *SHORT).stderr.split())

    assert "only calls that named somebody are labelled" in said("match")


def test_a_manifest_with_plots_and_requirements(manifest: Path, tmp_path: Path) -> None:
    plots, results = tmp_path / "plots", tmp_path / "results.json"
    run_it = run(manifest, *SHORT, "--plots", plots, "--json", results, "--require", "eer_percent<=1")
    assert run_it.exit_code == 0, run_it.output
    assert "EER, %" in run_it.stdout
    assert sorted(path.name for path in plots.iterdir()) == ["det.png", "galleries.png", "scores-recorded.png"]
    document = json.loads(results.read_text())
    measured = document["conditions"]["recorded"]
    assert measured["speakers"] == 6
    assert measured["eer_percent"] == 0.0
    assert set(measured["intervals"]) >= {"eer_percent", "cllr", "found_percent", "false_alarm_percent"}
    assert set(measured["slices"]) == {"source=samples"}


def test_json_on_standard_output_is_json_alone(manifest: Path) -> None:
    result = run(manifest, *SHORT, "--json", "-", "--condition", "telephone", "--condition", "gsm>telephone")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert list(document["conditions"]) == ["telephone", "gsm>telephone"]
    needed = {"speakers", "targets", "nontargets", "eer_percent", "min_dcf", "cllr", "top1_percent", "found_percent"}
    assert needed | {"false_alarm_percent", "intervals"} <= document["conditions"]["telephone"].keys()


def test_a_seed_gives_the_same_numbers(manifest: Path) -> None:
    first, again = (json.loads(run(manifest, *SHORT, "--condition", "gsm", "--json", "-").stdout) for _ in range(2))
    assert first == again


def test_a_requirement_that_fails_is_exit_one(manifest: Path) -> None:
    result = run(manifest, *SHORT, "--require", "found_percent<50")
    assert result.exit_code == 1
    assert "found_percent is 100, required < 50" in result.stderr


def test_trial_lists(manifest: Path, tmp_path: Path) -> None:
    wavs = [f"{name}-{call} {name}-{call}.flac" for name in NAMES for call in "12"]
    (tmp_path / "wav.scp").write_text("\n".join(wavs))
    (tmp_path / "utt2spk").write_text("\n".join(f"{name}-{call} {name}" for name in NAMES for call in "12"))
    trials = [
        f"{enrolled}-1 {tested}-2 {'target' if enrolled == tested else 'nontarget'}"
        for enrolled in KNOWN
        for tested in NAMES
        if (enrolled, tested) != ("kal", "sally")
    ]
    (tmp_path / "trials").write_text("\n".join(trials))
    result = run(tmp_path / "trials", "--json", "-")
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)["conditions"]["recorded"]
    assert (measured["targets"], measured["nontargets"]) == (4, 19)
    assert measured["eer_percent"] == 0.0


def test_ages_and_trial_lists_do_not_go_together(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("a\tkal-1.flac\nb\tkal-2.flac")
    (tmp_path / "utt2spk").write_text("a\tkal\nb\tkal")
    (tmp_path / "trials").write_text("a b target")
    result = run(tmp_path / "trials", "--speakers", "adults")
    assert result.exit_code == 7
    assert "has no ages" in result.stderr


@pytest.mark.parametrize("to_stdout", [False, True], ids=["text", "--json -"])
def test_copies_and_labels_that_the_voices_contradict_are_told(manifest: Path, to_stdout: bool) -> None:
    """A copy in another container, one voice under two ids, and two voices under one."""
    lines = [line for line in manifest.read_text().splitlines() if ",russell," not in line]

    def add(name: str, speaker_id: str, samples: np.ndarray) -> None:
        soundfile.write(manifest.with_name(name), samples, 8_000, subtype="PCM_16")
        lines.append(f"{name},{speaker_id},,,")

    russell, kal, angus = (
        np.concatenate([soundfile.read(call(name))[0] for call in (first_call, second_call)])
        for name in ("russell", "kal", "angus")
    )
    for number, quarter in enumerate(np.array_split(russell, 4)):
        add(f"russell-{number}.wav", ("russell", "russ")[number % 2], quarter)
    add("both-1.wav", "both", kal[:130_000])
    add("both-2.wav", "both", angus[:130_000])
    add("copy.wav", "sally", soundfile.read(first_call("sally"))[0])
    manifest.write_text("\n".join(lines))
    plots = manifest.with_name("plots")
    result = run(
        manifest, "--enrol-seconds", 10, "--test-seconds", 5, "--plots", plots, *(["--json", "-"] if to_stdout else [])
    )
    assert result.exit_code == 0, result.output
    assert (plots / "galleries.png").is_file()
    warnings = " ".join(result.stderr.split()).split("warning: ")[1:]
    assert len(warnings) == 3, warnings
    assert warnings[0].startswith("copy.wav (sally) is the same audio as sally-1.flac (sally); list it once")
    assert warnings[1].startswith("russ and russell sound like one person (score 0.")
    assert warnings[2].startswith("both sounds like more than one person: ")
    if not to_stdout:
        assert "ids in doubt apart: pairs of ids that sound like one person are neither" in result.stdout
    else:
        document = json.loads(result.stdout)
        labelled = document["conditions"]["recorded"]
        assert labelled["false_alarm_percent"] > labelled["ids_in_doubt_apart"]["false_alarm_percent"]
        assert set(labelled["ids_in_doubt_apart"]) < set(labelled)
        assert [Path(copy["file"]).name for copy in document["copies"]] == ["copy.wav"]
        assert [pair["speaker_ids"] for pair in document["ids_of_one_person"]] == [["russ", "russell"]]
        assert [one["speaker_id"] for one in document["ids_of_several_people"]] == ["both"]


def test_too_few_trials_for_a_calibration(manifest: Path, tmp_path: Path) -> None:
    result = run(manifest, *SHORT, "--fit-calibration", tmp_path / "calibration.json")
    assert result.exit_code == 7
    assert "10 people with an enrolment and tests; the list has 6" in " ".join(result.stderr.split())
    assert not (tmp_path / "calibration.json").exists()


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """Six voices under twelve ids, which take turns."""
    lines = ["file,speaker_id,sex"]
    for name in NAMES:
        spoken = np.concatenate([soundfile.read(call(name))[0] for call in (first_call, second_call)])
        for number, piece in enumerate(np.array_split(spoken, 16)):
            soundfile.write(tmp_path / f"{name}-{number}.wav", piece, 8_000, subtype="PCM_16")
            lines.append(f"{name}-{number}.wav,{name}-{('one', 'two')[number % 2]},f")
    path = tmp_path / "doubled.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_calibration_is_fitted_on_labels_that_somebody_stands_for(doubled: Path, tmp_path: Path) -> None:
    """Refused with the ids and the way out; accepted it is fitted, and says what it cannot know."""
    file = tmp_path / "calibration.json"
    fit = (doubled, "--enrol-seconds", 10, "--test-seconds", 3, "--fit-calibration", file)
    refused = run(*fit)
    said = " ".join(refused.stderr.split())
    assert refused.exit_code == 7, refused.output
    assert "no calibration is fitted on labels in doubt: " in said
    options = said.partition("add ")[2].split()
    assert "sally-one=sally-two" in options
    assert not file.exists()
    accepted = run(*fit, *options)
    assert accepted.exit_code == 0, accepted.output
    said = " ".join(accepted.stderr.split())
    assert "sound like one person" not in said
    assert "fitted on 12 people, 66 pairs of people" in said
    assert "at 1 % every threshold is extrapolated" in said
    assert "everybody in this calibration is of one sex (f)" in said
    assert "from 12 people come high thresholds" in said
    assert read_calibration(file).person_pairs == 66


def test_a_calibration_is_not_fitted_on_copies(doubled: Path, tmp_path: Path) -> None:
    """Refused before anything is heard, whatever is accepted."""
    copy = doubled.with_name("copy.flac")
    soundfile.write(copy, soundfile.read(doubled.with_name("kal-0.wav"))[0], 8_000)
    doubled.write_text(doubled.read_text() + f"\n{copy.name},sally-one,f")
    file = tmp_path / "calibration.json"
    refused = run(doubled, "--fit-calibration", file, "--accept-labels", "kal-one=sally-one")
    assert refused.exit_code == 7
    assert "copies: copy.flac (sally-one) of kal-0.wav (kal-one)" in " ".join(refused.stderr.split())
    assert not file.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.csv"],
        ["{manifest}", "--condition", "moon"],
        ["{manifest}", "--require", "speed<=1"],
        ["{manifest}", "--speakers", "children", "--condition", "telephone", "--test-seconds", "20"],
        ["{manifest}", "--enrol-seconds", "20", "--test-seconds", "20"],
    ],
)
def test_what_cannot_be_evaluated_says_why(manifest: Path, arguments: list[str]) -> None:
    result = run(*(argument.format(manifest=manifest) for argument in arguments))
    assert result.exit_code == 7
    assert result.stderr.startswith("error: ")
