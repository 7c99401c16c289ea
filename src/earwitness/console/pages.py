"""Every page and every action of the console: who may use it, where it is, what does the work, what shows it.

The two tables are all there is: the application is made of them, and the tests run through them.
"""

from dataclasses import dataclass

from earwitness.access.roles import Role
from earwitness.console.context import ActionHandler, PageHandler, roles_of
from earwitness.console.tasks import task_page, tasks_page
from earwitness.rest.parameters import GetTask, ListTasks, Parameters

_ADMIN = frozenset({Role.ADMIN.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePage:
    """One page."""

    #: Behind the Region, parameters in braces.
    path: str
    #: What it is called in the browser's tab.
    title: str
    #: Who may see it.
    roles: frozenset[str]
    #: Of path and query.
    parameters: type[Parameters]
    handler: PageHandler
    template: str
    #: What it is called in the navigation; "" for a page that others lead to.
    navigation: str = ""
    #: Whether its block `live` changes by itself.
    is_live: bool = False
    #: Scripts and styles beside those of every page, by name.
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    uses_microphone: bool = False

    @property
    def operation(self) -> str:
        """What it is called in the logs and in the audit trail."""
        return self.parameters.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAction:
    """What one form does."""

    #: Behind the Region, parameters in braces; a page at the same path may ask whether one is sure.
    path: str
    #: The operation of the APIs that it is, in the audit trail too; its roles count.
    operation: str
    #: Of path and form.
    parameters: type[Parameters]
    handler: ActionHandler

    @property
    def roles(self) -> frozenset[str]:
        """Return who may do it."""
        return roles_of(self.operation)


PAGES: tuple[ConsolePage, ...] = (
    ConsolePage(
        path="/tasks",
        title="Calls",
        navigation="Calls",
        roles=roles_of("ListTasks"),
        parameters=ListTasks,
        handler=tasks_page,
        template="tasks.html",
        is_live=True,
    ),
    ConsolePage(
        path="/tasks/{taskId}",
        title="Call",
        roles=roles_of("GetTask"),
        parameters=GetTask,
        handler=task_page,
        template="task.html",
        is_live=True,
    ),
)
"""In the order of the navigation."""

ACTIONS: tuple[ConsoleAction, ...] = ()
