"""The service is killed in the middle of an export, again and again; the archive is whole, and each part made once."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from serving import Served, kill, start, stop
from test_killed_jobs import asked, command
from test_killed_reembedding import MINE, TOKEN, records

from earwitness.store.records import NewVoiceprint
from earwitness.store.store import Unit
from earwitness.tasks.archive import check_archive
from earwitness.tasks.exporting import RECORDINGS_IN_PART
from earwitness.vault.age import new_identity
from earwitness.voice.job import PartKind
from patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

VOICES = 1_000
_AT_ONCE = 200
PARTS = 1 + VOICES // 1_000 + VOICES // RECORDINGS_IN_PART


def add_voices(served: Served, domain: str) -> None:
    made = NewVoiceprint(
        encoder_id="e-1/telephone", vector=bytes(768), net_speech_seconds=20.0, quality={}, audio=b"ab"
    )
    expires_at = datetime.now(UTC) + timedelta(days=9)

    def let_in(unit: Unit) -> None:
        unit.bearer_tokens.create(token=TOKEN, token_id="t", account_id=MINE.account_id, role="reader", name="looks")  # noqa: S106

    def write(unit: Unit, first: int) -> None:
        for number in range(first, first + _AT_ONCE):
            name = f"vp-{number}"
            unit.profiles.create(MINE, profile_id=name, domain_id=domain, arn=f"arn:{name}", expires_at=expires_at)
            unit.profiles.add_voiceprint(MINE, name, voiceprint_id="p", voiceprint=made, expires_at=expires_at)

    store = records(served)
    store.write(let_in)
    for first in range(0, VOICES, _AT_ONCE):
        store.write(lambda unit, first=first: write(unit, first))
    store.close()


def test_each_part_is_made_once(tmp_path: Path) -> None:
    secret, public = new_identity()
    file = tmp_path / "export.tar"
    settings = tmp_path / "settings.toml"
    settings.write_text('limits = "job_items_at_once=1"\n', encoding="utf-8")
    served = start(tmp_path / "data", settings_file=settings)
    port = int(served.url.rsplit(":", 1)[1])
    domain = asked(served, "domains", "create", "callers")["domainId"]
    stop(served)
    add_voices(served, domain)

    served = start(served.data, port=port, settings_file=settings)
    export = ["domains", "export", domain, str(file), "--to", public, "--audio"]
    headers = {"authorization": f"Bearer {TOKEN}"}

    def done() -> int:
        found = httpx.get(f"{served.url}/earwitness/v1/jobs", headers=headers).json()["jobs"]
        return found[0]["done"] if found else 0

    for so_many in (PARTS // 10, PARTS // 2):
        running = subprocess.Popen(command(served, *export), env=served.environment, stdout=subprocess.DEVNULL)
        until(lambda so_many=so_many: done() >= so_many)
        kill(served)
        running.kill()
        running.wait(PATIENCE_SECONDS)
        assert not file.exists()
        served = start(served.data, port=port, settings_file=settings)
    told = asked(served, *export)
    assert (told["parts"], told["missingParts"]) == (PARTS, [])
    (job,) = asked(served, "backfill", "list")
    assert (job["jobId"], job["done"], job["export"]["availableUntil"]) == (told["jobId"], PARTS, None)
    checked = check_archive(file, identity=secret)
    assert checked.lines == dict.fromkeys(PartKind, 0) | {
        PartKind.DOMAIN: 1,
        PartKind.PROFILES: VOICES,
        PartKind.VOICEPRINTS: VOICES,
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert not file.with_name("export.tar.part").exists()
    stop(served)
    store = records(served)
    page, count = store.audit.list(MINE, limit=500), 0
    while True:
        count += sum(one.operation == "ExportPart" for one in page.items)
        if page.next_key is None:
            break
        page = store.audit.list(MINE, after=page.next_key, limit=500)
    assert count == PARTS
    store.close()
