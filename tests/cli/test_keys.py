"""`earwitness keys`: made, listed, disabled, rotated; secrets are shown once and nowhere else."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from running import Process
from typer.testing import CliRunner, Result

from earwitness.cli.main import app

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["keys", *(str(argument) for argument in arguments)])


def document(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_key_as_text_can_be_evaluated_by_a_shell() -> None:
    result = run("create", "--name", "call centre", "--role", "reader")
    first, second = result.stdout.splitlines()
    assert first.startswith("export AWS_ACCESS_KEY_ID=EARW") and len(first.partition("=")[2]) == 20
    secret = second.removeprefix("export AWS_SECRET_ACCESS_KEY=")
    assert len(secret) == 40
    assert "role reader, account 000000000000; the secret is shown this once" in result.stderr
    listed = run("list")
    assert "call centre" in listed.stdout and "reader" in listed.stdout and "enabled" in listed.stdout
    assert secret not in listed.output


def test_a_key_as_json() -> None:
    made = document("create", "--account", "111122223333")
    assert made.keys() == {"id", "secret", "account", "role"}
    assert (made["account"], made["role"]) == ("111122223333", "admin")
    (listed,) = document("list", "--account", "111122223333")
    assert listed.keys() == {"id", "kind", "role", "state", "name", "made"}
    assert listed["id"] == made["id"]
    assert made["secret"] not in json.dumps(listed)
    assert document("list") == []


def test_whoever_leaves_the_account_out_is_told_or_asked() -> None:
    """A key of account 000000000000 cannot name a real queue; and where another account is known, it is a mistake."""
    assert "make the key with --account" in " ".join(run("create").stderr.split())
    document("create", "--account", "111122223333")
    for verb in ("create", "token"):
        asked = run(verb)
        assert asked.exit_code == 2
        assert "keys of account 111122223333; add --account 111122223333" in " ".join(asked.stderr.split())
        assert document(verb, "--account", "000000000000")["account"] == "000000000000"


def test_an_empty_account_says_how_to_begin() -> None:
    document("create", "--account", "111122223333")
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "earwitness keys create --account 000000000000" in " ".join(result.stderr.split())


def test_a_token() -> None:
    result = run("token", "--role", "producer")
    token = result.stdout.strip()
    assert token.startswith("ewt_") and len(token) > 40
    made = document("token", "--name", "sound desk")
    assert made.keys() == {"id", "token", "account", "role"}
    listed = document("list")
    assert {(one["kind"], one["role"], one["state"]) for one in listed} == {
        ("token", "producer", "enabled"),
        ("token", "operator", "enabled"),
    }
    assert token not in json.dumps(listed) and made["token"] not in json.dumps(listed)
    assert document("disable", made["id"]) == {"done": True}
    assert {one["name"]: one["state"] for one in document("list")} == {"": "enabled", "sound desk": "revoked"}


def test_more_keys_than_a_page_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.store.pages._RECORDS_AT_ONCE", 2)
    made = [document("create", "--name", f"key {number}") for number in range(5)]
    assert [one["id"] for one in document("list")] == [one["id"] for one in made]


def test_disable_and_rotate() -> None:
    made = document("create")
    rotated = document("rotate", made["id"])
    assert rotated["id"] == made["id"] and rotated["secret"] != made["secret"]
    result = run("disable", made["id"])
    assert (result.exit_code, result.stderr.split()) == (0, [made["id"], "is", "disabled"])
    assert [one["state"] for one in document("list")] == ["disabled"]
    again = run("rotate", made["id"])
    assert again.exit_code == 0
    assert "stays disabled" in again.stderr


@pytest.mark.parametrize("verb", ["disable", "rotate"])
def test_a_key_of_nobody_or_of_an_account_that_is_not_meant(verb: str) -> None:
    other = document("create", "--account", "111122223333")
    for key in ("EARWNOBODY", "[red]\x1b[2J"):
        result = run(verb, key)
        assert result.exit_code == 1
        assert "there is no such key" in result.stderr
        assert "\x1b" not in result.output
    result = run(verb, other["id"], "--account", "000000000000")
    assert (result.exit_code, "account 000000000000 has no such key" in result.stderr) == (1, True)
    result = run(verb, other["id"], "--account", "000000000000", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"done": False})
    assert [one["state"] for one in document("list", "--account", "111122223333")] == ["enabled"]


def test_a_key_and_a_token_are_disabled_whosever_they_are() -> None:
    key = document("create", "--account", "111122223333")
    token = document("token", "--account", "111122223333")
    assert document("rotate", key["id"])["account"] == "111122223333"
    for one in (key, token):
        assert document("disable", one["id"]) == {"done": True}
    assert {one["state"] for one in document("list", "--account", "111122223333")} == {"disabled", "revoked"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--account", "1234"), "an account id has twelve digits"),
        (("create", "--account", "²²²²²²²²²²²²"), "an account id has twelve digits"),
        (("list", "--account", "me"), "an account id has twelve digits"),
        (("token", "--account", "12345678901\n"), "an account id has twelve digits"),
        (("create", "--role", "root"), "there is no role 'root'; give one of admin, operator, reader, producer"),
        (("token", "--role", ""), "there is no role ''"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "data").exists()


def test_a_name_cannot_rewrite_the_screen() -> None:
    assert run("create", "--name", "[red]a\x1b[2Jb").exit_code == 0
    listed = run("list")
    assert "\x1b" not in listed.output
    assert "[red]a" in listed.stdout


def test_a_missing_master_key_is_not_replaced(tmp_path: Path) -> None:
    assert run("create").exit_code == 0
    (tmp_path / "data" / "master.key").unlink()
    result = run("list")
    assert result.exit_code == 8
    assert "master key" in " ".join(result.stderr.split())
    assert json.loads(run("list", "--json").stdout)["error"]["type"] == "InstallationIncomplete"


def test_secrets_are_in_no_log_and_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [document("create")["secret"], document("token")["token"]]
    secrets.append(document("rotate", document("list")[0]["id"])["secret"])
    run("list")
    everything = caplog.text.encode() + b"".join(
        file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()
    )
    assert not any(secret.encode() in everything for secret in secrets)


def test_a_running_service_knows_at_once(tmp_path: Path) -> None:
    made = document("create")
    with Process(tmp_path / "data") as served:
        clients = [served.client(made)]
        assert clients[0].list_voice_profile_domains()["VoiceProfileDomains"] == []
        rotated = document("rotate", made["id"])
        with pytest.raises(clients[0].exceptions.UnauthorizedClientException, match="does not match"):
            clients[0].list_voice_profile_domains()
        clients.append(served.client(rotated))
        clients[1].list_voice_profile_domains()
        assert run("disable", made["id"]).exit_code == 0
        for one in clients:
            with pytest.raises(one.exceptions.UnauthorizedClientException, match="unknown or disabled"):
                one.list_voice_profile_domains()
            one.close()
    said = served.said
    assert made["secret"] not in said and rotated["secret"] not in said


def test_changes_of_keys_are_in_the_audit_trail() -> None:
    made = document("create", "--role", "reader", "--account", "111122223333")
    token = document("token", "--role", "auditor", "--account", "111122223333")
    document("rotate", made["id"])
    document("disable", token["id"])
    assert run("disable", "EARWNOTHERE").exit_code == 1
    result = CliRunner().invoke(app, ["audit", "query", "--key", "earwitness keys", "--json"])
    entries = json.loads(result.stdout)["entries"]
    assert [(one["operation"], one["resourceArn"]) for one in reversed(entries)] == [
        ("CreateKey", f"key/{made['id']}/reader"),
        ("CreateToken", f"key/{token['id']}/auditor"),
        ("RotateKey", f"key/{made['id']}"),
        ("DisableKey", f"key/{token['id']}"),
    ]
    assert {one["accountId"] for one in entries} == {"111122223333"}
    assert made["secret"] not in result.stdout and token["token"] not in result.stdout
