"""RTP (RFC 3550): packets of one party to samples with their places. A lost packet is a place where nothing is.

What belongs here: which packets count, and where their samples belong by the sender's clock. Packets out of order and
twice there are the leg's timeline's business, which puts samples where they belong. What must never: sockets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

SAMPLES_MAX = 4_000
"""Of one packet: half a second; phones send 20 ms."""

TAKEN_BYTES_MAX = 65_536
"""Samples of one party that wait to be taken: eight seconds of G.711."""

PROBATION_PACKETS = 3
"""Packets of another source, without one of the present source between them, after which that source is taken. Two that
send at once never get there."""

_WRAP = 2**32


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """What a packet says, without what nobody reads."""

    source: int
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes = field(repr=False)


@dataclass(slots=True)
class RtpCounts:
    """Packets that were not taken."""

    unreadable: int = 0
    #: Of another source than the present one, or another payload type than was agreed.
    foreign: int = 0
    #: More than could be taken away in time.
    overflowing: int = 0


def read_packet(data: bytes) -> RtpPacket | None:
    """Return a packet (RFC 3550, 5.1); None when it is none, or RTCP on the same port (RFC 5761)."""
    if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
        return None
    begin, end = 12 + 4 * (data[0] & 0x0F), len(data)
    if data[0] & 0x10:  # an extension
        if end < begin + 4:
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
    if data[0] & 0x20:  # padding
        end -= data[-1]
        if data[-1] == 0:
            return None
    if begin > end:
        return None
    return RtpPacket(
        source=int.from_bytes(data[8:12]),
        sequence=int.from_bytes(data[2:4]),
        timestamp=int.from_bytes(data[4:8]),
        payload_type=data[1] & 0x7F,
        payload=data[begin:end],
    )


@dataclass(slots=True)
class PlacedAudio:
    """Samples without a hole among them; `at` counts from the stream's first sample by the sender's clock."""

    at: int
    data: bytearray = field(repr=False)


class RtpStream:
    """The packets of one party: feed them as they come, take what they hold a few times a second."""

    def __init__(self, *, payload_type: int, event_type: int | None, rate: int = 8_000) -> None:
        """`event_type` is the payload type of telephone events (RFC 4733). G.711: a byte is a sample."""
        self.payload_type = payload_type
        self.event_type = event_type
        self.counts = RtpCounts()
        #: When the last packet came that counted.
        self.heard_at: float | None = None
        self._rate = rate
        self._source: int | None = None
        # The place of the timestamp that came last, and that timestamp.
        self._place, self._timestamp = 0, 0
        self._end = 0
        self._candidates: list[RtpPacket] = []
        self._event_timestamp: int | None = None
        self._audio: list[PlacedAudio] = []
        self._waiting, self._keys_pressed = 0, 0

    def renew(self, *, payload_type: int, event_type: int | None) -> None:
        """Take other payload types from now on, from a source that begins anew."""
        self.payload_type, self.event_type = payload_type, event_type
        self._source = None
        self._candidates.clear()

    def receive(self, data: bytes, *, now: float) -> bool:
        """Take a packet. Return whether it was one of this party's."""
        packet = read_packet(data)
        if packet is None:
            self.counts.unreadable += 1
            return False
        if packet.payload_type not in (self.payload_type, self.event_type):
            self.counts.foreign += 1  # comfort noise too (RFC 3389): silence
            return False
        taken = [self._take(each, now=now) for each in self._of_present_source(packet, now=now)]
        return any(taken)

    def take(self) -> list[PlacedAudio]:
        """Return the samples that came since the last time."""
        taken, self._audio, self._waiting = self._audio, [], 0
        return taken

    def take_keys(self) -> int:
        """Return how many keys were pressed since the last time."""
        pressed, self._keys_pressed = self._keys_pressed, 0
        return pressed

    def _of_present_source(self, packet: RtpPacket, *, now: float) -> Iterator[RtpPacket]:
        """Yield what counts: of the source that came first, until another one takes its place."""
        if packet.source == self._source:
            self._candidates.clear()
            yield packet
            return
        if self._source is None:
            self._begin(packet, place=self._place_of_next([packet], now=now))
            yield packet
            return
        if self._candidates and self._candidates[0].source != packet.source:
            self._candidates.clear()
        self._candidates.append(packet)
        self.counts.foreign += 1
        if len(self._candidates) >= PROBATION_PACKETS:
            candidates, self._candidates = self._candidates, []
            self.counts.foreign -= len(candidates)
            self._begin(candidates[0], place=self._place_of_next(candidates, now=now))
            yield from candidates

    def _begin(self, packet: RtpPacket, *, place: int) -> None:
        self._source, self._timestamp, self._place = packet.source, packet.timestamp, place
        self._event_timestamp = None

    def _place_of_next(self, candidates: list[RtpPacket], *, now: float) -> int:
        """Return where another source's first sample belongs: behind the last one's, as much later as it came."""
        if self.heard_at is None:
            return 0
        waited = round((now - self.heard_at) * self._rate)
        return max(self._end, self._end + waited - sum(len(each.payload) for each in candidates))

    def _take(self, packet: RtpPacket, *, now: float) -> bool:
        step = (packet.timestamp - self._timestamp + _WRAP // 2) % _WRAP - _WRAP // 2
        place = self._place + step
        if step > 0:
            self._place, self._timestamp = place, packet.timestamp
        self.heard_at = now
        if packet.payload_type == self.event_type:
            if packet.timestamp != self._event_timestamp:  # its packets share one
                self._event_timestamp = packet.timestamp
                self._keys_pressed += 1
            return True
        samples = len(packet.payload)
        if not 0 < samples <= SAMPLES_MAX:
            self.counts.unreadable += 1
            return False
        self._put(place, packet.payload)
        return True

    def _put(self, place: int, payload: bytes) -> None:
        if self._waiting + len(payload) > TAKEN_BYTES_MAX:
            self.counts.overflowing += 1
            return
        self._waiting += len(payload)
        self._end = max(self._end, place + len(payload))
        last = self._audio[-1] if self._audio else None
        if last is not None and place == last.at + len(last.data):
            last.data += payload
        else:
            self._audio.append(PlacedAudio(place, bytearray(payload)))
