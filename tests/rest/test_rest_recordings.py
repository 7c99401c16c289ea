"""Recordings in place of calls: enrol, search, everything that can be wrong with a body, and nothing left behind."""

import asyncio
import io
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from rest_examples import MINE, THEIRS, V1, Rest, add_domain, require_error, require_fits, token

from earwitness.engine.engine import Engine
from earwitness.engine.gallery import Gallery
from earwitness.errors import Unavailable
from earwitness.rest.context import RestLimits
from earwitness.samples import first_call, second_call
from earwitness.store.records import Scope
from earwitness.tasks.recordings import RecordingLimits, recording_file
from earwitness.voice.embedding import Voiceprint

SEARCH, PROFILES = "domains/vpd-1/search", "domains/vpd-1/profiles"
CONSENT = {"consent": "form 12, page 3"}


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def domain(rest: Rest, temporary_folder: Path) -> Rest:
    rest.store.write(add_domain)
    return rest


def flac_of_silence(*, hours: float) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as writing:
        for _ in range(round(60 * hours)):
            writing.write(np.zeros(60 * 8_000, np.int16))
    return file.getvalue()


def as_bytes(samples: np.ndarray, *, rate: int = 8_000, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


@pytest.mark.slow
def test_enrol_and_search(domain: Rest, temporary_folder: Path) -> None:
    enrolled = {}
    for name in ("sally", "kal"):
        response = domain.ask("POST", PROFILES, params=CONSENT, content=first_call(name).read_bytes())
        assert response.status_code == 200, response.text
        require_fits(response.json(), "EnrolledProfile")
        assert response.json()["sameVoiceAs"] == []
        enrolled[name] = response.json()["profileId"]
    found = domain.ask("POST", SEARCH, role="operator", content=second_call("sally").read_bytes())
    require_fits(found.json(), "RecordingSearch")
    assert found.json()["outcome"] == "match"
    assert [one["profileId"] for one in found.json()["candidates"]] == [enrolled["sally"], enrolled["kal"]]
    assert found.json()["threshold"]["gallerySize"] == 2
    stranger = domain.ask("POST", SEARCH, content=second_call("marvin").read_bytes()).json()
    assert stranger["outcome"] == "no match"
    assert list(temporary_folder.iterdir()) == []
    entry = domain.store.audit.list(MINE, limit=1).items[0]
    assert (entry.operation, entry.outcome) == ("SearchRecording", "done")
    assert domain.ask("GET", PROFILES).json()["profiles"][0]["voiceprints"][0]["consentReference"] == "form 12, page 3"


@pytest.mark.slow
def test_a_search_votes_on_the_line_of_its_codec(domain: Rest) -> None:
    def search(path: Path) -> dict[str, Any]:
        response = domain.ask("POST", SEARCH, content=path.read_bytes())
        require_fits(response.json(), "RecordingSearch")
        return response.json()

    for path in (first_call("sally"), second_call("sally"), first_call("kal")):
        assert search(path)["line"] == {"state": "unknown", "voices": 0, "version": 0}
    (line,) = domain.ask("GET", "domains/vpd-1/lines").json()["lines"]
    assert (line["codec"], line["waitingVoices"]) == ("pcm", 2)
    domain.ask("PUT", "domains/vpd-1/lines", params={"learning": "off"})
    search(first_call("marvin"))
    (line,) = domain.ask("GET", "domains/vpd-1/lines").json()["lines"]
    assert line["waitingVoices"] == 0


@pytest.mark.slow
def test_a_voice_that_is_enrolled_twice_is_told(domain: Rest) -> None:
    def enrol(path: Path, **asked: str) -> dict[str, Any]:
        response = domain.ask("POST", PROFILES, params=CONSENT | asked, content=path.read_bytes())
        require_fits(response.json(), "EnrolledProfile")
        return response.json()

    kal, sally = enrol(first_call("kal")), enrol(first_call("sally"))
    twice, again = (enrol(second_call("sally"), clientRequestToken="once") for _ in range(2))
    assert again == twice
    assert twice["sameVoiceAs"] == [sally["profileId"]]
    further = enrol(second_call("kal"), profileId=kal["profileId"])
    assert further["sameVoiceAs"] == []


@pytest.mark.slow
def test_nobody_is_told_who_is_deleted_while_another_is_enrolled(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    def enrol(path: Path) -> dict[str, Any]:
        return domain.ask("POST", PROFILES, params=CONSENT, content=path.read_bytes()).json()

    sally = enrol(first_call("sally"))["profileId"]
    compared = Engine.same_voice_as

    def and_deleted(engine: Engine, made: Sequence[Voiceprint], gallery: Gallery) -> list[str]:
        alike = compared(engine, made, gallery)
        assert alike == [sally]
        domain.store.write(lambda unit: unit.profiles.delete(MINE, sally))
        return alike

    monkeypatch.setattr(Engine, "same_voice_as", and_deleted)
    assert enrol(second_call("sally"))["sameVoiceAs"] == []


@pytest.mark.slow
def test_a_further_voiceprint_of_a_profile(domain: Rest) -> None:
    first = domain.ask("POST", PROFILES, params=CONSENT, content=first_call("sally").read_bytes()).json()
    again = CONSENT | {"profileId": first["profileId"]}
    second = domain.ask("POST", PROFILES, params=again, content=second_call("sally").read_bytes()).json()
    assert second["profileId"] == first["profileId"]
    assert first["voiceprints"][0]["voiceprintId"] in {one["voiceprintId"] for one in second["voiceprints"]}
    assert len(second["voiceprints"]) == 2
    found = domain.ask("POST", SEARCH, content=second_call("sally").read_bytes()).json()
    assert (len(found["candidates"]), found["threshold"]["gallerySize"]) == (1, 2)


@pytest.mark.slow
def test_a_request_token_makes_one_profile(domain: Rest) -> None:
    sally, other = first_call("sally").read_bytes(), second_call("sally").read_bytes()
    params = CONSENT | {"clientRequestToken": "enrolment-7"}
    first = domain.ask("POST", PROFILES, params=params, content=sally)
    assert first.status_code == 200, first.text
    assert domain.ask("POST", PROFILES, params=params, content=sally).json() == first.json()
    require_error(domain.ask("POST", PROFILES, params=params, content=other), 409, "TokenReused")
    reworded = params | {"consent": "form 13"}
    require_error(domain.ask("POST", PROFILES, params=reworded, content=sally), 409, "TokenReused")
    assert len(domain.ask("GET", PROFILES).json()["profiles"]) == 1
    domain.clock.now += timedelta(hours=24, seconds=1)
    later = domain.ask("POST", PROFILES, params=params, content=sally).json()
    assert later["profileId"] != first.json()["profileId"]
    domain.store.write(lambda unit: unit.profiles.delete(MINE, later["profileId"]))
    require_error(domain.ask("POST", PROFILES, params=params, content=sally), 404, "NotFound")


@pytest.mark.slow
def test_a_request_token_adds_one_voiceprint(domain: Rest) -> None:
    sally = first_call("sally").read_bytes()
    profile_id = domain.ask("POST", PROFILES, params=CONSENT, content=sally).json()["profileId"]
    params = CONSENT | {"clientRequestToken": "again", "profileId": profile_id}
    answers = [domain.ask("POST", PROFILES, params=params, content=sally).json() for _ in range(2)]
    assert [len(answer["voiceprints"]) for answer in answers] == [2, 2]


@pytest.mark.parametrize("token", ["", "x" * 65, "a b", "ä"])
def test_request_tokens_have_a_form(domain: Rest, token: str) -> None:
    message = require_error(
        domain.ask("POST", PROFILES, params=CONSENT | {"clientRequestToken": token}), 400, "BadRequest"
    )
    assert "clientRequestToken" in message


@pytest.mark.slow
def test_the_speech_is_kept_where_the_operator_wants_it(build: Callable[..., Rest], tmp_path: Path) -> None:
    kept, usual = build(keep_audio=True), build()
    kept.store.write(add_domain)
    sally = first_call("sally").read_bytes()
    for rest, keeps in ((kept, True), (usual, False)):
        made = rest.ask("POST", PROFILES, params=CONSENT, content=sally).json()
        named = MINE, made["profileId"], made["voiceprints"][0]["voiceprintId"]
        audio = rest.store.profile_voiceprints.audio(*named)
        assert (audio is not None) == keeps
        if audio is None:
            continue
        assert abs(len(audio) / 2 / 16_000 - made["voiceprints"][0]["netSpeechSeconds"]) < 0.1
        sealed = b"".join(file.read_bytes() for file in tmp_path.glob("records.db*"))
        assert audio[len(audio) // 2 :][:64] not in sealed
        assert rest.store.write(lambda unit, profile_id=named[1]: unit.profiles.delete(MINE, profile_id))
        assert rest.store.profile_voiceprints.audio(*named) is None


@pytest.mark.slow
def test_a_profile_of_another_domain_gets_nothing(domain: Rest) -> None:
    domain.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    sally = first_call("sally").read_bytes()
    profile_id = domain.ask("POST", PROFILES, params=CONSENT, content=sally).json()["profileId"]
    params = CONSENT | {"profileId": profile_id}
    require_error(domain.ask("POST", "domains/vpd-2/profiles", params=params, content=sally), 404, "NotFound")
    params = CONSENT | {"profileId": "vp-nobody"}
    require_error(domain.ask("POST", PROFILES, params=params, content=sally), 404, "NotFound")


@pytest.mark.slow
def test_a_domain_that_is_full(build: Callable[..., Rest]) -> None:
    rest = build(recording_limits=RecordingLimits(profiles_per_domain_max=0))
    rest.store.write(add_domain)
    response = rest.ask("POST", PROFILES, params=CONSENT, content=first_call("sally").read_bytes())
    require_error(response, 409, "LimitExceeded")


@pytest.mark.slow
def test_a_channel_has_to_be_chosen(domain: Rest) -> None:
    samples, rate = soundfile.read(second_call("sally"))
    both = as_bytes(np.stack([np.zeros_like(samples), samples], axis=1), rate=rate)
    require_error(domain.ask("POST", SEARCH, content=both), 422, "ChannelNotChosen")
    require_error(domain.ask("POST", SEARCH, params={"channel": "2"}, content=both), 422, "ChannelNotChosen")
    silent = domain.ask("POST", SEARCH, params={"channel": "0"}, content=both).json()
    assert silent["outcome"] == "not enough speech"
    require_fits(silent, "RecordingSearch")
    speaking = domain.ask("POST", SEARCH, params={"channel": "1"}, content=both).json()
    assert speaking["netSpeechSeconds"] > 10


@pytest.mark.slow
def test_speech_that_cannot_be_enrolled(domain: Rest) -> None:
    samples, rate = soundfile.read(first_call("sally"))
    short = as_bytes(samples[: 6 * rate], rate=rate)
    assert "10 s are needed" in require_error(
        domain.ask("POST", PROFILES, params=CONSENT, content=short), 422, "NotEnoughSpeech"
    )
    quiet = as_bytes(samples * 1e-3, rate=rate, form="FLAC")
    require_error(domain.ask("POST", PROFILES, params=CONSENT, content=quiet), 422, "SpeechTooPoor")
    silence = as_bytes(np.zeros(30 * rate), rate=rate)
    require_error(domain.ask("POST", PROFILES, params=CONSENT, content=silence), 422, "NoSpeech")
    assert domain.ask("GET", PROFILES).json()["profiles"] == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "AudioUnreadable"),
        (b"no audio", "AudioUnreadable"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "AudioUnreadable"),
        (bytes(100_000), "AudioUnreadable"),
        (first_call("sally").read_bytes()[:1_000], "AudioTruncated"),
        (as_bytes(np.zeros(48_000), rate=4_000), "RateUnsupported"),
    ],
    ids=["empty", "text", "half a header", "zeros", "breaks off", "4 kHz"],
)
def test_bodies_that_are_no_recording(domain: Rest, temporary_folder: Path, content: bytes, kind: str) -> None:
    message = require_error(domain.ask("POST", SEARCH, content=content), 422, kind)
    assert str(temporary_folder) not in message
    assert "/dev/fd" not in message
    require_error(domain.ask("POST", PROFILES, params=CONSENT, content=content), 422, kind)
    assert list(temporary_folder.iterdir()) == []


def test_samples_that_are_not_finite(domain: Rest) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full(16_000, np.nan), 8_000, format="WAV", subtype="FLOAT")
    require_error(domain.ask("POST", SEARCH, content=file.getvalue()), 422, "AudioNotFinite")


def test_a_body_that_is_too_large(build: Callable[..., Rest], temporary_folder: Path) -> None:
    rest = build(limits=RestLimits(recording_bytes_max=1_000))
    rest.store.write(add_domain)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(100)

    require_error(rest.ask("POST", SEARCH, content=bytes(1_001)), 413, "BodyTooLarge")
    require_error(rest.ask("POST", SEARCH, content=pieces()), 413, "BodyTooLarge")
    require_error(rest.ask("GET", "tasks", content=bytes(65_537)), 413, "BodyTooLarge")
    require_error(rest.ask("POST", SEARCH, content=bytes(1_000)), 422, "AudioUnreadable")
    assert list(temporary_folder.iterdir()) == []


def test_a_body_that_does_not_come(build: Callable[..., Rest]) -> None:
    rest = build(limits=RestLimits(recording_seconds_max=0.0))

    async def stuck() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b"never"

    message = require_error(rest.ask("POST", SEARCH, content=stuck()), 400, "BadRequest")
    assert "send it faster" in message


def test_recordings_at_one_time_are_bounded(build: Callable[..., Rest]) -> None:
    rest = build(limits=RestLimits(recordings_at_once_max=0))
    require_error(rest.ask("POST", SEARCH, content=b"x"), 503, "Unavailable")


def test_one_account_at_its_share_refuses_no_other(build: Callable[..., Rest]) -> None:
    rest = build(limits=RestLimits(recordings_at_once_max=4))
    for scope in (MINE, THEIRS):
        rest.store.write(lambda unit, scope=scope: add_domain(unit, scope, domain_id=f"of-{scope.account_id}"))

    async def crowd() -> list[int]:
        async with rest.client() as client:
            end, begun = asyncio.Event(), asyncio.Queue[None]()

            async def slowly() -> AsyncIterator[bytes]:
                begun.put_nowait(None)
                await end.wait()
                yield b"no audio"

            def ask(scope: Scope, content: AsyncIterator[bytes] | bytes) -> "asyncio.Task[httpx.Response]":
                path = f"{V1}/domains/of-{scope.account_id}/search?region={scope.region}"
                headers = {"authorization": f"Bearer {token('admin', scope)}"}
                return asyncio.create_task(client.post(path, headers=headers, content=content))

            waiting = [ask(MINE, slowly()) for _ in range(2)]
            for _ in waiting:
                await begun.get()
            statuses = [(await ask(scope, b"no audio")).status_code for scope in (MINE, THEIRS, MINE)]
            end.set()
            statuses += [(await one).status_code for one in waiting]
        return statuses

    assert asyncio.run(crowd()) == [503, 422, 503, 422, 422]


@pytest.mark.slow
def test_so_much_of_a_recording_is_decoded_and_no_more(build: Callable[..., Rest]) -> None:
    rest = build(recording_limits=RecordingLimits(decoded_seconds_max=60))
    rest.store.write(add_domain)
    ten_hours = flac_of_silence(hours=10)
    assert len(ten_hours) < 1_200_000
    for path, params in ((SEARCH, {}), (PROFILES, CONSENT)):
        message = require_error(rest.ask("POST", path, params=params, content=ten_hours), 422, "AudioTooLong")
        assert "first 1 min" in message
    whole = as_bytes(np.zeros(60 * 8_000), form="FLAC")  # as long as may be
    assert rest.ask("POST", SEARCH, content=whole).json()["outcome"] == "not enough speech"
    speech = [soundfile.read(call("sally"))[0] for call in (first_call, second_call)]
    speech_first = np.concatenate([*speech, np.zeros(600 * 8_000)])
    assert rest.ask("POST", SEARCH, content=as_bytes(speech_first, form="FLAC")).json()["netSpeechSeconds"] == 20


@pytest.mark.parametrize("channels", [64, 1_000])
def test_a_header_of_many_channels_costs_no_memory(domain: Rest, channels: int) -> None:
    """A second of a thousand channels at 48 kHz would take 200 MB."""
    few_frames = as_bytes(np.zeros((4_000, channels)), rate=48_000)
    tracemalloc.start()
    try:
        answer = domain.ask("POST", SEARCH, params={"channel": "63"}, content=few_frames)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.json()["outcome"] == "not enough speech"
    assert peak < 40_000_000


def test_whoever_may_not_is_told_before_the_body_comes(domain: Rest) -> None:
    asked = threading.Event()

    async def never() -> AsyncIterator[bytes]:
        asked.set()
        yield b"x"

    require_error(domain.ask("POST", SEARCH, role="reader", content=never()), 403, "Forbidden")
    assert not asked.is_set()


def test_a_recording_is_in_no_folder(temporary_folder: Path) -> None:
    """A process that is killed leaves no voice behind."""
    with recording_file() as (file, path):
        file.write(b"somebody's voice")
        file.flush()
        assert path.read_bytes() == b"somebody's voice"
        kept = [found for found in temporary_folder.rglob("*") if not found.is_symlink() and not found.is_dir()]
        assert kept == []
    assert list(temporary_folder.iterdir()) == []


def test_without_a_temporary_folder(domain: Rest, temporary_folder: Path) -> None:
    temporary_folder.rmdir()
    require_error(domain.ask("POST", SEARCH, content=b"x"), 503, "Unavailable")
    with pytest.raises(Unavailable), recording_file():
        pass
    temporary_folder.mkdir()


@pytest.mark.parametrize("consent", ["", " ", "x" * 257, "a\nb", "a\0b", "\x1b[31m"])
def test_consent_is_printable(domain: Rest, consent: str) -> None:
    message = require_error(domain.ask("POST", PROFILES, params={"consent": consent}), 400, "BadRequest")
    assert "consent" in message
    require_error(domain.ask("POST", PROFILES), 400, "BadRequest")


@pytest.mark.slow
def test_two_voices_are_not_enrolled_as_one_and_are_both_searched_for(domain: Rest) -> None:
    sally, russell = (soundfile.read(first_call(name))[0] for name in ("sally", "russell"))
    turn = 4 * 8_000
    both = np.concatenate([voice[at * turn : (at + 1) * turn] for at in range(5) for voice in (sally, russell)])
    message = require_error(domain.ask("POST", PROFILES, params=CONSENT, content=as_bytes(both)), 422, "SeveralVoices")
    assert "more than one voice" in message
    assert domain.ask("GET", PROFILES).json()["profiles"] == []
    found = domain.ask("POST", SEARCH, content=as_bytes(both)).json()
    require_fits(found, "RecordingSearch")
    assert found["outcome"] == "several voices"
    assert [voice["outcome"] for voice in found["voices"]] == ["no match", "no match"]
