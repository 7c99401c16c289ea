"""Speaker search tasks on calls of Voice Connectors: the tasks of pipelines, with another face.

A call's transaction and leg stand for the pipeline and the stream; answers hold the results.
"""

from typing import Any

from earwitness.access.caller import Caller
from earwitness.access.once import once
from earwitness.api.context import ApiContext, require
from earwitness.api.domains import MISSING as NO_DOMAIN
from earwitness.api.voice_connectors import MISSING as NO_CONNECTOR
from earwitness.errors import Conflict, Gone, LimitExceeded, NotFound, Unprocessable
from earwitness.store.connector_records import ConnectorCall
from earwitness.store.records import Pipeline, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import named_in
from earwitness.tasks.pipelines import searches_speakers
from earwitness.tasks.runner import WorkItem
from earwitness.voice.call_task_status import call_task_status
from earwitness.voice.connector import CallLeg, CallStatus
from earwitness.voice.consent import consent_of
from earwitness.voice.pipeline_status import PipelineStatus
from earwitness.voice.task_status import StopReason, is_active
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_TAKES_TASKS = frozenset((PipelineStatus.NOT_STARTED, PipelineStatus.INITIALIZING, PipelineStatus.IN_PROGRESS))
_CHANNELS = {CallLeg.CALLER: 0, CallLeg.CALLEE: 1}
"""Which channel of a tag's key a leg is: each has a stream of its own."""

_MISSING = "this Voice Connector has no speaker search task of this id; tasks are kept for seven days"
_ONE_IS_ACTIVE = "a speaker search task is active on this transaction, which may have one; stop it first"
_OVER = "the call has ended; start tasks while a call is in progress"


def start_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Begin to listen to one leg of a call; at 10 s of its speech the domain is searched."""
    task_id = context.new_id()

    def work(unit: Unit) -> tuple[SpeakerSearchTask, str]:
        call = _call(unit, caller, params)
        task = once(
            unit,
            caller,
            params,
            within=call.transaction_id,
            reference=task_id,
            create=lambda: _create(context, unit, caller, params, call, task_id),
            find=lambda made: unit.tasks.get(caller.scope, made),
        )
        return task, call.transaction_id

    task, transaction_id = context.store.write(work)
    context.announce(task)
    return _answer(task, params["VoiceConnectorId"], transaction_id)


def get_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a task, with what it found."""
    task, transaction_id = _task(context.store, caller, params)
    return _answer(task, params["VoiceConnectorId"], transaction_id)


def stop_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Stop listening; results that are missing are not reported."""

    def work(unit: Unit) -> SpeakerSearchTask:
        task, _ = _task(unit, caller, params)
        if not is_active(task.status):
            raise Unprocessable(f"the task is {task.status} and cannot be stopped; look at its results")
        try:
            stopped = unit.tasks.request_stop(caller.scope, task.task_id, reason=StopReason.CALLER)
        except Conflict as error:  # it ended just now
            raise Unprocessable(str(error)) from error
        caller.record(unit, _arn(caller, params, task.task_id))
        return require(stopped, _MISSING)

    context.work.changed(_item(context.store.write(work)))
    return {}


def _create(
    context: ApiContext, unit: Unit, caller: Caller, params: Params, call: ConnectorCall, task_id: str
) -> SpeakerSearchTask:
    leg = CallLeg(params.get("CallLeg") or CallLeg.CALLER)
    pipeline = _pipeline(unit, call)
    heard = call.leg(leg)
    if heard is None:
        raise Unprocessable(f"the call has no audio of its {leg.value.lower()}; choose the other CallLeg")
    domain = require(unit.domains.get(caller.scope, params["VoiceProfileDomainId"]), NO_DOMAIN)
    if unit.connector_calls.count_active_tasks(call):
        raise LimitExceeded(_ONE_IS_ACTIVE)
    context.require_room(unit, caller.scope, heard.stream_arn)
    unit.tasks.create(
        caller.scope,
        task_id=task_id,
        pipeline_id=pipeline.pipeline_id,
        stream_arn=heard.stream_arn,
        channel_id=heard.channel_id,
        domain_id=domain.domain_id,
        domain_arn=domain.arn,
        consent=consent_of(pipeline.runtime_metadata, unit.tags.list(caller.scope, pipeline.arn), _CHANNELS[leg]),
        pipeline_statuses=_TAKES_TASKS,
        active_limit=context.quotas.active_tasks,
    )
    unit.connector_calls.give_task(call, task_id, leg)
    if unit.connector_calls.count_active_tasks(call) > 1:  # again, behind the lock that `create` holds
        raise LimitExceeded(_ONE_IS_ACTIVE)
    context.pipeline_moves.begin_task(unit, caller.scope, pipeline)
    caller.record(unit, _arn(caller, params, task_id))
    return require(unit.tasks.get(caller.scope, task_id), _MISSING)


def _call(unit: Unit, caller: Caller, params: Params) -> ConnectorCall:
    """Return the call of a request. Raise NotFound for one of another connector."""
    _require_connector(unit, caller, params)
    call = unit.connector_calls.get(caller.scope, params["TransactionId"])
    if call is None or call.connector_id != params["VoiceConnectorId"]:
        raise NotFound("this Voice Connector has no call of this transaction id; its streaming events name it")
    return call


def _pipeline(unit: Unit, call: ConnectorCall) -> Pipeline:
    """Return the pipeline of a call. Raise Gone, Unprocessable or Conflict when it takes no tasks."""
    if call.status is not CallStatus.IN_PROGRESS:
        raise Gone(_OVER)
    found = None if call.pipeline_id is None else unit.pipelines.get(call.scope, call.pipeline_id)
    if found is None or not searches_speakers(found.configuration):
        raise Unprocessable(
            "the call has no voice analytics: associate a configuration whose VoiceAnalyticsProcessor has "
            "SpeakerSearchStatus Enabled with the Voice Connector's streaming configuration"
        )
    if found.status == PipelineStatus.PAUSED:
        raise Conflict("the pipeline of the call is Paused and takes no tasks; resume it")
    if found.status not in _TAKES_TASKS:
        raise Gone(_OVER)
    return found


def _task(records: Store | Unit, caller: Caller, params: Params) -> tuple[SpeakerSearchTask, str]:
    """Return a task and the transaction that it was started on. Raise NotFound for one of another connector."""
    scope, task_id = caller.scope, params["SpeakerSearchTaskId"]
    started = records.connector_calls.task_leg(scope, task_id)
    call = None if started is None else records.connector_calls.get(scope, started[0])
    task = records.tasks.get(scope, task_id)
    if call is None or task is None or call.connector_id != params["VoiceConnectorId"]:
        _require_connector(records, caller, params)  # which of the two is missing?
        raise NotFound(_MISSING)
    return task, call.transaction_id


def _require_connector(records: Store | Unit, caller: Caller, params: Params) -> None:
    require(records.connectors.get(caller.scope, params["VoiceConnectorId"]), NO_CONNECTOR)


def _arn(caller: Caller, params: Params, task_id: str) -> str:
    return caller.arn("chime", f"vc/{params['VoiceConnectorId']}/{task_id}")


def _item(task: SpeakerSearchTask) -> WorkItem:
    return WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id)


def _answer(task: SpeakerSearchTask, connector_id: str, transaction_id: str) -> Result:
    described: dict[str, Any] = {  # `Any`: members of an output shape
        "SpeakerSearchTaskId": task.task_id,
        "SpeakerSearchTaskStatus": call_task_status(
            task.status,
            stop_reason=task.stop_reason,
            is_identified=task.identification is not None,
            voiceprint_status=task.voiceprint_status,
        ).value,
        "CallDetails": {
            "VoiceConnectorId": connector_id,
            "TransactionId": transaction_id,
            "IsCaller": task.call_leg is not CallLeg.CALLEE,
        },
        "CreatedTimestamp": task.created_at,
        "UpdatedTimestamp": task.updated_at,
        "StartedTimestamp": task.started_at,
        "StatusMessage": task.status_message,
    }
    details: dict[str, object] = {}
    if task.identification is not None:
        details["Results"] = [
            {"VoiceProfileId": found.voice_profile_id, "ConfidenceScore": found.confidence}
            for found in named_in(task.identification)
        ]
    if task.voiceprint_status is not None:
        details["VoiceprintGenerationStatus"] = task.voiceprint_status.value
    if details:
        described["SpeakerSearchDetails"] = details
    return {"SpeakerSearchTask": described}
