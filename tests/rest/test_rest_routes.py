"""The table of routes: the document says what is served, answers fit it, and roles are kept route by route."""

import itertools
import json
from datetime import timedelta

import pytest
from calibration_examples import document, moved
from rest_examples import (
    MINE,
    ROLES,
    START,
    THEIRS,
    V1,
    VOICEPRINT,
    Rest,
    add_connector,
    add_domain,
    add_event,
    add_export,
    add_job,
    add_pipeline,
    add_task,
    conclude,
    enrol,
    label,
    learn,
    require_error,
    require_fits,
)

from earwitness.errors import EarwitnessError
from earwitness.rest.app import STATUSES, fault_of
from earwitness.rest.routes import PREFIX, ROUTES, RestRoute, openapi
from earwitness.samples import first_call
from earwitness.store.records import Scope
from earwitness.store.store import Unit

GUARDED = [route for route in ROUTES if route.roles]
IDS = {
    "taskId": "task-1",
    "eventId": "event-1",
    "domainId": "vpd-1",
    "profileId": "vp-1",
    "voiceprintId": "second-print",
    "connectorId": "connector-1",
    "jobId": "job-1",
    "deletedId": "vp-9",
    "number": "1",
    "withdrawalId": "withdrawal-1",
    "calibrationId": "service",
}


_MORE = {
    "CreateJob": {"items": "1"},
    "CreateExport": {"encryption": "none"},
    "RollBackProfile": {"voiceprintId": "second-print"},
    "UseCalibration": {"calibrationId": "service"},
}

_BODIES = {
    "RecordConsent": {
        "subject": "customer-1",
        "textVersion": "2026-01",
        "givenAt": "2025-12-31T08:00:00Z",
        "medium": "phone",
        "evidence": "call 17",
        "purpose": "to know callers",
    },
    "WithdrawConsents": {"subject": "customer-1"},
    "ReportSubject": {"subject": "customer-1"},
    "InstallCalibration": json.loads(document(moved(0.1))),
    "CompareCalibration": json.loads(document(moved(0.1))),
}


def body_of(route: RestRoute) -> bytes | None:
    return json.dumps(_BODIES[route.operation]).encode() if route.operation in _BODIES else None


def fill(rest: Rest) -> None:
    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        conclude(unit, add_task(unit, task_id="task-1"))
        add_event(unit, "arn:aws:sqs:eu-central-1:111122223333:calls", event_id="event-1")
        enrol(unit, profile_id="vp-9")
        unit.profiles.delete(MINE, "vp-9")
        enrol(unit)
        unit.profiles.add_voiceprint(
            MINE,
            "vp-1",
            voiceprint_id="second-print",
            voiceprint=VOICEPRINT,
            expires_at=START + timedelta(days=1_000),
        )
        label(unit)
        learn(unit)
        add_connector(unit)
        add_job(unit)
        add_export(unit)
        withdrawal = {"withdrawal_id": "withdrawal-1", "key_id": "KEY", "forget_metadata": lambda _pipeline: {}}
        unit.withdrawals.begin(MINE, "customer-9", **withdrawal)

    rest.store.write(work)


def params_of(route: RestRoute) -> dict[str, str]:
    operation = openapi()["paths"][PREFIX + route.path][route.method.lower()]
    required = [one["name"] for one in operation["parameters"] if one["required"] and one["in"] == "query"]
    return {
        name: {
            "learning": "off",
            "codec": "pcm",
            "version": "1",
            "connectorId": "connector-1",
            "kind": "search",
            "spoke": "nobody",
            "required": "search",
        }.get(name, "form 12")
        for name in required
    } | _MORE.get(route.operation, {})


def names_a_record(route: RestRoute) -> bool:
    return "{" in route.path or route.operation == "AnnounceCall"


def path_of(route: RestRoute) -> str:
    ids = IDS | ({"jobId": "job-2"} if route.path.endswith("/archive") else {})
    return V1 + route.path.format(**ids)


def name_of(one: RestRoute | str) -> str:
    return one if isinstance(one, str) else one.operation


def test_every_route_is_in_the_document() -> None:
    document = openapi()
    served = {(route.method.lower(), PREFIX + route.path) for route in ROUTES}
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert served == described
    assert len({route.operation for route in ROUTES}) == len(ROUTES)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_references_in_the_document_lead_somewhere() -> None:
    document = openapi()

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [one for item in value.values() for one in references(item)]
        return [one for item in value for one in references(item)] if isinstance(value, list | tuple) else []

    used = {reference.rsplit("/", 1)[1] for reference in references(document)}
    assert used == set(document["components"]["schemas"])


def test_the_document_is_public(rest: Rest) -> None:
    response = rest.send("GET", "openapi.json")
    assert response.status_code == 200
    assert response.json() == openapi()
    assert response.headers["x-request-id"]


@pytest.mark.slow
@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_answers_fit_their_schema(rest: Rest, route: RestRoute) -> None:
    fill(rest)
    content = first_call("sally").read_bytes() if route.takes_recording else body_of(route)
    response = rest.ask(route.method, path_of(route), params=params_of(route), content=content)
    assert response.status_code == 200, response.text
    if route.file_type:
        assert response.headers["content-type"] == route.file_type
        return
    assert route.answer
    require_fits(response.json(), route.answer.__name__.removesuffix("Answer"))


@pytest.mark.parametrize(("route", "role"), list(itertools.product(GUARDED, ROLES)), ids=name_of)
def test_each_role_may_what_the_table_says(rest: Rest, route: RestRoute, role: str) -> None:
    """Without records: whoever may is told that there are none, or is shown an empty list."""
    response = rest.ask(route.method, path_of(route), role=role, params=params_of(route), content=body_of(route))
    if role in route.roles:
        assert response.status_code == (404 if names_a_record(route) else 200), response.text
        return
    message = require_error(response, 403, "Forbidden")
    assert role in message
    entry = rest.store.audit.list(MINE, limit=1).items[0]
    assert (entry.operation, entry.outcome) == (route.operation, "Forbidden")
    assert entry.request_id == response.headers["x-request-id"]


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_nobody_sees_another_account(rest: Rest, route: RestRoute) -> None:
    fill(rest)
    for scope in (THEIRS, Scope(account_id=MINE.account_id, region="us-east-1")):
        content = body_of(route) or b"no audio"
        response = rest.ask(route.method, path_of(route), scope=scope, params=params_of(route), content=content)
        if names_a_record(route):
            require_error(response, 404, "NotFound")
        elif route.operation == "CreateDomain":
            assert scope.account_id in response.json()["arn"]
        elif route.operation == "ReplayEvents":
            assert response.json() == {"replayed": 0}
        elif route.operation != "GetStatus":  # numbers of the whole process, for those who run it
            assert [] in response.json().values()
    event = rest.store.events.get(MINE, "event-1")
    assert event is not None
    assert event.deliveries[0].attempts == 0


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_without_credentials_nothing_is_answered(rest: Rest, route: RestRoute) -> None:
    response = rest.send(route.method, path_of(route))
    require_error(response, 401, "Unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_paths_that_are_not_there(rest: Rest) -> None:
    for path in ("tasks/", "tasks/a/b", "tasks/..%2Fevents", "domains/%2e%2e/profiles/x", "nothing"):
        require_error(rest.ask("GET", f"{V1}/{path}"), 404, "UnknownOperation")
    response = rest.ask("POST", f"{V1}/tasks")
    require_error(response, 405, "UnknownOperation")
    assert "GET" in response.headers["allow"]


def test_every_status_belongs_to_an_error_of_ours() -> None:
    for kind, status in STATUSES.items():
        assert issubclass(kind, EarwitnessError)
        assert 400 <= status <= 503
    assert fault_of(KeyError("a secret")).message.startswith("the service failed")
