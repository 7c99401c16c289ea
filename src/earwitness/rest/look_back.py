"""Where else a voice was heard: that of a call, or of a profile, among the calls whose voiceprints are kept."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, TypeAlias

from starlette.requests import ClientDisconnect

from earwitness.errors import Conflict, EarwitnessError, Gone, NotFound
from earwitness.rest.context import RestCall, RestContext, answer_of, there
from earwitness.rest.label_models import HeardCallAnswer, LookBackAnswer
from earwitness.rest.label_parameters import LookBack, LookBackForProfile
from earwitness.rest.models import ThresholdAnswer
from earwitness.store.records import TaskVoiceprint, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.voice.task_status import VoiceprintStatus, is_active

if TYPE_CHECKING:  # with numpy, which a start need not wait for
    from earwitness.voice.embedding import Embedding

_NO_TASK = "there is no speaker search task of this id; tasks are kept for seven days"
_NO_PROFILE = "the voice profile does not exist; look at its id and the Region"
_VOICEPRINTS_MAX = 50
"""Of one profile."""

_Asked: TypeAlias = RestCall[LookBack] | RestCall[LookBackForProfile]


def look_back(context: RestContext, call: RestCall[LookBack]) -> LookBackAnswer:
    """Return where else the voice of a task was heard."""
    found = _kept(context, call)
    domain = there(context.store.domains.get(call.scope, found.domain_id), "the voice profile domain was deleted")
    made = found.voiceprint
    probe = _embedding(made.vector, made.encoder_id, made.net_speech_seconds)

    def require_there(unit: Unit) -> None:
        if not unit.task_voiceprints.kept_until(call.scope, [found.task_id]):
            raise _gone()

    return _answer(context, call, domain, [probe], without=found.task_id, require_there=require_there)


def look_back_for_profile(context: RestContext, call: RestCall[LookBackForProfile]) -> LookBackAnswer:
    """Return where the voice of a profile was heard."""
    profile = there(context.store.profiles.get(call.scope, call.params.profile_id), _NO_PROFILE)
    domain = there(context.store.domains.get(call.scope, profile.domain_id), _NO_PROFILE)

    def require_there(unit: Unit) -> None:
        if not unit.profile_voiceprints.enrolled(call.scope, [profile.profile_id]):
            raise NotFound(_NO_PROFILE)

    probes = _probes(context, call, profile, domain)
    return _answer(context, call, domain, probes, without=None, require_there=require_there)


def _answer(
    context: RestContext,
    call: _Asked,
    domain: VoiceProfileDomain,
    probes: "Sequence[Embedding]",
    *,
    without: str | None,
    require_there: Callable[[Unit], None],
) -> LookBackAnswer:
    found = context.recordings.look_back(call.scope, domain, probes, without=without, wanted=_wanted(call))

    def write(unit: Unit) -> tuple[Collection[str], int]:
        """Whoever was deleted meanwhile is not found once that was answered, and nobody searches with them."""
        require_there(unit)
        call.caller.record(unit, domain.arn)
        left = unit.task_voiceprints.kept_until(call.scope, [one.task_id for one in found.calls])
        return left, unit.task_voiceprints.count_kept(call.scope, domain.domain_id, at=unit.now)

    left, kept = context.store.write(write)
    return LookBackAnswer(
        domain_id=domain.domain_id,
        calls=[answer_of(HeardCallAnswer, one) for one in found.calls if one.task_id in left],
        looked_at=found.looked_at,
        kept=kept,
        of_other_encoder=found.of_other_encoder,
        threshold=answer_of(ThresholdAnswer, found.threshold),
        net_speech_seconds=found.net_speech_seconds,
    )


def _kept(context: RestContext, call: RestCall[LookBack]) -> TaskVoiceprint:
    """Return the voiceprint of the task; raise Conflict, NotFound or Gone when there is none yet, never, or no more."""
    task = there(context.store.tasks.get(call.scope, call.params.task_id), _NO_TASK)
    if task.voiceprint_status is None and is_active(task.status):
        raise Conflict("the task has no voiceprint yet; look again after 20 s of speech")
    if task.voiceprint_status is not VoiceprintStatus.SUCCESS:
        raise NotFound("the task made no voiceprint: there was too little speech of one voice")
    found = context.store.task_voiceprints.get(call.scope, task.task_id)
    if found is None or found.keep_until <= context.clock():
        raise _gone()
    return found


def _gone() -> EarwitnessError:
    return Gone("the task's voiceprint is deleted; they are kept for 24 hours, or as long as the domain was told")


def _probes(
    context: RestContext, call: RestCall[LookBackForProfile], profile: VoiceProfile, domain: VoiceProfileDomain
) -> "list[Embedding]":
    """Return the voiceprints of the profile; raise Gone when it has none any more."""
    lists, scope = context.store.profile_voiceprints, call.scope
    page = lists.gallery_page(scope, domain.domain_id, after=(profile.profile_id, ""), limit=_VOICEPRINTS_MAX)
    entries = [] if page is None else [one for one in page.page.items if one.profile_id == profile.profile_id]
    seconds = {one.voiceprint_id: one.net_speech_seconds for one in lists.list(scope, profile.profile_id)}
    if not seconds:
        raise Gone("the voice profile has expired, and its voiceprints are deleted; enrol the voice again")
    return [
        _embedding(one.vector, one.encoder_id, seconds[one.voiceprint_id])
        for one in entries
        if one.voiceprint_id in seconds
    ]


def _embedding(vector: bytes, encoder_id: str, net_speech_seconds: float) -> "Embedding":
    import numpy as np

    from earwitness.voice.embedding import Embedding

    raw = np.frombuffer(vector, "<f4").astype(np.float32)
    return Embedding(vector=raw, encoder_id=encoder_id, net_speech_seconds=net_speech_seconds)


def _wanted(call: _Asked) -> Callable[[], None]:
    def wanted() -> None:
        if call.abandoned.is_set():
            raise ClientDisconnect

    return wanted
