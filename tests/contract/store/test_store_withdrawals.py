"""Withdrawals: what goes at once, who is refused afterwards, and what is still looked for."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from consent_examples import SUBJECT, TERMS, later, named, task_of
from search_examples import add_task, adopted, append_event, end, enrol, vector, voiceprint
from sqlalchemy import Table, select
from store_examples import MINE, OTHERS, Clock, add_domain, add_pipeline, add_stream, guid

from earwitness.errors import ConsentMissing
from earwitness.store.job_records import ItemInput, Job
from earwitness.store.label_schema import task_labels
from earwitness.store.records import Pipeline, SpeakerSearchTask, VoiceProfile
from earwitness.store.repeat_schema import task_fingerprints, task_repeats
from earwitness.store.repeats import Repeat
from earwitness.store.schema import metadata, task_voiceprints
from earwitness.store.store import Store, Unit
from earwitness.store.withdrawal_records import HeldOfCalls, Withdrawal
from earwitness.tasks.withdrawing import because_of
from earwitness.voice.consent import CarriedConsent
from earwitness.voice.deletion import DeletionKind, DeletionReason
from earwitness.voice.job import ItemState, JobKind, JobState
from earwitness.voice.label import Picked, Spoke
from earwitness.voice.line import Codec
from earwitness.voice.task_status import StopReason, TaskStatus
from earwitness.voice.withdrawal import ITEM_WITHDRAWN, WithdrawalState

METADATA: dict[str, object] = {"earwitness:consent:subject": SUBJECT, "customerName": "Ada Lovelace", "callId": "7"}


def _kept(pipeline: Pipeline) -> Mapping[str, object]:
    return {"callId": (pipeline.runtime_metadata or {}).get("callId")}


def withdraw(store: Store, subject: str = SUBJECT) -> Withdrawal:
    asked = {"withdrawal_id": f"withdrawal-{guid()}", "key_id": "AKIA"}

    def begin(unit: Unit) -> Withdrawal:
        because_of(unit, **asked)
        return unit.withdrawals.begin(MINE, subject, **asked, forget_metadata=_kept)

    return store.write(begin)


def _decision(*profile_ids: str, outcome: str = "match") -> dict[str, object]:
    return {"outcome": outcome, "candidates": [{"profile_id": one, "score": 0.7} for one in profile_ids]}


class Call:
    """A subject's call in a domain: task, voiceprint, result, events, vote, profile, consent."""

    def __init__(self, store: Store, domain_id: str, *, subject: str = SUBJECT, ends: bool = True) -> None:
        self.pipeline = store.write(lambda unit: add_pipeline(unit, metadata=METADATA))
        carried = CarriedConsent(terms=replace(TERMS, subject=subject))
        task = store.write(lambda unit: add_task(unit, domain_id, self.pipeline.pipeline_id, consent=carried))
        task = adopted(store, task)
        self.number = {"attempt": task.attempt}
        found = {**self.number, "identification": _decision("vp-other"), "checkpoint": {"speech": [[0.5, 4.25]]}}
        made = {**self.number, "voiceprint": voiceprint(0.28, 0.96, audio=b"speech of the subject")}
        store.write(lambda unit: unit.attempts.conclude_identification(MINE, task.task_id, **found))
        store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, **made))
        repeat = Repeat(of_task_id=guid(), likeness=0.9)
        store.write(lambda unit: unit.repeats.keep(task, b"how loud it was" * 50, repeat))
        self.task: SpeakerSearchTask = end(store, task) if ends else task
        self.profile: VoiceProfile = enrol(store, task, consent="form 12")
        body = json.dumps({"speakerSearchTaskId": task.task_id}).encode()
        state = json.dumps({"metadata": METADATA}).encode()
        store.write(lambda unit: append_event(unit, self.pipeline.pipeline_id, "webhook", body=body))
        store.write(lambda unit: append_event(unit, self.pipeline.pipeline_id, "webhook", body=state))
        self.other_event = store.write(lambda unit: append_event(unit, self.pipeline.pipeline_id, "webhook"))
        store.write(lambda unit: self._vote(unit, domain_id))

    def label(self, store: Store, domain_id: str) -> str:
        """Label this call, and another one by its profile; return the other's task."""
        other = end(store, adopted(store, store.write(lambda unit: add_task(unit, domain_id))))
        for task, spoke, profile_id in (
            (self.task, Spoke.NOBODY, None),
            (other, Spoke.NOT, self.profile.profile_id),
        ):
            said = {"spoke": spoke, "profile_id": profile_id, "picked": Picked.QUEUE, "key_id": "AKIA"}
            store.write(lambda unit, task=task, said=said: unit.labels.put(task, **said))
        return other.task_id

    def _vote(self, unit: Unit, domain_id: str) -> None:
        by = {"profile_id": None, "task_id": self.task.task_id, "net_speech_seconds": 20.0}
        unit.lines.vote(MINE, domain_id, Codec.PCM, encoder_id="two-d-1", vector=vector(0.28, 0.96), **by)


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def test_everything_that_was_made_for_the_subject_goes_at_once(store: Store, domain_id: str) -> None:
    call = Call(store, domain_id)
    other_label = call.label(store, domain_id)
    digest = store.subject_digest(MINE, SUBJECT)
    held = store.subjects.held(MINE, digest)
    assert [one.profile for one in held.profiles] == [call.profile]
    assert [one.task_id for one in held.tasks] == [call.task.task_id]
    assert (len(held.consents), held.votes) == (1, 1)
    theirs = frozenset({call.task.task_id})
    assert held.of_calls == HeldOfCalls(voiceprints=theirs, fingerprints=theirs, repeats=theirs)
    assert {(one.task_id, one.spoke) for one in held.labels} == {
        (call.task.task_id, Spoke.NOBODY),
        (other_label, Spoke.NOT),
    }
    begun = withdraw(store)
    assert begun.state is WithdrawalState.OPEN
    counted = {"consents": 1, "profiles": 1, "tasks": 1, "votes": 1, "events": 2, "pipelines": 1}
    assert begun.counts == counted
    held = store.subjects.held(MINE, digest)
    assert (held.consents, held.profiles, held.tasks, held.votes) == ((), (), (), 0)
    for table in (task_labels, task_fingerprints, task_repeats, task_voiceprints):
        assert _rows(store, table) == 0, table.name
    assert store.consents.withdrawn_at(MINE, digest) == begun.created_at
    assert store.tasks.get(MINE, call.task.task_id) is None
    assert store.profiles.get(MINE, call.profile.profile_id) is None
    assert store.lines.votes(MINE, domain_id, Codec.PCM) == ()
    pipeline = store.pipelines.get(MINE, call.pipeline.pipeline_id)
    assert pipeline is not None
    assert pipeline.runtime_metadata == {"callId": "7"}
    left = store.events.list(MINE, call.pipeline.pipeline_id, limit=9).items
    assert [one.event_id for one in left] == [call.other_event]


def test_others_keep_what_they_have(store: Store, domain_id: str) -> None:
    other = Call(store, domain_id, subject="customer 2")
    withdraw(store)
    held = store.subjects.held(MINE, store.subject_digest(MINE, "customer 2"))
    assert [one.profile for one in held.profiles] == [other.profile]
    assert (len(held.consents), len(held.tasks), held.votes) == (1, 1, 1)
    for scope in OTHERS:
        assert store.consents.withdrawn_at(scope, store.subject_digest(scope, SUBJECT)) is None


def test_it_is_written_down_as_one_request(store: Store, domain_id: str) -> None:
    call = Call(store, domain_id)
    begun = withdraw(store)
    (deletion,) = store.deletions.of_request(MINE, begun.withdrawal_id)
    assert (deletion.why, deletion.who) == (DeletionReason.CONSENT_WITHDRAWN, "AKIA")
    kinds = {item.kind for item in deletion.items}
    assert kinds >= {DeletionKind.SUBJECT, DeletionKind.PROFILE, DeletionKind.TASK}
    digest = store.digest_of(MINE, DeletionKind.PROFILE, call.profile.profile_id)
    assert digest in {item.identity_digest for item in deletion.items}


def test_a_withdrawn_subject_is_refused_until_a_newer_consent(store: Store, clock: Clock, domain_id: str) -> None:
    Call(store, domain_id)
    withdraw(store)
    start = lambda carried: store.write(lambda unit: task_of(unit, domain_id, carried))  # noqa: E731
    with pytest.raises(ConsentMissing, match="has withdrawn the consent"):
        start(named())
    with pytest.raises(ConsentMissing, match="withdrawn since this consent was given"):
        start(CarriedConsent(terms=TERMS))  # the same as before: a client that repeats itself lifts nothing
    with pytest.raises(ConsentMissing):
        store.write(lambda unit: unit.consents.record(MINE, domain_id, TERMS))
    clock.advance(timedelta(days=2))
    store.write(lambda unit: unit.consents.record(MINE, domain_id, later(1)))
    start(named())
    other = store.write(add_domain)
    with pytest.raises(ConsentMissing):  # the new one holds where it was given
        store.write(lambda unit: task_of(unit, other.domain_id, named()))
    start_anybody = store.write(lambda unit: task_of(unit, other.domain_id, CarriedConsent()))
    assert start_anybody.status is TaskStatus.NOT_STARTED  # nobody is known by a kept voiceprint


def test_a_running_task_keeps_nothing_and_fails_at_once(store: Store, domain_id: str) -> None:
    call = Call(store, domain_id, ends=False)
    withdraw(store)
    for table in (task_fingerprints, task_repeats, task_voiceprints):
        assert _rows(store, table) == 0, table.name
    task, attempt = store.tasks.get(MINE, call.task.task_id), call.task.attempt
    assert task is not None
    assert (task.status, task.stop_reason) == (TaskStatus.STOPPING, StopReason.CONSENT_WITHDRAWN)
    assert (task.checkpoint, task.identification, task.profile_id) == (None, None, None)
    for write in (
        lambda unit: unit.attempts.write_progress(MINE, task.task_id, **call.number, checkpoint={"a": 1}),
        lambda unit: unit.attempts.conclude_identification(MINE, task.task_id, **call.number, identification={"a": 1}),
    ):
        with pytest.raises(ConsentMissing, match="nothing of the task is kept"):
            store.write(write)
    store.write(lambda unit: unit.attempts.fail(MINE, task.task_id, attempt=attempt, status_message="withdrawn"))
    ended = store.tasks.get(MINE, task.task_id)
    assert ended is not None
    assert (ended.status, ended.status_message) == (TaskStatus.FAILED, "withdrawn")


def _job(unit: Unit, domain_id: str) -> Job:
    arn, more = f"arn:{domain_id}", {"items": 2, "key_id": "AKIA"}
    job, _ = unit.jobs.create(
        MINE, job_id=f"job-{guid()}", kind=JobKind.SEARCH, domain_id=domain_id, domain_arn=arn, **more
    )
    return job


def test_items_of_jobs_lose_their_recordings_names_and_results(store: Store, domain_id: str) -> None:
    store.write(lambda unit: unit.consents.record(MINE, domain_id, TERMS))
    job = store.write(lambda unit: _job(unit, domain_id))
    for number, name in ((1, "of the subject.wav"), (2, "also.wav")):
        asked = {"input_": ItemInput(name=name, subject=SUBJECT), "recording": b"audio", "size": 5}
        store.write(lambda unit, number=number, asked=asked: unit.jobs.put(job, number, **asked))
    claimed = store.write(lambda unit: unit.jobs.claim(holder="h", after=None))
    assert claimed is not None
    store.write(lambda unit: unit.jobs.finish(claimed, _decision("vp-1")))
    withdraw(store)
    first, second = store.jobs.items(job, limit=9).items
    assert (first.state, first.result, first.reason) == (ItemState.DONE, None, ITEM_WITHDRAWN)
    assert (second.state, second.result, second.reason) == (ItemState.FAILED, None, ITEM_WITHDRAWN)
    assert first.input == second.input == ItemInput(name="")
    after = store.jobs.get(MINE, job.job_id)
    assert after is not None
    assert (after.state, after.done, after.failed) == (JobState.DONE, 1, 1)
    assert store.jobs.waiting_bytes(MINE) == 0


def test_results_of_other_calls_are_looked_through(store: Store, domain_id: str) -> None:
    call = Call(store, domain_id)
    theirs = call.profile.profile_id

    def found(*profile_ids: str) -> SpeakerSearchTask:
        stream = f"arn:{guid()}"
        task = adopted(store, store.write(lambda unit: add_task(unit, domain_id, stream_arn=stream)))
        result = {"attempt": task.attempt, "identification": _decision(*profile_ids)}
        store.write(lambda unit: unit.attempts.conclude_identification(MINE, task.task_id, **result))
        return end(store, task)

    named_one, second, nobody = found(theirs, "vp-x"), found("vp-x", theirs), found("vp-x")
    begun = withdraw(store)
    sought = store.withdrawals.sought(begun)
    assert sought is not None
    assert (sought.subject, sought.profile_ids, sought.domain_ids) == (SUBJECT, (theirs,), (domain_id,))
    assert SUBJECT not in repr(sought)
    assert {task.task_id for task in store.withdrawals.results(MINE, [domain_id], after=None, limit=9).items} == {
        one.task_id for one in (named_one, second, nobody)
    }
    store.write(lambda unit: unit.withdrawals.put_result(second, _decision("vp-x")))
    store.write(lambda unit: unit.withdrawals.put_result(named_one, None))
    assert store.tasks.get(MINE, second.task_id).identification == _decision("vp-x")  # type: ignore[union-attr]
    assert store.tasks.get(MINE, named_one.task_id).identification is None  # type: ignore[union-attr]


def test_the_end_forgets_who_was_looked_for(store: Store, domain_id: str) -> None:
    store.write(lambda unit: add_stream(unit, "calls"))
    (stream,) = store.streams.list(MINE, limit=1).items
    running = store.write(lambda unit: add_task(unit, domain_id, stream_arn=stream.arn, consent=CarriedConsent(
        terms=TERMS)))  # fmt: skip
    begun = withdraw(store)
    (erasure,) = store.withdrawals.erasures(begun)
    assert (erasure.stream_arn, erasure.node_id, erasure.until_at) == (stream.arn, "", None)
    assert erasure.pipeline_id == running.pipeline_id  # until it has ended
    assert store.withdrawals.due_erasures("", limit=9) == (erasure,)
    assert not store.write(lambda unit: unit.withdrawals.finish(begun))
    store.write(lambda unit: unit.withdrawals.add(begun, is_searched=True, results=2))
    assert not store.write(lambda unit: unit.withdrawals.finish(begun))
    store.write(lambda unit: unit.withdrawals.erased(erasure, fragments=3, is_done=False))
    store.write(lambda unit: unit.withdrawals.erased(erasure, fragments=1, is_done=True))
    assert store.write(lambda unit: unit.withdrawals.finish(begun))
    done = store.withdrawals.get(MINE, begun.withdrawal_id)
    assert done is not None
    assert (done.state, done.counts["results"]) == (WithdrawalState.DONE, 2)
    assert store.withdrawals.erasures(done)[0].fragments == 4
    assert store.withdrawals.sought(done) is None
    assert store.withdrawals.open(limit=9) == ()


def test_who_was_never_heard_of_may_withdraw_too(store: Store, domain_id: str) -> None:
    begun = withdraw(store, "customer 9")
    assert begun.counts == {}
    with pytest.raises(ConsentMissing):
        store.write(lambda unit: task_of(unit, domain_id, named("customer 9")))


def test_nothing_of_the_subject_is_in_any_file_afterwards(store: Store, domain_id: str, kind: str, url: str) -> None:
    """Sealed values are searched for as they lie: every ciphertext that goes is looked for in the files."""
    if kind != "sqlite":
        pytest.skip("PostgreSQL uses the place of rows again after the next vacuum; the drill looks at its files")
    Call(store, domain_id)
    before = _personal_values(store)
    files = Path(url.removeprefix("sqlite:///"))
    assert any(value in _bytes_of(files) for value in before)
    begun = withdraw(store)
    store.write(lambda unit: unit.withdrawals.add(begun, is_searched=True))
    assert store.write(lambda unit: unit.withdrawals.finish(begun))
    content = _bytes_of(files)
    still = _personal_values(store)
    assert [value for value in before - still if value in content] == []
    assert all(word.encode() not in content for word in ("4711", "Ada Lovelace", "form 12", "call 17"))


def _personal_values(store: Store) -> set[bytes]:
    """Every ciphertext of a voice, a result, a consent, an event or metadata."""
    found: set[bytes] = set()
    with store._database.engine.connect() as connection:
        for table in metadata.tables.values():
            for column in table.c:
                if column.name.endswith("_ciphertext"):
                    found |= {value for value in connection.execute(select(column)).scalars() if value}
    return found


def _rows(store: Store, table: Table) -> int:
    with store._database.engine.connect() as connection:
        return len(connection.execute(select(table)).all())


def _bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
