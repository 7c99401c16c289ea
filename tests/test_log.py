"""Logs: one JSON object a line, and nothing personal in it."""

import json
import logging

import pytest

from earwitness import log


def test_a_line_has_its_context_and_withholds_what_is_personal(capsys: pytest.CaptureFixture[str]) -> None:
    log.install(level="info")
    logging.getLogger("earwitness.test").info("a search ended", extra={"candidates": 3, "pii.caller": "+15550100"})
    logging.getLogger("earwitness.test").debug("too much detail")
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["text"], record["level"], record["room"]) == ("a search ended", "info", "earwitness.test")
    assert record["candidates"] == 3
    assert record["pii.caller"] == "(withheld)"
    assert "5550100" not in line
