"""`earwitness connectors`: made, shown, opened and closed; secrets come from standard input and are shown nowhere."""

import json
from contextlib import closing
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from earwitness import config
from earwitness.app import open_records
from earwitness.cli.main import app
from earwitness.store.connectors import ConnectorReader
from earwitness.store.records import Scope

pytestmark = pytest.mark.slow

SECRET = "shared-with-a-phone-system"  # noqa: S105  # a test's


@pytest.fixture(autouse=True)
def _records() -> None:
    """An installation: a key makes it."""
    assert CliRunner().invoke(app, ["keys", "create"]).exit_code == 0


def run(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["connectors", *(str(argument) for argument in arguments)], input=given)


def document(*arguments: object, given: str | None = None) -> Any:
    result = run(*arguments, "--json", given=given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_connector_is_made_opened_and_deleted() -> None:
    made = document("create", "trunk", "--retention", 24)
    key = made["connectorId"]
    assert len(key) == 22
    assert (made["allowedNetworks"], made["secrets"], made["disabled"]) == ([], [], False)
    assert made["streaming"] == {"DataRetentionInHours": 24, "Disabled": False}
    set_now = document("secret", key, "twilioAuthToken", given=SECRET + "\n")
    assert set_now["secrets"] == ["twilioAuthToken"]
    assert document("allow", key, "10.1.2.3/8", "192.0.2.7")["allowedNetworks"] == ["10.0.0.0/8", "192.0.2.7/32"]
    assert document("set", key, "--disable", "--caller", "a_leg")["disabled"] is True
    shown = document("show", key)
    assert (shown["callerLabel"], shown["allowedNetworks"]) == ("a_leg", ["10.0.0.0/8", "192.0.2.7/32"])
    assert document("list") == [shown]
    listed = run("list").stdout
    assert "trunk" in listed and "none" in listed
    for result in (run("list"), run("show", key), run("list", "--json")):
        assert SECRET not in result.output
    assert document("secret", key, "twilioAuthToken", "--unset")["secrets"] == []
    assert document("allow", key)["allowedNetworks"] == []
    assert len(document("announce", key)["callId"]) == 36
    assert run("delete", key).exit_code == 2
    assert run("delete", key, "--yes").exit_code == 0
    assert run("show", key).exit_code != 0
    assert document("list") == []


@pytest.mark.parametrize("mine", [("allow", "192.0.2.7"), ("set", "--disable"), ("secret", "token", "--new")])
def test_what_somebody_else_changes_meanwhile_is_kept(mine: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    key = document("create", "trunk")["connectorId"]
    read = ConnectorReader.get_everywhere

    def read_before_another_changes(reader: ConnectorReader, connector_id: str) -> Any:
        found = read(reader, connector_id)
        monkeypatch.setattr(ConnectorReader, "get_everywhere", read)
        document("set", key, "--caller", "theirs")
        return found

    monkeypatch.setattr(ConnectorReader, "get_everywhere", read_before_another_changes)
    command, *arguments = mine
    assert document(command, key, *arguments)["callerLabel"] == "theirs"


def test_a_new_secret_is_shown_once() -> None:
    key = document("create", "trunk")["connectorId"]
    shown = document("secret", key, "token", "--new")
    assert len(shown["secret"]) == 40
    assert shown["secret"] not in run("show", key, "--json").output


@pytest.mark.parametrize(
    ("name", "given"), [("token", ""), ("basic", "nobody"), ("audiohookClientSecret", "no base64!"), ("token", "a\tb")]
)
def test_a_secret_that_nobody_could_use_is_refused_and_not_repeated(name: str, given: str) -> None:
    key = document("create", "trunk")["connectorId"]
    refused = run("secret", key, name, given=given + "\n")
    assert refused.exit_code != 0
    assert not given or given not in refused.output
    assert document("show", key)["secrets"] == []


@pytest.mark.parametrize(("status", "exit_code"), [("Enabled", 0), ("Disabled", 2)])
def test_a_configuration_has_to_search_speakers(status: str, exit_code: int) -> None:
    processor = {"VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": status}}
    body: dict[str, Any] = {"Elements": [{"Type": "VoiceAnalyticsProcessor", **processor}]}
    scope = Scope(account_id="000000000000", region="us-east-1")
    with closing(open_records(config.load())) as store:
        store.write(
            lambda unit: unit.configurations.create(
                scope, configuration_id="c", name="calls", arn="arn:aws:chime:us-east-1:000000000000:c", body=body
            )
        )
    result = run("create", "trunk", "--configuration", "calls")
    assert result.exit_code == exit_code, result.output
    assert ("SpeakerSearchStatus" in result.output) == bool(exit_code)


def test_what_makes_no_sense_is_refused() -> None:
    key = document("create", "trunk")["connectorId"]
    assert run("allow", key, "everywhere").exit_code != 0
    assert run("secret", key, "nothing", given="x").exit_code == 2
    assert run("create", "trunk", "--configuration", "nobody").exit_code != 0
    for name in ("", "x" * 257, "a\nb", "Büro"):
        assert "1 to 256" in run("create", name).output
    assert run("show", "a" * 22).exit_code != 0
    assert run("list", "--account", "12").exit_code == 2


def test_the_command_takes_no_more_than_the_json_api() -> None:
    key = document("create", "trunk")["connectorId"]
    many = [f"10.0.{number}.0/24" for number in range(101)]
    assert "more than 100 networks" in " ".join(run("allow", key, *many).stderr.split())
    assert "256 characters" in " ".join(run("set", key, "--caller", "x" * 257).stderr.split())
    shown = document("show", key)
    assert (shown["allowedNetworks"], shown["callerLabel"]) == ([], "")


def test_changes_are_in_the_audit_trail() -> None:
    key = document("create", "trunk")["connectorId"]
    document("secret", key, "token", "--new")
    document("allow", key, "192.0.2.7")
    document("set", key, "--disable")
    document("announce", key)
    assert run("set", key, "--caller", "x" * 300).exit_code != 0
    assert run("delete", key, "--yes").exit_code == 0
    with closing(open_records(config.load())) as store:
        first, *entries = store.audit.list(Scope(account_id="000000000000", region="us-east-1"), limit=100).items[::-1]
    assert first.operation == "CreateKey"  # before the commands
    assert [entry.operation for entry in entries] == [
        "CreateVoiceConnector",
        *["PutDoor"] * 3,
        "AnnounceCall",
        "DeleteVoiceConnector",
    ]
    assert {(entry.key_id, entry.outcome) for entry in entries} == {("earwitness connectors", "done")}
    assert {entry.resource_arn.rpartition("/")[2] for entry in entries} == {key}
