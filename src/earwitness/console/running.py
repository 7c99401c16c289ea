"""What runs: nodes, doors with their calls, and who did what."""

from datetime import datetime

from earwitness.audit.keeping import KEY_USE
from earwitness.console.context import ConsoleCall, Content, operations
from earwitness.rest.audit import list_audit
from earwitness.rest.audit_parameters import ListAudit
from earwitness.rest.connectors import list_calls
from earwitness.rest.doors import get_doors
from earwitness.rest.parameters import GetDoors, GetStatus, ListCalls
from earwitness.rest.tasks import get_status
from earwitness.store.node_records import Node
from earwitness.store.pages import all_records


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


_OWN_OPERATIONS = ("ConsoleSignIn", "ConsoleSignOut", "LearnLine", "SearchCall", KEY_USE)
"""What entries are called that no request of the APIs made."""


def audit_page(call: ConsoleCall[ListAudit]) -> Content:
    """Show who changed, read or was refused what."""
    found = call.ask(list_audit, call.params)
    names = [*operations(), *_OWN_OPERATIONS]
    return {"entries": found.entries, "nextToken": found.next_token, "operations": names}
