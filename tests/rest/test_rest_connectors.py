"""Doors of Voice Connectors over HTTP: secrets go in and never come out; calls are listed and announced."""

import json
from dataclasses import replace
from typing import Any

import pytest
from rest_examples import MINE, Rest, add_connector, require_error, require_fits

from earwitness.voice.connector import DoorSecret, DoorStatus

DOOR = "connectors/connector-1/door"
SECRET = "shared-with-a-phone-system"  # noqa: S105  # a test's


@pytest.fixture
def connected(rest: Rest) -> Rest:
    rest.store.write(add_connector)
    return rest


def put(rest: Rest, **change: Any) -> Any:
    return rest.ask("PUT", DOOR, content=json.dumps(change).encode())


def test_a_door_is_changed_one_thing_at_a_time(connected: Rest) -> None:
    shut = {"connectorId": "connector-1", "disabled": False, "requireEncryption": True}
    before = shut | {"allowedNetworks": [], "callerLabel": "", "secrets": []}
    assert connected.ask("GET", DOOR).json() == before
    assert put(connected, allowedNetworks=["10.1.2.3/8", "2001:db8::1"], callerLabel="a_leg").status_code == 200
    answer = put(connected, secrets={"twilioAuthToken": SECRET, "basic": "a:b"})
    require_fits(answer.json(), "Door")
    assert answer.json()["secrets"] == ["basic", "twilioAuthToken"]
    assert SECRET not in answer.text
    answer = put(connected, secrets={"basic": None}, disabled=True)
    assert answer.json() == before | {
        "disabled": True,
        "allowedNetworks": ["10.0.0.0/8", "2001:db8::1/128"],
        "callerLabel": "a_leg",
        "secrets": ["twilioAuthToken"],
    }
    kept = connected.store.connectors.get(MINE, "connector-1")
    assert kept is not None
    assert kept.secrets == {DoorSecret.TWILIO_AUTH_TOKEN: SECRET}
    entries = connected.store.audit.list(MINE, limit=9).items
    assert [entry.operation for entry in entries] == ["PutDoor"] * 3
    assert SECRET not in repr(entries)


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"secret": "shared-with-a-phone-system"}',
        b'{"secrets": {"nothing": "shared-with-a-phone-system"}}',
        b'{"secrets": {"token": 7}}',
        b'{"secrets": {"token": ""}}',
        b'{"secrets": {"basic": "shared-with-a-phone-system"}}',
        b'{"allowedNetworks": ["everywhere"]}',
        b'{"disabled": null}',
        b"\xff\xfe",
    ],
)
def test_what_makes_no_sense_changes_nothing_and_is_not_repeated(connected: Rest, body: bytes) -> None:
    before = connected.ask("GET", DOOR).json()
    response = connected.ask("PUT", DOOR, content=body)
    assert SECRET not in require_error(response, 400, "BadRequest")
    assert connected.ask("GET", DOOR).json() == before


def test_calls_are_listed_without_numbers(connected: Rest) -> None:
    response = connected.ask("GET", "calls")
    require_fits(response.json(), "Calls")
    (call,) = response.json()["calls"]
    assert (call["transactionId"], call["callId"], call["status"]) == ("transaction-1", "call-1", "InProgress")
    assert [(leg["label"], leg["coding"], leg["isCaller"]) for leg in call["legs"]] == [("1", "PCMU", True)]
    assert "secret" not in response.text


def test_doors_show_what_an_account_may_know(connected: Rest) -> None:
    door = DoorStatus(
        name="siprec", addresses=(("UDP", "127.0.0.1", 5060),), calls=3, refused={"connector not in use": 2}
    )
    connected.doors = {MINE.account_id: [door], "999999999999": [replace(door, calls=70)]}
    answer = connected.ask("GET", "doors")
    require_fits(answer.json(), "Doors")
    (shown,) = answer.json()["doors"]
    assert (shown["calls"], shown["refused"]) == (3, [{"reason": "connector not in use", "count": 2}])


def test_an_announced_call_may_come_once(connected: Rest) -> None:
    response = connected.ask("POST", "calls", params={"connectorId": "connector-1"})
    require_fits(response.json(), "AnnouncedCall")
    call_id = response.json()["callId"]
    taken = [connected.store.write(lambda unit: unit.connectors.take_announced(call_id)) for _ in range(2)]
    assert taken[0] is not None
    assert (taken[0].connector_id, taken[1]) == ("connector-1", None)
    require_error(connected.ask("POST", "calls", params={"connectorId": "nobody"}), 404, "NotFound")


def test_a_phone_system_may_choose_the_id(connected: Rest) -> None:
    chosen = "6BA7B810-9DAD-41D1-80B4-00C04FD430C8"
    params = {"connectorId": "connector-1", "callId": chosen}
    assert connected.ask("POST", "calls", params=params).json()["callId"] == chosen.lower()
    require_error(connected.ask("POST", "calls", params=params), 409, "AlreadyExists")
    require_error(connected.ask("POST", "calls", params=params | {"callId": "1234"}), 400, "BadRequest")
    assert connected.store.write(lambda unit: unit.connectors.take_announced(chosen.lower())) is not None
