"""Right or wrong: who spoke in a call, by somebody's word, and a queue of calls that nobody has labelled yet."""

import re
from typing import Annotated, Any, Literal

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.errors import BadRequest, NotFound
from earwitness.rest.domains import list_domains
from earwitness.rest.label_models import LabelAnswer, LabelledCallAnswer
from earwitness.rest.label_parameters import (
    DeleteLabel,
    DrawUnlabelled,
    GetLabel,
    GetLabelReport,
    ListLabels,
    LookBack,
    LookBackForProfile,
    PutLabel,
    Said,
)
from earwitness.rest.labels import delete_label, draw_unlabelled, get_label, get_label_report, list_labels, put_label
from earwitness.rest.look_back import look_back, look_back_for_profile
from earwitness.rest.parameters import GetTask, Identifier, ListDomains, Parameters, doc
from earwitness.rest.tasks import get_task
from earwitness.voice.label import EXPORT_FORMAT, Picked, Spoke

EXPORTED_MAX = 1_000
"""Labelled calls of one page; further on are the others."""

_SAID = re.compile(r"(profile|not)(:[A-Za-z0-9_-]{1,128})?|enrolled|nobody|unsure")

_DONE = {
    Spoke.PROFILE: "Labelled: it was this profile.",
    Spoke.NOT: "Labelled: it was not this profile.",
    Spoke.ENROLLED: "Labelled: it was somebody who is enrolled.",
    Spoke.NOBODY: "Labelled: it was nobody who is enrolled.",
    Spoke.UNSURE: "Labelled: nobody can tell.",
}


class LabelQueue(Parameters):
    """What there is to label in a domain."""

    domain_id: Annotated[Identifier | None, doc("The voice profile domain's id; else the first one.")] = None


class LabelCall(Parameters, kw_only=True):
    """What the form of a call says of who spoke."""

    task_id: Annotated[Identifier, doc("The task's GUID.")]
    said: Annotated[Said, doc("Who spoke; with the profile behind a colon, or in profileId.")]
    profile_id: Annotated[Identifier | None, doc("Who it was, or was not.")] = None
    then: Annotated[Literal["call", "queue"], doc("Where to go on.")] = "call"


def label_of(call: ConsoleCall[Any], task_id: str) -> LabelAnswer | None:
    """Return the label of a task; None where there is none."""
    try:
        return call.ask(get_label, GetLabel(task_id=task_id, region=call.caller.region))
    except NotFound:
        return None


def label_page(call: ConsoleCall[GetTask]) -> Content:
    """Show who spoke in a call, and ask."""
    task = call.ask(get_task, call.params)
    return {"task": task, "label": label_of(call, task.task_id)}


def queue_page(call: ConsoleCall[LabelQueue]) -> Content:
    """Show how many calls of a domain are labelled, and one that is not, drawn at random."""
    region = call.caller.region
    domains = call.ask(list_domains, ListDomains(limit=100, region=region)).domains
    chosen = call.params.domain_id or (domains[0].domain_id if domains else None)
    if chosen is None:
        return {"domains": domains, "chosen": None, "queue": None, "task": None}
    queue = call.ask(draw_unlabelled, DrawUnlabelled(domain_id=chosen, region=region))
    task = None if queue.call is None else call.ask(get_task, GetTask(task_id=queue.call.task_id, region=region))
    return {"domains": domains, "chosen": chosen, "queue": queue, "task": task}


def look_back_page(call: ConsoleCall[LookBack]) -> Content:
    """Show where else the voice of a call was heard."""
    return {"found": call.ask(look_back, call.params), "profileId": None, "taskId": call.params.task_id}


def look_back_for_profile_page(call: ConsoleCall[LookBackForProfile]) -> Content:
    """Show where the voice of a profile was heard."""
    return {"found": call.ask(look_back_for_profile, call.params), "profileId": call.params.profile_id, "taskId": None}


def labelled_page(call: ConsoleCall[ListLabels]) -> Content:
    """Show the labelled calls of a domain; as JSON it is what `earwitness labels export` writes."""
    params, region = call.params, call.caller.region
    calls, following = list[LabelledCallAnswer](), params.next_token
    while len(calls) < EXPORTED_MAX:
        asked = ListLabels(domain_id=params.domain_id, limit=100, next_token=following, region=region)
        page = call.ask(list_labels, asked)
        calls, following = [*calls, *page.calls], page.next_token
        if following is None:
            break
    report = call.ask(get_label_report, GetLabelReport(domain_id=params.domain_id, region=region))
    return {
        "format": EXPORT_FORMAT,
        "domainId": report.domain_id,
        "matches": report.matches,
        "noMatches": report.no_matches,
        "calls": calls,
        "report": report,
        "nextToken": following,
    }


def label_action(call: ConsoleCall[LabelCall]) -> Done:
    """Label a call, and go back to it or on to the next one."""
    params = call.params
    if not _SAID.fullmatch(params.said):
        raise BadRequest("the form does not say who spoke; reload the page and press one of its buttons")
    said, _, profile_id = params.said.partition(":")
    spoke = Spoke(said)
    put = PutLabel(
        task_id=params.task_id,
        spoke=spoke,
        profile_id=(profile_id or params.profile_id) if spoke.names_profile else None,
        picked=Picked.QUEUE if params.then == "queue" else Picked.CHOSEN,
        region=call.caller.region,
    )
    label = call.ask(put_label, put)
    if params.then == "queue":
        return Done(message=_DONE[spoke], path="/labels", query={"domainId": label.domain_id})
    return Done(message=_DONE[spoke], path=f"/tasks/{params.task_id}")


def take_back_action(call: ConsoleCall[DeleteLabel]) -> Done:
    """Take a label back. Whoever comes second is told so."""
    path = f"/tasks/{call.params.task_id}"
    try:
        call.ask(delete_label, call.params)
    except NotFound:
        return Done(message="There is no label any more.", path=path)
    return Done(message="The label is taken back.", path=path)
