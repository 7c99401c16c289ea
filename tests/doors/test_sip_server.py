"""Transactions and dialogs in virtual time: no socket, no sleep."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from siprec_examples import Answer, ExampleCall, description, document, multipart, read_answer

from earwitness.doors.siprec.dialog import DialogState, Flow
from earwitness.doors.siprec.message import read_datagram
from earwitness.doors.siprec.server import Changed, Ended, Invited, ServerEvent, SipSend, SipServer

FLOW = Flow(transport="UDP", address="192.0.2.7", port=5060, local_address="192.0.2.1", local_port=5060)
TCP = Flow(transport="TCP", address="192.0.2.7", port=5060, local_address="192.0.2.1", local_port=5060, connection=1)
OFFER = multipart(description(), document())
TIMER = "Supported: timer\r\nSession-Expires: 1800;refresher={}\r\nAllow: INVITE, UPDATE\r\n"


class Phone:
    """A server, and what it did."""

    def __init__(self, flow: Flow = FLOW) -> None:
        names = itertools.count()
        self.server = SipServer(new_token=lambda: f"t{next(names)}")
        self.flow, self.now = flow, 0.0
        self.events: list[ServerEvent] = []

    def receives(self, data: bytes, *, flow: Flow | None = None) -> list[ServerEvent]:
        return self._note(self.server.receive(read_datagram(data), flow or self.flow, now=self.now))

    def waits(self, seconds: float) -> list[ServerEvent]:
        found: list[ServerEvent] = []
        end, step = self.now + seconds, max(0.1, seconds / 100)
        while self.now < end:
            self.now = min(self.now + step, end)
            found += self._note(self.server.elapse(now=self.now))
        return found

    def accepts(self, invited: Invited | Changed) -> Answer:
        return sent(self._note(self.server.accept(invited.transaction, b"v=0\r\n", now=self.now)))[-1]

    def is_called(self, call: ExampleCall, *, more: str = "") -> Answer:
        invited = self.receives(call.request("INVITE", body=OFFER, more=more))[-1]
        assert isinstance(invited, Invited)
        answer = self.accepts(invited)
        call.to_tag = answer.to_tag
        return answer

    def _note(self, events: list[ServerEvent]) -> list[ServerEvent]:
        self.events += events
        return events


def sent(events: list[ServerEvent]) -> list[Answer]:
    return [read_answer(event.data) for event in events if isinstance(event, SipSend)]


def ended(events: list[ServerEvent]) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]


@pytest.fixture
def phone() -> Phone:
    return Phone()


def test_an_answer_is_sent_again_at_growing_intervals_and_then_given_up(phone: Phone) -> None:
    phone.is_called(ExampleCall())
    times = []
    while phone.now < 31:
        times += [phone.now for _ in sent(phone.waits(0.1))]
    assert [round(later - earlier) for earlier, later in itertools.pairwise(times)][:3] == [1, 2, 4]
    last = phone.waits(2)
    assert sent(last)[-1].start.startswith("BYE ")
    assert ended(last)[0].failed


def test_over_tcp_answers_are_sent_again_too_because_a_proxy_may_use_udp() -> None:
    phone = Phone(TCP)
    phone.is_called(ExampleCall(transport="TCP"))
    assert sent(phone.waits(1))


def test_a_refusal_is_sent_again_over_udp_until_it_is_acknowledged(phone: Phone) -> None:
    call = ExampleCall()
    invite = call.request("INVITE", body=OFFER, branch="z9hG4bKx")
    invited = phone.receives(invite)[-1]
    assert isinstance(invited, Invited)
    first = sent(phone.server.refuse(invited.transaction, 486, now=phone.now))
    assert [each.status for each in first] == [486]
    assert sent(phone.waits(0.6)) == first
    assert sent(phone.receives(invite)) == first
    call.to_tag = first[0].to_tag
    phone.receives(call.request("ACK", branch="z9hG4bKx"))
    assert not sent(phone.waits(40))
    assert not phone.server._transactions


def test_a_lost_acknowledgement_is_made_up_by_the_next_request(phone: Phone) -> None:
    call = ExampleCall()
    phone.is_called(call)
    assert isinstance(phone.receives(call.request("INVITE", body=OFFER))[-1], Changed)
    assert not phone.server.dialogs[0].unacknowledged


@pytest.mark.parametrize("method", ["OPTIONS", "UPDATE", "BYE"])
def test_a_copy_of_a_request_within_a_call_gets_the_same_answer(phone: Phone, method: str) -> None:
    """The answer was lost, or late: a busy server is asked again after half a second (RFC 3261, 17.1.2)."""
    call = ExampleCall()
    phone.is_called(call)
    phone.receives(call.request("ACK"))
    request = call.request(method, branch="z9hG4bKagain")
    events = phone.receives(request)
    if isinstance(events[-1], Changed):
        events = phone.server.accept(events[-1].transaction, b"", now=phone.now)
    first = sent(events)
    assert [each.status for each in first] == [200]
    phone.now += 0.5
    assert sent(phone.receives(request)) == first


def test_an_older_request_does_not_overtake(phone: Phone) -> None:
    call = ExampleCall()
    phone.is_called(call)
    phone.receives(call.request("ACK"))
    call.request("INVITE")
    late = call.request("INVITE", body=OFFER)
    phone.receives(call.request("UPDATE"))
    assert sent(phone.receives(late))[0].status == 500


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "INVITE", "OPTIONS"])
def test_a_dialog_that_nobody_knows(phone: Phone, method: str) -> None:
    assert sent(phone.receives(ExampleCall(to_tag="unknown").request(method, body=OFFER)))[0].status == 481
    assert not phone.server._transactions


@pytest.mark.parametrize(("method", "status"), [("CANCEL", 481), ("REGISTER", 405), ("BYE", 481), ("INFO", 405)])
def test_what_there_is_no_call_for(phone: Phone, method: str, status: int) -> None:
    assert sent(phone.receives(ExampleCall().request(method)))[0].status == status


def test_an_acknowledgement_of_nothing_is_not_answered(phone: Phone) -> None:
    assert phone.receives(ExampleCall().request("ACK")) == []


def test_an_invite_on_two_ways_is_one_call(phone: Phone) -> None:
    call = ExampleCall()
    phone.receives(call.request("INVITE", body=OFFER, sequence=1))
    again = phone.receives(call.request("INVITE", body=OFFER, sequence=1))
    assert [each.status for each in sent(again)] == [482]


def test_a_bye_before_the_answer_ends_the_invite_too(phone: Phone) -> None:
    call = ExampleCall()
    phone.receives(call.request("INVITE", body=OFFER))
    dialog = phone.server.dialogs[0]
    call.to_tag = dialog.local_tag
    events = phone.receives(call.request("BYE"))
    assert sorted(each.status for each in sent(events)) == [200, 487]
    assert len(ended(events)) == 1


def test_a_cancel_from_elsewhere_cancels_nothing(phone: Phone) -> None:
    call = ExampleCall()
    phone.receives(call.request("INVITE", body=OFFER, branch="z9hG4bKq"))
    stranger = Flow(transport="UDP", address="203.0.113.9", port=5060, local_address="192.0.2.1", local_port=5060)
    assert sent(phone.receives(call.request("CANCEL", branch="z9hG4bKq"), flow=stranger))[0].status == 481
    assert phone.server.dialogs


def test_a_cancel_that_comes_too_late_changes_nothing(phone: Phone) -> None:
    call = ExampleCall()
    invited = phone.receives(call.request("INVITE", body=OFFER, branch="z9hG4bKq"))[-1]
    assert isinstance(invited, Invited)
    phone.accepts(invited)
    assert sent(phone.receives(call.request("CANCEL", branch="z9hG4bKq")))[0].status == 200
    assert phone.server.dialogs


def test_answers_go_where_the_via_says_and_tell_where_from(phone: Phone) -> None:
    flow = Flow(transport="UDP", address="198.51.100.4", port=40_000, local_address="192.0.2.1", local_port=5060)
    asked = ExampleCall(port=5070).request("OPTIONS")
    event = phone.receives(asked, flow=flow)[0]
    assert isinstance(event, SipSend)
    assert event.flow.port == 40_000
    assert "rport=40000" in read_answer(event.data).headers["via"]
    assert "received=198.51.100.4" in read_answer(event.data).headers["via"]
    event = phone.receives(asked.replace(b";rport", b""), flow=flow)[0]
    assert isinstance(event, SipSend)
    assert event.flow.port == 5070


def test_record_routes_come_back_and_our_requests_take_them(phone: Phone) -> None:
    call = ExampleCall()
    routes = "Record-Route: <sip:a.example.com;lr>, <sip:b.example.com;lr>\r\n"
    answer = phone.is_called(call, more=routes)
    assert "record-route" in answer.headers
    phone.receives(call.request("ACK"))
    bye = sent(phone.server.hang_up(phone.server.dialogs[0], "over", failed=False, now=phone.now))[0]
    assert bye.headers["route"] == "<sip:b.example.com;lr>"  # the last of two headers of the name
    assert bye.headers["from"].endswith(f";tag={call.to_tag}")
    assert bye.headers["to"].endswith(f";tag={call.from_tag}")


def test_a_session_that_is_not_refreshed_ends_before_its_time_is_over(phone: Phone) -> None:
    call = ExampleCall()
    phone.is_called(call, more=TIMER.format("uac"))
    phone.receives(call.request("ACK"))
    assert not ended(phone.waits(1_700))
    events = phone.waits(100)
    assert ended(events)[0].failed
    assert sent(events)[0].start.startswith("BYE ")


def test_a_client_that_leaves_the_refreshing_to_us_is_refreshed(phone: Phone) -> None:
    call = ExampleCall()
    assert phone.is_called(call, more=TIMER.format("uas")).headers["session-expires"] == "1800;refresher=uas"
    phone.receives(call.request("ACK"))
    update = sent(phone.waits(901))[0]
    assert update.start.startswith("UPDATE ")
    phone.receives(answer_to(update, 200))
    assert not ended(phone.waits(850))


def test_a_client_that_has_forgotten_the_call_is_believed(phone: Phone) -> None:
    call = ExampleCall()
    phone.is_called(call, more=TIMER.format("uas"))
    phone.receives(call.request("ACK"))
    update = sent(phone.waits(901))[0]
    assert ended(phone.receives(answer_to(update, 481)))[0].failed


def test_too_short_an_interval_is_refused(phone: Phone) -> None:
    answer = sent(phone.receives(ExampleCall().request("INVITE", body=OFFER, more="Session-Expires: 5\r\n")))[0]
    assert (answer.status, answer.headers["min-se"]) == (422, "90")


def test_strangers_leave_nothing_behind(phone: Phone) -> None:
    for _ in range(100):
        invited = phone.receives(ExampleCall().request("INVITE", body=OFFER))[-1]
        assert isinstance(invited, Invited)
        assert sent(phone.server.drop(invited.transaction, 403))[0].status == 403
        phone.receives(ExampleCall().request("OPTIONS"))
        phone.receives(ExampleCall(to_tag="x").request("BYE"))
    assert not phone.server._transactions
    assert not phone.server.dialogs
    assert not phone.server._merged
    assert not phone.waits(60)


def answer_to(request: Answer, status: int) -> bytes:
    copied = [f"{name}: {request.headers[name]}" for name in ("via", "from", "to", "call-id", "cseq")]
    return "\r\n".join([f"SIP/2.0 {status} Said", *copied, "Content-Length: 0", "", ""]).encode()


class AnyClient(RuleBasedStateMachine):
    """A client that does anything in any order: each dialog is told to have ended once, and nothing is left behind."""

    def __init__(self) -> None:
        super().__init__()
        self.phone = Phone()
        self.call = ExampleCall()
        self.waiting: list[Invited | Changed] = []
        self.history: list[bytes] = []
        self.dialogs = 0
        self.told = 0

    def _receive(self, data: bytes) -> None:
        self.history.append(data)
        self._see(self.phone.receives(data))

    def _see(self, events: list[ServerEvent]) -> None:
        for event in events:
            if isinstance(event, Invited):
                self.dialogs += 1
            if isinstance(event, Invited | Changed):
                self.waiting.append(event)
                self.call.to_tag = event.dialog.local_tag
            if isinstance(event, Ended):
                assert event.dialog.state is DialogState.ENDED
                self.told += 1

    @rule(method=st.sampled_from(["INVITE", "UPDATE", "BYE", "OPTIONS", "ACK", "CANCEL", "PRACK"]), fresh=st.booleans())
    def asks(self, method: str, fresh: bool) -> None:
        if fresh:
            self.call = ExampleCall()
        timer = TIMER.format("uac") if fresh else ""
        self._receive(self.call.request(method, body=OFFER, branch=f"z9hG4bK{len(self.history) // 3}", more=timer))

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def asks_again(self, data: st.DataObject) -> None:
        self._receive(data.draw(st.sampled_from(self.history)))

    @precondition(lambda self: self.waiting)
    @rule(how=st.sampled_from(["accept", "refuse", "drop"]))
    def is_answered(self, how: str) -> None:
        waiting, server = self.waiting.pop(0), self.phone.server
        before = waiting.dialog.state
        if how == "accept":
            self._see(server.accept(waiting.transaction, b"v=0\r\n", now=self.phone.now))
        elif how == "refuse" or isinstance(waiting, Changed):
            self._see(server.refuse(waiting.transaction, 488, now=self.phone.now))
        else:
            self._see(server.drop(waiting.transaction, 403))
        if before is DialogState.INVITED and waiting.dialog.state is DialogState.ENDED:
            self.told += 1  # it was never answered: that is no event

    @rule(seconds=st.sampled_from([0.3, 5.0, 40.0]))
    def waits(self, seconds: float) -> None:
        self._see(self.phone.waits(seconds))

    @invariant()
    def each_dialog_ends_once(self) -> None:
        assert self.told + len(self.phone.server.dialogs) == self.dialogs

    def teardown(self) -> None:
        while self.waiting:
            self.is_answered("accept")
        self._see(self.phone.waits(1_900))
        for dialog in self.phone.server.dialogs:
            self._see(self.phone.server.hang_up(dialog, "over", failed=False, now=self.phone.now))
        self._see(self.phone.waits(70))
        server = self.phone.server
        assert not server.dialogs and not server._transactions and not server._asked and not server._merged
        assert self.told == self.dialogs


TestAnyClient = AnyClient.TestCase
TestAnyClient.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
