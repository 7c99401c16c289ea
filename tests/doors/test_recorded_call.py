"""Legs of a SIPREC call: lines of the session description make them, whatever metadata say of them."""

import pytest
from door_world import access
from hypothesis import given
from hypothesis import strategies as st
from siprec_examples import AGENT, CALLER, ExampleCall, description, document, multipart, rtp

from earwitness.doors.events import Audio, CallStarted, CallUpdated, DoorEvent, LegStarted
from earwitness.doors.siprec.call import LABELS_REMEMBERED_MAX, RecordedCall
from earwitness.doors.siprec.message import SipRequest, read_datagram

CALLERS = f"sip:{CALLER}@example.com"
AGENTS = f"sip:{AGENT}@example.com"
PACKET = 160
LABELS = st.sampled_from(["1", "2", "3", "", "1-2", "x" * 200, "caller", "b_leg"])
PARTIES = st.lists(st.tuples(LABELS, st.sampled_from([CALLERS, AGENTS, "sip:x@y", "nobody"])), max_size=5)


class Recorder:
    """A call, and the phone system's side of its dialog."""

    def __init__(self, metadata: str | None = None, *, labels: tuple[str, str] = ("1", "2")) -> None:
        self._side = ExampleCall(caller=CALLERS)
        self.call = RecordedCall(access(), new_key=bytes, session=1)
        request = self._request("INVITE", multipart(description(labels=labels), metadata or document()))
        plan = self.call.plan(request, is_confidential=False)
        assert plan is not None
        self.started: CallStarted = self.call.begin(plan, request)

    def tells(self, metadata: str, *, labels: tuple[str, str] | None = None) -> list[DoorEvent]:
        """Metadata alone, or with an offer."""
        sdp = None if labels is None else description(labels=labels)
        request = self._request("UPDATE" if sdp is None else "INVITE", multipart(sdp, metadata))
        plan = self.call.plan(request, is_confidential=False)
        assert plan is not None
        return self.call.change(plan)

    def hears(self, line: int, tone: bytes) -> list[str]:
        """Return the labels on which a packet of a line is heard."""
        number = 1 + sum(each.stream.heard_at is not None for each in self.call.lines.values())
        self.call.lines[line].receive(rtp(tone * PACKET, sequence=number, timestamp=number * PACKET), now=float(number))
        return [each.label for each in self.call.take_audio() if isinstance(each, Audio)]

    def _request(self, method: str, body: tuple[str, str]) -> SipRequest:
        request = read_datagram(self._side.request(method, body=body))
        assert isinstance(request, SipRequest)
        return request


def callers(started: CallStarted) -> dict[str, bool]:
    return {leg.label: leg.is_caller for leg in started.legs}


@pytest.mark.parametrize("mode", ["partial", "complete"])
def test_metadata_that_swap_the_parties_change_names_and_no_leg(mode: str) -> None:
    recorder = Recorder()
    assert callers(recorder.started) == {"1": True, "2": False}
    assert (recorder.started.from_number, recorder.started.to_number) == (CALLER, AGENT)
    swapped = document((("1", AGENTS), ("2", CALLERS)), mode=mode)
    (told,) = recorder.tells(swapped)
    assert isinstance(told, CallUpdated)
    assert (told.from_number, told.to_number) == (AGENT, CALLER)
    assert recorder.hears(0, b"\x10") == ["1"]
    assert recorder.hears(1, b"\x20") == ["2"]
    assert recorder.tells(swapped) == []  # said before


def test_lines_that_change_places_keep_their_labels_and_their_callers() -> None:
    recorder = Recorder()
    assert recorder.tells(document(), labels=("2", "1")) == []
    assert recorder.hears(0, b"\x10") == ["2"]
    assert recorder.hears(1, b"\x20") == ["1"]


def test_labels_that_no_line_has_are_nobody() -> None:
    invented = document((("7", AGENTS), ("8", CALLERS), ("", "sip:nobody@example.com")))
    recorder = Recorder(invented)
    assert set(callers(recorder.started)) == {"1", "2"}
    assert sum(callers(recorder.started).values()) == 1
    assert recorder.started.from_number == CALLER  # of the INVITE
    events = recorder.tells(document((("9", "sip:stranger@example.com"),), mode="partial"))
    assert [type(each) for each in events] == [CallUpdated]
    assert not {recorder.call.lines[line].label for line in recorder.call.lines} - {"1", "2"}
    assert recorder.hears(0, b"\x10") == ["1"]


def test_one_label_for_both_parties_and_both_for_one_make_one_caller() -> None:
    for parties in ((("1", CALLERS), ("1", AGENTS)), (("1", CALLERS), ("2", CALLERS)), (("2", AGENTS), ("1", AGENTS))):
        started = Recorder(document(parties)).started
        assert sum(callers(started).values()) == 1


def test_two_lines_of_one_label_are_two_legs() -> None:
    recorder = Recorder(labels=("1", "1"))
    assert len({leg.label for leg in recorder.started.legs}) == 2
    assert recorder.hears(0, b"\x10") != recorder.hears(1, b"\x20")


def test_offers_of_new_parties_without_end_are_not_all_remembered() -> None:
    recorder = Recorder()
    for number in range(LABELS_REMEMBERED_MAX):
        recorder.tells(document(), labels=(f"a{number}", f"b{number}"))
    latest = f"a{LABELS_REMEMBERED_MAX - 1}", f"b{LABELS_REMEMBERED_MAX - 1}"
    assert recorder.tells(document(), labels=latest) == []
    came_back = recorder.tells(document(), labels=("1", "2"))  # as new ones, with nothing kept of them
    assert [each.leg.label for each in came_back if isinstance(each, LegStarted)] == ["1", "2"]
    assert recorder.hears(0, b"\x10") == ["1"]


@pytest.mark.slow
@given(PARTIES, st.lists(st.tuples(PARTIES, st.sampled_from(["partial", "complete"])), max_size=4))
def test_whatever_metadata_say_legs_are_those_of_the_lines(
    first: list[tuple[str, str]], later: list[tuple[list[tuple[str, str]], str]]
) -> None:
    recorder = Recorder(document(tuple(first)))
    assert set(callers(recorder.started)) == {"1", "2"}
    assert sum(callers(recorder.started).values()) == 1
    for parties, mode in later:
        assert all(isinstance(each, CallUpdated) for each in recorder.tells(document(tuple(parties), mode=mode)))
    assert [line.label for line in recorder.call.lines.values()] == ["1", "2"]
    assert recorder.hears(1, b"\x20") == ["2"]
