"""`earwitness nodes`: the processes that serve the same records in PostgreSQL."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.keys import records
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, print_json, print_table, remark

if TYPE_CHECKING:
    from collections.abc import Callable

    from earwitness.store.node_records import Node
    from earwitness.store.store import Store, Unit

nodes = typer.Typer(help="Nodes: which serve these records; drain one, forget a dead one.", no_args_is_help=True)

COMMAND = "earwitness nodes"
"""Who did it, in the audit trail."""

NodeArgument = Annotated[str, typer.Argument(metavar="ID", help="As `nodes list` shows it.")]


@nodes.command("list")
def list_nodes(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show all nodes: whether they serve, and what they have to do."""
    from earwitness.store.pages import all_records

    with records(data, as_json=as_json, account=None) as store:
        found = list(all_records(store.nodes.list))
    if as_json:
        print_json([_shown(node) for node in found])
        return
    if not found:
        remark("no node has served these records; records in SQLite are served by one process")
        return
    rows = [list(map(str, _shown(node).values())) for node in found]
    print_table(["node", "state", "host", "process", "version", "tasks", "room", "since", "internal address"], rows)


@nodes.command()
def drain(
    node: NodeArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take calls again.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a node take nothing new: its /ready says so to the balancer, and calls in progress go on to their end."""
    with records(data, as_json=as_json, account=None) as store:
        operation = "UndrainNode" if undo else "DrainNode"
        done = _written(store, operation, node, lambda unit: unit.nodes.set_draining(node, is_draining=not undo))
    words = "it takes calls again" if undo else "it takes nothing new; stop it when `nodes list` shows no task of it"
    _report(done, words, "no node of this id serves", as_json=as_json)


@nodes.command()
def forget(node: NodeArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Forget a dead node that never comes back, and the media that only it had."""
    with records(data, as_json=as_json, account=None) as store:
        done = _written(store, "ForgetNode", node, lambda unit: unit.nodes.forget(node))
    _report(done, "forgotten", "no node of this id is dead", as_json=as_json)


def _written(store: "Store", operation: str, node: str, change: "Callable[[Unit], bool]") -> bool:
    """Return whether a node was changed, which is then in the audit trail; nodes belong to no account."""
    from earwitness.store.rotation import INSTALLATION

    def work(unit: "Unit") -> bool:
        done = change(unit)
        if done:
            unit.audit.append(
                INSTALLATION,
                key_id=COMMAND,
                operation=operation,
                resource_arn=f"node/{node}",
                outcome="done",
                request_id="",
            )
        return done

    return store.write(work)


def _report(done: bool, words: str, refusal: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"done": done})
    elif done:
        remark("{}", words)
    else:
        remark("[red]error:[/red] {}; `earwitness nodes list` shows all", refusal)
    if not done:
        raise typer.Exit(Exit.NO)


def _shown(node: "Node") -> dict[str, object]:
    return {
        "node": node.node_id,
        "state": _state(node),
        "host": node.host,
        "process": node.process,
        "version": node.version,
        "tasks": node.tasks,
        "room": node.room,
        "since": f"{node.started_at:%F %T}",
        "internalAddress": node.internal_url,
    }


def _state(node: "Node") -> str:
    if node.dead_at is not None:
        return "dead"
    if node.alive_until < datetime.now(UTC):
        return "silent"
    return "draining" if node.is_draining else "serving"
