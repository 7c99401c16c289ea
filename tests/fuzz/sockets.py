"""`python -m tests.fuzz.sockets`: break what phone systems send over WebSockets in many ways, and judge the cores.

A core may refuse what it is sent with BadRequest; it raises nothing else, its events are in order and of sound values,
and what it keeps and says is bounded. The same seed and number make the same case.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any

from earwitness.doors.events import Audio, CallEnded, CallStarted, LegStarted
from earwitness.doors.socket_core import HangUp, Opening, Send
from earwitness.doors.socket_kinds import KINDS
from earwitness.errors import BadRequest

_TRACK = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "////" * 40}
_OPEN = {
    "organizationId": "o",
    "conversationId": "c",
    "participant": {"ani": "+1", "dnis": "+2"},
    "media": [{"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}],
    "customConfig": {},
}


def _genesys(kind: str, seq: int, parameters: Any) -> dict[str, Any]:
    return {"version": "2", "id": "s", "type": kind, "seq": seq, "serverseq": 0, "parameters": parameters}


_STREAM: list[Any] = [
    {"event": "connected"},
    {
        "event": "start",
        "streamSid": "M",
        "start": {
            "callSid": "C",
            "accountSid": "A",
            "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "t", "a": "b"},
        },
    },
    {"event": "media", "streamSid": "M", "media": _TRACK},
    {"event": "media", "streamSid": "M", "media": {**_TRACK, "track": "outbound"}},
    {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "5"}},
    {"event": "media", "streamSid": "M", "media": {**_TRACK, "timestamp": 40}},
    {"event": "stop"},
]
_RAW: list[Any] = [
    {"callSid": "c", "sampleRate": 16000, "mixType": "stereo", "from": "+1", "metadata": {"a": "b"}},
    b"\1\2\3\4" * 80,
    {"event": "dtmf"},
    b"\1\2\3",
]
_CONNECTED = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000"}
_SESSIONS: dict[str, list[Any]] = {
    **dict.fromkeys(("twilio", "signalwire", "telnyx", "plivo", "exotel", "fonoster"), _STREAM),
    **dict.fromkeys(("jambonz", "freeswitch-fork", "freeswitch-stream"), _RAW),
    "vonage": [_CONNECTED, *_RAW[1:]],
    "sinch": [{"command": "connect", "codec": "PCM", "callHeaders": [{"key": "a", "value": "b"}]}, *_RAW[1:]],
    "asterisk": ["MEDIA_START channel_id:1.2 format:slin16 ptime:20", b"\1\2" * 80, "MEDIA_XOFF", b"\1", "DTMF_END"],
    "genesys": [
        _genesys("open", 1, _OPEN),
        b"\1\2" * 80,
        _genesys("ping", 2, {"rtt": "PT0.1S"}),
        _genesys("discarded", 3, {"start": "PT0S", "discarded": "PT1.5S"}),
        b"\1\2" * 80,
        _genesys("close", 4, {"reason": "end"}),
    ],
}
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 1.5, "", "0", "-1", "1e9", "9" * 30, "\x00", "ü", "x" * 5_000,
    [], {}, [[]], {"": {}}, "inbound", "outbound", "audio/x-l16", "PT1S", "PT9999999999999S", "token", "=", "A===", "٣",
)  # fmt: skip


def case(rng: random.Random) -> tuple[str, Opening, list[str | bytes]]:
    """Return a kind, how it was dialled, and messages that are broken in a few ways."""
    kind = rng.choice([*_SESSIONS])
    query = {"call": "q", "rate": rng.choice(["8000", "x", "0"]), "channels": rng.choice(["1", "2", "9", "x"])}
    opening = Opening(
        headers=rng.choice([{}, {"audiohook-session-id": "s", "audiohook-organization-id": "o"}]),
        query=rng.choice([{}, query]),
        caller_label=rng.choice(["", "", "right", "internal", "outbound", "?"]),
        call_id="new",
    )
    messages = [*_SESSIONS[kind]]
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        _disorder(messages, rng)
    return kind, opening, [_spoilt(message, rng) for message in messages]


def _disorder(messages: list[Any], rng: random.Random) -> None:
    place = rng.randrange(len(messages) + 1)
    match rng.randrange(4):
        case 0:
            messages.insert(place, rng.choice(messages) if messages else b"")
        case 1:
            messages.insert(place, rng.choice(_SESSIONS[rng.choice([*_SESSIONS])]))
        case 2 if messages:
            del messages[place % len(messages)]
        case _:
            rng.shuffle(messages)


def _spoilt(message: Any, rng: random.Random) -> str | bytes:
    if isinstance(message, bytes):
        return rng.choice([message, message, message[:-1], b"", message * 50])
    if isinstance(message, dict):
        if rng.random() < 0.3:
            message = json.loads(json.dumps(message))
            _change(message, rng)
        message = json.dumps(message)
    if rng.random() < 0.05:
        place = rng.randrange(len(message) + 1)
        message = message[:place] + rng.choice(["", "\x00", '"', "{", "é", message]) + message[place + 1 :]
    return message


def _change(holder: Any, rng: random.Random) -> None:
    """Put something odd in some place of a document."""
    keys: list[Any] = [*holder] if isinstance(holder, dict) else [*range(len(holder))]
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(holder[key], dict | list) and rng.random() < 0.7:
        _change(holder[key], rng)
    elif isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(_ODD)


def judge(kind: str, opening: Opening, messages: Sequence[str | bytes]) -> str | None:
    """Return what is wrong with what a core made of them; None when all is well."""
    core = KINDS[kind].core(opening)
    labels: dict[str, int] = {}
    started = ended = False
    for message in messages:
        try:
            outputs = core.receive(message)
        except BadRequest:
            break
        for output in outputs:
            if ended and not isinstance(output, Send | HangUp):
                return f"{type(output).__name__} after the end"
            match output:
                case CallStarted():
                    if started or not output.call_id or len(output.call_id) > 256:
                        return "a call starts twice, or has no good name"
                    if len(output.from_number) > 256 or len(output.to_number) > 256:
                        return "numbers without bound"
                    if sum(leg.is_caller for leg in output.legs) > 1 or len(output.legs) > 2:
                        return "legs that cannot be"
                    started = True
                    labels |= {leg.label: leg.coding.sample_bytes for leg in output.legs}
                case LegStarted():
                    labels[output.leg.label] = output.leg.coding.sample_bytes
                case Audio():
                    if not started or output.label not in labels or (output.at or 0) < 0:
                        return "audio that belongs nowhere"
                    if len(output.data) > len(message) + 4:
                        return "more audio than came"
                case CallEnded():
                    if not started:
                        return "an end without a start"
                    ended = True
                case _:
                    pass
    for output in core.stop():
        if not isinstance(output, Send):
            return "a farewell that is no message"
    return None


def run(*, seed: int, cases: int) -> list[str]:
    """Judge so many cases; return what was found."""
    found = []
    for number in range(cases):
        rng = random.Random(seed * 1_000_000_007 + number)
        broken = case(rng)
        try:
            says = judge(*broken)
        except Exception as error:
            says = repr(error)
        if says is not None:
            found.append(f"case {number}: {says}: {broken!r}"[:2_000])
    return found


def main(arguments: Sequence[str]) -> int:
    """Run; exit with 1 when there was a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.sockets", description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000, help="how many cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (%(default)s)")
    options = parser.parse_args(arguments)
    began = monotonic()
    found = run(seed=options.seed, cases=options.cases)
    sys.stdout.write("\n".join([*found[:20], ""]))
    sys.stdout.write(f"seed {options.seed}: {options.cases:,} cases, {monotonic() - began:.0f} s, {len(found)} found\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
