"""The input file of Amazon Connect Voice ID's batch enrolment (`StartSpeakerEnrollmentJob`), as recordings to enrol.

One JSON document, by
https://docs.aws.amazon.com/connect/latest/adminguide/speaker-enrollment-job-schema.html:

    {"Version": "1.0", "SpeakerEnrollmentRequests": [
        {"RequestId": "…", "SpeakerId": "…", "AudioSpecifications": [{"S3Uri": "s3://bucket/key", "ChannelId": 0}]}]}

The recordings lie in a folder, each under its key. The file says nothing of consent.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

from earwitness.errors import ManifestInvalid
from earwitness.evaluation.manifest import ListedRecording

FILE_BYTES_MAX = 64_000_000
"""Of an input file; 100,000 recordings take less than half of it."""

SPEAKER_ID_CHARACTERS_MAX = 256
"""As Voice ID has it."""

CHANNELS = (0, 1)
"""Those that Voice ID knows."""

_MARKS_AND_BLANKS = b"\xef\xbb\xbf\xfe\xff\0 \t\r\n"
_DOCUMENT_FIELDS = ("Version", "SpeakerEnrollmentRequests")
_REQUEST_FIELDS = ("RequestId", "SpeakerId", "AudioSpecifications")
_AUDIO_FIELDS = ("S3Uri", "ChannelId")


@dataclass(frozen=True, kw_only=True)
class EnrolmentRequests:
    """What an input file asks for."""

    recordings: tuple[ListedRecording, ...]
    #: Names of fields that the schema does not have, which say nothing here, sorted.
    passed_over: tuple[str, ...]


def is_enrolment_requests(path: Path) -> bool:
    """Return whether a file begins as a JSON document does, and not as a table. False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(1_000).lstrip(_MARKS_AND_BLANKS)[:1] in (b"{", b"[")
    except OSError:
        return False


def read_enrolment_requests(path: Path, *, folder: Path, bytes_max: int) -> EnrolmentRequests:
    """Return all recordings, in the file's order. ManifestInvalid names the request that cannot be used.

    `folder`: where the recordings lie, each under its key in the bucket. `bytes_max`: of one recording.
    """
    if not folder.is_dir():
        raise ManifestInvalid(f"{folder} is no folder; copy the recordings there, as by `aws s3 sync`")
    document = _Fields(_document(path), path.name, _DOCUMENT_FIELDS)
    if (version := document.text("Version")) != "1.0":
        raise document.invalid(f"the Version is {version[:100]!r}; only '1.0' is known")
    passed_over = set(document.others)
    recordings: dict[tuple[Path, int], ListedRecording] = {}
    request_ids: set[str] = set()
    bucket: str | None = None
    for request in document.each("SpeakerEnrollmentRequests", "request", _REQUEST_FIELDS):
        if (request_id := request.text("RequestId")) in request_ids:
            raise request.invalid(f"an earlier request has the RequestId {request_id[:100]!r} too")
        request_ids.add(request_id)
        speaker_id = request.text("SpeakerId", SPEAKER_ID_CHARACTERS_MAX)
        passed_over.update(request.others)
        for audio in request.each("AudioSpecifications", "recording", _AUDIO_FIELDS):
            passed_over.update(audio.others)
            uri, channel = audio.text("S3Uri"), audio.channel()
            named, file = audio.file(uri, folder, bytes_max)
            if named != (bucket := bucket or named):
                raise audio.invalid(
                    f"the bucket is {named!r}, before it was {bucket!r}; write a file for each bucket, and give each "
                    "its own --recordings"
                )
            if (key := (file.resolve(), channel)) in recordings:
                raise audio.invalid(f"{uri!r} is listed twice")
            recordings[key] = ListedRecording(
                path=file, name=uri, channel=channel, consent=None, profile_id=None, speaker_id=speaker_id, subject=None
            )
    return EnrolmentRequests(recordings=tuple(recordings.values()), passed_over=tuple(sorted(passed_over)))


def _document(path: Path) -> object:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ManifestInvalid(f"the input file {path} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ManifestInvalid(f"{path.name} is larger than {FILE_BYTES_MAX // 1_000_000} MB; cut it into several files")
    try:
        return json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        reason = "its parts are nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ManifestInvalid(f"{path.name} is not one JSON document: {reason}") from error


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return an object's fields. Raise ValueError where one is there twice: it is not told which of them counts."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"an object has the field {name[:100]!r} twice")
        found[name] = value
    return found


class _Fields:
    """An object of the document, with the place where it stands."""

    def __init__(self, value: object, place: str, known: tuple[str, ...]) -> None:
        self._place = place
        if not isinstance(value, dict):
            raise self.invalid(f"this has to be an object with {', '.join(known)}")
        self._fields = cast("dict[str, object]", value)
        if missing := [name for name in known if name not in self._fields]:
            raise self.invalid(f"{' and '.join(missing)} is missing")
        self.others = [name for name in self._fields if name not in known]

    def invalid(self, reason: str) -> ManifestInvalid:
        """Return the error that names the place."""
        return ManifestInvalid(f"{self._place}: {reason}")

    def text(self, name: str, characters_max: int = 2_000) -> str:
        """Return a text that is not empty, and can be written as UTF-8."""
        value = self._fields[name]
        if not isinstance(value, str) or not value.strip() or len(value) > characters_max:
            raise self.invalid(f"{name} has to be a text of 1 to {characters_max:,} characters")
        if not value.isprintable():
            raise self.invalid(f"{name} holds characters that cannot be printed")
        return value

    def channel(self) -> int:
        """Return the channel that is meant."""
        value = self._fields["ChannelId"]
        if type(value) is not int or value not in CHANNELS:  # True is an int too
            raise self.invalid("ChannelId has to be 0 or 1")
        return value

    def each(self, name: str, called: str, known: tuple[str, ...]) -> "Iterator[_Fields]":
        """Yield the objects of a list that is not empty."""
        value = self._fields[name]
        if not isinstance(value, list) or not value:
            raise self.invalid(f"{name} has to be a list, and not empty")
        for number, one in enumerate(cast("list[object]", value), start=1):
            yield _Fields(one, f"{self._place}, {called} {number}", known)

    def file(self, uri: str, folder: Path, bytes_max: int) -> tuple[str, Path]:
        """Return the bucket, and the file in the folder, which is there."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not key:
            raise self.invalid(f"the S3Uri {uri!r} is not s3://bucket/key")
        file = folder / key
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise self.invalid(f"the key of {uri!r} leads out of the folder; keys have no / in front, and no ..")
        try:
            if not file.resolve().is_relative_to(folder.resolve()):
                raise self.invalid(f"{file} leads out of {folder}, by a link")
            if not file.is_file():
                raise self.invalid(f"{file} does not exist; copy it from {uri}")
            size = file.stat().st_size
        except OSError as error:
            raise self.invalid(f"{file} cannot be read: {error.strerror}") from error
        if size > bytes_max:
            raise self.invalid(f"{file} is larger than {bytes_max // 1_000_000} MB; cut it, 20 s of speech are enough")
        return bucket, file
