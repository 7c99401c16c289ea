"""The withdrawal of consents, and the report of what is held of a person. Both name the person in the body."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from earwitness.rest.consent_models import (
    CountAnswer,
    ErasedMediaAnswer,
    HeldAnswer,
    HeldItemAnswer,
    HeldLabelAnswer,
    HeldProfileAnswer,
    HeldTaskAnswer,
    HeldVoiceprintAnswer,
    WithdrawalAnswer,
)
from earwitness.rest.consent_parameters import (
    GetWithdrawal,
    NamedSubject,
    ReportSubject,
    WithdrawConsents,
    body_of,
)
from earwitness.rest.consents import consent_answer
from earwitness.rest.context import RestCall, RestContext, answer_of, there
from earwitness.store.pages import all_records
from earwitness.store.records import Pipeline, Scope, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.store.withdrawal_records import (
    HeldItem,
    HeldOfCalls,
    HeldOfProfile,
    HeldOfSubject,
    MediaErasure,
    Withdrawal,
)
from earwitness.tasks.withdrawing import because_of, kept_metadata, names_profile
from earwitness.voice.consent import ConsentTerms

REMAINS = (
    "the means of lines, each of ten voices or more",
    "a keyed digest of the subject, which refuses it",
    "what receivers of events and backups from before have",
)


def withdraw_consents(context: RestContext, call: RestCall[WithdrawConsents]) -> WithdrawalAnswer:
    """Delete what was made for a person at once, and begin to look for the rest."""
    subject = _subject(context, call.body)
    withdrawal_id = f"withdrawal-{context.new_id()}"

    def forget(pipeline: Pipeline) -> Mapping[str, object]:
        return kept_metadata(subject, pipeline)

    def write(unit: Unit) -> Withdrawal:
        because_of(unit, withdrawal_id, key_id=call.caller.principal.key_id)
        begun = unit.withdrawals.begin(
            call.scope,
            subject,
            withdrawal_id=withdrawal_id,
            key_id=call.caller.principal.key_id,
            forget_metadata=forget,
        )
        call.caller.record(unit, call.caller.arn("chime", f"consent-{withdrawal_id}"))
        return begun

    begun = context.store.write(write)
    context.on_domain_deleted()  # running tasks look whether it was their speaker
    return _answer(context, begun)


def get_withdrawal(context: RestContext, call: RestCall[GetWithdrawal]) -> WithdrawalAnswer:
    """Tell how far a withdrawal is."""
    found = context.store.withdrawals.get(call.scope, call.params.withdrawal_id)
    return _answer(context, there(found, "there is no withdrawal of this id; look at it and at the Region"))


def report_subject(context: RestContext, call: RestCall[ReportSubject]) -> HeldAnswer:
    """Tell everything that is held of a person."""
    subject = _subject(context, call.body)
    digest = context.store.subject_digest(call.scope, subject)
    held = context.store.subjects.held(call.scope, digest)
    named = _named_in(context, call.scope, held)
    of_named = context.store.subjects.of_calls(call.scope, [one.task_id for one in named])

    def write(unit: Unit) -> datetime | None:
        call.caller.record(unit, call.caller.arn("chime", "consents"))
        # As enrolments and searches are judged: by the deletions too, which a restore takes over from the ledger.
        return unit.consents.withdrawn_at(call.scope, digest)

    return HeldAnswer(
        subject=subject,
        withdrawn_at=context.store.write(write),
        consents=[consent_answer(one) for one in held.consents],
        profiles=[_profile(one) for one in held.profiles],
        tasks=[_task(one, held.of_calls) for one in held.tasks],
        named_in=[_task(one, of_named) for one in named],
        items=[_item(one) for one in held.items],
        calls=list(held.calls),
        votes=held.votes,
        labels=[answer_of(HeldLabelAnswer, one) for one in held.labels],
    )


def _subject(context: RestContext, body: bytes) -> str:
    terms = ConsentTerms(subject=body_of(body, NamedSubject).subject)
    return str(terms.checked(now=context.clock()).subject)


def _named_in(context: RestContext, scope: Scope, held: HeldOfSubject) -> list[SpeakerSearchTask]:
    profile_ids = [one.profile.profile_id for one in held.profiles]
    if not profile_ids:
        return []
    domain_ids = {one.profile.domain_id for one in held.profiles}
    own = {task.task_id for task in held.tasks}
    pages = all_records(partial(context.store.withdrawals.results, scope, domain_ids))
    return [task for task in pages if task.task_id not in own and names_profile(task.identification, profile_ids)]


def _answer(context: RestContext, withdrawal: Withdrawal) -> WithdrawalAnswer:
    store, scope = context.store, withdrawal.scope
    deletions = store.deletions.of_request(scope, withdrawal.withdrawal_id)
    return answer_of(
        WithdrawalAnswer,
        withdrawal,
        deleted=[CountAnswer(what=what, count=count) for what, count in sorted(withdrawal.counts.items())],
        media=[_media(one) for one in store.withdrawals.erasures(withdrawal)],
        deletion_ids=[one.deletion_id for one in deletions],
        remains=list(REMAINS),
    )


def _media(erasure: MediaErasure) -> ErasedMediaAnswer:
    node_id, is_done = erasure.node_id or None, erasure.done_at is not None
    return answer_of(ErasedMediaAnswer, erasure, node_id=node_id, is_done=is_done)


def _profile(held: HeldOfProfile) -> HeldProfileAnswer:
    prints = [answer_of(HeldVoiceprintAnswer, one, task_id=one.source_task_id) for one in held.voiceprints]
    return answer_of(HeldProfileAnswer, held.profile, voiceprints=prints)


def _task(task: SpeakerSearchTask, of_calls: HeldOfCalls) -> HeldTaskAnswer:
    return answer_of(
        HeldTaskAnswer,
        task,
        has_result=task.identification is not None,
        has_voiceprint=task.task_id in of_calls.voiceprints,
        has_fingerprint=task.task_id in of_calls.fingerprints,
        is_repeat=task.task_id in of_calls.repeats,
    )


def _item(held: HeldItem) -> HeldItemAnswer:
    item = held.item
    return answer_of(
        HeldItemAnswer,
        item,
        job_id=held.job_id,
        domain_id=held.domain_id,
        name=None if item.input is None else item.input.name or None,
        has_result=item.result is not None,
    )
