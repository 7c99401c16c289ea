"""`earwitness audit` on the records of a service."""

import json

import pytest
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.vault.signing import PublicKey

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _records() -> None:
    """An installation: a key makes it."""
    assert CliRunner().invoke(app, ["keys", "create"]).exit_code == 0


def test_the_public_key_is_the_same_in_every_form() -> None:
    text = CliRunner().invoke(app, ["audit", "key"]).stdout
    told = json.loads(CliRunner().invoke(app, ["audit", "key", "--json"]).stdout)
    public = PublicKey.from_text(text)
    assert (told["publicKey"], told["keyId"], told["pem"]) == (text.strip(), public.key_id, public.pem)
    assert CliRunner().invoke(app, ["audit", "key", "--pem"]).stdout == public.pem
