"""`python -m tests.fuzz.audiosocket`: break what Asterisk sends, and judge the core; exit with 1 for a finding.

It may refuse what it is sent with BadRequest and raises nothing else; what it tells is in order, does not depend on how
the bytes are cut, and becomes legs without holes.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from time import monotonic

from tests.fuzz.run import alarm, judged_in_time

from earwitness.doors.audiosocket import (
    HANG_UP,
    AudioSocketEvent,
    AudioSocketReader,
    CallNamed,
    UnknownFrame,
    write_audio,
    write_frame,
    write_identity,
)
from earwitness.doors.events import Audio, CallEnded, CallStarted, DoorEvent, LegStarted
from earwitness.doors.leg import CLOCK_JUMP_SECONDS, LegTimeline
from earwitness.errors import BadRequest

FINDINGS_MAX = 20
_CALL = "8c8b5d2e-2c1b-4a7e-9f4f-7a1f6a3f0f11"


def case_of(rng: random.Random) -> bytes:
    """Frames as Asterisk sends them, then broken: bytes changed, cut out, put in."""
    return _broken(rng, write_identity(_CALL) + b"".join(_frame(rng) for _ in range(rng.randrange(12))))


def judge(data: bytes, rng: random.Random) -> str | None:
    """Return what promise is broken; None where all is well."""
    whole, refused = _read(data, [len(data)])
    pieces = [rng.randrange(1, 200) for _ in range(len(data))]
    again, refused_again = _read(data, pieces)
    if (again[: len(whole)], refused) != (whole[: len(again)], refused_again):
        return "what is told depends on how the bytes are cut"
    if whole and not isinstance(whole[0], CallNamed):
        return "something was told before it was known which call it is"
    if any(isinstance(event, CallEnded) for event in whole[:-1]):
        return "something was told after the end"
    events = [event for event in whole if not isinstance(event, CallNamed | UnknownFrame)]
    if sum(len(event.data) for event in events if isinstance(event, Audio)) > len(data):
        return "there is more audio than bytes came"
    return _in_time_and_place(events, rng)


def _frame(rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind < 6:
        return write_audio(rng.randbytes(rng.choice([0, 1, 2, 320, 640])), rate=rng.choice([8_000, 16_000, 48_000]))
    if kind == 6:
        return write_frame(rng.randrange(256), rng.randbytes(rng.randrange(30)))
    if kind == 7:
        return write_frame(3, b"5")
    return HANG_UP if kind == 8 and rng.random() < 0.3 else write_audio(b"", rate=8_000)


def _broken(rng: random.Random, data: bytes) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(broken) + 1)
        match rng.randrange(4):
            case 0 if at < len(broken):
                broken[at] = rng.randrange(256)
            case 1:
                del broken[at : at + rng.randrange(1, 40)]
            case 2:
                broken[at:at] = rng.randbytes(rng.randrange(1, 40))
            case _:
                del broken[at:]
        if not broken:
            break
    return bytes(broken)


def _read(data: bytes, pieces: Sequence[int]) -> tuple[list[AudioSocketEvent], bool]:
    """What a reader tells of these bytes in these pieces, and whether it refused them."""
    reader, told, at = AudioSocketReader(), list[AudioSocketEvent](), 0
    try:
        for size in pieces:
            told += reader.feed(data[at : at + size])
            at += size
    except BadRequest:
        return told, True
    return told, False


def _in_time_and_place(events: Sequence[DoorEvent], rng: random.Random) -> str | None:
    """Whether what is told becomes legs without holes, and no more silence than time passed."""
    timeline: LegTimeline | None = None
    now = began = 0.0
    place = audio = rate = 0
    for event in events:
        now += rng.choice([0.0, 0.02, 1.5])
        if isinstance(event, CallStarted | LegStarted):
            leg = event.legs[0] if isinstance(event, CallStarted) else event.leg
            timeline, began, place, audio, rate = LegTimeline(leg, begins=now), now, 0, 0, leg.rate
        elif isinstance(event, Audio):
            if timeline is None:
                return "there is audio before its leg"
            audio += len(event.data) // 2
            for fragment in [*timeline.place(event.data, event.at, now=now), *timeline.elapse(now)]:
                if fragment.first != place:
                    return "there is a hole between two fragments"
                place += fragment.samples
    if place > audio + (now - began + CLOCK_JUMP_SECONDS) * rate:
        return "there is more silence than time passed"
    return None


def main(arguments: Sequence[str]) -> int:
    """Run, and print each finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.audiosocket", description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000, help="how many cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones; the same number gives the same (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (%(default)s)")
    options = parser.parse_args(arguments)
    started, found = monotonic(), 0
    with alarm():
        for case in range(options.first, options.first + options.cases):
            rng = random.Random(options.seed * 1_000_000_007 + case)
            data = case_of(rng)
            try:
                says = judged_in_time(judge, data, rng)
            except Exception as error:
                says = f"{type(error).__name__}: {error}"
            if says is not None and (found := found + 1) <= FINDINGS_MAX:
                print(f"case {case}: {says}\n  {data.hex()}")
    cases, seconds = options.cases, monotonic() - started
    print(f"AudioSocket, seed {options.seed}: {cases:,} cases in {seconds:,.0f} s, {found} findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
