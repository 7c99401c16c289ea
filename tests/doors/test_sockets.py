"""Calls over WebSockets, from a client's dial to fragments in the media log; over real sockets."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamdouble.api
from door_world import eventually, fragments_of, samples_of, tags_of
from socket_world import (
    CONNECTOR,
    SECRET,
    TWILIO_STOP,
    World,
    send_all,
    served,
    tone,
    twilio_media,
    twilio_start,
)
from streamdouble.session import SessionConfig
from test_audiohook import CONVERSATION, ORGANIZATION, SESSION, STEREO, open_parameters
from test_raw_audio import JAMBONZ, JSON_START, TEXT_START
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from earwitness.doors.desk import CONTINUED
from earwitness.doors.events import CallEnded
from earwitness.doors.socket_handshake import Asked, Outside
from earwitness.doors.sockets import SocketClock
from earwitness.errors import LimitExceeded, StoreUnavailable
from earwitness.voice.connector import DoorSecret
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio

TOKEN_AUTH = "12345"  # noqa: S105
ENCRYPTED = {"x-forwarded-proto": "https"}
BEHIND_PROXY = Outside(public_url="https://calls.example.com", trusted_proxies=(ip_network("127.0.0.0/8"),))


async def audio(world: World, leg: str, *, rate: int = 8_000, transaction: str = "transaction-1") -> Any:
    """All samples of a leg of a call that has ended."""
    return samples_of(await fragments_of(world.audio(leg, transaction)), rate=rate)


async def ended(world: World, count: int = 1) -> None:
    await eventually(lambda: len(world.desk.ended) >= count)


async def closed(client: Any) -> tuple[int, str]:
    """Why the server closed it."""
    with pytest.raises(ConnectionClosed) as told:
        while True:
            await asyncio.wait_for(client.recv(), PATIENCE_SECONDS)
    assert told.value.rcvd is not None
    return told.value.rcvd.code, told.value.rcvd.reason


async def refused(dial: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as told:
        await dial
    return told.value.response.status_code, bytes(told.value.response.body or b"").decode().strip()


async def test_both_legs_of_a_twilio_call_are_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        async with world.dial("twilio") as client:
            await send_all(client, twilio_start(token=SECRET, queue="7"))
            for chunk in range(1, 126):
                await client.send(twilio_media(bytes([chunk]) * 160, chunk=chunk, track="inbound"))
                await client.send(twilio_media(bytes([255 - chunk]) * 160, chunk=chunk, track="outbound"))
            await client.send(TWILIO_STOP)
            assert await closed(client) == (1000, "")
        await ended(world)
        (call, door) = world.desk.started[0]
        assert (door, call.call_id) == ("twilio", "CA1")
        for leg in ("inbound", "outbound"):
            fragments = await fragments_of(world.audio(leg))
            assert tags_of(fragments[0])["CallId"] == "CA1"
            kept = samples_of(fragments)
            assert len(kept) == 125 * 160
            assert len(set(kept[::160].tolist())) > 100  # each chunk in its place
        assert not world.desk.ended["transaction-1"].failed
        assert not world.doors.calls
        await eventually(lambda: not world.doors._places._held)


async def test_a_simulator_that_is_not_ours(tmp_path: Path) -> None:
    """streamdouble reads a recording and sends it as Twilio would, in real time."""
    import wave

    recording = tmp_path / "hello.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(tone(8_000))
    settings = SessionConfig(custom_parameters={"token": SECRET}, fork=True)
    async with served(tmp_path) as world:
        await streamdouble.api.call(world.url("twilio"), audio_path=recording, config=settings)
        await ended(world)
        kept = await audio(world, "inbound")
        assert len(kept) >= 8_000
        spectrum = np.abs(np.fft.rfft(kept[:8_000]))
        assert int(np.argmax(spectrum)) == 440


def twilio_signature(url: str) -> dict[str, str]:
    signature = hmac.new(TOKEN_AUTH.encode(), url.encode(), hashlib.sha1).digest()
    return {"X-Twilio-Signature": base64.b64encode(signature).decode()}


async def test_a_signed_stream_needs_no_token(tmp_path: Path) -> None:
    async with served(tmp_path, outside=BEHIND_PROXY) as world:
        world.know({DoorSecret.TWILIO_AUTH_TOKEN: TOKEN_AUTH, DoorSecret.TWILIO_ACCOUNT_SID: "AC1"})
        url = f"wss://calls.example.com/doors/{CONNECTOR}/twilio"
        async with world.dial("twilio", headers={**ENCRYPTED, **twilio_signature(url)}) as client:
            await send_all(client, [*twilio_start(), twilio_media(b"\xff" * 160, chunk=1), TWILIO_STOP])
            assert await closed(client) == (1000, "")
        await ended(world)
        wrong = {**ENCRYPTED, **twilio_signature(url + "x")}
        assert await refused(world.dial("twilio", headers=wrong)) == (403, "what it proves itself with is wrong")
        assert (await refused(world.dial("twilio", headers=ENCRYPTED)))[1] == "it proves itself with nothing"
        plain = Outside(trusted_proxies=BEHIND_PROXY.trusted_proxies)
        world.doors._outside = plain
        url = f"ws://127.0.0.1:{world.port}/doors/{CONNECTOR}/twilio"
        assert (await refused(world.dial("twilio", headers=twilio_signature(url))))[1].startswith("it came unencr")
        world.doors._outside = BEHIND_PROXY
        world.know({DoorSecret.TWILIO_AUTH_TOKEN: TOKEN_AUTH, DoorSecret.TWILIO_ACCOUNT_SID: "AC2"})
        url = f"wss://calls.example.com/doors/{CONNECTOR}/twilio"
        async with world.dial("twilio", headers={**ENCRYPTED, **twilio_signature(url)}) as client:
            await send_all(client, twilio_start(call="CA9"))
            assert await closed(client) == (1008, "the stream is of another account")
        assert len(world.desk.started) == 1


async def test_a_proxy_that_says_it_was_not_encrypted_is_believed(tmp_path: Path) -> None:
    async with served(tmp_path, outside=BEHIND_PROXY) as world:
        async with world.dial("twilio", SECRET):  # public_url says that it is
            pass
        told = await refused(world.dial("twilio", SECRET, headers={"x-forwarded-proto": "http"}))
        assert told == (403, "it came unencrypted; dial wss://")


@pytest.mark.parametrize("host", ["app.example/hook?x=", "app.example/hook#", "user@app.example", "app.example\\"])
def test_a_signature_of_another_url_does_not_fit_by_a_crafted_host(host: str) -> None:
    path = "/doors/c/twilio"
    asked = Asked(path=path, target=path, headers={"host": host}, client="9.9.9.9", is_encrypted=True)
    assert not any(host in url for url in Outside().dialled(asked).urls)
    whole = Asked(path=path, target=path, headers={"host": "[::1]:4500"}, client="9.9.9.9", is_encrypted=True)
    assert Outside().dialled(whole).urls == ("wss://[::1]:4500/doors/c/twilio",)


async def test_a_stereo_fork_of_jambonz(tmp_path: Path) -> None:
    password = base64.b64encode(b"user:password").decode()
    async with served(tmp_path) as world:
        world.know({DoorSecret.BASIC: "user:password"})
        headers = {"Authorization": f"Basic {password}"}
        async with world.dial("jambonz", headers=headers, subprotocols=["audio.jambonz.org"]) as client:
            assert client.subprotocol == "audio.jambonz.org"
            await client.send(json.dumps(JAMBONZ))
            left, right = tone(16_000, rate=16_000, hertz=300), tone(16_000, rate=16_000, hertz=700)
            both = np.stack([np.frombuffer(left, "<i2"), np.frombuffer(right, "<i2")], axis=1).tobytes()
            await send_all(client, [both[place : place + 1_281] for place in range(0, len(both), 1_281)])
        await ended(world)
        for leg, sent in (("left", left), ("right", right)):
            kept = np.rint(await audio(world, leg, rate=16_000) * 32_768).astype("<i2").tobytes()
            assert kept == sent
        assert not world.desk.ended["transaction-1"].failed


async def test_a_channel_of_asterisk(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        async with world.dial("asterisk", SECRET, subprotocols=["media"]) as client:
            assert client.subprotocol == "media"
            await send_all(client, [TEXT_START])
            await send_all(client, [bytes([number]) * 160 for number in range(100)])
        await ended(world)
        assert len(await audio(world, "caller")) == 16_000
        without = JSON_START.replace('"token": "t", ', "")
        async with world.dial("asterisk", query=f"token={SECRET}") as client:
            await send_all(client, [without])
            await send_all(client, [tone(16_000, rate=16_000)])
        await ended(world, 2)
        assert len(await audio(world, "caller", rate=16_000, transaction="transaction-2")) == 16_000


@pytest.mark.parametrize(
    ("kind", "first", "answers"),
    [
        ("freeswitch-fork", {"callId": "u", "sampleRate": 8000}, 0),
        ("freeswitch-stream", {"callId": "u", "sampleRate": 8000}, 0),
        ("vonage", {"event": "websocket:connected", "content-type": "audio/l16;rate=8000", "callId": "u"}, 0),
        ("sinch", {"command": "connect", "callId": "u", "codec": "PCM", "sampleRate": 8000}, 1),
    ],
)
async def test_the_other_raw_ones(tmp_path: Path, kind: str, first: dict[str, Any], answers: int) -> None:
    async with served(tmp_path) as world:
        async with world.dial(kind, SECRET) as client:
            await client.send(json.dumps(first))
            for _ in range(answers):
                assert json.loads(await client.recv()) == {"command": "answer"}
            await send_all(client, [tone(160, first=place) for place in range(0, 16_000, 160)])
        await ended(world)
        kept = np.rint(await audio(world, "audio") * 32_768).astype("<i2").tobytes()
        assert kept == b"".join(tone(160, first=place) for place in range(0, 16_000, 160))
        assert world.desk.started[0][0].call_id == "u"


def genesys_headers(world: World, *, nonce: str = "VGhpc0lzQVVuaXF1ZU5vbmNl", age: int = 0) -> dict[str, str]:
    """Sign as Genesys does (RFC 9421), written down apart from what checks it."""
    named = {
        "audiohook-organization-id": ORGANIZATION,
        "audiohook-session-id": SESSION,
        "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
        "x-api-key": "the-key",
    }
    covered = ["@request-target", "@authority", *named]
    values = {"@request-target": f"/doors/{CONNECTOR}/genesys", "@authority": f"127.0.0.1:{world.port}", **named}
    quoted = " ".join(f'"{name}"' for name in covered)
    created = int(time.time()) - age
    parameters = f'({quoted});keyid="the-key";nonce="{nonce}";alg="hmac-sha256";created={created}'
    lines = [f'"{name}": {values[name]}' for name in covered] + [f'"@signature-params": {parameters}']
    signature = hmac.new(b"client secret", "\n".join(lines).encode(), hashlib.sha256).digest()
    return {
        **named,
        "Signature-Input": f"sig1={parameters}",
        "Signature": f"sig1=:{base64.b64encode(signature).decode()}:",
    }


def audiohook(kind: str, seq: int, parameters: Any = None, serverseq: int = 0) -> str:
    return json.dumps(
        {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": seq,
            "serverseq": serverseq,
            "position": "PT0S",
            "parameters": parameters or {},
        }
    )


async def test_a_session_of_genesys(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        world.know(
            {
                DoorSecret.AUDIOHOOK_API_KEY: "the-key",
                DoorSecret.AUDIOHOOK_CLIENT_SECRET: base64.b64encode(b"client secret").decode(),
            }
        )
        headers = genesys_headers(world)
        async with world.dial("genesys", headers=headers) as client:
            await client.send(audiohook("open", 1, open_parameters()))
            opened = json.loads(await client.recv())
            assert (opened["type"], opened["parameters"]["media"]) == ("opened", [STEREO])
            await send_all(client, [bytes([number, 255 - number]) * 800 for number in range(20)])
            await client.send(audiohook("ping", 2, serverseq=1))
            assert json.loads(await client.recv())["type"] == "pong"
            await client.send(audiohook("close", 3, {"reason": "end"}, serverseq=2))
            assert json.loads(await client.recv())["type"] == "closed"
        await ended(world)
        assert world.desk.started[0][0].call_id == CONVERSATION
        assert len(await audio(world, "external")) == len(await audio(world, "internal")) == 16_000
        assert await refused(world.dial("genesys", headers=headers)) == (403, "its signature was used before")
        old = genesys_headers(world, nonce="another-nonce-of-22-letters", age=60)
        assert (await refused(world.dial("genesys", headers=old)))[0] == 403
        assert (await refused(world.dial("genesys")))[1] == "it proves itself with nothing"
        # A probe makes no call.
        async with world.dial("genesys", headers=genesys_headers(world, nonce="a-third-nonce-of-22-letters")) as client:
            probe = {**open_parameters(), "conversationId": "00000000-0000-0000-0000-000000000000"}
            await send_all(client, [audiohook("open", 1, probe), audiohook("close", 2, {"reason": "end"}, serverseq=1)])
            assert [json.loads(await client.recv())["type"] for _ in range(2)] == ["opened", "closed"]
        assert len(world.desk.started) == 1


async def test_a_session_of_genesys_that_goes_on_over_another_connection(tmp_path: Path) -> None:
    """The first one is here still: a network that swallows packets tells nobody."""
    async with served(tmp_path) as world:
        secret = base64.b64encode(b"client secret").decode()
        world.know({DoorSecret.AUDIOHOOK_API_KEY: "the-key", DoorSecret.AUDIOHOOK_CLIENT_SECRET: secret})
        async with world.dial("genesys", headers=genesys_headers(world)) as lost:
            await lost.send(audiohook("open", 1, open_parameters()))
            await lost.recv()
            await lost.send(b"\1\2" * 8_000)
            await eventually(lambda: world.desk.heard_of)
            other = genesys_headers(world, nonce="another-nonce-of-22-letters")
            async with world.dial("genesys", headers=other) as client:
                await client.send(audiohook("open", 1, open_parameters()))
                assert await closed(client) == (1008, "a call of this id is in progress")
            other = genesys_headers(world, nonce="a-third-nonce-of-22-letters")
            async with world.dial("genesys", headers=other) as client:
                former = [{"id": SESSION, "serverseq": 1, "clientseq": 1}]
                await client.send(audiohook("open", 1, {**open_parameters(), "continuedSessions": former}))
                assert json.loads(await client.recv())["type"] == "opened"
                assert await closed(lost) == (1008, CONTINUED)
                await client.send(b"\3\4" * 800)
                await client.send(audiohook("close", 2, {"reason": "end"}, serverseq=1))
                assert json.loads(await client.recv())["type"] == "closed"
        await ended(world, 2)
        assert world.desk.ended["transaction-1"] == CallEnded(CONTINUED, failed=True)
        assert not world.desk.ended["transaction-2"].failed
        assert len(await audio(world, "external")) >= 8_000
        assert len(await audio(world, "external", transaction="transaction-2")) == 800


async def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    import ssl

    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with served(tmp_path, certificate=certificate) as world:
        async with world.dial("telnyx", SECRET, ssl=trusting) as client:
            await send_all(client, [*twilio_start(), twilio_media(b"\xff" * 160, chunk=1), TWILIO_STOP])
            assert await closed(client) == (1000, "")
        await ended(world)


async def test_who_is_refused_and_why(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        assert await refused(world.dial("twilio", "wrong")) == (403, "what it proves itself with is wrong")
        assert await refused(world.dial("jambonz")) == (403, "it proves itself with nothing")
        assert await refused(world.dial("walkie-talkie", SECRET)) == (404, "there is no such door")
        world.desk.known.clear()
        assert await refused(world.dial("twilio", SECRET)) == (404, "there is no such door")
        world.know({})
        async with world.dial("jambonz"):  # from this machine, with nothing to prove it by
            pass
        assert (await refused(world.dial("jambonz", headers={"X-Forwarded-For": "9.9.9.9"})))[0] == 403
        assert (await refused(world.dial("jambonz", headers={"X-Forwarded-Proto": "https"})))[0] == 403
        assert (await refused(world.dial("twilio", headers={"Via": "1.1 proxy"})))[1].startswith("it came unencrypted")
        world.know({}, allowed_networks=("127.0.0.0/8",))
        async with world.dial("jambonz", headers={"Origin": "http://localhost:8080"}):
            pass
        async with world.dial("jambonz", headers={"Origin": f"http://127.0.0.1:{world.port}"}):
            pass
        page = await refused(world.dial("jambonz", headers={"Origin": "https://a-page-in-a-browser.example"}))
        assert page == (403, "it comes from a page in a browser; give its connector a secret")
        assert (await refused(world.dial("jambonz", headers={"X-Forwarded-For": "9.9.9.9"})))[0] == 403
        world.know({})
        assert (await refused(world.dial("jambonz", headers={"Origin": "https://page.example"})))[0] == 403
        many = "&".join(f"a{number}=b" for number in range(60))
        async with world.dial("jambonz", query=many):
            pass
        world.know({DoorSecret.TOKEN: SECRET}, disabled=True)
        assert await refused(world.dial("jambonz", SECRET)) == (403, "the connector is disabled")
        assert await refused(world.dial("jambonz", "wrong")) == (403, "what it proves itself with is wrong")
        world.doors.is_draining = True
        assert (await refused(world.dial("jambonz", SECRET)))[0] == 503
        assert world.doors.refused["there is no such door"] == 2
        assert not world.desk.started
        assert SECRET not in str(world.doors.refused)


async def test_guesses_are_held_back(tmp_path: Path) -> None:
    held: list[float] = []

    async with served(tmp_path, free_failures=2) as world:
        wrong = world.doors._wrong_credentials

        async def hold_back(_address: str, seconds: float) -> bool:
            held.append(seconds)
            return True

        wrong.hold_back = hold_back  # type: ignore[method-assign]
        for _ in range(4):
            await refused(world.dial("jambonz", "guess"))
        async with world.dial("twilio") as client:
            await send_all(client, twilio_start(token="guess"))  # noqa: S106
            assert await closed(client) == (1008, "what it proves itself with is wrong")
        assert held == [0.0, 0.0, 0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (twilio_start(), "it proves itself with nothing"),
        (twilio_start(token="wrong"), "what it proves itself with is wrong"),  # noqa: S106
        ([twilio_media(b"\0", chunk=1)], "media before the start"),
        ([b"\0\0"], "a binary message; media come as JSON here"),
        (["no JSON"], "the message is no JSON"),
    ],
)
async def test_nothing_unproved_is_kept(tmp_path: Path, messages: list[Any], reason: str) -> None:
    async with served(tmp_path) as world:
        async with world.dial("twilio") as client:
            await send_all(client, messages)
            assert await closed(client) == (1008, reason)
        assert world.doors.refused == {reason: 1}
        assert not world.desk.started


async def test_what_breaks_a_call_leaves_what_came_before(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, twilio_start())
            await send_all(client, [twilio_media(bytes([chunk]) * 160, chunk=chunk) for chunk in range(1, 101)])
            await client.send('{"event":"media","media":{"payload":"%%%"}}')
            assert await closed(client) == (1008, "a payload that is no base64")
        await ended(world)
        assert world.desk.ended["transaction-1"].failed
        assert len(await audio(world, "inbound")) == 16_000


@pytest.mark.parametrize("connector", ["%00", "a%20b", "x" * 65, "%F0%9F%98%80"])
async def test_the_records_are_asked_for_names_of_connectors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connector: str
) -> None:
    async with served(tmp_path) as world:
        monkeypatch.setattr(type(world.desk), "access", lambda *_: pytest.fail("they were asked"))
        url = world.url("twilio").replace(CONNECTOR, connector)
        assert await refused(connect(url, proxy=None)) == (404, "there is no such door")


async def test_names_that_no_database_takes_are_made_plain(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, [*twilio_start(call="CA\0\n1", From="+1\0"), TWILIO_STOP])
            assert await closed(client) == (1000, "")
        started = world.desk.started[0][0]
        assert (started.call_id, started.from_number) == ("CA??1", "+1?")


async def test_two_calls_of_one_id(tmp_path: Path) -> None:
    async with served(tmp_path) as world, world.dial("twilio", SECRET) as first:
        await send_all(first, [*twilio_start(), twilio_media(b"\1" * 160, chunk=1)])
        await eventually(lambda: world.doors.calls)
        async with world.dial("twilio", SECRET) as second:
            await send_all(second, twilio_start())
            assert await closed(second) == (1008, "a call of this id is in progress")
        await send_all(first, [twilio_media(b"\2" * 160, chunk=2), TWILIO_STOP])
        assert await closed(first) == (1000, "")
        await ended(world)
        assert len(await audio(world, "inbound")) == 320


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (LimitExceeded("there are too many calls"), 1013),
        (StoreUnavailable("the records are away"), 1013),
    ],
)
async def test_a_call_that_cannot_be_kept(tmp_path: Path, failure: Exception, code: int) -> None:
    async with served(tmp_path) as world:
        world.desk.failures.append(failure)
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, twilio_start())
            assert (await closed(client))[0] == code
        assert not world.desk.begun


async def test_a_call_that_failed_by_an_error_of_ours_is_hung_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    async with served(tmp_path) as world:
        monkeypatch.setattr(world.desk, "heard", fail)
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, [*twilio_start(), twilio_media(b"\1" * 16_000, chunk=1)])
            await ended(world)
            with suppress(ConnectionClosed):
                await send_all(client, [twilio_media(b"\1" * 160, chunk=101)])
            assert (await closed(client))[0] == 1011
        assert world.desk.ended == {"transaction-1": CallEnded("an error of ours", failed=True)}


async def test_a_lost_connection_is_a_call_that_failed(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        client = await world.dial("twilio", SECRET)
        await send_all(client, [*twilio_start(), twilio_media(b"\1" * 160, chunk=1)])
        await eventually(lambda: world.doors.calls)
        client.transport.abort()
        await ended(world)
        assert world.desk.ended["transaction-1"].failed
        assert len(await audio(world, "inbound")) == 160


async def test_a_stop_of_the_service_ends_calls_with_their_fragments(tmp_path: Path) -> None:
    async with served(tmp_path) as world, AsyncExitStack() as opened:
        client = await opened.enter_async_context(world.dial("asterisk", SECRET))
        await send_all(client, [TEXT_START])
        await send_all(client, [b"\1" * 160] * 20)
        await eventually(lambda: world.doors.calls)
        world.server.should_exit = True
        assert await client.recv() == "HANGUP"
        assert (await closed(client))[0] == 1012
        await ended(world)
        assert len(await audio(world, "caller")) == 3_200


async def test_too_many_sockets_are_told_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path, sockets_max=1) as world, world.dial("asterisk", SECRET) as first:
        await send_all(first, [TEXT_START])
        await eventually(lambda: world.doors.calls)
        with pytest.raises(InvalidStatus) as told:
            await world.dial("asterisk", SECRET)
        assert (told.value.response.status_code, told.value.response.headers["retry-after"]) == (503, "5")


async def test_who_has_not_proved_itself_takes_no_place_of_an_account(tmp_path: Path) -> None:
    async with served(tmp_path, sockets_max=1) as world, world.dial("twilio") as stranger:
        async with world.dial("asterisk", SECRET) as first:
            await send_all(first, [TEXT_START])
            await eventually(lambda: world.doors.calls)
            await send_all(stranger, twilio_start(token=SECRET))
            assert (await closed(stranger))[0] == 1013
        await ended(world)
        async with world.dial("twilio") as proved:
            await send_all(proved, [*twilio_start(token=SECRET), TWILIO_STOP])
            assert await closed(proved) == (1000, "")
        await ended(world, 2)


async def test_sockets_that_prove_nothing_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.doors.sockets.UNPROVED_MAX", 2)
    async with served(tmp_path) as world, world.dial("twilio"):
        assert (await refused(world.dial("twilio")))[0] == 503
        async with world.dial("twilio", SECRET):
            pass


async def test_a_start_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.doors.sockets.START_SECONDS_MAX", 0.05)
    async with served(tmp_path) as world, world.dial("asterisk", SECRET) as client:
        assert await closed(client) == (1008, "no call began in time")


async def test_a_caller_who_hangs_up_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, [*twilio_start(), TWILIO_STOP])
        await ended(world)
        async with world.dial("twilio", SECRET) as client:
            await send_all(client, [*twilio_start(), TWILIO_STOP, TWILIO_STOP, twilio_media(b"\1" * 160, chunk=1)])
        await ended(world, 2)
        assert not world.doors.refused


async def test_a_signature_opens_a_door_once(tmp_path: Path) -> None:
    now = [time.time()]
    async with served(tmp_path, clock=SocketClock(wall=lambda: now[0])) as world:
        world.know(
            {
                DoorSecret.AUDIOHOOK_API_KEY: "the-key",
                DoorSecret.AUDIOHOOK_CLIENT_SECRET: base64.b64encode(b"client secret").decode(),
            }
        )
        headers = genesys_headers(world)
        async with world.dial("genesys", headers=headers):
            pass
        now[0] += 3
        assert (await refused(world.dial("genesys", headers=headers)))[1] == "its signature was used before"
        now[0] += 3600
        assert (await refused(world.dial("genesys", headers=headers)))[1] == "what it proves itself with is wrong"
