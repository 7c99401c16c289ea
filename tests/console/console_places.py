"""Where each page and action of the console's tables is in the records of the tests."""

from console_examples import task_id

PLACES = {
    "/tasks": "/tasks",
    "/tasks/{taskId}": f"/tasks/{task_id(0)}",
}
"""By the path in the table."""
