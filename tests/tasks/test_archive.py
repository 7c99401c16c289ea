"""The archive of an export: what is written is read, and whatever was made of it by somebody else is refused."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.errors import ArchiveInvalid
from earwitness.tasks import archive
from earwitness.tasks.archive import ListedPart, Manifest, archive_length, archive_of, check_archive, part_name, part_of
from earwitness.vault.age import decrypt, encrypt, identity_in, new_identity
from earwitness.voice.job import PartKind

DOMAIN = {"domainId": "vpd-1", "name": "callers", "band": "telephone", "tags": {}}
PROFILES: list[dict[str, Any]] = [{"profileId": f"vp-{n}", "tags": {"who": "n"}} for n in range(3)]
VOICEPRINTS: list[dict[str, Any]] = [
    {
        "profileId": "vp-1",
        "voiceprintId": "p-1",
        "encoderId": "e-1/telephone",
        "vector": b"\x00\x00\x80\x3f\x00\x00\x00\x00",
        "consentReference": "form 12",
        "audio": "audio/1.wav",
    },
    {
        "profileId": "vp-2",
        "voiceprintId": "p-2",
        "encoderId": "e-1/telephone",
        "vector": None,
        "consentReference": None,
        "audio": None,
    },
]
CONSENTS: list[dict[str, Any]] = [
    {"consentId": f"consent-{n}", "subject": f"customer {n}", "givenAt": "2026-01-01T00:00:00Z"} for n in range(2)
]
LABELS: list[dict[str, Any]] = [
    {
        "taskId": "task-1",
        "outcome": "no match",
        "label": {"spoke": "nobody", "profileId": None, "picked": "queue", "updatedAt": "2026-01-01T00:00:00Z"},
    }
]
RECORDINGS = [("audio/1.wav", b"RIFF a recording" * 100)]
SECRET, PUBLIC = new_identity()
OTHERS_SECRET, _ = new_identity()


def parts(*, recipient: str | None) -> list[tuple[ListedPart, bytes]]:
    made: list[tuple[ListedPart, bytes]] = []
    for number, (kind, lines, recordings) in enumerate(
        (
            (PartKind.DOMAIN, [DOMAIN], []),
            (PartKind.PROFILES, PROFILES, []),
            (PartKind.VOICEPRINTS, VOICEPRINTS, RECORDINGS),
            (PartKind.CONSENTS, CONSENTS, []),
            (PartKind.LABELS, LABELS, []),
        ),
        start=1,
    ):
        content = part_of(kind, lines, recordings)
        content = content if recipient is None else encrypt(content, recipient=recipient)
        listed = ListedPart(
            name=part_name(number, encrypted=recipient is not None),
            kind=kind,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            lines=len(lines),
            recordings=len(recordings),
        )
        made.append((listed, content))
    return made


def manifest(made: list[tuple[ListedPart, bytes]], *, recipient: str | None) -> Manifest:
    return Manifest(
        format=archive.FORMAT,
        version=archive.VERSION,
        writer="0.2.0",
        job_id="job-1",
        domain_id="vpd-1",
        created_at="2026-11-27T12:00:00.000000Z",
        recipient=recipient,
        with_audio=True,
        parts=tuple(listed for listed, _ in made),
        missing_parts=(),
    )


def written(path: Path, *, recipient: str | None = None) -> Path:
    made = parts(recipient=recipient)
    document = msgspec.json.encode(manifest(made, recipient=recipient))
    content = b"".join(archive_of(document, [(listed.name, content) for listed, content in made]))
    assert len(content) == archive_length(document, [listed for listed, _ in made])
    path.write_bytes(content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export.tar"


def test_what_is_written_is_read_by_us_and_by_any_tar(path: Path, tmp_path: Path) -> None:
    checked = check_archive(written(path), identity=None)
    held = {PartKind.DOMAIN: 1, PartKind.PROFILES: 3, PartKind.VOICEPRINTS: 2}
    assert checked.lines == held | {PartKind.CONSENTS: 2, PartKind.LABELS: 1}
    assert (checked.recordings, checked.manifest.domain_id) == (1, "vpd-1")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert names == ["manifest.json", "part-000001.tar", "part-000002.tar", "part-000003.tar", *names[4:]]
        assert names[4:] == ["part-000004.tar", "part-000005.tar"]
        inner = tar.extractfile(names[3])
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as part:
            assert part.getnames() == ["voiceprints.jsonl", "audio/1.wav"]
            lines = part.extractfile("voiceprints.jsonl")
            assert lines is not None
            first = json.loads(lines.readline())
            assert (first["consentReference"], first["vector"]) == ("form 12", "AACAPwAAAAA=")


def test_an_encrypted_one_opens_with_its_key_alone(path: Path) -> None:
    written(path, recipient=PUBLIC)
    assert b"form 12" not in path.read_bytes()
    assert check_archive(path, identity=None).lines == {}  # whole, as far as one can see
    assert check_archive(path, identity=SECRET).lines[PartKind.VOICEPRINTS] == 2
    with pytest.raises(ArchiveInvalid, match="somebody else"):
        check_archive(path, identity=OTHERS_SECRET)
    with pytest.raises(ArchiveInvalid, match="no secret key"):
        check_archive(path, identity="AGE-SECRET-KEY-1NONSENSE")


def test_a_key_file_holds_one_key() -> None:
    assert identity_in(f"# created: today\n# public key: {PUBLIC}\n{SECRET}\n") == SECRET
    for text in ("", PUBLIC, f"{SECRET}\n{OTHERS_SECRET}"):
        with pytest.raises(ArchiveInvalid):
            identity_in(text)


@pytest.mark.parametrize("recipient", [None, PUBLIC], ids=["plain", "encrypted"])
def test_a_byte_of_a_part_that_changed_is_found(path: Path, recipient: str | None) -> None:
    content = written(path, recipient=recipient).read_bytes()
    listed = check_archive(path, identity=None).manifest.parts
    begin = content.index(b"age-encryption.org" if recipient else b"domain.jsonl")
    for at in range(begin, begin + listed[0].bytes, 17):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ArchiveInvalid, match="damaged"):
            check_archive(path, identity=None)


def test_one_that_is_cut_off_anywhere_is_refused(path: Path) -> None:
    content = written(path).read_bytes()
    for length in range(0, len(content), 113):
        path.write_bytes(content[:length])
        with pytest.raises(ArchiveInvalid):
            check_archive(path, identity=None)
    path.write_bytes(content + b"more")
    with pytest.raises(ArchiveInvalid, match="behind its end"):
        check_archive(path, identity=None)


Members = list[tuple[str, bytes]]


def rebuilt(path: Path, change: Callable[[Manifest, Members], tuple[Manifest, Members]]) -> None:
    made = parts(recipient=None)
    listed, members = change(manifest(made, recipient=None), [(one.name, content) for one, content in made])
    path.write_bytes(b"".join(archive_of(msgspec.json.encode(listed), members)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told, members: (told, members[:-1]), "missing"),
        (lambda told, members: (told, [members[1], members[0], members[2]]), "missing"),
        (lambda told, members: (told, [*members, members[0]]), "more than"),
        (lambda told, members: (told, [*members[:2], (members[2][0], members[1][1])]), "damaged"),
        (lambda told, members: (msgspec.structs.replace(told, parts=told.parts[:2]), members), "more than"),
        (lambda told, members: (msgspec.structs.replace(told, version=3), members), "format 3"),
        (lambda told, members: (msgspec.structs.replace(told, format="another"), members), "no export"),
    ],
)
def test_parts_that_are_not_those_of_the_manifest(path: Path, change: Any, words: str) -> None:
    rebuilt(path, change)
    with pytest.raises(ArchiveInvalid, match=words):
        check_archive(path, identity=None)


def one_part(path: Path, kind: PartKind, content: bytes, *, lines: int = 1, recordings: int = 0) -> None:
    """An archive with this one part, whose hash is right."""
    listed = ListedPart(
        name="part-000001.tar",
        kind=kind,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        lines=lines,
        recordings=recordings,
    )
    told = manifest([(listed, content)], recipient=None)
    path.write_bytes(b"".join(archive_of(msgspec.json.encode(told), [(listed.name, content)])))


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member, content in members:
            member.size = len(content) or member.size
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_hostile_parts_with_the_right_hash(path: Path) -> None:
    link = tarfile.TarInfo("domain.jsonl")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tarfile.TarInfo("../../etc/passwd")
    deep = b"[" * 100_000 + b"]" * 100_000
    good = part_of(PartKind.DOMAIN, [DOMAIN], [])
    voiceprint = VOICEPRINTS[0]
    for content, kind in (
        (b"", PartKind.DOMAIN),
        (b"no tar at all" * 100, PartKind.DOMAIN),
        (tar_of((link, b"")), PartKind.DOMAIN),
        (tar_of((outside, b"x")), PartKind.DOMAIN),
        (tar_of((tarfile.TarInfo("x" * 300), b"x")), PartKind.DOMAIN),
        (good[:600], PartKind.DOMAIN),
        (good, PartKind.PROFILES),
        (part_of(PartKind.DOMAIN, [DOMAIN, DOMAIN], []), PartKind.DOMAIN),
        (part_of(PartKind.DOMAIN, [{}], []), PartKind.DOMAIN),
        (part_of(PartKind.DOMAIN, [DOMAIN], [("audio/more.wav", b"x")]), PartKind.DOMAIN),
        (part_of(PartKind.VOICEPRINTS, [voiceprint], [("audio/other.wav", b"x")]), PartKind.VOICEPRINTS),
        (part_of(PartKind.VOICEPRINTS, [{**voiceprint, "vector": "no base64!"}], RECORDINGS), PartKind.VOICEPRINTS),
        (b"".join(archive._member("domain.jsonl", deep)) + bytes(1024), PartKind.DOMAIN),
        (b"".join(archive._member("domain.jsonl", b"\xff\xfe\n")) + bytes(1024), PartKind.DOMAIN),
    ):
        one_part(path, kind, content, recordings=1 if kind is PartKind.VOICEPRINTS else 0)
        with pytest.raises(ArchiveInvalid):
            check_archive(path, identity=None)
    one_part(path, PartKind.DOMAIN, good)
    assert check_archive(path, identity=None).lines[PartKind.DOMAIN] == 1


def test_a_member_that_says_it_is_huge_is_not_read(path: Path) -> None:
    header = tarfile.TarInfo("manifest.json")
    for size in (archive.MANIFEST_BYTES_MAX + 1, 2**40):
        header.size = size
        path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"{}")
        with pytest.raises(ArchiveInvalid, match="too large"):
            check_archive(path, identity=None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(content=st.binary(max_size=2_000), tail=st.booleans())
def test_noise_is_refused(path: Path, content: bytes, tail: bool) -> None:
    path.write_bytes(content + (written(path).read_bytes() if tail else b""))
    if not content and tail:
        return
    with pytest.raises(ArchiveInvalid):
        check_archive(path, identity=None)


def test_a_part_is_an_age_file_by_itself() -> None:
    (_, content), *_ = parts(recipient=PUBLIC)
    assert content.startswith(b"age-encryption.org/v1\n-> X25519 ")
    assert decrypt(content, identity=SECRET) == part_of(PartKind.DOMAIN, [DOMAIN], [])
