"""The drill: back up under load, destroy everything, restore, compare. Deleted voices stay deleted, to the byte.

Records in SQLite lie in the data folder; those in PostgreSQL on a server of their own, which is destroyed with it, and
come back on another. `make drill` runs it with more voices and backups (`DRILL_VOICES`, `DRILL_BACKUPS`).
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killed_records import Records
from postgres_machines import Machine, machines
from serving import kill, start

from earwitness.store.records import NewVoiceprint, Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.vault.age import new_identity
from earwitness.voice.band import Band
from patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

VOICES = int(os.environ.get("DRILL_VOICES", "200"))
BACKUPS = int(os.environ.get("DRILL_BACKUPS", "2"))
MINE = Scope(account_id="000000000000", region="us-east-1")


class InSqlite:
    """Records in the data folder, which is destroyed with them."""

    records = Records()

    def others(self) -> Records:
        """Where they come back: in another data folder."""
        return Records()

    def files(self, data: Path) -> Path:
        """Where all of them lies, as it is."""
        return data

    def destroy(self) -> None:
        """Nothing is left to destroy."""


class AtPostgres:
    """Records on a server of their own; an empty one stands ready."""

    def __init__(self, first: Machine, second: Machine) -> None:
        self._first, self._second = first, second
        for machine in (first, second):
            machine.make()
            machine.start()
        self.records, self._now = self._of(first), first

    def others(self) -> Records:
        """Where they come back: on the other server."""
        self._now = self._second
        return self._of(self._second)

    def files(self, data: Path) -> Path:
        """What the server has of its tables, once they are written anew: a plain VACUUM leaves bytes in free space."""
        with closing(self._of(self._now).connected(data)) as connection:
            connection.execute("VACUUM FULL")
            connection.execute("CHECKPOINT")
        return self._now.data / "base"

    def destroy(self) -> None:
        """The machine is gone, with its disk."""
        self._first.kill()
        shutil.rmtree(self._first.data)

    @staticmethod
    def _of(machine: Machine) -> Records:
        return Records(machine.url, {"EARWITNESS_STORE_URL": machine.url})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[InSqlite | AtPostgres]:
    if request.param == "sqlite":
        yield InSqlite()
        return
    with machines(2) as (first, second):
        yield AtPostgres(first, second)


def _command(*arguments: str | Path, records: Records, data: Path | None = None, code: int = 0) -> Any:
    """What a command prints as JSON."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EARWITNESS_", "AWS_"))}
    own |= records.environment
    where = [] if data is None else ["--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "earwitness", *map(str, arguments), *where, "--json"],
        env=own,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def _add_domain(unit: Unit, name: str) -> VoiceProfileDomain:
    return unit.domains.create(
        MINE,
        domain_id=f"vpd-{name}",
        arn=f"arn:aws:chime:us-east-1:000000000000:voice-profile-domain/vpd-{name}",
        name=name,
        description="",
        kms_key_arn="arn:aws:kms:us-east-1:000000000000:key/1",
        band=Band.TELEPHONE,
    )


def _enrol(unit: Unit, domain: str, name: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=900)
    made = NewVoiceprint(
        encoder_id="e/telephone", vector=os.urandom(768), net_speech_seconds=20.0, quality={}, audio=os.urandom(4_000)
    )
    unit.profiles.create(MINE, profile_id=name, domain_id=domain, arn=f"arn:{name}", expires_at=expires_at)
    unit.profiles.add_voiceprint(MINE, name, voiceprint_id="v", voiceprint=made, expires_at=expires_at)


@contextmanager
def _writing(store: Store, domain: str) -> Iterator[list[str]]:
    """Voices are enrolled all the time; the list grows by those that are confirmed."""
    confirmed: list[str] = []
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            name = f"vp-load-{domain}-{number}"
            store.write(lambda unit, name=name: _enrol(unit, domain, name))
            confirmed.append(name)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield confirmed
    finally:
        ended.set()
        thread.join()


def _lies_in(connection: Any, query: str) -> list[bytes]:
    """What a row holds, as it lies in the database; of long values the beginning, because they are cut into pieces."""
    return [value[:400] for row in connection.execute(query) for value in row if isinstance(value, bytes)]


def _files_with(folder: Path, wanted: list[bytes]) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


def _ledger_knows(place: Path, position: int) -> bool:
    heads = [json.loads(path.read_bytes()) for path in place.glob("ledger/*/head.json")]
    return any(head["position"] >= position for head in heads)


def test_a_service_is_backed_up_under_load_destroyed_and_restored(
    tmp_path: Path, database: InSqlite | AtPostgres
) -> None:
    data, place, new = tmp_path / "data", tmp_path / "place", tmp_path / "new"
    secret, public = new_identity()
    (tmp_path / "key.txt").write_text(f"{secret}\n", encoding="ascii")
    records = database.records
    served = start(data, environment=records.environment)
    store = records.opened(data)
    for name in ("kept", "gone"):
        store.write(lambda unit, name=name: _add_domain(unit, name))
    for name in [f"vp-{number}" for number in range(VOICES)]:
        store.write(lambda unit, name=name: _enrol(unit, "vpd-kept", name))
    store.write(lambda unit: _enrol(unit, "vpd-gone", "vp-of-gone"))
    with _writing(store, "vpd-kept") as confirmed:
        for _ in range(BACKUPS):
            before = confirmed.copy()
            enough = len(before) + 1
            made = _command("backup", place, "--to", public, records=records, data=data)
            until(lambda enough=enough: len(confirmed) >= enough)
    deleted = _deleted(store, data, place, database)
    store.close()
    kill(served)
    master_key = (data / "master.key").read_bytes()
    shutil.rmtree(data)
    database.destroy()

    records = database.others()
    verified = _command("backup", "verify", place, "--key", tmp_path / "key.txt", records=records)
    assert verified["backupId"] == made["backupId"]
    new.mkdir()
    (new / "master.key").write_bytes(master_key)
    (new / "master.key").chmod(0o600)
    done = _command("restore", place, "--key", tmp_path / "key.txt", records=records, data=new)
    assert done["deletedAgain"] >= 2
    assert _files_with(database.files(new), deleted) == []
    again = start(new, environment=records.environment)
    restored = records.opened(new)
    _require_all(restored, {f"vp-{number}" for number in range(1, VOICES)} | set(before))
    restored.close()
    kill(again)


def _require_all(restored: Store, confirmed: set[str]) -> None:
    """Look that all is there that was confirmed before the backup, and nothing that was deleted since."""
    have = {one.profile_id for one in restored.profiles.list(MINE, "vpd-kept", limit=10**6).items}
    assert confirmed <= have
    assert "vp-0" not in have
    assert restored.domains.get(MINE, "vpd-gone") is None
    one = restored.profile_voiceprints.audio(MINE, "vp-1", "v")
    assert one is not None
    assert len(one) == 4_000


def _deleted(store: Store, data: Path, place: Path, database: InSqlite | AtPostgres) -> list[bytes]:
    """Delete a profile and a domain, wait until the ledger knows, and return what lay in the records of them."""
    with closing(database.records.connected(data)) as connection:
        theirs = [
            *_lies_in(
                connection,
                "SELECT vector_ciphertext, audio_ciphertext FROM profile_voiceprints WHERE profile_id = 'vp-0'",
            ),
            *_lies_in(connection, "SELECT wrapped_key FROM voice_profile_domains WHERE domain_id = 'vpd-gone'"),
            *_lies_in(connection, "SELECT vector_ciphertext FROM profile_voiceprints WHERE profile_id = 'vp-of-gone'"),
        ]
    assert len(theirs) == 4
    for each in theirs:
        assert _files_with(database.files(data), [each]) != []
    store.write(lambda unit: unit.profiles.delete(MINE, "vp-0"))
    store.write(lambda unit: unit.domains.delete(MINE, "vpd-gone"))
    until(lambda: _ledger_knows(place, 2))
    return theirs
