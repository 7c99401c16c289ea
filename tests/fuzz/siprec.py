"""`python -m tests.fuzz.siprec`: break what a recording client sends; exit with 1 when there was a finding.

A finding is an exception that is none of ours, a case that hangs, a stream that reads otherwise in other pieces, or a
server that keeps what it should not.
"""

import argparse
import itertools
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "doors")]

from siprec_examples import CONNECTOR, ExampleCall, description, document, multipart, rtp
from tests.fuzz.run import alarm, judged_in_time
from torture_messages import ANSWERS, REQUESTS

from earwitness.doors.siprec.call import RecordedCall
from earwitness.doors.siprec.dialog import Flow
from earwitness.doors.siprec.message import SipRequest, read_datagram
from earwitness.doors.siprec.rtp import RtpStream
from earwitness.doors.siprec.server import Changed, Invited, SipServer
from earwitness.doors.siprec.stream import SipStream
from earwitness.errors import DoorError
from earwitness.store.connector_records import DoorAccess
from earwitness.store.records import Scope

FLOW = Flow(transport="TLS", address="192.0.2.7", port=5060, local_address="192.0.2.1", local_port=5060)
_TOKENS = [
    b"\r\n",
    b"\n",
    b" ",
    b"\t",
    b'"',
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"@",
    b"\0",
    b"\xff",
    b"%00",
    b"=",
    b"--edge",
]
_TOKENS += [
    b"Content-Length: 5\r\n",
    b"\r\n\r\n",
    b"--edge",
    b"<!DOCTYPE a>",
    b"<label>",
    b"m=audio 1 RTP/AVP 0\r\n",
    b"9" * 20,
]
_KEY = "inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk"


def _seeds() -> list[bytes]:
    call = ExampleCall(call_id="seed", from_tag="f", to_tag="")
    offers = [
        multipart(description(), document()),
        multipart(description(profile="RTP/SAVP", crypto=(f"1 AES_CM_128_HMAC_SHA1_80 {_KEY}",) * 2), document()),
        multipart(description(labels=("1", "3")), document(mode="partial")),
    ]
    seeds = [call.request("INVITE", body=offer) for offer in offers]
    seeds += [call.request(method) for method in ("ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO")]
    return seeds + [data for data, _ in (*REQUESTS.values(), *ANSWERS.values())]


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return a message that was broken in one to eight places."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.choice((1, 2, 10, 200))]
            case 2:
                data[at:at] = rng.choice(_TOKENS) * rng.choice((1, 1, 2, 300))
            case 3:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.choice((5, 80))]
            case 4:
                data = data[:at] + rng.choice(seeds)[at:]
            case _:
                data = data[:at]
        data = data[:40_000]
    return bytes(data)


class Judge:
    """Feeds what is broken to everything that reads it. A server takes a few hundred before a fresh one comes."""

    def __init__(self) -> None:
        self._cases = 0
        self._server = self._new_server()
        self._access = DoorAccess(
            scope=Scope(account_id="111122223333", region="eu-central-1"),
            connector_id=CONNECTOR,
            disabled=False,
            require_encryption=False,
            allowed_networks=(),
            secrets={},
            caller_label="",
        )

    def __call__(self, data: bytes, rng: random.Random) -> str | None:
        """Return what is wrong; None when nothing is."""
        self._cases += 1
        if self._cases % 300 == 0:
            self._server.elapse(now=self._cases * 1.0)
            self._server = self._new_server()
        self._signalling(data, rng)
        self._media(data, rng)
        return self._stream(data, rng)

    def _signalling(self, data: bytes, rng: random.Random) -> None:
        try:
            message = read_datagram(data)
        except DoorError:
            return
        for event in self._server.receive(message, FLOW, now=self._cases * 1.0):
            if isinstance(event, Invited | Changed):
                self._call(event.transaction.request)
                if rng.random() < 0.5:
                    self._server.accept(event.transaction, b"v=0\r\n", now=self._cases * 1.0)
                else:
                    self._server.refuse(event.transaction, 488, now=self._cases * 1.0)

    def _call(self, request: SipRequest) -> None:
        call = RecordedCall(self._access, new_key=bytes, session=1)
        try:
            plan = call.plan(request, is_confidential=True)
            if plan is not None and plan.lines:
                call.begin(plan, request)
                call.answer(plan, dict.fromkeys(plan.taken, 9_000), address="192.0.2.1")
                call.change(plan)
        except DoorError:
            return

    def _media(self, data: bytes, rng: random.Random) -> None:
        stream = RtpStream(payload_type=0, event_type=101)
        stream.receive(rtp(b"x" * 160, sequence=1, timestamp=0), now=0.0)
        stream.receive(data, now=1.0)
        stream.receive(rtp(data[:4_000], sequence=rng.randrange(65_536), timestamp=rng.randrange(2**32)), now=1.0)
        stream.take()

    def _stream(self, data: bytes, rng: random.Random) -> str | None:
        whole = _read(SipStream(), [data])
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(4))
        pieces = [data[low:high] for low, high in itertools.pairwise([0, *cuts, len(data)])]
        return None if _read(SipStream(), pieces) == whole else "reads otherwise in other pieces"

    @staticmethod
    def _new_server() -> SipServer:
        names = itertools.count()
        return SipServer(new_token=lambda: f"t{next(names)}")


def _read(stream: SipStream, pieces: list[bytes]) -> list[object]:
    found = list[object]()
    for piece in pieces:
        try:
            found += stream.feed(piece)
        except DoorError:
            break
    return found


def run(*, seed: int, cases: int, first: int = 0) -> list[tuple[int, bytes, str]]:
    """Return the findings: number of the case, its bytes, what is wrong."""
    seeds, judge, found = _seeds(), Judge(), list[tuple[int, bytes, str]]()
    with alarm():
        for case in range(first, first + cases):
            rng = random.Random(seed * 1_000_000_007 + case)
            data = mutated(rng, seeds)
            if (says := _judged(judge, data, rng)) is not None:
                found.append((case, data, says))
    return found


def _judged(judge: Callable[[bytes, random.Random], str | None], data: bytes, rng: random.Random) -> str | None:
    try:
        return judged_in_time(judge, data, rng)
    except Exception as error:  # that is what is looked for
        return f"{type(error).__name__}: {error}"


def main(arguments: Sequence[str]) -> int:
    """Run, and print each finding with its bytes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.siprec", description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000, help="how many cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones; the same number gives the same (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (%(default)s)")
    options = parser.parse_args(arguments)
    began = monotonic()
    found = run(seed=options.seed, cases=options.cases, first=options.first)
    for case, data, says in found[:20]:
        print(f"case {case}: {says}\n  {data[:2_000]!r}")
    print(
        f"SIPREC, seed {options.seed}: {options.cases:,} cases in {monotonic() - began:,.0f} s, {len(found)} findings"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
