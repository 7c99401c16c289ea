"""The input file of Voice ID's batch enrolment: what it asks for, and what may be wrong with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from earwitness.errors import ManifestInvalid
from earwitness.evaluation import enrolment_requests
from earwitness.evaluation.enrolment_requests import (
    EnrolmentRequests,
    is_enrolment_requests,
    read_enrolment_requests,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of recordings, beside which lies what is not among them."""
    recordings = tmp_path / "recordings"
    (recordings / "calls").mkdir(parents=True)
    for name in ("calls/alice.wav", "calls/bob.wav", "../secret.wav"):
        (recordings / name).write_bytes(bytes(10))
    (recordings / "large.wav").write_bytes(bytes(11))
    (recordings / "link.wav").symlink_to(tmp_path / "secret.wav")
    return recordings


# `Any`: JSON that may be wrong, here and below.
def audio(key: str = "calls/alice.wav", channel: Any = 0, **others: Any) -> dict[str, Any]:
    return {"S3Uri": f"s3://bucket/{key}", "ChannelId": channel, **others}


def request(*recordings: Any, number: int = 1, speaker: Any = "alice", **others: Any) -> dict[str, Any]:
    about = {"RequestId": f"r-{number}", "SpeakerId": speaker, "AudioSpecifications": list(recordings)}
    return about | others


def document(*requests: Any, **others: Any) -> str:
    return json.dumps({"Version": "1.0", "SpeakerEnrollmentRequests": list(requests)} | others)


def read(folder: Path, text: str | bytes) -> EnrolmentRequests:
    path = folder.parent / "input.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_enrolment_requests(path, folder=folder, bytes_max=10)


def test_each_audio_file_is_a_recording_of_its_speaker(folder: Path) -> None:
    text = document(
        request(audio(), audio("calls/bob.wav", 1)),
        request(audio("calls/bob.wav"), number=2, speaker="bob"),
    )
    found = read(folder, text)
    assert [(one.path, one.name, one.channel, one.speaker_id) for one in found.recordings] == [
        (folder / "calls/alice.wav", "s3://bucket/calls/alice.wav", 0, "alice"),
        (folder / "calls/bob.wav", "s3://bucket/calls/bob.wav", 1, "alice"),
        (folder / "calls/bob.wav", "s3://bucket/calls/bob.wav", 0, "bob"),
    ]
    assert {(one.consent, one.profile_id, one.subject) for one in found.recordings} == {(None, None, None)}
    assert found.passed_over == ()


def test_fields_that_the_schema_lacks_are_passed_over_and_named(folder: Path) -> None:
    config = {"FraudDetectionConfig": {"RiskThreshold": 50}}
    text = document(request(audio(Note=1), audio(channel=1, Note=2), Language="en"), EnrollmentConfig=config)
    assert read(folder, text).passed_over == ("EnrollmentConfig", "Language", "Note")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(folder: Path, encoding: str) -> None:
    text = ("\n " + document(request(audio()))).encode(encoding)
    assert len(read(folder, text).recordings) == 1
    assert is_enrolment_requests(folder.parent / "input.json")


@pytest.mark.parametrize("content", [b"file,channel\na.wav,0\n", b"", b"\xef\xbb\xbffile\n", "file\n".encode("utf-16")])
def test_tables_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "people.csv").write_bytes(content)
    assert not is_enrolment_requests(tmp_path / "people.csv")
    assert not is_enrolment_requests(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "input.json is not one JSON document: .*line 1"),
        (document(request(audio())) + "\n" + document(request(audio())), "not one JSON document: Extra data: line 2"),
        ('{"Version": "1.0", "Version": "1.0"}', "the field 'Version' twice"),
        ("[" * 100_000, "nested too deep"),
        (b'{"Version": "\xff\xfe"}', "not one JSON document"),
        ('{"Version": ' + "1" * 5_000 + "}", "not one JSON document"),
        ("[]", "input.json: this has to be an object with Version, SpeakerEnrollmentRequests"),
        ("{}", "Version and SpeakerEnrollmentRequests is missing"),
        (document(request(audio()), Version="2.0"), "the Version is '2.0'"),
        (document(), "SpeakerEnrollmentRequests has to be a list, and not empty"),
        (document("alice"), "input.json, request 1: this has to be an object"),
        (document({"SpeakerId": "alice"}), "request 1: RequestId and AudioSpecifications is missing"),
        (document(request(audio(), speaker=7)), "request 1: SpeakerId has to be a text of 1 to 256"),
        (document(request(audio(), speaker="a" * 257)), "request 1: SpeakerId has to be a text of 1 to 256"),
        (document(request(audio(), speaker=" ")), "request 1: SpeakerId has to be a text"),
        (document(request(audio(), speaker="\ud800")), "request 1: SpeakerId holds characters"),
        (
            document(request(audio()), request(audio(channel=1))),
            "request 2: an earlier request has the RequestId 'r-1'",
        ),
        (document(request()), "request 1: AudioSpecifications has to be a list, and not empty"),
        (document(request(audio(), {"ChannelId": 0})), "request 1, recording 2: S3Uri is missing"),
        (document(request(audio(channel=2))), "recording 1: ChannelId has to be 0 or 1"),
        (document(request(audio(channel=True))), "ChannelId has to be 0 or 1"),
        (document(request(audio(channel="0"))), "ChannelId has to be 0 or 1"),
        (document(request(audio(S3Uri="https://bucket/a.wav"))), "is not s3://bucket/key"),
        (document(request(audio(S3Uri="s3://bucket"))), "is not s3://bucket/key"),
        (document(request(audio(""))), "is not s3://bucket/key"),
        (document(request(audio("../secret.wav"))), "recording 1: the key of .* leads out of the folder"),
        (document(request(audio("calls/../../secret.wav"))), "leads out of the folder"),
        (document(request(audio("/etc/passwd"))), "leads out of the folder"),
        (document(request(audio("link.wav"))), "link.wav leads out of .*, by a link"),
        (document(request(audio("a\0.wav"))), "S3Uri holds characters that cannot be printed"),
        (document(request(audio("a" * 1_000))), "cannot be read: File name too long"),
        (document(request(audio("calls"))), "calls does not exist"),
        (document(request(audio(), audio("none.wav"))), "recording 2: .*none.wav does not exist; copy it from s3://"),
        (document(request(audio("large.wav"))), "large.wav is larger than 0 MB"),
        (document(request(audio()), request(audio("calls/./alice.wav"), number=2)), "request 2, recording 1: .* twice"),
        (document(request(audio(), audio(S3Uri="s3://other/calls/bob.wav"))), "the bucket is 'other', before it was"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(folder: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ManifestInvalid, match=words):
        read(folder, text)


def test_a_file_that_is_too_large_is_not_parsed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment_requests, "FILE_BYTES_MAX", 20)
    with pytest.raises(ManifestInvalid, match=r"input\.json is larger than 0 MB; cut it"):
        read(folder, document(request(audio())))


def test_the_folder_and_the_file_have_to_be_there(folder: Path) -> None:
    with pytest.raises(ManifestInvalid, match="is no folder"):
        read(folder / "none", document(request(audio())))
    with pytest.raises(ManifestInvalid, match="cannot be read: No such file"):
        read_enrolment_requests(folder / "none.json", folder=folder, bytes_max=10)
