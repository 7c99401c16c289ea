"""Who is calling: a stream as Twilio sends it, to a Voice Connector that stock boto3 made, and the caller's name."""

import json
import re
from collections.abc import Iterator
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


def pipelines(app: Application) -> set[str]:
    listed = app.pipelines.list_media_pipelines(MaxResults=99)["MediaPipelines"]
    return {pipeline["MediaPipelineId"] for pipeline in listed}


def place(app: Application, recording: Path, *, domain: str, connector_id: str) -> str:
    """Place a call as Twilio would; return the search task that was started in it."""
    twilio = MediaStreamEncoder()
    before = pipelines(app)
    url = app.url.replace("http", "ws") + f"/doors/{connector_id}/twilio"
    with connect(url, proxy=None, open_timeout=PATIENCE_SECONDS) as client:
        _send(client, twilio.connected())
        _send(client, twilio.start(tracks=["inbound"]))
        _send(client, twilio.media(b"\xff" * 160))
        until(lambda: pipelines(app) - before)
        (pipeline,) = pipelines(app) - before
        task = app.start(pipeline, domain)
        for chunk in chunks(recording):
            _send(client, twilio.media(chunk))
        _send(client, twilio.stop())
        until(lambda: len(app.results(task)) == 2)
    return task


def _send(client: ClientConnection, message: dict[str, Any]) -> None:
    client.send(json.dumps(message))


def test_an_enrolled_caller_is_named_when_they_call_again(app: Application) -> None:
    domain, connector_id = app.domain("callers"), connector(app)
    task = place(app, first_call("sally"), domain=domain, connector_id=connector_id)
    unknown, printed = app.results(task)
    assert unknown["detailStatus"] == "IdentificationNoMatchesFound"
    assert f"stream/ChimeVoiceConnector-{connector_id}-" in printed["streamArn"]
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]

    named, _ = app.results(place(app, second_call("sally"), domain=domain, connector_id=connector_id))
    assert named["detailStatus"] == "IdentificationSuccessful"
    (result,) = named["speakerSearchDetails"]["results"]
    assert result["voiceProfileId"] == profile["VoiceProfileId"]

    refused, _ = app.results(place(app, second_call("russell"), domain=domain, connector_id=connector_id))
    assert refused["detailStatus"] == "IdentificationNoMatchesFound"
