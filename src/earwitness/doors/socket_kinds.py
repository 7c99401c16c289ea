"""The table of phone systems that send calls over WebSockets: how each is dialled, proves itself and is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from earwitness.doors.asterisk import AsteriskSocket
from earwitness.doors.audiohook import AudioHookSocket
from earwitness.doors.events import AudioCoding
from earwitness.doors.media_streams import MediaStreamSocket, StreamShape
from earwitness.doors.proof import AUDIOHOOK, BASIC, TOKEN, TWILIO, WEB_TOKEN, Proof
from earwitness.doors.raw_audio import Preamble, RawAudioSocket
from earwitness.doors.socket_core import Opening, SocketCore
from earwitness.voice.connector import DoorSecret


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketKind:
    """One phone system."""

    #: As in the path: `/doors/{connectorId}/{name}`.
    name: str
    #: One of these is agreed on, if the client offers it.
    subprotocols: tuple[str, ...] = ()
    #: How it proves itself: one is enough.
    proofs: tuple[Proof, ...]
    #: Whether a token may come with the first messages instead.
    token_in_message: bool = False
    #: Whether it comes over the internet, so that what it proves itself with has to be encrypted.
    is_public: bool
    core: Callable[[Opening], SocketCore]

    @property
    def secrets(self) -> frozenset[DoorSecret]:
        """Those that any of its proofs needs."""
        return frozenset(secret for proof in self.proofs for secret in proof.secrets)


def _streams(name: str, *proofs: Proof, shape: StreamShape) -> SocketKind:
    return SocketKind(
        name=name, proofs=proofs, token_in_message=True, is_public=True, core=partial(MediaStreamSocket, shape)
    )


def _raw(
    name: str, *proofs: Proof, preamble: Preamble, public: bool = False, subprotocol: str = "", by_message: bool = False
) -> SocketKind:
    return SocketKind(
        name=name,
        subprotocols=(subprotocol,) if subprotocol else (),
        proofs=proofs,
        token_in_message=by_message,
        is_public=public,
        core=partial(RawAudioSocket, preamble),
    )


KINDS = {
    kind.name: kind
    for kind in (
        _streams("twilio", TWILIO, TOKEN, shape=StreamShape()),
        _streams("signalwire", TWILIO, TOKEN, shape=StreamShape()),
        _streams("telnyx", TOKEN, BASIC, shape=StreamShape()),
        _streams("plivo", TOKEN, BASIC, shape=StreamShape(has_l16=True)),
        _streams("exotel", BASIC, TOKEN, shape=StreamShape(coding=AudioCoding.L16, has_l16=True)),
        _streams("fonoster", TOKEN, shape=StreamShape(has_l16=True)),
        _raw("jambonz", BASIC, TOKEN, preamble=Preamble(), subprotocol="audio.jambonz.org"),
        _raw("freeswitch-fork", BASIC, TOKEN, preamble=Preamble(is_free=True), subprotocol="audio.drachtio.org"),
        _raw("freeswitch-stream", TOKEN, BASIC, preamble=Preamble(is_free=True)),
        _raw(
            "vonage",
            WEB_TOKEN,
            TOKEN,
            preamble=Preamble(content_type=True, says=("event", "websocket:connected")),
            public=True,
            by_message=True,
        ),
        _raw(
            "sinch",
            TOKEN,
            BASIC,
            preamble=Preamble(says=("command", "connect"), answer='{"command":"answer"}'),
            public=True,
            by_message=True,
        ),
        SocketKind(
            name="asterisk",
            subprotocols=("media",),
            proofs=(BASIC, TOKEN),
            token_in_message=True,
            is_public=False,
            core=AsteriskSocket,
        ),
        SocketKind(name="genesys", proofs=(AUDIOHOOK,), is_public=True, core=AudioHookSocket),
    )
}
"""By name."""
