"""`earwitness call` at a real service: two recordings become the two legs of a call, proved as Twilio proves it."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from calls import Application, connector_of, kept_seconds, streams_of
from serving import Served

from earwitness.dialer.media_streams import signature_of
from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

API_KEY = "an-api-key-of-the-tests"
CLIENT_SECRET = base64.b64encode(b"a client secret of the tests").decode()
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  # of the tests


def command(served: Served, *arguments: str, fed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "earwitness", *arguments],
        env=served.environment | {"EARWITNESS_CONFIG": os.devnull, "EARWITNESS_DATA_DIR": str(served.data)} | more,
        input=fed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def test_two_recordings_are_placed_as_a_signed_call(served: Served) -> None:
    app = Application(served, "placed")
    connector = connector_of(app, "twilio")
    account = ["--data", str(served.data)]
    told = command(served, "connectors", "secret", connector, "twilioAuthToken", *account, fed=f"{AUTH_TOKEN}\n")
    assert told.returncode == 0, told.stderr
    url = served.url.replace("http", "ws") + f"/doors/{connector}/twilio"
    files = [str(first_call("sally")), str(first_call("russell"))]

    refused = command(served, "call", files[0], "--fast", "--to", url)
    assert refused.returncode == 9, refused.stderr
    assert "refused the call with status 40" in refused.stderr

    placed = command(served, "call", *files, "--fast", "--sign", "--to", url, "--json", TWILIO_AUTH_TOKEN=AUTH_TOKEN)
    assert placed.returncode == 0, placed.stderr
    told_of = json.loads(placed.stdout)
    assert told_of["legs"] == 2
    streams = streams_of(app, connector)
    assert len(streams) == 2
    for arn in streams:
        until(lambda arn=arn: kept_seconds(app, arn) >= int(told_of["seconds"]))
    app.close()


def test_two_recordings_are_placed_as_a_signed_call_of_genesys(served: Served) -> None:
    app = Application(served, "placed-by-genesys")
    connector = connector_of(app, "genesys")
    data = ["--data", str(served.data)]
    for name, secret in (("audiohookApiKey", API_KEY), ("audiohookClientSecret", CLIENT_SECRET)):
        told = command(served, "connectors", "secret", connector, name, *data, fed=f"{secret}\n")
        assert told.returncode == 0, told.stderr
    url = served.url.replace("http", "ws") + f"/doors/{connector}/genesys"
    files = [str(first_call("sally")), str(first_call("russell"))]
    asked = ("call", *files, "--fast", "--sign", "--to", url, "--json")

    of_another = base64.b64encode(b"a secret of another").decode()
    refused = command(served, *asked, AUDIOHOOK_API_KEY=API_KEY, AUDIOHOOK_CLIENT_SECRET=of_another)
    assert refused.returncode == 9, refused.stderr
    assert "refused the call with status 40" in refused.stderr

    placed = command(served, *asked, AUDIOHOOK_API_KEY=API_KEY, AUDIOHOOK_CLIENT_SECRET=CLIENT_SECRET)
    assert placed.returncode == 0, placed.stderr
    told_of = json.loads(placed.stdout)
    assert told_of["legs"] == 2
    streams = streams_of(app, connector)
    assert len(streams) == 2
    for arn in streams:
        until(lambda arn=arn: kept_seconds(app, arn) >= int(told_of["seconds"]))
    app.close()


def test_a_door_that_is_not_there_is_told_in_a_line(served: Served, tmp_path: Path) -> None:
    told = command(served, "call", str(first_call("sally")), "--to", "ws://127.0.0.1:1/doors/x/twilio")
    assert told.returncode == 9
    assert "cannot be called" in told.stderr


def test_a_signature_is_twilios() -> None:
    """The example of twilio.com/docs/usage/security has POST parameters; they are signed as a part of the text."""
    text = (
        "https://mycompany.com/myapp.php?foo=1&bar=2"
        "CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212"
    )
    assert signature_of(text, "12345") == "GvWf1cFY/Q7PnoempGyD5oXAezc="
