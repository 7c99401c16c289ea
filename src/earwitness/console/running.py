"""What runs: nodes, doors with their calls, and who did what."""

from datetime import datetime

from earwitness.console.context import ConsoleCall, Content
from earwitness.rest.connectors import list_calls
from earwitness.rest.doors import get_doors
from earwitness.rest.parameters import GetDoors, GetStatus, Limit, ListCalls, PageToken, Parameters
from earwitness.rest.tasks import get_status
from earwitness.store.node_records import Node
from earwitness.store.pages import all_records


class ListAudit(Parameters):
    """The audit trail, newest first."""

    limit: Limit = 50
    next_token: PageToken = None


def nodes_page(call: ConsoleCall[GetStatus]) -> Content:
    """Show the processes that serve these records, what this one does, and what the account uses."""
    now = call.rest.clock()
    nodes = [_node(node, now) for node in all_records(call.store.nodes.list)]
    return {"status": call.ask(get_status, call.params), "nodes": nodes, "here": call.store.node_id}


def _node(node: Node, now: datetime) -> Content:
    """Return what is told of a node: not where others of its network reach it."""
    return {
        "nodeId": node.node_id,
        "state": _state(node, now),
        "host": node.host,
        "process": node.process,
        "version": node.version,
        "tasks": node.tasks,
        "room": node.room,
        "startedAt": node.started_at,
    }


def _state(node: Node, now: datetime) -> str:
    if node.dead_at is not None:
        return "dead"
    if node.alive_until < now:
        return "silent"
    return "draining" if node.is_draining else "serving"


def doors_page(call: ConsoleCall[ListCalls]) -> Content:
    """Show where calls of phone systems come in, the latest calls, and what was refused and why."""
    calls = call.ask(list_calls, call.params)
    return {"doors": call.ask(get_doors, GetDoors()).doors, "calls": calls.calls, "nextToken": calls.next_token}


def audit_page(call: ConsoleCall[ListAudit]) -> Content:
    """Show who changed, read or was refused what."""
    found, following = call.paged(lambda after, limit: call.store.audit.list(call.scope, after=after, limit=limit))
    entries = [
        {
            "time": entry.time,
            "keyId": entry.key_id,
            "operation": entry.operation,
            "resourceArn": entry.resource_arn,
            "outcome": entry.outcome,
            "requestId": entry.request_id,
        }
        for entry in found
    ]
    return {"entries": entries, "nextToken": following}
