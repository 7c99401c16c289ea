"""How long domains keep what they hold, told and shown, and whether what is past its time was deleted."""

from dataclasses import fields, replace
from datetime import datetime, timedelta

from earwitness.rest.context import RestCall, RestContext, answer_of, paged
from earwitness.rest.domains import domain_of
from earwitness.rest.retention_models import (
    ExpiryAnswer,
    ExpiryRunAnswer,
    ExpiryState,
    GetRetention,
    ListExpiryRuns,
    PutRetention,
    RetentionAnswer,
)
from earwitness.store.retention import ExpiryRun, StoredSchedule
from earwitness.store.store import Unit
from earwitness.voice.retention import DEFAULT_SCHEDULE, RetentionSchedule

EXPIRY_LATE_AFTER = timedelta(minutes=15)
"""Runs are a minute apart; a database that is away for a few is nobody's alarm yet."""


def get_retention(context: RestContext, call: RestCall[GetRetention]) -> RetentionAnswer:
    """Show how long a domain keeps what it holds."""
    domain = domain_of(context, call)
    return _answer(domain.domain_id, context.store.retention.get(call.scope, domain.domain_id))


def put_retention(context: RestContext, call: RestCall[PutRetention]) -> RetentionAnswer:
    """Tell a domain how long to keep what it holds."""
    domain = domain_of(context, call)
    params = call.params
    schedule = RetentionSchedule(
        voiceprint_hours=params.voiceprint_hours,
        results_hours=params.results_hours,
        profile_days=params.profile_days,
        audio_days=params.audio_days,
        last_contact_days=params.last_contact_days,
        look_back=params.look_back == "true",
        published_name=params.published_name or "",
    )

    def work(unit: Unit) -> StoredSchedule:
        key_id = call.caller.principal.key_id
        told = unit.retention.put(call.scope, domain.domain_id, schedule, key_id=key_id)
        # The trail has no other place that says how long it was.
        said = " ".join(f"{name}={getattr(schedule, name)}" for name in _told(schedule) if name != "published_name")
        replace(call.caller, operation=f"{call.caller.operation} {said}".rstrip()).record(unit, domain.arn)
        return told

    return _answer(domain.domain_id, context.store.write(work))


def list_expiry_runs(context: RestContext, call: RestCall[ListExpiryRuns]) -> ExpiryAnswer:
    """Show the runs of the expiry, and say whether all is well."""
    latest = context.store.retention.runs(limit=1).items
    state, advice = expiry_state(latest[0] if latest else None, now=context.clock())
    found, following = paged(
        context,
        call,
        lambda after, limit: context.store.retention.runs(after=after, limit=limit),
        about="runs of the expiry",
    )
    return ExpiryAnswer(
        state=state,
        advice=advice,
        last_run_at=latest[0].started_at if latest else None,
        runs=[answer_of(ExpiryRunAnswer, one) for one in found],
        next_token=following,
    )


def expiry_state(latest: ExpiryRun | None, *, now: datetime) -> tuple[ExpiryState, str | None]:
    """Return whether what is past its time was deleted, in a word, and what to do about it."""
    if latest is None:
        return "never", "the service runs the expiry every minute; wait for the first run"
    if now - latest.started_at > EXPIRY_LATE_AFTER:
        since = f"{latest.started_at:%F %H:%M} UTC"
        return "late", f"nothing was deleted since {since}: look whether the service runs, and into its log"
    if latest.overdue_count:
        return "overdue", "something past its time is still there: look into the log of the service for the reason"
    return "well", None


def _answer(domain_id: str, told: StoredSchedule | None) -> RetentionAnswer:
    schedule = DEFAULT_SCHEDULE if told is None else told.schedule
    return RetentionAnswer(
        domain_id=domain_id,
        voiceprint_hours=schedule.voiceprint // timedelta(hours=1),
        results_hours=schedule.results // timedelta(hours=1),
        profile_days=schedule.profile.days,
        audio_days=schedule.audio_days,
        last_contact_days=schedule.last_contact_days,
        look_back=schedule.look_back,
        published_name=schedule.published_name,
        told=[_camel(name) for name in _told(schedule)],
        updated_at=None if told is None else told.updated_at,
        key_id=None if told is None else told.key_id,
    )


def _told(schedule: RetentionSchedule) -> list[str]:
    """Return the fields that differ from those of a domain that was told nothing."""
    names = [one.name for one in fields(RetentionSchedule)]
    return [name for name in names if getattr(schedule, name) != getattr(DEFAULT_SCHEDULE, name)]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
