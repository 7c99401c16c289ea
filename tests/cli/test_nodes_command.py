"""`earwitness nodes` where one process serves; tests/cluster drains a node of PostgreSQL's."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from earwitness.cli.main import app

pytestmark = pytest.mark.slow


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_records_in_sqlite_have_no_nodes(tmp_path: Path) -> None:
    assert run("keys", "create", "--data", tmp_path).exit_code == 0
    listed = run("nodes", "list", "--data", tmp_path)
    assert listed.exit_code == 0
    assert "no node has served these records" in listed.stderr
    assert json.loads(run("nodes", "list", "--data", tmp_path, "--json").stdout) == []
    for refused in (run("nodes", "drain", "n", "--data", tmp_path), run("nodes", "forget", "n", "--data", tmp_path)):
        assert refused.exit_code == 1
        assert "`earwitness nodes list` shows all" in refused.stderr
