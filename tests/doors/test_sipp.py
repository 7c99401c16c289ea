"""SIPREC judged by others: sipp (Debian's sip-tester) calls over UDP and TCP, FFmpeg sends both parties' media."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door_world import START, LogDesk, access, eventually, fragments_of, log_desk, samples_of
from siprec_examples import CONNECTOR, ExampleCall, TcpClient, description, document, multipart, rtp

import started
from earwitness.doors.siprec.listener import SiprecDoor
from earwitness.doors.siprec.settings import SiprecListening
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: the service runs on uvloop."""
    return "asyncio", {"use_uvloop": request.param}


needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="there is no sipp; Debian's sip-tester has it")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")

_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:+15550001@example.com>;tag=[pid]SIPpTag00[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {sequence} {method}
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>;+sip.src
Max-Forwards: 70
"""


def message(method: str, *, sequence: int = 1, body: tuple[str, str] | None = None, more: str = "") -> str:
    tag = "" if method == "INVITE" and sequence == 1 else "[peer_tag_param]"
    head = f"{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n"
    head += _HEADERS.format(tag=tag, sequence=sequence, method=method) + more
    if body is None:
        text = head + "Content-Length: 0\n"
    else:
        text = head + f"Content-Type: {body[0]}\nContent-Length: [len]\n\n" + body[1].replace("\r\n", "\n")
    return f"<send{' retrans=' + chr(34) + '500' + chr(34) if method != 'ACK' else ''}><![CDATA[\n{text}\n]]></send>"


def scenario(*steps: str) -> str:
    return '<?xml version="1.0"?><scenario name="recording client">' + "\n".join(steps) + "</scenario>"


TRYING = '<recv response="100" optional="true"/>'
OK = '<recv response="200"/>'
INVITE = message("INVITE", body=multipart(description(), document()), more="Require: siprec\n")
ANSWERED = (INVITE, TRYING, OK, message("ACK"))
LET_BE_ENDED = scenario(
    *ANSWERED,
    '<recv request="BYE"/>',
    "<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
    "Content-Length: 0\n\n]]></send>",
)
HOLD_AND_HANG_UP = scenario(
    *ANSWERED,
    message("INVITE", sequence=2, body=multipart(description(direction="inactive"), None)),
    TRYING,
    OK,
    message("ACK", sequence=2),
    message("UPDATE", sequence=3, body=multipart(None, document((("2", "sip:agent9@example.com"),), mode="partial"))),
    OK,
    message("OPTIONS", sequence=4),
    OK,
    message("BYE", sequence=5),
    OK,
)


@asynccontextmanager
async def door_of(folder: Path, **changes: Any) -> AsyncIterator[tuple[SiprecDoor, LogDesk]]:
    """A door by the real clock."""
    given: dict[str, Any] = {
        "plain": ("127.0.0.1", 0),
        "tls": None,
        "tls_context": None,
        "media_address": "",
        "media_ports": (42_000, 49_999),
        "calls_max": 100,
    }
    async with log_desk(folder, lambda: START) as desk:
        desk.known[CONNECTOR] = access()
        door = SiprecDoor(desk, SiprecListening(**{**given, **changes}))
        await door.open()
        try:
            yield door, desk
        finally:
            await door.close()


async def ended(process: "subprocess.Popen[Any]") -> int:
    await eventually(lambda: process.poll() is not None)
    return process.returncode


def sipp(folder: Path, door: SiprecDoor, text: str, *options: str, calls: int = 1) -> "subprocess.Popen[Any]":
    file = folder / "scenario.xml"
    file.write_text(text, encoding="utf-8")
    _, host, port = door.addresses[0]
    command = ["sipp", f"{host}:{port}", "-sf", file, "-s", CONNECTOR, "-i", "127.0.0.1", "-nostdin"]
    return started.start(
        [
            *command,
            "-m",
            str(calls),
            "-timeout",
            str(int(PATIENCE_SECONDS)),
            "-trace_err",
            "-error_file",
            folder / "errors",
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )


def said(folder: Path) -> str:
    errors = folder / "errors"
    return errors.read_text(encoding="utf-8") if errors.exists() else ""


def tone(hertz: int, port: int, *, options: tuple[str, ...] = (), kind: str = "rtp") -> "subprocess.Popen[Any]":
    """Three seconds of a tone, sent at its own pace."""
    source = f"sine=frequency={hertz}:sample_rate=8000:duration=3"
    command = ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", source, "-c:a", "pcm_mulaw", "-f", "rtp"]
    return started.start([*command, *options, f"{kind}://127.0.0.1:{port}?pkt_size=172"], stdout=subprocess.DEVNULL)


def loudest_hertz(samples: np.ndarray) -> int:
    return int(np.argmax(np.abs(np.fft.rfft(samples))) * 8_000 / len(samples) + 0.5)


async def check_both_legs(desk: LogDesk) -> None:
    kept = desk.begun["transaction-1"]
    for label, hertz in (("1", 400), ("2", 1_000)):
        samples = samples_of(await fragments_of(kept.streams[label]))
        places = np.flatnonzero(samples)
        tone_of_leg = samples[places[0] : places[-1] + 1]
        assert abs(len(tone_of_leg) - 3 * 8_000) <= 0.02 * 8_000
        assert abs(loudest_hertz(tone_of_leg) - hertz) <= 1


@needs_sipp
@needs_ffmpeg
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_calls_and_ffmpeg_speaks(tmp_path: Path, transport: str) -> None:
    async with door_of(tmp_path) as (door, desk):
        calling = sipp(tmp_path, door, LET_BE_ENDED, "-t", transport)
        await eventually(lambda: len(door.calls) == 1 or calling.poll() is not None)
        assert calling.poll() is None, said(tmp_path)
        session = next(iter(door._sessions.values()))
        speaking = [tone(hertz, session.ports[index].number) for index, hertz in ((0, 400), (1, 1_000))]
        for each in speaking:
            assert await ended(each) == 0
        await door.close()
        assert await ended(calling) == 0, said(tmp_path)
        await check_both_legs(desk)
    (call, _), *_ = desk.started
    assert {leg.label: leg.is_caller for leg in call.legs} == {"1": True, "2": False}


@needs_sipp
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_holds_transfers_and_hangs_up(tmp_path: Path, transport: str) -> None:
    async with door_of(tmp_path) as (door, desk):
        assert await ended(sipp(tmp_path, door, HOLD_AND_HANG_UP, "-t", transport)) == 0, said(tmp_path)
        await eventually(lambda: desk.ended)
    assert desk.updated[0].to_number == "agent9"
    assert not desk.ended["transaction-1"].failed
    assert not door.refused


@needs_sipp
@pytest.mark.parametrize("transport", ["u1", "tn"])
async def test_many_calls_of_sipp_at_once(tmp_path: Path, transport: str) -> None:
    async with door_of(tmp_path) as (door, desk):
        command = sipp(tmp_path, door, HOLD_AND_HANG_UP, "-t", transport, "-r", "20", "-max_socket", "200", calls=60)
        assert await ended(command) == 0, said(tmp_path)
        await eventually(lambda: not door.calls and not door._tasks)
        assert len(desk.started) == 60


@needs_ffmpeg
async def test_encrypted_media_of_ffmpeg_over_tls(tmp_path: Path) -> None:
    pytest.importorskip("pylibsrtp")
    server, client = contexts(tmp_path)
    keys = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNk"]
    suite = "AES_CM_128_HMAC_SHA1_80"
    offer = description(profile="RTP/SAVP", crypto=tuple(f"1 {suite} inline:{key}|2^31" for key in keys))
    async with door_of(tmp_path, plain=None, tls=("127.0.0.1", 0), tls_context=lambda: server) as (door, desk):
        desk.known[CONNECTOR] = access(require_encryption=True)
        calling = await TcpClient.open(door.addresses[0][1:], context=client)
        call = ExampleCall(transport="TLS", caller="sip:+15550001@example.com")
        answer = await calling.ask(call.request("INVITE", body=multipart(offer, document())))
        assert answer.status == 200, answer
        assert answer.body.count(f"a=crypto:1 {suite} inline:") == 2
        call.to_tag = answer.to_tag
        calling.send(call.request("ACK"))
        speaking = [
            tone(hertz, port, kind="srtp", options=("-srtp_out_suite", suite, "-srtp_out_params", key))
            for hertz, port, key in zip((400, 1_000), answer.ports, keys, strict=True)
        ]
        for each in speaking:
            assert await ended(each) == 0
        await asyncio.sleep(0)
        assert (await calling.ask(call.request("BYE"))).status == 200
        await eventually(lambda: desk.ended)
        await check_both_legs(desk)
        calling.close()


async def test_media_that_cannot_be_decrypted_are_told_once_a_call(tmp_path: Path) -> None:
    pytest.importorskip("pylibsrtp")
    server, client = contexts(tmp_path)
    key = "1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk"
    offer = description(profile="RTP/SAVP", crypto=(key, key))
    async with door_of(tmp_path, plain=None, tls=("127.0.0.1", 0), tls_context=lambda: server) as (door, desk):
        desk.known[CONNECTOR] = access()
        calling = await TcpClient.open(door.addresses[0][1:], context=client)
        answer = await calling.ask(ExampleCall(transport="TLS").request("INVITE", body=multipart(offer, document())))
        assert answer.status == 200, answer
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unencrypted:
            for number in range(10):
                packet = rtp(b"\x55" * 160, sequence=number, timestamp=160 * number)
                unencrypted.sendto(packet, ("127.0.0.1", answer.ports[0]))
        await eventually(lambda: door.refused)
        assert door.refused == {"media that cannot be decrypted": 1}
        calling.close()


async def test_a_connection_does_not_make_room_by_its_own_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.doors.siprec.listener.CONNECTIONS_MAX", 2)
    server, client = contexts(tmp_path)
    async with door_of(tmp_path, plain=None, tls=("127.0.0.1", 0), tls_context=lambda: server) as (door, _):
        calling = await TcpClient.open(door.addresses[0][1:], context=client)
        assert (await calling.ask(ExampleCall(transport="TLS").request("OPTIONS"))).status == 200
        calling.close()


async def test_handshakes_that_do_not_end_hold_up_nobody(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    async with door_of(tmp_path, plain=None, tls=("127.0.0.1", 0), tls_context=lambda: server) as (door, _):
        address = door.addresses[0][1:]
        silent = [await asyncio.open_connection(*address) for _ in range(50)]
        silent[0][1].write(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
        calling = await TcpClient.open(address, context=client)
        assert (await calling.ask(ExampleCall(transport="TLS").request("OPTIONS"))).status == 200
        calling.close()
        for _, writer in silent:
            writer.close()
        await eventually(lambda: not door._connections.handshakes)
        assert door.refused["not SIP"]


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's side of TLS, with a certificate of an hour."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)
