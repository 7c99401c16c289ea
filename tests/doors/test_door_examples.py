"""The examples of doors run."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

import started
from patience import PATIENCE_SECONDS

EXAMPLES = Path(__file__).parents[2] / "examples" / "doors"


@pytest.mark.slow
def test_a_webhook_of_twilio_is_answered() -> None:
    door = "wss://calls.example.com/doors/abcdef1ghij2klmno3pqr4/twilio"
    command = [sys.executable, EXAMPLES / "twilio_answer.py", door, "+15550002", "0"]
    process = started.start(command, stderr=subprocess.PIPE, text=True)
    url = started.first_match(process, r"answers at (http://\S+)")[1]
    told = httpx.post(url, data={"From": '+1"<555>', "To": "+15550001", "CallSid": "CA1"}, timeout=PATIENCE_SECONDS)
    response = ElementTree.fromstring(told.text)  # noqa: S314  # our own
    stream = response.find("Start/Stream")
    assert stream is not None
    assert (stream.get("url"), stream.get("track")) == (door, "both_tracks")
    assert {each.get("name"): each.get("value") for each in stream} == {"from": '+1"<555>', "to": "+15550001"}
    assert [each.text for each in response.findall("Dial")] == ["+15550002"]
