"""A call by SIPREC over UDP, as a session border controller records one: `siprec://HOST:PORT/CONNECTOR`.

INVITE with a line for each leg (RFC 7866), G.711 µ-law over RTP (RFC 3551), BYE. Legs are called `caller` and `callee`.
"""

import asyncio
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from earwitness.audio.pcm import encode_mulaw
from earwitness.dialer.plan import CONNECT_SECONDS_MAX, CallPlan, PlacedCall
from earwitness.dialer.speech import CHUNK_SECONDS, CallSpeech
from earwitness.doors.siprec.dialog import T1_SECONDS
from earwitness.doors.siprec.message import Headers, SipRequest, SipResponse, read_datagram, write
from earwitness.errors import CallNotPlaced, ConfigurationError, SipUnreadable

RATE = 8_000
LABELS = ("caller", "callee")
_MEDIA_PORT = re.compile(rb"^m=audio (\d{1,5}) ", re.MULTILINE)


async def call_by_siprec(plan: CallPlan) -> PlacedCall:
    """Place the call. Raise CallNotPlaced when the door is not there, refuses it or hangs up before its end."""
    host, connector = plan.address.hostname, plan.address.path.strip("/")
    if host is None or not connector:
        raise ConfigurationError("the door's address has no host or connector; give siprec://10.0.0.5:5060/CONNECTOR")
    speech = plan.speech(rate_of=lambda _: RATE, legs_max=len(LABELS))
    loop = asyncio.get_running_loop()
    try:
        _, client = await loop.create_datagram_endpoint(SipClient, remote_addr=(host, plan.address.port or 5_060))
    except OSError as error:
        raise CallNotPlaced(f"{host} cannot be called: {error.strerror or error}; look at the address") from error
    media = list[asyncio.DatagramTransport]()
    try:
        dialog = CallerDialog(client, host=host, connector=connector)
        answer = await dialog.ask("INVITE", body=offer_of(client.address, len(speech.legs)))
        if answer.status != 200:
            await dialog.acknowledge(is_refused=True)
            raise CallNotPlaced(
                f"the door refused the call with {answer.status} {answer.reason}; `earwitness doors` says why"
            )
        dialog.tag = answer.headers.get("to") or ""
        await dialog.acknowledge()
        for port in media_ports(answer):
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, port))
            media.append(transport)
        await _talk(plan, speech, client, media)
        answer = await dialog.ask("BYE")
        if answer.status != 200:
            raise CallNotPlaced(
                f"the door had lost the call and answered its end with {answer.status} {answer.reason}; the service "
                "may have been started anew"
            )
    finally:
        for transport in (*media, client.transport):
            transport.close()
    return PlacedCall(call_id=dialog.call_id, seconds=speech.seconds, legs=len(speech.legs))


async def _talk(
    plan: CallPlan, speech: CallSpeech, client: "SipClient", media: Sequence[asyncio.DatagramTransport]
) -> None:
    """Send the audio in time. Raise CallNotPlaced when the other side hangs up meanwhile."""
    pace, size = plan.pace(), round(RATE * CHUNK_SECONDS)
    sources = [secrets.token_bytes(4) for _ in media]
    for number, chunk in enumerate(speech.chunks()):
        if client.hung_up:
            raise CallNotPlaced("the door ended the call; the service may have been stopped")
        head = b"\x80\x00" + (number % 2**16).to_bytes(2) + (number * size % 2**32).to_bytes(4)
        for transport, source, samples in zip(media, sources, chunk, strict=True):
            transport.sendto(head + source + encode_mulaw(samples))
        spoken = (number + 1) * CHUNK_SECONDS
        plan.show(spoken, speech)
        await pace.until(spoken)


class SipClient(asyncio.DatagramProtocol):
    """The socket: what comes goes to whoever waits for it."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self.answers: asyncio.Queue[SipResponse] = asyncio.Queue()
        self.hung_up = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    @property
    def address(self) -> tuple[str, int]:
        address = self.transport.get_extra_info("sockname")
        return str(address[0]), int(address[1])

    # The address of IPv6 has four parts, that of IPv4 two.
    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:  # noqa: ARG002  # of asyncio
        with suppress(SipUnreadable):
            message = read_datagram(data)
            if isinstance(message, SipResponse):
                self.answers.put_nowait(message)
            elif message.method == "BYE":
                self.hung_up = True


class CallerDialog:
    """Our side of one call."""

    def __init__(self, client: SipClient, *, host: str, connector: str) -> None:
        self.call_id = secrets.token_hex(16)
        self.tag = f"<sip:{connector}@{_written(host)}>"
        self._client = client
        self._uri = f"sip:{connector}@{_written(host)}"
        self._from_tag, self._branch, self._sequence = secrets.token_hex(8), "", 0

    async def ask(self, method: str, *, body: bytes = b"") -> SipResponse:
        """Return the final answer to a request, which is sent again until it comes (RFC 3261, 17.1)."""
        self._sequence, self._branch = self._sequence + 1, f"z9hG4bK{secrets.token_hex(8)}"
        request, wait = self._request(method, body), T1_SECONDS
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                while True:
                    self._client.transport.sendto(request)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            return await self._final()
                    wait *= 2
        except TimeoutError:
            raise CallNotPlaced(
                "nothing answers SIP at the door's address; set EARWITNESS_SIPREC where the service runs"
            ) from None

    async def acknowledge(self, *, is_refused: bool = False) -> None:
        """Say that the answer came: as a request of its own, or within the transaction of one that was refused."""
        if not is_refused:
            self._branch = f"z9hG4bK{secrets.token_hex(8)}"
        self._client.transport.sendto(self._request("ACK", b""))

    async def _final(self) -> SipResponse:
        while True:
            answer = await self._client.answers.get()
            if answer.status >= 200 and answer.branch == self._branch:
                return answer

    def _request(self, method: str, body: bytes) -> bytes:
        host, port = self._client.address
        here = f"{_written(host)}:{port}"
        headers = [
            ("via", f"SIP/2.0/UDP {here};branch={self._branch};rport"),
            ("max-forwards", "70"),
            ("from", f"<sip:earwitness@{here}>;tag={self._from_tag}"),
            ("to", self.tag),
            ("call-id", self.call_id),
            ("cseq", f"{self._sequence} {method}"),
            ("contact", f"<sip:earwitness@{here}>;+sip.src"),
        ]
        if body:
            headers += [("require", "siprec"), ("content-type", "application/sdp")]
        return write(SipRequest(method=method, uri=self._uri, headers=Headers(tuple(headers)), body=body))


def offer_of(here: tuple[str, int], legs: int) -> bytes:
    """Return a session description (RFC 8866) with a line for each leg."""
    family = "IP6" if ":" in here[0] else "IP4"
    lines = ["v=0", f"o=- 1 1 IN {family} {here[0]}", "s=-", f"c=IN {family} {here[0]}", "t=0 0"]
    for label in LABELS[:legs]:
        lines += [f"m=audio {here[1]} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendonly", f"a=label:{label}"]
    return ("\r\n".join(lines) + "\r\n").encode()


def media_ports(answer: SipResponse) -> list[int]:
    """Return where the door takes each leg's media."""
    return [int(port) for port in _MEDIA_PORT.findall(answer.body)]


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host
