"""The service is killed in the middle of a re-embedding, again and again; every voiceprint is changed once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Served, kill, start, stop
from test_killed_jobs import asked

from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.samples import first_call
from earwitness.store.records import NewVoiceprint, Scope
from earwitness.store.store import Store, Unit
from patience import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

VOICES = 40
OLD = "an-encoder-of-before-1/telephone"
TOKEN = "ewt_of_a_reader".ljust(47, "x")
MINE = Scope(account_id="000000000000", region="us-east-1")


def records(served: Served) -> Store:
    """The records of a service that is stopped."""
    return open_records(Settings(data_dir=served.data), may_make=False)


def add_old_voices(store: Store, domain: dict[str, Any], enrolled: dict[str, Any]) -> None:
    """Profiles with the speech of one that was enrolled, and a voiceprint of an encoder that is gone."""
    profile_id, one = enrolled["profileId"], enrolled["voiceprints"][0]
    audio = store.profile_voiceprints.audio(MINE, profile_id, one["voiceprintId"])
    assert audio is not None  # the service kept it
    (kept,) = store.profile_voiceprints.list(MINE, profile_id)
    made = NewVoiceprint(
        encoder_id=OLD, vector=bytes(768), net_speech_seconds=20.0, quality=kept.quality, audio=audio
    )  # fmt: skip
    expires_at = datetime.now(UTC) + timedelta(days=9)

    def write(unit: Unit) -> None:
        unit.bearer_tokens.create(token=TOKEN, token_id="t", account_id=MINE.account_id, role="reader", name="looks")  # noqa: S106
        for number in range(VOICES):
            name = f"vp-{number}"
            arn = f"{domain['arn']}-{name}"
            unit.profiles.create(
                MINE, profile_id=name, domain_id=domain["domainId"], arn=arn, expires_at=expires_at
            )  # fmt: skip
            unit.profiles.add_voiceprint(
                MINE, name, voiceprint_id=f"p-{number}", voiceprint=made, expires_at=expires_at
            )  # fmt: skip

    store.write(write)


def test_each_voiceprint_is_made_again_once(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('keep_enrolment_audio = "on"\nlimits = "job_items_at_once=1"\n', encoding="utf-8")
    served = start(tmp_path / "data", settings_file=settings)
    port = int(served.url.rsplit(":", 1)[1])
    domain = asked(served, "domains", "create", "callers")
    manifest = tmp_path / "callers.csv"
    manifest.write_text(f"file,consent\n{first_call('sally')},form 12\n", encoding="utf-8")
    asked(served, "backfill", "enroll", domain["domainId"], str(manifest))
    (enrolled,) = asked(served, "profiles", "--domain", domain["domainId"])
    stop(served)
    store = records(served)
    add_old_voices(store, domain, enrolled)
    before = store.domains.get(MINE, domain["domainId"])
    store.close()

    served = start(served.data, port=port, settings_file=settings)
    begun = asked(served, "backfill", "reembed", domain["domainId"], "--no-wait")
    assert (begun["kind"], begun["items"]) == ("reembed", VOICES)
    headers = {"authorization": f"Bearer {TOKEN}"}

    def done() -> int:
        answer = httpx.get(f"{served.url}/earwitness/v1/jobs/{begun['jobId']}", headers=headers)
        return answer.json()["done"]

    for so_many in (VOICES // 4, VOICES // 2):
        until(lambda so_many=so_many: done() >= so_many)
        kill(served)
        served = start(served.data, port=port, settings_file=settings)
    ended = asked(served, "backfill", "reembed", domain["domainId"])
    assert (ended["jobId"], ended["state"], ended["done"], ended["failed"]) == (begun["jobId"], "done", VOICES, 0)
    again = asked(served, "backfill", "reembed", domain["domainId"])
    assert (again["jobId"] != begun["jobId"], again["state"], again["items"]) == (True, "done", 0)
    stop(served)
    store = records(served)
    assert store.lines.encoders(MINE, domain["domainId"]) == {ended["encoderId"]: VOICES + 1}
    after = store.domains.get(MINE, domain["domainId"])
    audit = [one.operation for one in store.audit.list(MINE, limit=500).items]
    assert before is not None
    assert after is not None
    assert (audit.count("ReembedVoiceprint"), after.version - before.version) == (VOICES, VOICES)
    store.close()
