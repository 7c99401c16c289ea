"""The audit trail, read, and its checkpoints, for who keeps them elsewhere."""

from datetime import UTC, datetime

import msgspec

from earwitness.audit.checkpoints import AuditCheckpoint, signed_checkpoint
from earwitness.errors import BadRequest
from earwitness.rest.audit_models import AuditAnswer, AuditEntryAnswer, CheckpointsAnswer, SignedCheckpointAnswer
from earwitness.rest.audit_parameters import GetCheckpoints, ListAudit
from earwitness.rest.context import RestCall, RestContext, answer_of, paged
from earwitness.store.audit_records import AuditFilter


def list_audit(context: RestContext, call: RestCall[ListAudit]) -> AuditAnswer:
    """List the entries that the filters want, newest first."""
    wanted = wanted_of(call.params)
    found, following = paged(
        context,
        call,
        lambda after, limit: context.store.audit.list(call.scope, wanted=wanted, after=after, limit=limit),
        about=repr(wanted),
    )
    return AuditAnswer(entries=[answer_of(AuditEntryAnswer, one) for one in found], next_token=following)


def get_checkpoints(context: RestContext, call: RestCall[GetCheckpoints]) -> CheckpointsAnswer:  # noqa: ARG001
    """Return a checkpoint of each chain as it is now."""
    signer, now = context.store.signer(), context.clock()
    checkpoints: list[SignedCheckpointAnswer] = []
    for chain in context.store.audit.chains():
        number, digest = context.store.audit.head(chain.node) or (chain.start_number, chain.start_digest)
        checkpoint = AuditCheckpoint(node=chain.node, number=number, digest=digest, time=now)
        checkpoints.append(msgspec.convert(signed_checkpoint(checkpoint, signer), SignedCheckpointAnswer))
    return CheckpointsAnswer(public_key=signer.public.text, checkpoints=checkpoints)


def wanted_of(params: ListAudit) -> AuditFilter:
    """Return which entries are asked for. Raise BadRequest for times that are none."""
    return AuditFilter(
        since=_time("since", params.since),
        until=_time("until", params.until),
        key_id=params.key_id,
        operation=params.operation,
        resource_arn=params.resource_arn,
        outcome=params.outcome,
    )


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"the parameter {name} has to be a day or a time, as in 2026-01-31T08:00:00Z") from None
