"""The commands as a user types them: answers, JSON, exit codes, and one clear line for everything that can go wrong."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

import started
from earwitness.audio.matroska.writer import pcm_track, write_header
from earwitness.cli.main import app
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import entry
from earwitness.producer.fragments import fragments, recordings
from earwitness.samples import KNOWN, first_call, second_call
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    """Everything it printed, as one line."""
    return " ".join((result.stdout + result.stderr).split())


@pytest.fixture
def enrolled() -> None:
    for name in ("sally", "kal"):
        assert run("enroll", name, first_call(name)).exit_code == 0


def test_enrol_identify_and_forget(enrolled: None) -> None:
    named = run("identify", second_call("sally"))
    assert named.exit_code == 0
    assert "match: sally" in said(named)
    assert "at most 1 % of strangers are named among 2 voiceprints" in said(named)
    stranger = run("identify", second_call("marvin"))
    assert stranger.exit_code == 1
    assert "no match: a stranger" in said(stranger)
    assert "sally" in said(run("profiles"))
    assert run("forget", "sally").exit_code == 0
    assert "sally" not in said(run("profiles"))
    assert run("identify", second_call("sally")).exit_code == 1
    assert run("forget", "sally").exit_code == 6


def test_identify_as_json(enrolled: None) -> None:
    document = json.loads(run("identify", second_call("kal"), "--json").stdout)
    decision = document["decision"]
    assert decision["outcome"] == "match"
    assert [candidate["profileId"] for candidate in decision["candidates"]] == ["kal", "sally"]
    assert decision["candidates"][0]["probability"] > 0.99 > 0.01 > decision["nobodyProbability"]
    assert decision["threshold"]["gallerySize"] == 2
    assert 10 < decision["netSpeechSeconds"] <= 20
    assert document["quality"]["speechLevelDbfs"] == pytest.approx(-23, abs=2)


def test_a_stream_that_was_saved_is_a_recording_too(enrolled: None, tmp_path: Path) -> None:
    """The same samples in Matroska give the same answer, and are enrolled and looked at as others are."""
    call, saved = second_call("kal"), tmp_path / "call.mkv"
    source = recordings([call])
    header = write_header([pcm_track(rate=source.rate)])
    saved.write_bytes(header + b"".join(fragment.media for fragment in fragments(source, start_ms=0)))
    answers = [json.loads(run("identify", file, "--json").stdout)["decision"] for file in (call, saved)]
    assert answers[0] == answers[1]
    assert "Matroska A_PCM/INT/LIT" in said(run("inspect", saved))
    assert run("verify", call, saved).exit_code == 0
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "somebody.mkv").write_bytes(saved.read_bytes())
    assert "match: somebody" in said(run("identify", first_call("kal"), "--known", tmp_path / "known"))
    saved.write_bytes(saved.read_bytes()[:100_000])
    broken = run("identify", saved)
    assert broken.exit_code == 4
    assert "call.mkv" in said(broken)


def test_identify_among_a_folder() -> None:
    known = first_call("sally").parent
    result = run("identify", second_call("angus"), "--known", known)
    assert result.exit_code == 0
    assert "match: angus" in said(result)
    assert all(name in said(result) for name in KNOWN)


def test_the_probe_is_never_its_own_reference(tmp_path: Path) -> None:
    for name in ("sally", "kal"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.flac").write_bytes(first_call(name).read_bytes())
    result = run("identify", tmp_path / "sally" / "1.flac", "--known", tmp_path)
    assert result.exit_code == 1
    assert "left out sally" in said(result)


def test_enrolling_twice_changes_nothing(enrolled: None) -> None:
    document = json.loads(run("enroll", "sally", first_call("sally"), "--json").stdout)
    assert document["profilesEnrolled"] == 2
    profiles = json.loads(run("profiles", "--json").stdout)
    assert {one["profileId"]: len(one["voiceprints"]) for one in profiles["profiles"]} == {"kal": 1, "sally": 1}


def test_short_recordings_are_joined(tmp_path: Path, call: np.ndarray) -> None:
    pieces = []
    for number in range(4):
        pieces.append(tmp_path / f"{number}.wav")
        soundfile.write(pieces[-1], call[number * 40_000 : (number + 1) * 40_000], 8000)
    document = json.loads(run("enroll", "sally", *pieces, "--json").stdout)
    (made,) = document["voiceprints"]
    assert made["netSpeechSeconds"] > 10
    assert {use["voiceprintId"] for use in document["files"]} == {made["voiceprintId"]}
    assert run("identify", second_call("sally")).exit_code == 0


def test_every_file_of_an_enrolment_is_used_or_named(tmp_path: Path, call: np.ndarray) -> None:
    """A long recording, one that is too short and has no other to be joined with, the long one again, and silence."""
    long, short = wav(tmp_path / "long.wav", call), wav(tmp_path / "short.wav", call[:64_000])
    again, silence = wav(tmp_path / "again.wav", call), wav(tmp_path / "silence.wav", np.zeros(80_000))
    given = [long, short, again, silence]
    document = json.loads(run("enroll", "sally", *given, "--json").stdout)
    assert [use["file"] for use in document["files"]] == [str(file) for file in given]
    assert document["files"][0]["voiceprintId"] == document["voiceprints"][0]["voiceprintId"]
    for use, reason in zip(
        document["files"][1:], ("needs 10 s", "the same recording as long.wav", "no speech"), strict=True
    ):
        assert use["voiceprintId"] is None
        assert reason in use["leftOut"]
    told = run("enroll", "sally", *given)
    assert told.exit_code == 0
    assert said(told).count("left out") == 3
    assert "short.wav: " in said(told)


def test_known_people_keep_what_can_be_enrolled_of_them(tmp_path: Path, call: np.ndarray) -> None:
    known = tmp_path / "known" / "sally"
    known.mkdir(parents=True)
    wav(known / "a.wav", call)
    (known / "b.wav").write_bytes(b"no audio")
    document = json.loads(run("identify", second_call("sally"), "--known", known.parent, "--json").stdout)
    assert document["decision"]["outcome"] == "match"
    (left_out,) = document["leftOut"]
    assert (left_out["profileId"], left_out["file"]) == ("sally", str(known / "b.wav"))
    assert "not audio" in left_out["reason"]


def test_many_recordings_have_a_row_each(tmp_path: Path, call: np.ndarray, enrolled: None) -> None:
    """A folder and a file: one bad recording is a row as well, and does not stop the others."""
    calls = tmp_path / "calls"
    calls.mkdir()
    wav(calls / "1.wav", call)
    (calls / "2.wav").write_bytes(b"no audio")
    wav(calls / "3.wav", call[:16_000])
    (calls / "._4.wav").write_bytes(b"of a Mac")
    result = run("identify", calls, second_call("marvin"), "--json", "--csv", tmp_path / "answers.csv")
    assert result.exit_code == 4
    document = json.loads(result.stdout)
    assert document["leftOut"] == []
    first, second, third, fourth = document["recordings"]
    assert first["decision"]["candidates"][0]["profileId"] == "sally"
    assert (second["decision"], second["error"]["type"]) == (None, "AudioUnreadable")
    assert third["decision"]["outcome"] == "not enough speech"
    assert fourth["decision"]["outcome"] == "no match"
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["outcome"] for row in rows] == ["match", "error", "not enough speech", "no match"]
    assert [row["profileId"] for row in rows] == ["sally", "", "", ""]
    assert float(rows[0]["probability"]) > 0.99
    (calls / "2.wav").unlink()
    assert run("identify", calls).exit_code == 3
    (calls / "3.wav").unlink()
    table = run("identify", calls, second_call("marvin"))
    assert table.exit_code == 0
    lines = [line.split("\t") for line in table.stdout.splitlines()]
    assert lines[0] == ["file", "answer", "profile", "probability", "speech"]
    assert [line[1:3] for line in lines[1:]] == [["match", "sally"], ["no match", ""]]


@pytest.mark.parametrize("name", ["kal", "marvin"])
def test_probabilities_of_an_answer_add_up(enrolled: None, name: str) -> None:
    decision = json.loads(run("identify", second_call(name), "--json").stdout)["decision"]
    shares = [one["probability"] for one in decision["candidates"]]
    assert sum(shares) + decision["nobodyProbability"] + decision["othersProbability"] == pytest.approx(1.0, abs=1e-9)


def test_verify() -> None:
    same = run("verify", first_call("fiona"), second_call("fiona"))
    assert same.exit_code == 0
    assert "the same person" in said(same)
    different = run("verify", first_call("fiona"), second_call("angus"), "--json")
    assert different.exit_code == 1
    assert json.loads(different.stdout)["decision"]["outcome"] == "no match"


def test_inspect(tmp_path: Path) -> None:
    picture = tmp_path / "wave.png"
    result = run("inspect", second_call("sally"), "--picture", picture)
    assert result.exit_code == 0
    assert "good for searching and enrolling" in said(result)
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(run("inspect", second_call("sally"), "--json").stdout)
    assert document["seconds"] == pytest.approx(19.0, abs=0.1)
    assert document["netSpeechSeconds"] == pytest.approx(
        sum(end - start for start, end in document["segments"]), abs=0.1
    )


def test_a_picture_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as Python has it for what cannot be imported
    monkeypatch.delitem(sys.modules, "earwitness.evaluation.plots", raising=False)
    result = run("inspect", second_call("sally"), "--picture", tmp_path / "wave.png")
    assert result.exit_code == 2
    assert "earwitness[plots]" in said(result)


def test_models_doctor_and_version() -> None:
    assert json.loads(run("models", "pull", "--json").stdout) == {
        "campplus": "already there",
        "silero-vad": "already there",
    }
    assert json.loads(run("models", "verify", "--json").stdout) == {"campplus": "ok", "silero-vad": "ok"}
    assert len(json.loads(run("models", "list", "--json").stdout)) == 2
    checks = json.loads(run("doctor", "--json").stdout)
    assert all(check["ok"] for check in checks.values()), checks
    assert "earwitness 0." in said(run("--version"))


def test_demo() -> None:
    result = run("demo")
    assert result.exit_code == 0
    assert "All 4 enrolled callers were named and all 2 strangers turned away" in said(result)


def call_at_16k(folder: Path) -> Path:
    """A made-up wideband voice: a sample call with noise in its pitch's rhythm above the telephone band."""
    samples, _ = soundfile.read(first_call("fiona"), dtype="float32")
    wide = np.repeat(samples, 2)
    return wav(folder / "wide.wav", wide * 0.8, 16_000)


@pytest.mark.parametrize("name", ["[red]", "[/b]", "alice [work]", "Zoë Ünal", "../x", "a/b", "-x" * 3])
def test_names_are_shown_as_they_are(name: str) -> None:
    assert run("enroll", "--", name, first_call("kal")).exit_code == 0
    assert name in said(run("profiles"))
    named = run("identify", second_call("kal"))
    assert named.exit_code == 0
    assert f"match: {name}," in said(named)
    assert run("forget", "--", name).exit_code == 0


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\a", "\x1b[31m"])
def test_names_that_could_rewrite_a_screen_are_refused(name: str, tmp_path: Path) -> None:
    assert run("enroll", name, first_call("kal")).exit_code == 2
    assert not (tmp_path / "gallery.json").exists()


def test_options_that_contradict_each_other_are_usage(tmp_path: Path) -> None:
    folder = first_call("kal").parent
    call = second_call("kal")
    assert run("identify", call, "--known", folder, "--gallery", tmp_path / "g.json").exit_code == 2
    assert run("identify", call, "--band", "wideband").exit_code == 2


def test_one_short_recording_given_thrice_is_still_short(tmp_path: Path, call: np.ndarray) -> None:
    short = wav(tmp_path / "short.wav", call[:64_000])
    assert run("enroll", "sally", short, short, short).exit_code == 3


def test_headerless_audio_needs_raw(tmp_path: Path) -> None:
    path = tmp_path / "call.raw"
    path.write_bytes(bytes(8001))
    assert "headerless PCM with --raw" in said(run("inspect", path))
    assert "middle of a sample" in said(run("inspect", path, "--raw", "s16le@8000"))


def wav(path: Path, samples: np.ndarray, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def bad_files(folder: Path, call: np.ndarray) -> dict[str, tuple[Path, int, str]]:
    """Name → file, exit code of enroll, words of the message."""
    random = np.random.default_rng(0)
    whole = wav(folder / "whole.wav", call)
    cut = folder / "cut.wav"
    cut.write_bytes(whole.read_bytes()[:100_000])
    empty, text = folder / "empty.wav", folder / "text.wav"
    empty.write_bytes(b"")
    text.write_text("hello")
    poisoned = call.copy()
    poisoned[1000] = np.nan
    time = np.arange(30 * 8000) / 8000
    music = np.sum([np.sin(2 * np.pi * 220 * 2 ** (step / 12) * time) for step in (0, 4, 7)], axis=0) * 0.1
    return {
        "missing": (folder / "none.wav", 4, "cannot be read"),
        "folder": (folder, 4, "is a folder"),
        "empty": (empty, 4, "is empty"),
        "text": (text, 4, "not audio"),
        "truncated": (cut, 4, "copy it again"),
        "not finite": (wav(folder / "nan.wav", poisoned, subtype="FLOAT"), 4, "NaN"),
        "many channels": (wav(folder / "71.wav", np.tile(call[:800, None], 8)), 4, "--channel"),
        "rate": (wav(folder / "96k.wav", call, 96_000), 4, "8,000 to 48,000"),
        "short": (wav(folder / "short.wav", call[:800]), 3, "no speech"),
        "too little": (wav(folder / "little.wav", call[:40_000]), 3, "10 s are needed"),
        "silence": (wav(folder / "silence.wav", np.zeros(80_000)), 3, "no speech"),
        "music": (wav(folder / "music.wav", music), 3, "no speech"),
        "noise": (wav(folder / "noise.wav", random.standard_normal(80_000) * 0.1), 3, "no speech"),
        "clipped": (wav(folder / "clipped.wav", np.clip(call * 20, -1, 1)), 3, "clipped"),
    }


CASES = [
    "missing",
    "folder",
    "empty",
    "text",
    "truncated",
    "not finite",
    "many channels",
    "rate",
    "short",
    "too little",
    "silence",
    "music",
    "noise",
    "clipped",
]


@pytest.mark.parametrize("case", CASES)
def test_bad_recordings_get_one_clear_line(tmp_path: Path, call: np.ndarray, case: str) -> None:
    file, code, words = bad_files(tmp_path, call)[case]
    result = run("enroll", "somebody", file)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ")
    assert words in said(result)
    assert not (tmp_path / "gallery.json").exists()
    as_json = run("enroll", "somebody", file, "--json")
    error = json.loads(as_json.stdout)["error"]
    assert error["message"] in result.stderr.replace("\n", "")
    assert error["retryable"] is False


def test_too_little_speech_to_search_is_an_answer(tmp_path: Path, call: np.ndarray, enrolled: None) -> None:
    result = run("identify", wav(tmp_path / "little.wav", call[:16_000]))
    assert result.exit_code == 3
    assert "not enough speech" in said(result)
    assert json.loads(run("identify", tmp_path / "little.wav", "--json").stdout)["decision"]["threshold"] is None


@pytest.mark.parametrize("raw", ["mp3@8000", "s16le", "s16le@x", "s16le@8000x0", "@", "mulaw@0", "mulaw@1e9"])
def test_bad_raw_formats_are_explained(tmp_path: Path, raw: str) -> None:
    result = run("identify", second_call("kal"), "--known", first_call("kal").parent, "--raw", raw)
    assert result.exit_code == 4
    assert "ENCODING@RATE" in said(result)


def test_raw_telephone_audio(tmp_path: Path, call: np.ndarray) -> None:
    path = tmp_path / "call.raw"
    path.write_bytes((call * 32767).astype("<i2").tobytes())
    assert run("enroll", "sally", path, "--raw", "s16le@8000").exit_code == 0
    assert run("identify", second_call("sally")).exit_code == 0


def test_galleries_that_cannot_be_used(tmp_path: Path, enrolled: None, model_cache: ModelCache) -> None:
    gallery = tmp_path / "gallery.json"
    document = json.loads(gallery.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**document, "encoder_id": "ecapa-1/telephone/00000000"}))
    result = run("identify", second_call("kal"), "--gallery", other)
    assert result.exit_code == 6
    assert "enrol the voices again" in said(result)
    assert run("enroll", "fiona", first_call("fiona"), "--gallery", other).exit_code == 6
    wide = call_at_16k(tmp_path)
    assert run("enroll", "fiona", wide, "--band", "wideband").exit_code == 6
    assert json.loads(gallery.read_text()) == document
    other.write_text("{")
    assert run("identify", second_call("kal"), "--gallery", other).exit_code == 6
    assert "enrol somebody first" in said(run("identify", second_call("kal"), "--gallery", tmp_path / "none"))


def test_a_damaged_model_stops_with_the_way_out(
    tmp_path: Path, model_cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "models"
    for path in model_cache.folder.glob("*/*"):
        target = copy / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    damaged = copy / entry("campplus").folder / "model.onnx"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setenv("EARWITNESS_MODELS_DIR", str(copy))
    result = run("identify", second_call("kal"), "--known", first_call("kal").parent)
    assert result.exit_code == 5
    assert "earwitness models pull campplus --force" in said(result)
    assert run("models", "verify").exit_code == 5
    assert run("doctor").exit_code == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PRIOR_KNOWN", "2"), ("STRANGERS_NAMED_PERCENT", "many"), ("CONFIG", "/does/not/exist"), ("WORKERS", "0")],
)
def test_bad_settings_are_usage(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EARWITNESS_{name}", value)
    result = run("profiles")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_pull_leaves_nothing_and_nobody(tmp_path: Path, kind: signal.Signals) -> None:
    """A pip that hangs on a silent server, and a signal to us alone."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            **os.environ,
            "EARWITNESS_MODELS_DIR": str(tmp_path / "models"),
            "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "0",
        }
        environment.pop("PIP_FIND_LINKS", None)
        command = [sys.executable, "-m", "earwitness", "models", "pull", "silero-vad"]
        process = started.start(command, env=environment, stderr=subprocess.PIPE, text=True)
        silent.settimeout(PATIENCE_SECONDS)
        connection, _ = silent.accept()  # pip has asked and waits
        process.send_signal(kind)
        _, complaint = process.communicate(timeout=PATIENCE_SECONDS)
        connection.settimeout(PATIENCE_SECONDS)
        while connection.recv(4096):  # ends when pip is gone
            continue
        connection.close()
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert [path.name for path in (tmp_path / "models").iterdir() if "lock" not in path.name] == []


def test_help_imports_nothing_heavy() -> None:
    """What makes `--help` fast, checked without a clock."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from earwitness.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'scipy', 'soxr', 'soundfile', 'matplotlib', 'sqlalchemy'}\n"
        "heavy &= sys.modules.keys()\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
