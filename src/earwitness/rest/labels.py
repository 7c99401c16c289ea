"""Whether results are right: labels of tasks, and calls that are drawn to be labelled."""

from dataclasses import replace
from typing import TYPE_CHECKING

from earwitness.errors import BadRequest, Conflict, NotFound
from earwitness.rest.context import RestCall, RestContext, answer_of, paged, there
from earwitness.rest.domains import domain_of
from earwitness.rest.label_models import (
    EstimatedRateAnswer,
    LabelAnswer,
    LabelledCallAnswer,
    LabelledCallsAnswer,
    LabelReportAnswer,
    ProbabilityBinAnswer,
    SearchedCallAnswer,
    SearchedCandidateAnswer,
    ShareAnswer,
    UnlabelledAnswer,
)
from earwitness.rest.label_parameters import DeleteLabel, DrawUnlabelled, GetLabel, GetLabelReport, ListLabels, PutLabel
from earwitness.rest.models import TaskStreamAnswer
from earwitness.store.labels import TaskLabel
from earwitness.store.records import Page, PageKey, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.tasks.labelled import labelled_call, survey
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LabelledCall, only_matches_advice

if TYPE_CHECKING:
    from earwitness.evaluation.scored_labels import EstimatedRate, Share

_NO_TASK = "there is no speaker search task of this id; tasks are kept for seven days"
_NO_LABEL = "nobody has said who spoke in the call of this task"


def get_label(context: RestContext, call: RestCall[GetLabel]) -> LabelAnswer:
    """Return the label of a task."""
    task = _task(context, call)
    return answer_of(LabelAnswer, there(context.store.labels.get(call.scope, task.task_id), _NO_LABEL))


def put_label(context: RestContext, call: RestCall[PutLabel]) -> LabelAnswer:
    """Label a task, or change its label."""
    task, params = _task(context, call), call.params
    if params.spoke.names_profile and params.profile_id is None:
        raise BadRequest(f"profileId is missing: say who it was{' not' if params.spoke == 'not' else ''}")
    if params.profile_id is not None and not params.spoke.names_profile:
        raise BadRequest(f"profileId goes with `profile` and `not`, and not with `{params.spoke}`; leave it out")
    if labelled_call(task) is None:
        raise Conflict(
            "this call has no answer that could be right or wrong: wait for its search, or listen to each voice where "
            "there are several"
        )

    def write(unit: Unit) -> TaskLabel:
        label = unit.labels.put(
            task,
            spoke=params.spoke,
            profile_id=params.profile_id,
            picked=params.picked,
            key_id=call.caller.principal.key_id,
        )
        _record(unit, call, task)
        return label

    return answer_of(LabelAnswer, context.store.write(write))


def delete_label(context: RestContext, call: RestCall[DeleteLabel]) -> LabelAnswer:
    """Take a label back."""
    task = _task(context, call)

    def write(unit: Unit) -> TaskLabel:
        label = unit.labels.take_back(call.scope, task.task_id)
        if label is None:
            raise NotFound(_NO_LABEL)
        _record(unit, call, task)
        return label

    return answer_of(LabelAnswer, context.store.write(write))


def list_labels(context: RestContext, call: RestCall[ListLabels]) -> LabelledCallsAnswer:
    """List the labelled calls of a domain with what the searches said."""
    domain = domain_of(context, call)

    def read(after: PageKey | None, limit: int) -> Page[tuple[TaskLabel, SpeakerSearchTask]]:
        return context.store.labels.list(call.scope, domain.domain_id, after=after, limit=limit)

    found, following = paged(context, call, read, about=domain.domain_id)
    context.store.write(lambda unit: call.caller.record(unit, domain.arn))
    calls = [_labelled(task, label, one) for label, task in found if (one := labelled_call(task, label)) is not None]
    return LabelledCallsAnswer(calls=calls, next_token=following)


def draw_unlabelled(context: RestContext, call: RestCall[DrawUnlabelled]) -> UnlabelledAnswer:
    """Return a call to label, drawn at random, and how many are labelled."""
    domain = domain_of(context, call)
    found = survey(context.store, call.scope, domain.domain_id, random=context.random)
    drawn = found.draw(context.random)
    labelled = {outcome: found.labelled_of(outcome) for outcome in (Outcome.MATCH, Outcome.NO_MATCH)}
    return UnlabelledAnswer(
        domain_id=domain.domain_id,
        calls=found.calls,
        looked_at=found.looked_at,
        matches=found.of_all(Outcome.MATCH),
        no_matches=found.of_all(Outcome.NO_MATCH),
        labelled_matches=labelled[Outcome.MATCH],
        labelled_no_matches=labelled[Outcome.NO_MATCH],
        advice=only_matches_advice(matches=labelled[Outcome.MATCH], no_matches=labelled[Outcome.NO_MATCH]),
        call=None if drawn is None else _searched(drawn),
    )


def get_label_report(context: RestContext, call: RestCall[GetLabelReport]) -> LabelReportAnswer:
    """Return how often the searches of a domain are right, as labels say."""
    from earwitness.evaluation.scored_labels import label_report  # with numpy, which a start need not wait for

    domain = domain_of(context, call)
    found = survey(context.store, call.scope, domain.domain_id, random=context.random)
    report = label_report(
        found.labelled, matches=found.of_all(Outcome.MATCH), no_matches=found.of_all(Outcome.NO_MATCH)
    )
    context.store.write(lambda unit: call.caller.record(unit, domain.arn))

    def rate(one: "EstimatedRate | None") -> EstimatedRateAnswer | None:
        return None if one is None else EstimatedRateAnswer(percent=one.percent, interval=list(one.interval))

    return answer_of(
        LabelReportAnswer,
        report,
        domain_id=domain.domain_id,
        names_right=share_answer(report.names_right),
        missed=share_answer(report.missed),
        found=rate(report.found),
        strangers_named=rate(report.strangers_named),
        probabilities=[
            answer_of(ProbabilityBinAnswer, one, right=share_answer(one.right)) for one in report.probabilities
        ],
        cautions=list(report.cautions),
    )


def share_answer(share: "Share") -> ShareAnswer:
    """Return a share with its interval."""
    return answer_of(ShareAnswer, share, interval=list(share.interval))


def _task(
    context: RestContext, call: RestCall[GetLabel] | RestCall[PutLabel] | RestCall[DeleteLabel]
) -> SpeakerSearchTask:
    return there(context.store.tasks.get(call.scope, call.params.task_id), _NO_TASK)


def _record(unit: Unit, call: RestCall[PutLabel] | RestCall[DeleteLabel], task: SpeakerSearchTask) -> None:
    """Write into the audit trail who labelled which call, and how; whom the label names stays sealed."""
    spoke = f" {call.params.spoke}" if isinstance(call.params, PutLabel) else ""
    caller = replace(call.caller, operation=f"{call.caller.operation}{spoke}")
    caller.record(unit, caller.arn("chime", f"media-pipeline/{task.pipeline_id}/{task.task_id}"))


def _searched(call: LabelledCall) -> SearchedCallAnswer:
    return answer_of(SearchedCallAnswer, call, candidates=_candidates(call))


def _labelled(task: SpeakerSearchTask, label: TaskLabel, call: LabelledCall) -> LabelledCallAnswer:
    return answer_of(
        LabelledCallAnswer,
        call,
        candidates=_candidates(call),
        label=answer_of(LabelAnswer, label),
        stream=TaskStreamAnswer(arn=task.stream_arn, channel_id=task.channel_id),
        started_at=task.started_at,
        ended_at=task.ended_at,
    )


def _candidates(call: LabelledCall) -> list[SearchedCandidateAnswer]:
    return [SearchedCandidateAnswer(profile_id=profile_id, score=score) for profile_id, score in call.candidates]
