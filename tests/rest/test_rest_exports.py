"""Exports: parts that whoever claims them makes, one archive that is fetched, and nothing left of it."""

import asyncio
import base64
import io
import json
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from rest_examples import MINE, THEIRS, VOICEPRINT, Rest, add_domain, enrol, require_error, require_fits, token
from test_rest_jobs import get, items, work, work_through, worker

from earwitness.rest import exports as export_routes
from earwitness.rest.context import RestLimits
from earwitness.samples import first_call
from earwitness.store.records import NewVoiceprint
from earwitness.store.store import Unit
from earwitness.tasks import exporting
from earwitness.tasks import jobs as worker_room
from earwitness.tasks.archive import check_archive
from earwitness.tasks.expire import expire
from earwitness.tasks.exporting import make_part
from earwitness.vault.age import decrypt, new_identity
from earwitness.voice.job import PartKind

SECRET, PUBLIC = new_identity()
SPEECH = NewVoiceprint(
    encoder_id=VOICEPRINT.encoder_id,
    vector=VOICEPRINT.vector,
    net_speech_seconds=20.0,
    quality={"snr_db": 21.5},
    audio=b"\x01\x00" * 16_000,
)


@pytest.fixture
def domain(rest: Rest) -> Rest:
    rest.store.write(add_domain)
    return rest


def enrol_some(rest: Rest, count: int) -> None:
    def write(unit: Unit) -> None:
        for number in range(1, count + 1):
            enrol(unit, profile_id=f"vp-{number}", consent=f"form {number}", voiceprint=SPEECH)

    rest.store.write(write)


def begin(rest: Rest, **asked: str) -> dict[str, Any]:
    params = {"recipient": PUBLIC, **asked} if asked.get("encryption") != "none" else asked
    answer = rest.ask("POST", "domains/vpd-1/exports", params=params)
    assert answer.status_code == 200, answer.text
    require_fits(answer.json(), "Job")
    return answer.json()


def fetched(rest: Rest, job: dict[str, Any], path: Path) -> Path:
    answer = rest.ask("GET", f"jobs/{job['jobId']}/archive")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-tar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    path.write_bytes(answer.content)
    return path


def read(path: Path, *, identity: str | None) -> dict[str, bytes]:
    """All files in all parts, by name; a name that comes again goes on."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            if member.name == "manifest.json":
                continue
            part = content.read() if identity is None else decrypt(content.read(), identity=identity)
            with tarfile.open(fileobj=io.BytesIO(part)) as inner:
                for one in inner:
                    text = inner.extractfile(one)
                    assert text is not None
                    found[one.name] = found.get(one.name, b"") + text.read()
    return found


def lines(files: dict[str, bytes], name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files.get(name, b"").splitlines()]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROFILES_IN_PART", "VOICEPRINTS_IN_PART", "RECORDINGS_IN_PART"):
        monkeypatch.setattr(exporting, name, 2)


@pytest.mark.usefixtures("small_parts")
def test_all_of_a_domain_for_a_recipient(domain: Rest, tmp_path: Path) -> None:
    enrol_some(domain, 5)
    profile = domain.store.profiles.get(MINE, "vp-3")
    assert profile is not None
    domain.store.write(lambda unit: unit.tags.set(MINE, profile.arn, {"team": "north"}, limit=9))
    job = begin(domain, audio="kept")
    assert (job["kind"], job["items"], job["missing"]) == ("export", 7, [])
    assert job["export"] == {"recipient": PUBLIC, "withAudio": True, "availableUntil": None}
    assert begin(domain, audio="kept") == job
    require_error(domain.ask("GET", f"jobs/{job['jobId']}/archive"), 409, "Conflict")
    work_through(domain, job)
    ended = get(domain, job)
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 7, 0)
    assert ended["export"]["availableUntil"] is not None
    path = fetched(domain, job, tmp_path / "export.tar")
    checked = check_archive(path, identity=SECRET)
    assert checked.lines == dict.fromkeys(PartKind, 0) | {
        PartKind.DOMAIN: 1,
        PartKind.PROFILES: 5,
        PartKind.VOICEPRINTS: 5,
    }
    assert (checked.recordings, checked.manifest.missing_parts) == (5, ())
    for plain in (b"form 3", b"vp-3", b"callers", b"north"):
        assert plain not in path.read_bytes()
    files = read(path, identity=SECRET)
    (told,) = lines(files, "domain.jsonl")
    assert (told["domainId"], told["name"], told["band"]) == ("vpd-1", "callers", "telephone")
    third = lines(files, "profiles.jsonl")[2]
    assert (third["profileId"], third["tags"]) == ("vp-3", {"team": "north"})
    voiceprint = lines(files, "voiceprints.jsonl")[2]
    assert (voiceprint["profileId"], voiceprint["consentReference"]) == ("vp-3", "form 3")
    assert (voiceprint["encoderId"], voiceprint["quality"]) == (VOICEPRINT.encoder_id, {"snr_db": 21.5})
    assert files[voiceprint["audio"]][44:] == SPEECH.audio
    parts = [one["part"] for one in items(domain, job)]
    assert [one["kind"] for one in parts] == ["domain", *["profiles"] * 3, *["voiceprints"] * 3]
    assert [one["sha256"] for one in parts] == [one.sha256 for one in checked.manifest.parts]
    again = fetched(domain, job, tmp_path / "again.tar")
    assert again.read_bytes() == path.read_bytes()
    gone = domain.ask("DELETE", f"jobs/{job['jobId']}/archive").json()
    assert gone["export"]["availableUntil"] is None
    require_error(domain.ask("GET", f"jobs/{job['jobId']}/archive"), 410, "Gone")
    assert begin(domain, audio="kept")["jobId"] != job["jobId"]
    audit = [one.operation for one in domain.store.audit.list(MINE, limit=99).items]
    expected = {"CreateExport": 2, "ExportPart": 7, "FetchArchive": 2, "DeleteArchive": 1}
    assert {name: audit.count(name) for name in expected} == expected


@pytest.mark.slow
def test_an_enrolled_voice_comes_out_as_it_lies_in_the_records(build: Callable[..., Rest], tmp_path: Path) -> None:
    rest = build(keep_audio=True)
    rest.store.write(add_domain)
    asked = {"consent": "form 12"}
    made = rest.ask("POST", "domains/vpd-1/profiles", params=asked, content=first_call("sally").read_bytes()).json()
    job = begin(rest, encryption="none", audio="kept")
    work_through(rest, job)
    files = read(fetched(rest, job, tmp_path / "export.tar"), identity=None)
    (voiceprint,) = lines(files, "voiceprints.jsonl")
    assert voiceprint["profileId"] == made["profileId"]
    assert (voiceprint["encoderId"], voiceprint["consentReference"]) == (rest.engine.encoder.encoder_id, "form 12")
    vector = np.frombuffer(base64.b64decode(voiceprint["vector"]), "<f4")
    assert (vector.shape, round(float(np.linalg.norm(vector)), 3)) == ((192,), 1.0)
    (tmp_path / "speech.wav").write_bytes(files[voiceprint["audio"]])
    heard = rest.engine.listen(tmp_path / "speech.wav")
    assert heard.seconds > 15


@pytest.mark.usefixtures("small_parts")
def test_who_is_deleted_meanwhile_is_in_no_part(domain: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when that happens between the reading of a part and its writing."""
    enrol_some(domain, 4)
    job = begin(domain, encryption="none")
    deleted: list[str] = []

    def meanwhile(*given: Any) -> Any:
        made = make_part(*given)
        if given[3].part == PartKind.VOICEPRINTS and not deleted:
            deleted.append("vp-1")
            assert domain.store.write(lambda unit: unit.profiles.delete(MINE, "vp-1"))
        return made

    monkeypatch.setattr(worker_room, "make_part", meanwhile)
    work(worker(domain.store, domain.recordings, at_once=1), over=lambda: get(domain, job)["state"] != "open")
    files = read(fetched(domain, job, tmp_path / "export.tar"), identity=None)
    assert [one["profileId"] for one in lines(files, "voiceprints.jsonl")] == ["vp-2", "vp-3", "vp-4"]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("how", ["cancelled", "domain_deleted"])
def test_an_export_that_ends_in_the_middle_is_gone(domain: Rest, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol_some(domain, 4)
    job = begin(domain)

    def meanwhile(*given: Any) -> Any:
        made = make_part(*given)
        if given[3].part == PartKind.VOICEPRINTS:
            path = f"jobs/{job['jobId']}/cancel" if how == "cancelled" else "domains/vpd-1"
            domain.ask("POST" if how == "cancelled" else "DELETE", path)
        return made

    monkeypatch.setattr(worker_room, "make_part", meanwhile)
    work_through(domain, job)
    assert get(domain, job)["state"] == how
    require_error(domain.ask("GET", f"jobs/{job['jobId']}/archive"), 410, "Gone")
    assert expire(domain.store, now=domain.clock.now)["pieces of exports"] > 0
    assert expire(domain.store, now=domain.clock.now)["pieces of exports"] == 0


@pytest.mark.usefixtures("small_parts")
def test_two_workers_make_each_part_once(domain: Rest, build: Callable[..., Rest], tmp_path: Path) -> None:
    enrol_some(domain, 9)
    job = begin(domain)
    other = build()
    workers = [worker(rest.store, rest.recordings, is_alone=False) for rest in (domain, other)]
    work(*workers, over=lambda: get(domain, job)["state"] != "open")
    assert (get(domain, job)["done"], get(domain, job)["items"]) == (11, 11)
    checked = check_archive(fetched(other, job, tmp_path / "export.tar"), identity=SECRET)
    assert checked.lines[PartKind.VOICEPRINTS] == 9
    audit = [one.operation for one in domain.store.audit.list(MINE, limit=99).items]
    assert audit.count("ExportPart") == 11


def test_what_cannot_be_is_refused(domain: Rest, build: Callable[..., Rest]) -> None:
    path = "domains/vpd-1/exports"

    def refused(status: int, error: str, *, role: str = "admin", **params: str) -> str:
        return require_error(domain.ask("POST", path, params=params, role=role), status, error)

    assert "recipient is missing" in refused(400, "BadRequest")
    refused(400, "BadRequest", encryption="none", recipient=PUBLIC)
    refused(400, "BadRequest", encryption="rot13", recipient=PUBLIC)
    refused(400, "BadRequest", audio="all", recipient=PUBLIC)
    for key in ("age1short", PUBLIC[:-1], SECRET, "ssh-ed25519 AAAA", "x" * 2_000):
        assert key not in refused(400, "BadRequest", recipient=key)
    for role in ("operator", "reader", "producer"):
        refused(403, "Forbidden", role=role, recipient=PUBLIC)
    assert "exports" in require_error(
        domain.ask("POST", "domains/vpd-1/jobs", params={"kind": "export", "items": 1}), 400, "BadRequest"
    )
    job = begin(domain)
    refused(409, "Conflict", encryption="none")
    archive = f"jobs/{job['jobId']}/archive"
    require_error(domain.ask("DELETE", archive), 409, "Conflict")
    work_through(domain, job)
    refused(409, "Conflict", encryption="none")  # one that was not fetched yet
    for method in ("GET", "DELETE"):
        require_error(domain.ask(method, archive, role="operator"), 403, "Forbidden")
        require_error(domain.ask(method, archive, scope=THEIRS), 404, "NotFound")
    search = domain.ask("POST", "domains/vpd-1/jobs", params={"kind": "search", "items": 1}).json()
    require_error(domain.ask("GET", f"jobs/{search['jobId']}/archive"), 409, "Conflict")
    rest = build(limits=RestLimits(open_jobs_max=1))
    rest.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    response = rest.ask("POST", "domains/vpd-2/exports", params={"recipient": PUBLIC})
    require_error(response, 409, "LimitExceeded")


def test_an_old_export_is_gone(domain: Rest) -> None:
    job = begin(domain)
    work_through(domain, job)
    domain.clock.now += timedelta(days=1)
    assert expire(domain.store, now=domain.clock.now)["pieces of exports"] == 1
    require_error(domain.ask("GET", f"jobs/{job['jobId']}/archive"), 410, "Gone")
    assert get(domain, job)["export"]["availableUntil"] is None


@pytest.mark.usefixtures("small_parts")
def test_an_archive_that_goes_while_it_is_sent_is_broken_off(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has fewer bytes than were announced, and no end that looks like one."""
    enrol_some(domain, 4)
    job = begin(domain)
    work_through(domain, job)
    there = export_routes._there
    seen: list[int] = []

    def going(part: bytes | None) -> bytes:
        seen.append(1)
        return there(part if len(seen) < 3 else None)

    monkeypatch.setattr(export_routes, "_there", going)

    async def ask() -> httpx.Response:
        headers = {"authorization": f"Bearer {token('admin')}"}
        async with domain.client() as client:
            path = f"/earwitness/v1/jobs/{job['jobId']}/archive"
            return await client.get(path, headers=headers, params={"region": MINE.region})

    with pytest.raises(Exception, match="deleted, or is older than a day"):
        asyncio.run(ask())
    assert len(seen) == 3
