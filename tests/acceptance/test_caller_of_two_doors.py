"""One caller, two phone systems: enrolled in a call by SIPREC, named in one by Twilio, asked for by connector."""

import json
from pathlib import Path
from typing import Any

import pytest
import serving
from calls import Application
from streamdouble.protocol import MediaStreamEncoder
from test_call_over_web_socket import chunks, connector
from test_siprec_call import connector as siprec_connector
from test_siprec_call import place_call
from websockets.sync.client import connect

from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow


def transaction(app: Application, connector_id: str) -> str:
    """Return the transaction that AnalyticsReady tells of, as a program learns it."""

    def told() -> set[str]:
        details = [event["detail"] for event in app.events()]
        ready = [detail for detail in details if detail.get("detailStatus") == "AnalyticsReady"]
        return {detail["transactionId"] for detail in ready if detail["voiceConnectorId"] == connector_id}

    until(told)
    (found,) = told()
    return found


def search_over_twilio(app: Application, recording: Path, *, connector_id: str, domain: str) -> dict[str, Any]:
    """Call as Twilio would, ask for a search when the call is told, and return the task when it is over."""
    twilio = MediaStreamEncoder()
    with connect(app.url.replace("http", "ws") + f"/doors/{connector_id}/twilio", proxy=None) as client:
        for message in (twilio.connected(), twilio.start(tracks=["inbound"]), twilio.media(b"\xff" * 160)):
            client.send(json.dumps(message))
        started = app.voice.start_speaker_search_task(
            VoiceConnectorId=connector_id,
            TransactionId=transaction(app, connector_id),
            VoiceProfileDomainId=domain.rpartition("/")[2],
        )["SpeakerSearchTask"]
        assert started["SpeakerSearchTaskStatus"] == "IN_QUEUE"
        for chunk in chunks(recording):
            client.send(json.dumps(twilio.media(chunk)))
        client.send(json.dumps(twilio.stop()))
        names = {"VoiceConnectorId": connector_id, "SpeakerSearchTaskId": started["SpeakerSearchTaskId"]}

        def task() -> dict[str, Any]:
            return app.voice.get_speaker_search_task(**names)["SpeakerSearchTask"]

        until(lambda: "VoiceprintGenerationStatus" in task().get("SpeakerSearchDetails", {}))
    return task()


def test_who_was_enrolled_at_one_door_is_named_at_another(
    siprec_served: tuple[serving.Served, int], tmp_path: Path
) -> None:
    served, port = siprec_served
    app = Application(served, "two-doors")
    try:
        siprec_connector(served.data, app.configuration())
        domain = app.domain("callers")
        enrolled_in = place_call(app, port, tmp_path, first_call("sally"), domain)
        profile = app.voice.create_voice_profile(SpeakerSearchTaskId=enrolled_in)["VoiceProfile"]
        found = search_over_twilio(app, second_call("sally"), connector_id=connector(app), domain=domain)
        (result,) = found["SpeakerSearchDetails"]["Results"]
        assert result["VoiceProfileId"] == profile["VoiceProfileId"]
        assert result["ConfidenceScore"] > 0.5
        assert found["SpeakerSearchTaskStatus"] == "PARTIAL_SUCCESS"  # named, and too little speech for a voiceprint
        assert found["CallDetails"]["IsCaller"] is True
    finally:
        app.close()
