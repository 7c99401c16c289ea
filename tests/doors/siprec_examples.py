"""What a session recording client sends, written by hand and not with the code that reads it; and who sends it."""

import asyncio
import itertools
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

from door_world import eventually

CONNECTOR = "abcdef1ghij2klmno3pqr4"
CALLER = "+15550001"
AGENT = "agent7"
_numbers = itertools.count(1)


def description(
    *,
    ports: tuple[int, ...] = (40_000, 40_002),
    labels: tuple[str, ...] = ("1", "2"),
    address: str = "127.0.0.1",
    direction: str = "sendonly",
    formats: str = "0 101",
    profile: str = "RTP/AVP",
    crypto: tuple[str, ...] = (),
) -> str:
    lines = ["v=0", f"o=src 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0"]
    for index, (port, label) in enumerate(zip(ports, labels, strict=True)):
        lines += [f"m=audio {port} {profile} {formats}", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000"]
        lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"]
        lines += [f"a=crypto:{crypto[index]}"] if crypto else []
        lines += [f"a={direction}", f"a=label:{label}"]
    return "\r\n".join(lines) + "\r\n"


def document(
    parties: tuple[tuple[str, str], ...] = (("1", f"sip:{CALLER}@example.com"), ("2", f"sip:{AGENT}@example.com")),
    *,
    mode: str = "complete",
) -> str:
    """Recording metadata in the RFC's own shape: label and address of each party."""
    text = f'<?xml version="1.0"?><recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>{mode}</datamode>'
    for label, address in parties:
        text += f'<participant participant_id="p{label}"><nameID aor="{address}"><name>x</name></nameID></participant>'
    for label, _ in parties:
        text += f'<stream stream_id="s{label}" session_id="c"><label>{label}</label></stream>'
    for label, _ in parties:
        text += f'<participantstreamassoc participant_id="p{label}"><send>s{label}</send></participantstreamassoc>'
    return text + "</recording>"


def multipart(sdp: str | None, metadata: str | None, *, kind: str = "application/rs-metadata+xml") -> tuple[str, str]:
    """Return content type and body."""
    if metadata is None:
        return "application/sdp", sdp or ""
    parts = []
    if sdp is not None:
        parts.append(f"--edge\r\nContent-Type: application/sdp\r\n\r\n{sdp}")
    parts.append(f"--edge\r\nContent-Type: {kind}\r\nContent-Disposition: recording-session\r\n\r\n{metadata}")
    return "multipart/mixed;boundary=edge", "\r\n".join(parts) + "\r\n--edge--\r\n"


def new_branch() -> str:
    return f"z9hG4bKtest{next(_numbers)}"


@dataclass(kw_only=True)
class ExampleCall:
    """One side of a dialog, as a recording client keeps it."""

    call_id: str = field(default_factory=lambda: f"call-{next(_numbers)}")
    from_tag: str = field(default_factory=lambda: f"from{next(_numbers)}")
    to_tag: str = ""
    connector: str = CONNECTOR
    transport: str = "UDP"
    host: str = "127.0.0.1"
    port: int = 5060
    sequence: int = 0
    contact: str = "<sip:src@127.0.0.1:5060>;+sip.src"
    require: str = "Require: siprec\r\n"
    caller: str = "sip:sbc@example.com"

    def request(self, method: str, *, body: tuple[str, str] | None = None, more: str = "", **changes: Any) -> bytes:
        """`changes`: branch, sequence."""
        if method not in ("ACK", "CANCEL") and "sequence" not in changes:
            self.sequence += 1
        sequence = changes.get("sequence", self.sequence)
        kind, content = body or ("", "")
        tag = f";tag={self.to_tag}" if self.to_tag else ""
        branch, require = changes.get("branch") or new_branch(), self.require if method == "INVITE" else ""
        head = (
            f"{method} sip:{self.connector}@{self.host} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport} {self.host}:{self.port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <{self.caller}>;tag={self.from_tag}\r\n"
            f"To: <sip:{self.connector}@{self.host}>{tag}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {sequence} {method}\r\nContact: {self.contact}\r\n{require}{more}"
        )
        if kind:
            head += f"Content-Type: {kind}\r\n"
        return f"{head}Content-Length: {len(content.encode())}\r\n\r\n{content}".encode()


@dataclass(frozen=True)
class Answer:
    """An answer or a request, taken apart without our own reader."""

    start: str
    headers: dict[str, str]
    body: str

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def to_tag(self) -> str:
        return self.headers["to"].rpartition(";tag=")[2]

    @property
    def ports(self) -> list[int]:
        return [int(line.split()[1]) for line in self.body.split("\r\n") if line.startswith("m=")]


def read_answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(start, headers, body.decode())


class UdpClient(asyncio.DatagramProtocol):
    """Sends and keeps what comes."""

    def __init__(self) -> None:
        self.came: list[Answer] = []

    @classmethod
    async def open(cls, server: tuple[str, int], *, local: str = "127.0.0.1") -> "UdpClient":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_datagram_endpoint(cls, local_addr=(local, 0), remote_addr=server)
        return client

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002  # as asyncio calls it
        self.came.append(read_answer(data))

    def send(self, data: bytes) -> None:
        self.transport.sendto(data)

    async def ask(self, data: bytes) -> Answer:
        """Send and wait for the next final answer."""
        before = len(self.finals)
        self.send(data)
        await eventually(lambda: len(self.finals) > before)
        return self.finals[before]

    @property
    def finals(self) -> list[Answer]:
        return [each for each in self.came if each.status >= 200]

    @property
    def requests(self) -> list[Answer]:
        return [each for each in self.came if not each.status]

    def close(self) -> None:
        self.transport.close()


class TcpClient:
    """The same over TCP or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, server: tuple[str, int], *, context: ssl.SSLContext | None = None) -> "TcpClient":
        return cls(
            *await asyncio.open_connection(*server, ssl=context, server_hostname="localhost" if context else None)
        )

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def next(self) -> Answer:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(read_answer(head).headers["content-length"])
        return read_answer(head + await self._reader.readexactly(length))

    async def ask(self, data: bytes) -> Answer:
        self.send(data)
        while (answer := await self.next()).status < 200:
            pass
        return answer

    async def ends(self) -> bool:
        """Wait for the other side to close."""
        try:
            return await self._reader.read() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._writer.close()


def rtp(
    payload: bytes, *, sequence: int, timestamp: int, source: int = 7, payload_type: int = 0, flags: int = 0x80
) -> bytes:
    header = struct.pack(">BBHII", flags, payload_type, sequence % 65_536, timestamp % 2**32, source)
    return header + payload
