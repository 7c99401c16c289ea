"""Who is calling: a stream as Twilio sends it, to a Voice Connector that stock boto3 made, and the caller's name."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from calls import Application
from serving import Served
from streamdouble.g711 import encode
from streamdouble.protocol import MediaStreamEncoder
from websockets.sync.client import ClientConnection, connect

from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.fixture
def app(served: Served, request: pytest.FixtureRequest) -> Iterator[Application]:
    application = Application(served, re.sub(r"\W", "-", request.node.name)[:60])
    yield application
    application.close()


def connector(app: Application) -> str:
    made = app.voice.create_voice_connector(Name=app.name[:32], RequireEncryption=False)["VoiceConnector"]
    analytics = {"Disabled": False, "ConfigurationArn": app.configuration()}
    app.voice.put_voice_connector_streaming_configuration(
        VoiceConnectorId=made["VoiceConnectorId"],
        StreamingConfiguration={
            "DataRetentionInHours": 1,
            "Disabled": False,
            "MediaInsightsConfiguration": analytics,
        },
    )
    return str(made["VoiceConnectorId"])


def chunks(recording: Path) -> Iterator[bytes]:
    """20 ms of mu-law each."""
    samples, rate = soundfile.read(recording, dtype="int16")
    assert rate == 8_000
    coded = encode(np.ascontiguousarray(samples))
    for place in range(0, len(coded), 160):
        yield coded[place : place + 160].ljust(160, b"\xff")


def transaction(app: Application, call_id: str) -> str:
    """What the service calls a call that it told of."""
    details = [event["detail"] for event in app.events()]
    found = {detail["transactionId"] for detail in details if detail.get("callId") == call_id}
    return "".join(found)


def place(app: Application, recording: Path, *, connector_id: str, start: Callable[[str], str]) -> str:
    """Place a call as Twilio would; return the search task that `start` began, given the call's transaction."""
    twilio = MediaStreamEncoder()
    url = app.url.replace("http", "ws") + f"/doors/{connector_id}/twilio"
    with connect(url, proxy=None, open_timeout=PATIENCE_SECONDS) as client:
        _send(client, twilio.connected())
        _send(client, twilio.start(tracks=["inbound", "outbound"]))
        _send(client, twilio.media(b"\xff" * 160))
        until(lambda: transaction(app, twilio.identity.call_sid))
        task = start(transaction(app, twilio.identity.call_sid))
        for chunk in chunks(recording):
            _send(client, twilio.media(chunk))
        _send(client, twilio.stop())
        until(lambda: len(app.results(task)) == 2)
    return task


def _send(client: ClientConnection, message: dict[str, Any]) -> None:
    client.send(json.dumps(message))


def test_an_enrolled_caller_is_named_when_they_call_again(app: Application) -> None:
    domain, connector_id = app.domain("callers"), connector(app)

    def on_the_call(transaction: str) -> str:
        made = app.voice.start_speaker_search_task(
            VoiceConnectorId=connector_id,
            TransactionId=transaction,
            VoiceProfileDomainId=domain.rpartition("/")[2],
            CallLeg="Caller",
        )
        return str(made["SpeakerSearchTask"]["SpeakerSearchTaskId"])

    task = place(app, first_call("sally"), connector_id=connector_id, start=on_the_call)
    unknown, _ = app.results(task)
    assert unknown["detailStatus"] == "IdentificationNoMatchesFound"
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]

    task = place(app, second_call("sally"), connector_id=connector_id, start=on_the_call)
    described = app.voice.get_speaker_search_task(VoiceConnectorId=connector_id, SpeakerSearchTaskId=task)
    (result,) = described["SpeakerSearchTask"]["SpeakerSearchDetails"]["Results"]
    assert result["VoiceProfileId"] == profile["VoiceProfileId"]
    assert described["SpeakerSearchTask"]["CallDetails"]["IsCaller"]

    refused, _ = app.results(place(app, second_call("russell"), connector_id=connector_id, start=on_the_call))
    assert refused["detailStatus"] == "IdentificationNoMatchesFound"
