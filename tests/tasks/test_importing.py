"""Exports are read back: all of one, or nothing; and what is hostile in one."""

import hashlib
import io
import itertools
import tarfile
import wave
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.errors import AlreadyExists, ArchiveInvalid, Conflict, EarwitnessError
from earwitness.store.records import NewVoiceprint, Scope
from earwitness.store.store import Store, Unit, open_store
from earwitness.tasks import importing
from earwitness.tasks.archive import FORMAT, VERSION, ListedPart, Manifest, archive_of, part_name, part_of
from earwitness.tasks.exporting import make_part, parts_of
from earwitness.tasks.importing import ImportResult, ImportTarget, import_archive
from earwitness.tasks.judged_archive import IMPORTING, judge
from earwitness.vault.age import encrypt, new_identity
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper
from earwitness.voice.band import Band
from earwitness.voice.job import PartKind
from spaces import plain_space

THEIRS = Scope(account_id="111122223333", region="eu-central-1")
MINE = Scope(account_id="000000000000", region="us-east-1")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
OURS, FOREIGN = "e-1/telephone", "other/telephone"
SECRET, PUBLIC = new_identity()
DIMENSION = 8
_numbers = itertools.count(1_000)


def vector(number: int) -> bytes:
    drawn = np.random.default_rng(number).normal(size=DIMENSION)
    return (drawn / np.linalg.norm(drawn)).astype("<f4").tobytes()


def records_in(folder: Path) -> Store:
    vault = Vault(MasterKeyWrapper(MasterKey(key=b"m" * 32)))
    return open_store(f"sqlite:///{folder / 'records.db'}", vault=vault, clock=lambda: NOW)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(records_in(tmp_path)) as opened:
        yield opened


def wav(seconds: float = 0.1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(2 * int(16_000 * seconds)))
    return file.getvalue()


def domain_line(**other: Any) -> dict[str, Any]:
    return {"domainId": "vpd-1", "name": "callers", "band": "telephone", "tags": {"team": "a"}, **other}


def profile_line(number: int, **other: Any) -> dict[str, Any]:
    expires_at = f"{NOW + timedelta(days=9):%FT%T.%fZ}"
    return {"profileId": f"vp-{number}", "tags": {"n": str(number)}, "expiresAt": expires_at, **other}


def voiceprint_line(number: int, **other: Any) -> dict[str, Any]:
    return {
        "profileId": f"vp-{number}",
        "voiceprintId": "p-1",
        "encoderId": OURS,
        "vector": vector(number),
        "netSpeechSeconds": 20.0,
        "quality": {"snr_db": 21.5},
        "consentReference": f"form {number}",
        "audio": None,
        **other,
    }


Part = tuple[PartKind, list[dict[str, Any]], list[tuple[str, bytes]]]


def usual(count: int = 3) -> list[Part]:
    numbers = range(1, count + 1)
    return [
        (PartKind.DOMAIN, [domain_line()], []),
        (PartKind.PROFILES, [profile_line(number) for number in numbers], []),
        (PartKind.VOICEPRINTS, [voiceprint_line(number) for number in numbers], []),
    ]


def write(
    path: Path,
    parts: list[Part],
    *,
    recipient: str | None = PUBLIC,
    change: Callable[[Any], Any] = lambda manifest: manifest,
) -> Path:
    contents, listed = [], []
    for number, (kind, lines, recordings) in enumerate(parts, 1):
        content = part_of(kind, lines, recordings)
        if recipient is not None:
            content = encrypt(content, recipient=recipient)
        name = part_name(number, encrypted=recipient is not None)
        contents.append((name, content))
        listed.append(
            ListedPart(
                name=name,
                kind=kind,
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                lines=len(lines),
                recordings=len(recordings),
            )
        )
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        writer="a test",
        job_id="job-1",
        domain_id="vpd-1",
        created_at="2026-01-01T00:00:00Z",
        recipient=recipient,
        with_audio=False,
        parts=tuple(listed),
        missing_parts=(),
    )
    content = msgspec.json.encode(change(manifest))
    path.write_bytes(b"".join(archive_of(content, contents)))
    return path


def bring(
    store: Store,
    path: Path,
    *,
    leave_out: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    pause: Callable[[], object] = lambda: None,
    **target: Any,
) -> ImportResult:
    judged = judge(path, identity=SECRET, space_of=lambda _: plain_space(OURS, DIMENSION), now=NOW, leave_out=leave_out)
    return import_archive(
        store,
        path,
        judged,
        ImportTarget(scope=MINE, **target),
        identity=SECRET,
        new_id=lambda: str(next(_numbers)),
        now=NOW,
        progress=progress,
        pause=pause,
    )


def require_nothing_left(store: Store) -> None:
    assert store.domains.count(MINE) == 0
    assert store.counts is not None
    with store._database.engine.connect() as connection:
        for table in ("voice_profiles", "profile_voiceprints", "tags", "consents"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0, table  # noqa: S608


def test_an_export_becomes_the_same_domain(store: Store, tmp_path: Path) -> None:
    done = bring(store, write(tmp_path / "e.tar", usual(250)))
    assert (done.profiles, done.voiceprints, done.to_reembed, done.left_out, done.expired) == (250, 250, 0, (), 0)
    domain = store.domains.get(MINE, done.domain.domain_id)
    assert domain is not None
    assert (domain.name, domain.band) == ("callers", Band.TELEPHONE)
    assert store.tags.list(MINE, domain.arn) == {"team": "a", "earwitness:band": "telephone"}
    profile = store.profiles.get(MINE, "vp-7")
    assert profile is not None
    assert profile.arn == "arn:aws:chime:us-east-1:000000000000:voice-profile/vp-7"
    assert profile.expires_at == NOW + timedelta(days=9)
    assert store.tags.list(MINE, profile.arn) == {"n": "7"}
    page = store.profile_voiceprints.gallery_page(MINE, domain.domain_id, limit=999)
    assert page is not None
    assert {one.profile_id: one.vector for one in page.page.items} == {
        f"vp-{number}": vector(number) for number in range(1, 251)
    }
    (kept,) = store.profile_voiceprints.list(MINE, "vp-7")
    assert kept.consent_reference == "form 7"
    told = [(one.operation, one.outcome) for one in store.audit.list(MINE, limit=99).items]
    assert told.count(("ImportDomain", "done")) == 1
    assert ("ImportVoiceprints", "done") in told


def test_what_the_service_exports_is_taken(store: Store, tmp_path: Path) -> None:
    """Made by the very code that exports, of a domain of another account."""

    def make(unit: Unit) -> None:
        domain = unit.domains.create(
            THEIRS,
            domain_id="vpd-1",
            arn="arn:aws:chime:eu-central-1:111122223333:voice-profile-domain/vpd-1",
            name="callers",
            description="of the line",
            kms_key_arn="arn:k",
            band=Band.TELEPHONE,
        )
        unit.tags.set(THEIRS, domain.arn, {"team": "a"}, limit=9)
        for number in range(3):
            profile = unit.profiles.create(
                THEIRS,
                profile_id=f"vp-{number}",
                domain_id="vpd-1",
                arn=f"arn:{number}",
                expires_at=NOW + timedelta(days=9),
            )
            unit.profile_voiceprints.put(
                THEIRS,
                profile,
                voiceprint_id="p",
                voiceprint=NewVoiceprint(
                    encoder_id=OURS if number else FOREIGN,
                    vector=vector(number),
                    net_speech_seconds=20.0,
                    quality={"snr_db": 20.0},
                    audio=b"\x01\x00" * 1_600,
                ),
                source_task_id=None,
                consent_reference="form",
            )

    store.write(make)
    domain = store.domains.get(THEIRS, "vpd-1")
    assert domain is not None
    source = {"recipient": PUBLIC, "audio": True}
    made = [
        (asked, make_part(store, THEIRS, domain, asked, source))
        for asked in store.write(lambda unit: parts_of(unit, THEIRS, "vpd-1", audio=True))
    ]
    listed = tuple(
        ListedPart(name=part_name(number, encrypted=True), kind=PartKind(asked.part or ""), **dict(part.result))  # type: ignore[arg-type]
        for number, (asked, part) in enumerate(made, 1)
    )
    contents = [(one.name, part.content) for one, (_, part) in zip(listed, made, strict=True)]
    path = write(tmp_path / "e.tar", [], change=lambda manifest: msgspec.structs.replace(manifest, parts=listed))
    with tarfile.open(path) as written:
        raw = path.read_bytes()[512 : 512 + next(iter(written)).size]
    path.write_bytes(b"".join(archive_of(raw, contents)))
    done = bring(store, path)
    assert (done.profiles, done.voiceprints, done.to_reembed) == (3, 3, 1)
    assert store.profile_voiceprints.audio(MINE, "vp-0", "p") == b"\x01\x00" * 1_600


def test_another_encoders_voiceprint_needs_its_speech(store: Store, tmp_path: Path) -> None:
    parts = usual()
    parts[2][1][0]["encoderId"] = FOREIGN
    parts[2][1][1]["vector"] = None
    path = write(tmp_path / "e.tar", parts)
    with pytest.raises(ArchiveInvalid, match=r"2 voiceprints .* vp-1/p-1, vp-2/p-1; export with --audio"):
        bring(store, path)
    require_nothing_left(store)
    done = bring(store, path, leave_out=True)
    assert (done.voiceprints, done.left_out) == (1, ("vp-1/p-1", "vp-2/p-1"))
    parts[2][1][1]["vector"] = vector(2)
    parts[2][1][0]["audio"] = "audio/1.wav"
    parts[2] = (PartKind.VOICEPRINTS, parts[2][1], [("audio/1.wav", wav())])
    done = bring(store, write(tmp_path / "f.tar", parts), new_ids=True)
    assert (done.voiceprints, done.to_reembed) == (3, 1)


def test_expired_profiles_stay_where_they_are_and_long_ones_get_three_years(store: Store, tmp_path: Path) -> None:
    parts = usual()
    parts[1][1][0]["expiresAt"] = "2020-01-01T00:00:00Z"
    parts[1][1][1]["expiresAt"] = "9000-01-01T00:00:00Z"
    done = bring(store, write(tmp_path / "e.tar", parts))
    assert (done.profiles, done.voiceprints, done.expired) == (2, 2, 1)
    assert store.profiles.get(MINE, "vp-1") is None
    profile = store.profiles.get(MINE, "vp-2")
    assert profile is not None
    assert profile.expires_at == NOW + timedelta(days=3 * 365)


def test_ids_that_are_taken_are_refused_or_made_anew(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "e.tar", usual())
    bring(store, path)
    with pytest.raises(AlreadyExists, match="--new-ids"):
        bring(store, path, name="again")
    assert store.domains.count(MINE) == 1
    assert len(bring(store, path, new_ids=True, name="again").left_out) == 0
    assert store.domains.count(MINE) == 2


def test_into_an_empty_domain(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "e.tar", usual())
    there = bring(store, write(tmp_path / "none.tar", [usual()[0]])).domain
    bring(store, path, domain_id=there.domain_id)
    assert store.profiles.count(MINE, there.domain_id) == 3
    with pytest.raises(Conflict, match="has profiles already"):
        bring(store, path, domain_id=there.domain_id)
    assert store.profiles.count(MINE, there.domain_id) == 3


@pytest.mark.parametrize("into", [False, True])
def test_what_breaks_off_leaves_nothing_and_what_is_killed_is_begun_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: bool
) -> None:
    monkeypatch.setattr(importing, "_AT_ONCE", 2)
    path = write(tmp_path / "e.tar", usual(9))
    target: dict[str, Any] = {}
    if into:
        target["domain_id"] = bring(store, write(tmp_path / "none.tar", [usual()[0]])).domain.domain_id
    left = [5]
    real = store.write

    def until_killed(work: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(work)

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", until_killed)
        with pytest.raises(KeyboardInterrupt):
            bring(store, path, **target)
    # The undoing of the unit above worked; now it does not, as after kill -9.
    if not into:
        require_nothing_left(store)
    left[0] = 5

    def killed(work: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt
        return real(work)

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            bring(store, path, **target)
    (half,) = store.domains.list(MINE, limit=9).items
    assert IMPORTING in store.tags.list(MINE, half.arn)
    done = bring(store, path, **target)
    assert (done.profiles, store.domains.count(MINE)) == (9, 1)
    assert IMPORTING not in store.tags.list(MINE, done.domain.arn)


def test_a_file_that_changes_while_it_is_read_is_undone(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "e.tar", usual())
    judged = judge(path, identity=SECRET, space_of=lambda _: plain_space(OURS, DIMENSION), now=NOW, leave_out=False)
    write(path, usual(2))
    with pytest.raises(ArchiveInvalid, match="changed while it was read"):
        import_archive(
            store,
            path,
            judged,
            ImportTarget(scope=MINE),
            identity=SECRET,
            new_id=lambda: "1",
            now=NOW,
            progress=lambda *_: None,
            pause=lambda: None,
        )
    require_nothing_left(store)


def twice(index: int) -> Callable[[list[Part]], None]:
    def change(parts: list[Part]) -> None:
        parts[index][1].append(parts[index][1][0])

    return change


def line(index: int, **other: Any) -> Callable[[list[Part]], None]:
    def change(parts: list[Part]) -> None:
        parts[index][1][0].update(other)

    return change


def without(index: int) -> Callable[[list[Part]], None]:
    def change(parts: list[Part]) -> None:
        del parts[index]

    return change


@pytest.mark.parametrize(
    "change",
    [
        twice(1),
        twice(2),
        without(0),
        without(1),
        lambda parts: parts.append(parts[0]),
        line(0, band="ultrasonic"),
        line(0, name=""),
        line(0, name="n" * 257),
        line(0, tags={str(number): "v" for number in range(51)}),
        line(0, tags={IMPORTING: "x"}),
        line(0, tags={"k": 1}),
        line(1, profileId="../../etc/passwd"),
        line(1, profileId="v" * 200),
        line(1, expiresAt="tomorrow"),
        line(1, expiresAt="2030-01-01T00:00:00"),
        line(1, tags={"k": "v" * 300}),
        line(2, profileId="vp-99"),
        line(2, voiceprintId="a/b"),
        line(2, encoderId="../x"),
        line(2, vector=b"\x00" * 32),
        line(2, vector=vector(1)[:-4]),
        line(2, vector=b"\xff\xff\xff\x7f" * 8),
        line(2, vector="not base64!"),
        line(2, vector=5),
        line(2, netSpeechSeconds=-1.0),
        line(2, netSpeechSeconds=1e300),
        line(2, quality={"x": {"y": 1}}),
        line(2, quality={str(number): 1 for number in range(51)}),
        line(2, consentReference="c" * 257),
        line(2, description="x" * (2**20 + 1)),
        line(2, audio="audio/1.wav"),
    ],
)
def test_a_hostile_export_is_refused_whole(store: Store, tmp_path: Path, change: Callable[[list[Part]], None]) -> None:
    parts = usual()
    change(parts)
    with pytest.raises(ArchiveInvalid):
        bring(store, write(tmp_path / "e.tar", parts))
    require_nothing_left(store)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", wav()[:40], wav().replace(b"\x80>\x00\x00", b"@\x1f\x00\x00"), b"x" * 4096]
)
def test_a_recording_of_another_form_is_refused(store: Store, tmp_path: Path, content: bytes) -> None:
    parts = usual()
    parts[2][1][0]["audio"] = "audio/1.wav"
    parts[2] = (PartKind.VOICEPRINTS, parts[2][1], [("audio/1.wav", content)])
    with pytest.raises(ArchiveInvalid):
        bring(store, write(tmp_path / "e.tar", parts))
    require_nothing_left(store)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: msgspec.structs.replace(manifest, missing_parts=(2,)),
        lambda manifest: msgspec.structs.replace(manifest, parts=()),
        lambda manifest: msgspec.structs.replace(manifest, version=VERSION + 1),
        lambda manifest: msgspec.structs.replace(manifest, version=0),
        lambda manifest: msgspec.structs.replace(manifest, parts=tuple(reversed(manifest.parts))),
        lambda manifest: msgspec.structs.replace(
            manifest, parts=(msgspec.structs.replace(manifest.parts[0], sha256="0" * 64), *manifest.parts[1:])
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(store: Store, tmp_path: Path, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ArchiveInvalid):
        bring(store, write(tmp_path / "e.tar", usual(), change=change))
    require_nothing_left(store)


def test_an_export_for_somebody_else_or_of_a_bomb_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ArchiveInvalid, match="somebody else"):
        bring(store, write(tmp_path / "e.tar", usual(), recipient=new_identity()[1]))
    header = tarfile.TarInfo("manifest.json")
    header.size = 2**40
    (tmp_path / "bomb.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(ArchiveInvalid):
        bring(store, tmp_path / "bomb.tar")
    require_nothing_left(store)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), change=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_bytes_changed_anywhere_leave_nothing(store: Store, tmp_path: Path, at: int, change: bytes, cut: bool) -> None:
    content = bytearray(write(tmp_path / "e.tar", usual(2), recipient=None).read_bytes())
    at %= len(content)
    changed = content[:at] if cut else content[:at] + change + content[at + len(change) :]
    path = tmp_path / "changed.tar"
    path.write_bytes(changed)
    before = store.domains.count(MINE)
    try:
        done = bring(store, path, new_ids=True)
    except EarwitnessError:
        assert store.domains.count(MINE) == before
    else:
        assert done.voiceprints == 2
        store.write(lambda unit: unit.domains.delete(MINE, done.domain.domain_id))
