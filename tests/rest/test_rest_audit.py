"""The audit trail over the JSON API: filters, pages, whose it is; checkpoints that prove it elsewhere."""

import json
from pathlib import Path

import pytest
from rest_examples import MINE, THEIRS, Rest, require_error

from earwitness.audit.checkpoints import read_checkpoints
from earwitness.audit.verify import verify_records
from earwitness.progress import not_shown
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.vault.signing import PublicKey


def append(unit: Unit, operation: str, *, scope: Scope = MINE, outcome: str = "done") -> None:
    unit.audit.append(
        scope, key_id="AKIA", operation=operation, resource_arn="arn:x", outcome=outcome, request_id="r-1"
    )


@pytest.fixture
def filled(rest: Rest) -> Rest:
    for number in range(5):
        rest.store.write(lambda unit, number=number: append(unit, f"Operation{number}"))
    rest.store.write(lambda unit: append(unit, "Theirs", scope=THEIRS))
    rest.store.write(lambda unit: append(unit, "Refused", outcome="Forbidden"))
    return rest


def operations(rest: Rest, **params: object) -> list[str]:
    answer = rest.ask("GET", "audit", role="auditor", params=params)
    assert answer.status_code == 200, answer.text
    return [one["operation"] for one in answer.json()["entries"]]


def test_an_auditor_reads_the_trail_of_the_account_and_nothing_else(filled: Rest) -> None:
    mine = [f"Operation{number}" for number in range(4, -1, -1)]
    assert operations(filled) == ["Refused", *mine]
    entry = filled.ask("GET", "audit", role="auditor", params={"operation": "Operation2"}).json()["entries"][0]
    assert (entry["keyId"], entry["number"], entry["requestId"]) == ("AKIA", 3, "r-1")
    require_error(filled.ask("GET", "domains", role="auditor"), 403, "Forbidden")
    refusal = filled.ask("GET", "audit", role="auditor", params={"operation": "ListDomains"}).json()["entries"]
    assert [(one["operation"], one["outcome"]) for one in refusal] == [("ListDomains", "Forbidden")]
    require_error(filled.ask("GET", "audit", role="operator"), 403, "Forbidden")


def test_filters_and_pages(filled: Rest) -> None:
    assert operations(filled, outcome="Forbidden") == ["Refused"]
    assert operations(filled, resourceArn="arn:y") == operations(filled, keyId="AKIB") == []
    assert operations(filled, until="2020-01-01") == operations(filled, since="2090-01-01T00:00:00Z") == []
    assert len(operations(filled, since="2020-01-01", until="2090-01-01")) == 6
    first = filled.ask("GET", "audit", role="auditor", params={"limit": 4}).json()
    params = {"limit": 4, "nextToken": first["nextToken"]}
    second = filled.ask("GET", "audit", role="auditor", params=params).json()
    assert (len(first["entries"]), len(second["entries"]), second["nextToken"]) == (4, 2, None)
    params |= {"outcome": "done"}
    require_error(filled.ask("GET", "audit", role="auditor", params=params), 400, "BadRequest")


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00+23:59"])
def test_times_that_are_none_are_refused(rest: Rest, since: str) -> None:
    message = require_error(rest.ask("GET", "audit", role="auditor", params={"since": since}), 400, "BadRequest")
    assert "since" in message


def test_checkpoints_prove_the_trail_elsewhere(filled: Rest, tmp_path: Path) -> None:
    answer = filled.ask("GET", "audit/checkpoints", role="auditor")
    (tmp_path / "answer.json").write_bytes(answer.content)
    key = PublicKey.from_text(answer.json()["publicKey"])
    known = list(read_checkpoints([tmp_path / "answer.json"], lambda: key))
    assert [one.checkpoint.number for one in known if one.checkpoint] == [7]
    verdict = verify_records(filled.store, [], known, key, not_shown)
    assert (verdict.problems, verdict.checkpoints) == ([], 1)
    forged = answer.json()
    forged["checkpoints"][0]["number"] = 6
    (tmp_path / "answer.json").write_text(json.dumps(forged))
    verdict = verify_records(
        filled.store, [], read_checkpoints([tmp_path / "answer.json"], lambda: key), key, not_shown
    )
    assert "cannot be believed" in verdict.problems[0].says
