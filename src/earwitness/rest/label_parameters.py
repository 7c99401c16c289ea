"""What is asked of labels: who spoke, and how often the searches were right."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.parameters import Identifier, Limit, PageToken, Parameters, doc
from earwitness.voice.label import Picked, Spoke

Said: TypeAlias = Annotated[str, Meta(min_length=1, max_length=160)]
"""What a form says of who spoke, with the profile behind a colon."""

_TaskId: TypeAlias = Annotated[Identifier, doc("The task's GUID.")]
_OfDomain: TypeAlias = Annotated[Identifier, doc("The voice profile domain's id.")]


class GetLabel(Parameters, kw_only=True):
    """Who spoke in the call of a task, by somebody's word."""

    task_id: _TaskId


class PutLabel(Parameters, kw_only=True):
    """Say who spoke in the call of a task, or something else than before; written to the audit trail."""

    task_id: _TaskId
    spoke: Annotated[
        Spoke,
        doc(
            "`profile`: the one that profileId names; `not`: not that one; `enrolled`: somebody who is enrolled; "
            "`nobody`: nobody who is; `unsure`: nobody can tell."
        ),
    ]
    profile_id: Annotated[Identifier | None, doc("Who it was, or was not.")] = None
    picked: Annotated[
        Picked, doc("`queue` where the call was drawn at random, which says more of how often searches are right.")
    ] = Picked.CHOSEN


class DeleteLabel(Parameters, kw_only=True):
    """Take a label back; answers what it was."""

    task_id: _TaskId


class LookBack(Parameters, kw_only=True):
    """Where else the voice of a task was heard, among the voiceprints of calls that are kept; written to the audit
    trail."""

    task_id: _TaskId


class LookBackForProfile(Parameters, kw_only=True):
    """Where the voice of a profile was heard, among the voiceprints of calls that are kept; written to the audit
    trail."""

    profile_id: Annotated[Identifier, doc("The voice profile's id.")]


class ListLabels(Parameters, kw_only=True):
    """The labelled calls of a domain with what the searches said; written to the audit trail."""

    domain_id: _OfDomain
    limit: Limit = 50
    next_token: PageToken = None


class GetLabelReport(Parameters, kw_only=True):
    """How often the searches of a domain are right, by the labels of its calls, with intervals."""

    domain_id: _OfDomain


class DrawUnlabelled(Parameters, kw_only=True):
    """A call of a domain that nobody has labelled, drawn at random, and how many are: matches and others alike."""

    domain_id: _OfDomain
