"""Certificates of deletion, over HTTP and real records: what they say, who gets them, that any change is noticed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from rest_examples import MINE, Rest, add_domain, enrol, require_error, require_fits
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.errors import SignatureInvalid
from earwitness.store.deletion_records import BackupRecord
from earwitness.tasks.expire import expire
from earwitness.vault.signing import PublicKey, verified
from earwitness.voice.certificate import CERTIFICATE_PURPOSE


@pytest.fixture
def deleted(rest: Rest) -> Rest:
    """Records whose domain vpd-1 had the profile vp-1 until it was deleted."""
    rest.store.write(add_domain)
    rest.store.write(enrol)
    assert rest.ask("DELETE", "profiles/vp-1").status_code == 200
    return rest


def certificate(rest: Rest, of: str = "vp-1") -> dict[str, Any]:
    response = rest.ask("GET", f"certificates/{of}")
    assert response.status_code == 200, response.text
    require_fits(response.json(), "Certificate")
    return response.json()


def test_it_says_what_was_deleted_when_and_by_whom(deleted: Rest) -> None:
    found = certificate(deleted)
    assert found["about"] == {"kind": "profile", "id": "vp-1"}
    (one,) = found["deletions"]
    (entry,) = [each for each in deleted.store.audit.list(MINE, limit=9).items if each.operation == "DeleteProfile"]
    assert (one["deletedBy"], one["reason"]) == (entry.key_id, "requested")
    assert one["deletedAt"] == f"{deleted.clock.now:%FT%T.%fZ}"
    assert {item["kind"]: item["voiceprints"] for item in one["items"]}["profile"] == 1
    assert (found["backups"], found["backupsExpireAt"]) == ([], None)
    # It has no id but the one that was asked for.
    by_deletion = certificate(deleted, one["deletionId"])
    assert by_deletion["about"] is None
    assert "vp-1" not in json.dumps(by_deletion)
    assert by_deletion["deletions"] == found["deletions"] == certificate(deleted, found["certificateId"])["deletions"]


def test_the_key_of_a_domain_is_named(deleted: Rest) -> None:
    domain = deleted.store.domains.get(MINE, "vpd-1")
    assert domain is not None
    assert deleted.ask("DELETE", "domains/vpd-1").status_code == 200
    items = [item for one in certificate(deleted, "vpd-1")["deletions"] for item in one["items"]]
    keys = {item["kind"]: item["destroyedKeyId"] for item in items}
    assert len(keys["domain"]) == 16
    assert domain.wrapped_key.hex() not in json.dumps(items)


def test_what_expired_was_deleted_by_expiry(rest: Rest) -> None:
    rest.store.write(add_domain)
    rest.store.write(enrol)
    rest.ask("PUT", "domains/vpd-1/retention", params={"lastContactDays": "1"})
    rest.clock.now += timedelta(days=2)
    expire(rest.store, now=rest.clock.now)
    (one,) = certificate(rest)["deletions"]
    assert (one["deletedBy"], one["reason"]) == ("expiry", "expired")


def test_backups_made_before_are_named_and_when_the_last_expires(deleted: Rest) -> None:
    now = deleted.clock.now

    def backup(name: str, *, made: timedelta, kept: timedelta) -> None:
        record = BackupRecord(
            backup_id=name,
            place="/backups",
            created_at=now + made,
            expires_at=now + made + kept,
            with_media=False,
            position=0,
            deleted_at=None,
        )
        deleted.store.write(lambda unit: unit.backups.add(record))

    backup("of-yesterday", made=-timedelta(days=1), kept=timedelta(days=30))
    backup("of-last-week", made=-timedelta(days=7), kept=timedelta(days=30))
    backup("of-tomorrow", made=timedelta(days=1), kept=timedelta(days=30))
    found = certificate(deleted)
    assert [one["backupId"] for one in found["backups"]] == ["of-last-week", "of-yesterday"]
    assert found["backupsExpireAt"] == f"{now + timedelta(days=29):%FT%T.%fZ}"
    deleted.store.write(lambda unit: unit.backups.set_deleted("of-last-week"))
    assert [one["backupId"] for one in certificate(deleted)["backups"]] == ["of-yesterday"]


def test_what_was_never_deleted_has_none(deleted: Rest) -> None:
    for of in ("vp-2", "vpd-1", "x" * 128):
        require_error(deleted.ask("GET", f"certificates/{of}"), 404, "NotFound")


def test_asking_is_written_to_the_trail(deleted: Rest) -> None:
    found = certificate(deleted)
    (entry,) = deleted.store.audit.list(MINE, limit=1).items
    assert (entry.operation, entry.resource_arn.rpartition(":")[2]) == (
        "GetCertificate",
        f"deletion/{found['certificateId']}",
    )


def test_any_bit_that_is_changed_is_noticed(deleted: Rest) -> None:
    found = certificate(deleted)
    text = json.dumps(found, indent=2).encode()
    key = PublicKey.from_text(found["publicKey"])
    assert verified(text, purpose=CERTIFICATE_PURPOSE, key=key)["certificateId"] == found["certificateId"]
    for place in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            with pytest.raises(SignatureInvalid):
                verified(bytes(changed), purpose=CERTIFICATE_PURPOSE, key=key)


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["certificate", "verify", *words])
    return result.exit_code, result.output


def test_it_is_checked_without_the_service(deleted: Rest, tmp_path: Any) -> None:
    found = certificate(deleted)
    file, key = tmp_path / "certificate.json", tmp_path / "key.txt"
    file.write_text(json.dumps(found), encoding="ascii")
    key.write_text(found["publicKey"] + "\n", encoding="ascii")
    for given in (found["publicKey"], str(key)):
        code, output = command(str(file), "--key", given)
        assert (code, "signed by the key that you gave" in output) == (0, True), output
    code, output = command(str(file), "--json")
    assert (code, json.loads(output)["trusted"]) == (0, False)
    assert json.loads(output)["certificate"]["certificateId"] == found["certificateId"]


def test_a_certificate_of_somebody_else_is_not_valid(deleted: Rest, tmp_path: Any) -> None:
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate(deleted)), encoding="ascii")
    other = "ed25519:" + "A" * 43 + "="
    code, output = command(str(file), "--key", other, "--json")
    assert (code, json.loads(output)["valid"]) == (1, False)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"publicKey": 7}', b"[" * 100_000, b"null"])
def test_what_is_no_certificate_is_said_to_be_none(content: bytes, tmp_path: Any) -> None:
    file = tmp_path / "certificate.json"
    file.write_bytes(content)
    code, output = command(str(file))
    assert (code, "not valid" in output) == (1, True), output


def test_files_and_keys_that_cannot_be_used(tmp_path: Any) -> None:
    file = tmp_path / "certificate.json"
    assert command(str(file))[0] == 2
    file.write_bytes(b"{}")
    assert command(str(file), "--key", "ed25519:short")[0] == 2
    assert command(str(file), "--key", str(tmp_path / "no-key"))[0] == 2
