"""Calls from phone systems at a node that is killed: told as failed, what was heard kept, and taken by another one."""

import asyncio
import base64
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from calls import kept_seconds
from local_cluster import Node
from traffic import ClusterApplication, Watched
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from earwitness.dialer.audiohook import CHANNELS, signed_headers
from earwitness.dialer.place import place_call
from earwitness.dialer.siprec import CallerDialog, SipClient, media_ports, offer_of
from earwitness.dialer.speech import Pace
from earwitness.doors.audiohook import AudioHookClient
from earwitness.errors import CallNotPlaced
from earwitness.samples import first_call
from earwitness.voice.connector import DoorSecret
from patience import until

pytestmark = pytest.mark.slow

SECRETS = {
    DoorSecret.AUDIOHOOK_API_KEY: "the-key",
    DoorSecret.AUDIOHOOK_CLIENT_SECRET: base64.b64encode(b"client secret").decode(),
}
ENDED_SECONDS_MAX = 30.0
"""From the death of a node to the end of its calls: 8 s, on a machine that has nothing else to do."""

TWO_SECONDS = b"\x10" * 16_000


class Genesys:
    """One AudioHook session."""

    def __init__(self, lines: ExitStack, url: str, conversation: str, *, former: "Genesys | None" = None) -> None:
        organization = str(uuid.uuid4()) if former is None else former.client.organization
        self.client = AudioHookClient(session=str(uuid.uuid4()), organization=organization, channels=CHANNELS)
        self.headers = signed_headers(urlsplit(url), self.client, SECRETS)
        self.connection = lines.enter_context(dial(url, self.headers))
        lost = None if former is None else former.client
        self.connection.send(self.client.open(conversation, former=lost))
        self.hears("opened")

    def hears(self, kind: str) -> None:
        assert self.client.receive(self.connection.recv())[0] == kind

    def speak(self) -> None:
        """Two seconds of both parties."""
        self.connection.send(self.client.audio([TWO_SECONDS, TWO_SECONDS]))


def door_url(url: str, connector: str, kind: str) -> str:
    return f"{url.replace('http', 'ws')}/doors/{connector}/{kind}"


def dial(url: str, headers: Mapping[str, str]) -> AbstractContextManager[ClientConnection]:
    return connect(url, additional_headers=dict(headers), proxy=None, compression=None)


class AtNode:
    """Asks a node's JSON API."""

    def __init__(self, opened: ExitStack, node: Node) -> None:
        self.node = node
        headers = {"authorization": "Bearer test"}
        client = httpx.Client(base_url=f"{node.url}/earwitness/v1/", headers=headers, trust_env=False, timeout=30)
        self._client = opened.enter_context(client)

    def asked(self, method: str, path: str, **more: Any) -> Any:
        answer = self._client.request(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def port_of(self, door: str) -> int:
        (found,) = [one for one in self.asked("GET", "doors")["doors"] if one["name"] == door]
        return int(found["addresses"][0]["port"])

    def calls(self) -> dict[str, list[Any]]:
        """All calls by door, the oldest first."""
        found: dict[str, list[Any]] = {}
        for call in reversed(self.asked("GET", "calls")["calls"]):
            found.setdefault(call["door"], []).append(call)
        return found


def connected(app: ClusterApplication, at: AtNode) -> str:
    """A connector for all doors, whose calls have a pipeline."""
    made = app.voice.create_voice_connector(Name="doors", RequireEncryption=False)["VoiceConnector"]
    streaming = {
        "DataRetentionInHours": 1,
        "Disabled": False,
        "MediaInsightsConfiguration": {"Disabled": False, "ConfigurationArn": app.configuration()},
    }
    app.voice.put_voice_connector_streaming_configuration(
        VoiceConnectorId=made["VoiceConnectorId"], StreamingConfiguration=streaming
    )
    secrets = {name.value: secret for name, secret in SECRETS.items()}
    at.asked("PUT", f"connectors/{made['VoiceConnectorId']}/door", json={"secrets": secrets})
    return str(made["VoiceConnectorId"])


async def recorded(port: int, connector: str, *, hangs_up: bool) -> str:
    """Two seconds of two parties, as a session border controller sends them; return the Contact of the answer."""
    _, client = await asyncio.get_running_loop().create_datagram_endpoint(SipClient, remote_addr=("127.0.0.1", port))
    dialog = CallerDialog(client, host="127.0.0.1", connector=connector)
    answer = await dialog.ask("INVITE", body=offer_of(client.address, 2))
    assert answer.status == 200
    assert b"c=IN IP4 127.0.0.1\r\n" in answer.body
    dialog.tag = answer.headers.get("to") or ""
    await dialog.acknowledge()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        pace = Pace(speed=5)
        for number in range(100):
            for source, media in enumerate(media_ports(answer)):
                head = b"\x80\x00" + number.to_bytes(2) + (160 * number).to_bytes(4) + source.to_bytes(4)
                out.sendto(head + TWO_SECONDS[:160], ("127.0.0.1", media))
            await pace.until(number / 50)
    if hangs_up:
        assert (await dialog.ask("BYE")).status == 200
    client.transport.close()
    return answer.headers.get("contact") or ""


def by_itself(call: Callable[[], object]) -> str:
    """What a phone system is told whose call breaks off."""
    try:
        call()
    except CallNotPlaced as error:
        return str(error)
    return ""


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_calls_at_doors_when_their_node_is_killed(start_cluster: Callable[..., Watched], sockets: ExitStack) -> None:
    watched = start_cluster(
        2,
        EARWITNESS_SIPREC="0.0.0.0:0",
        EARWITNESS_SIPREC_MEDIA="42000-49999",
        EARWITNESS_AUDIOSOCKET="127.0.0.1:0",
    )
    cluster = watched.cluster
    at_all = [ClusterApplication(cluster, f"node-{node.port}", node=node) for node in cluster.nodes]
    connector = connected(at_all[0], AtNode(sockets, cluster.nodes[0]))
    genesys_url = door_url(cluster.url, connector, "genesys")
    conversation = str(uuid.uuid4())
    lost = Genesys(sockets, genesys_url, conversation)
    (doomed,) = [node for node in cluster.nodes if cluster.balancer.open[node.port]]
    (living,) = [node for node in cluster.nodes if node is not doomed]
    app, there, other = at_all[cluster.nodes.index(living)], AtNode(sockets, doomed), AtNode(sockets, living)
    with pytest.raises(InvalidStatus) as refused:  # the balancer passes it to the other node, which has the nonces too
        sockets.enter_context(dial(genesys_url, lost.headers))
    assert refused.value.response.status_code == 403
    lost.speak()
    contact = asyncio.run(recorded(there.port_of("siprec"), connector, hangs_up=False))
    assert f"@127.0.0.1:{there.port_of('siprec')}>" in contact
    announced = other.asked("POST", f"calls?connectorId={connector}")["callId"]
    places = (
        f"audiosocket://127.0.0.1:{there.port_of('audiosocket')}/{announced}",
        door_url(doomed.url, connector, "twilio"),
    )
    with ThreadPoolExecutor() as lines:
        told = [lines.submit(by_itself, lambda to=to: place_call([first_call("kal")], to=to)) for to in places]
        until(lambda: len(other.calls()) == 4)
        begun = {door: call for door, (call,) in other.calls().items()}
        legs = [leg["streamArn"] for call in begun.values() for leg in call["legs"]]
        task = app.voice.start_speaker_search_task(
            VoiceConnectorId=connector,
            TransactionId=begun["twilio"]["transactionId"],
            VoiceProfileDomainId=app.domain("callers").rpartition("/")[2],
        )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
        until(lambda: all(kept_seconds(app, arn) >= 2 for arn in legs))
        assert {call["status"] for call in begun.values()} == {"InProgress"}
        doomed.kill()
        killed_at = time.monotonic()

        # Genesys goes on at once, long before anybody knows that the node is dead.
        again = Genesys(sockets, genesys_url, conversation, former=lost)
        again.speak()
        # So does a session border controller, at its second recorder.
        contact = asyncio.run(recorded(other.port_of("siprec"), connector, hangs_up=True))
        assert f"@127.0.0.1:{other.port_of('siprec')}>" in contact

        until(lambda: all(call["status"] == "Failed" for call, *_ in other.calls().values()), seconds=ENDED_SECONDS_MAX)
        print(f"calls of the dead node ended after {time.monotonic() - killed_at:.1f} s")  # noqa: T201
        assert all(each.result() for each in told)
    reasons = {door: call["reason"] for door, (call, *_) in other.calls().items()}
    assert reasons.pop("genesys") == "its phone system lost it, and goes on with it over another connection"
    assert set(reasons.values()) == {"the service ended while the call was in progress"}
    again.connection.send(again.client.close())
    again.hears("closed")
    continued = {door: call for door, (_, *more) in other.calls().items() for call in more}
    assert {door: call["callId"] == begun[door]["callId"] for door, call in continued.items()} == {
        "genesys": True,
        "siprec": False,
    }
    until(lambda: [other.calls()[door][1]["status"] for door in ("genesys", "siprec")] == ["Ended"] * 2)

    def failed_legs() -> set[str]:
        details = [event["detail"] for event in app.events() if event["detail"].get("streamingStatus") == "FAILED"]
        return {detail["streamArn"] for detail in details}

    until(lambda: failed_legs() == set(legs))
    names = {"VoiceConnectorId": connector, "SpeakerSearchTaskId": task}
    until(
        lambda: (
            app.voice.get_speaker_search_task(**names)["SpeakerSearchTask"]["SpeakerSearchTaskStatus"]
            not in ("IN_QUEUE", "IN_PROGRESS")
        )
    )
    doomed.start()  # with its disk
    heard = [leg["streamArn"] for call in continued.values() for leg in call["legs"]]
    assert [arn for arn in legs if kept_seconds(app, arn) < 2] == []
    assert [arn for arn in heard if kept_seconds(app, arn) < 1] == []
    assert watched.broken() == []

    # A node that stops in order tells Genesys to connect again.
    conversation = str(uuid.uuid4())
    told_to_move = Genesys(sockets, door_url(doomed.url, connector, "genesys"), conversation)
    told_to_move.speak()
    doomed.signal(signal.SIGTERM)
    told_to_move.hears("reconnect")
    moved = Genesys(sockets, door_url(living.url, connector, "genesys"), conversation, former=told_to_move)
    moved.speak()
    moved.connection.send(moved.client.close())
    moved.hears("closed")
    until(lambda: [call["status"] for call in other.calls()["genesys"]] == ["Failed", "Ended"] * 2)
    for each in at_all:
        each.close()
