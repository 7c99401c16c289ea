"""Through a real service: a caller who was enrolled calls by SIPREC and is named."""

import socket
import struct
import time
from pathlib import Path

import pytest
import serving
import soundfile
from calls import Application
from siprec_examples import Answer, ExampleCall, description, document, multipart, read_answer

from earwitness import config
from earwitness.app import open_records
from earwitness.samples import first_call, second_call
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

CONNECTOR = "siprecacceptance000001"
SCOPE = Scope(account_id="000000000000", region="us-east-1")
PACKET = 160
FASTER = 8
"""Than real time: the packets of a call of 35 s take four."""


def connector(data: Path, configuration: str) -> None:
    """Make a connector beside the running service, as commands do."""
    arn = f"arn:aws:chime:{SCOPE.region}:{SCOPE.account_id}:vc/{CONNECTOR}"
    association = {"Disabled": False, "ConfigurationArn": configuration}
    streaming = {"DataRetentionInHours": 1, "Disabled": False, "MediaInsightsConfiguration": association}

    def write(unit: Unit) -> None:
        unit.connectors.create(SCOPE, connector_id=CONNECTOR, arn=arn, name="siprec", body={})
        unit.connectors.set_streaming(SCOPE, CONNECTOR, streaming)

    store = open_records(config.Settings(data_dir=data), may_make=False)
    try:
        store.write(write)
    finally:
        store.close()


def mu_law(recording: Path, folder: Path) -> bytes:
    """G.711 by libsndfile, not by us."""
    samples, _ = soundfile.read(recording, dtype="float32")
    file = folder / "call.au"
    soundfile.write(file, samples, 8_000, subtype="ULAW", format="AU")
    data = file.read_bytes()
    return data[int.from_bytes(data[4:8]) :]


def ask(signalling: socket.socket, data: bytes) -> Answer:
    signalling.send(data)
    while True:
        answer = read_answer(signalling.recv(65_535))
        if answer.status >= 200:
            return answer


def place_call(app: Application, port: int, folder: Path, recording: Path, domain: str) -> str:
    """Call, speak and hang up; return the task that heard the caller."""
    call = ExampleCall(connector=CONNECTOR, caller="sip:+15550001@example.com")
    before = {each["MediaPipelineId"] for each in pipelines(app)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as signalling:
        signalling.settimeout(PATIENCE_SECONDS)
        signalling.connect(("127.0.0.1", port))
        answer = ask(signalling, call.request("INVITE", body=multipart(description(), document())))
        assert answer.status == 200, answer
        call.to_tag = answer.to_tag
        signalling.send(call.request("ACK"))
        until(lambda: {each["MediaPipelineId"] for each in pipelines(app)} - before)
        (pipeline,) = {each["MediaPipelineId"] for each in pipelines(app)} - before
        detail = app.pipelines.get_media_pipeline(MediaPipelineId=pipeline)["MediaPipeline"]["MediaInsightsPipeline"]
        streams = detail["KinesisVideoStreamSourceRuntimeConfiguration"]["Streams"]
        roles = [each["StreamChannelDefinition"]["ChannelDefinitions"][0]["ParticipantRole"] for each in streams]
        customer = streams[roles.index("CUSTOMER")]
        source = {
            "StreamArn": customer["StreamArn"],
            "ChannelId": customer["StreamChannelDefinition"]["ChannelDefinitions"][0]["ChannelId"],
        }
        task = app.start(pipeline, domain, KinesisVideoStreamSourceTaskConfiguration=source)
        speak(mu_law(recording, folder), answer.ports[0])
        assert ask(signalling, call.request("BYE")).status == 200
    until(lambda: len(app.results(task)) == 2)
    return task


def pipelines(app: Application) -> list[dict[str, str]]:
    return app.pipelines.list_media_pipelines()["MediaPipelines"]


def speak(samples: bytes, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.connect(("127.0.0.1", port))
        for number in range(len(samples) // PACKET):
            header = struct.pack(">BBHII", 0x80, 0, number % 65_536, number * PACKET, 7)
            media.send(header + samples[number * PACKET : (number + 1) * PACKET])
            if number % FASTER == 0:
                time.sleep(0.02)  # its own pace, as a phone's


def test_a_caller_is_enrolled_and_named_by_siprec(siprec_served: tuple[serving.Served, int], tmp_path: Path) -> None:
    served, port = siprec_served
    app = Application(served, "siprec")
    try:
        connector(served.data, app.configuration())
        domain = app.domain("callers")
        first = place_call(app, port, tmp_path, first_call("sally"), domain)
        unknown, printed = app.results(first)
        assert unknown["detailStatus"] == "IdentificationNoMatchesFound"
        assert printed["detailStatus"] == "VoiceprintGenerationSuccess"
        profile = app.voice.create_voice_profile(SpeakerSearchTaskId=first)["VoiceProfile"]
        second = place_call(app, port, tmp_path, second_call("sally"), domain)
        named, _ = app.results(second)
        assert named["detailStatus"] == "IdentificationSuccessful"
        (result,) = named["speakerSearchDetails"]["results"]
        assert result["voiceProfileId"] == profile["VoiceProfileId"]
    finally:
        app.close()
