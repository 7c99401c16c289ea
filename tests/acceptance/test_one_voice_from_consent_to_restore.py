"""One voice, from its consent to a restore of the backup that has it: real commands against a real service."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from calls import Application
from serving import Served, kill, start, stop

import started
from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.samples import first_call, second_call
from earwitness.store.records import Scope
from earwitness.vault.age import decrypt, new_identity
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

_SEALED = {
    "audio_ciphertext",
    "body_ciphertext",
    "fingerprint_ciphertext",
    "identification_ciphertext",
    "runtime_metadata_ciphertext",
    "terms_ciphertext",
    "vector_ciphertext",
}
SUBJECT, EVIDENCE, METADATA = "subject-5ee7b1", "evidence-91c0d4", "metadata-2f6a3e"
KINDS = {"profile_voiceprints.vector_ciphertext", "consents.terms_ciphertext", "media"}
Named = dict[bytes, str]
"""Bytes, and what they are."""

MINE = Scope(account_id="000000000000", region="us-east-1")


class Shell:
    """The shell of whoever keeps the service: commands, with what each has printed."""

    def __init__(self) -> None:
        self.served: Served | None = None
        self.printed: list[str] = []

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command; return what it prints. Those that ask the service find it by the environment."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        if self.served is not None:
            own |= {"EARWITNESS_URL": self.served.url, "EARWITNESS_TOKEN": "test"}
        ran = subprocess.run(
            [sys.executable, "-m", "earwitness", *map(str, arguments)],
            env=own,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        self.printed.append(ran.stderr)
        return ran.stdout + ("" if code == 0 else ran.stderr)

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        return json.JSONDecoder().raw_decode(self(*arguments, "--json", code=code))[0]


@pytest.fixture
def shell() -> Shell:
    return Shell()


def test_one_voice_from_its_consent_to_a_restore(tmp_path: Path, shell: Shell) -> None:
    data, place, new = tmp_path / "data", tmp_path / "place", tmp_path / "new"
    secret, public = new_identity()
    key = tmp_path / "key.txt"
    key.write_text(f"{secret}\n", encoding="ascii")
    served = shell.served = start(data, environment={"EARWITNESS_DELETION_LEDGER": str(tmp_path / "second-ledger")})
    app = Application(served, "walk")
    domain, profile = _enrolled_and_found(app, shell)
    before = _checkpoint(served, tmp_path / "before.jsonl")
    first = shell.json("backup", place, "--to", public, "--data", data)["backupId"]
    hers, vector = _sealed(data), _vector(data, profile)
    told = _ledger_position(place)
    assert set(hers.values()) >= KINDS
    for files in (_files(data), _opened(place, first, secret)):
        assert _found(files, hers) == set(hers.values())  # what is there is found

    withdrawn = shell.json("consent", "withdraw", SUBJECT, "--yes")
    assert withdrawn["state"] == "done"
    until(lambda: _ledger_position(place) >= told + len(withdrawn["deletionIds"]))
    certificate = tmp_path / "certificate.json"
    shell("certificate", "get", profile, "--out", certificate)
    assert "consent-withdrawn" in certificate.read_text("utf-8")
    assert first in certificate.read_text("utf-8")  # the backup that still has her
    after = _checkpoint(served, tmp_path / "after.jsonl")
    second = shell.json("backup", place, "--to", public, "--data", data)["backupId"]
    words = hers | {vector: "vector"} | {word.encode(): word for word in (SUBJECT, EVIDENCE, METADATA)}
    assert _found(_files(data), words) == set()
    assert _found(_opened(place, second, secret), words) == set()
    audit_key, master_key = shell("audit", "key", "--data", data).strip(), (data / "master.key").read_bytes()
    app.close()
    kill(served)
    shell.served = None
    logs = "".join([started.all_said(served.process), *shell.printed]).encode()
    ledger = b"".join(_files(place / "ledger").values())
    assert _found({"logs": logs, "ledger": ledger}, words | {profile.encode(): profile}) == set()
    shutil.rmtree(data)
    assert "signed by the key that you gave" in shell("certificate", "verify", certificate, "--key", audit_key)

    new.mkdir()
    (new / "master.key").write_bytes(master_key)
    (new / "master.key").chmod(0o600)
    shutil.move(place / "ledger", tmp_path / "moved-away")
    back = ("restore", place, "--id", first, "--key", key, "--data", new)
    assert "no ledger of deletions is newer than the backup" in shell(*back, code=8)
    assert shell.json(*back, "--ledger", tmp_path / "second-ledger")["deletedAgain"] > 0
    verify = ("audit", "verify", "--data", new, "--key", audit_key, "--checkpoint")
    assert shell.json(*verify, before)["whole"] is True
    assert "are missing at the end" in str(shell.json(*verify, after, code=1)["problems"])
    assert _found(_files(new), words) <= {"media"}  # a service erases them as it starts
    _look_for_her(new, domain, profile, shell, hers)


def _enrolled_and_found(app: Application, shell: Shell) -> tuple[str, str]:
    """Enrol a voice for which a consent is recorded, and search for it with a recording and by a call.

    Return the ids of the domain and the profile.
    """
    arn = app.domain("callers")
    domain = arn.rpartition("/")[2]
    shell("consent", "require", domain, "search")
    enroll = ("domains", "enroll", domain, first_call("sally"), "--consent", EVIDENCE, "--subject", SUBJECT)
    assert "consent" in shell(*enroll, code=9)
    _record(shell, domain, SUBJECT)
    profile = shell.json(*enroll)["profileId"]
    assert profile in shell("domains", "search", domain, second_call("sally"), "--subject", SUBJECT)
    metadata = {"earwitness:consent:subject": SUBJECT, "caller": METADATA}
    stream = app.stream("line")
    _, (named, _) = app.call(second_call("sally"), stream=stream, domain=arn, MediaInsightsRuntimeMetadata=metadata)
    assert named["speakerSearchDetails"]["results"][0]["voiceProfileId"] == profile
    return domain, profile


def _look_for_her(data: Path, domain: str, profile: str, shell: Shell, hers: Named) -> None:
    """Look in a restored service: her voice is unknown, and she is refused until a newer consent."""
    media = {one: name for one, name in hers.items() if name == "media"}
    served = shell.served = start(data)
    until(lambda: not _found(_files(data), media))
    assert profile not in shell("profiles", "--domain", domain)
    report = shell.json("consent", "report", SUBJECT)
    assert not any(report[what] for what in ("consents", "profiles", "tasks", "namedIn"))
    _record(shell, domain, "somebody else")
    search = ("domains", "search", domain, second_call("sally"), "--subject")
    assert profile not in shell(*search, "somebody else", code=1)
    assert "withdrawn" in shell(*search, SUBJECT, code=9)
    old = ("--given-at", "2026-01-01T08:00:00")
    assert "withdrawn since" in _record(shell, domain, SUBJECT, *old, code=9)
    _record(shell, domain, SUBJECT)
    shell(*search, SUBJECT, code=1)
    stop(served)


def _record(shell: Shell, domain: str, subject: str, *more: str, code: int = 0) -> str:
    terms = ("--text", "2026-01", "--medium", "phone", "--evidence", EVIDENCE, "--purpose", "to know callers")
    return shell("consent", "record", domain, subject, *terms, *more, code=code)


def _checkpoint(served: Served, file: Path) -> Path:
    """Fetch a checkpoint, as another machine does, into a file."""
    headers = {"Authorization": "Bearer test"}
    file.write_bytes(httpx.get(f"{served.url}/earwitness/v1/audit/checkpoints", headers=headers).content)
    return file


def _sealed(data: Path) -> Named:
    """Return how everything begins that is sealed of a person, and there is one person in the records."""
    found: Named = {}
    with closing(sqlite3.connect(data / "records.db")) as records:
        tables = [name for (name,) in records.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = {name for (name,) in records.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            for column in columns & _SEALED:
                rows = records.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608
                found |= {value[:48]: f"{table}.{column}" for (value,) in rows}
    for content in _files(data).values():
        found |= {part[52:100]: "media" for part in content.split(b"EWF1")[1:] if len(part) > 100}
    return found


def _vector(data: Path, profile: str) -> bytes:
    """Return the voiceprint of the profile in clear, which nothing may ever have."""
    with closing(open_records(Settings(data_dir=data), may_make=False)) as store:
        kept = store.profiles.get(MINE, profile)
        assert kept is not None
        page = store.profile_voiceprints.gallery_page(MINE, kept.domain_id, limit=9)
    assert page is not None
    (entry,) = page.page.items
    return entry.vector[:48]


def _files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files but the one that is a receiver's: what was delivered."""
    return {
        str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "events.jsonl"
    }


def _opened(place: Path, backup: str, secret: str) -> dict[str, bytes]:
    """Return what is in a backup, by the commands of docs/backup.md in Python."""
    found: dict[str, bytes] = {}
    for kind in ("records", "media"):
        parts = sorted((place / "backups" / backup).glob(f"{kind}-*.age"))
        whole = b"".join(decrypt(part.read_bytes(), identity=secret) for part in parts)
        with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    found[member.name] = content.read()
    return found


def _found(files: Mapping[str, bytes], wanted: Named) -> set[str]:
    return {name for one, name in wanted.items() if any(one in content for content in files.values())}


def _ledger_position(place: Path) -> int:
    return max((json.loads(head.read_bytes())["position"] for head in place.glob("ledger/*/head.json")), default=0)
