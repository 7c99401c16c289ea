"""How long domains keep what they hold, the form that tells them, and whether what is past its time was deleted."""

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.rest.retention import get_retention, list_expiry_runs, put_retention
from earwitness.rest.retention_models import GetRetention, ListExpiryRuns, PutRetention


def retention_page(call: ConsoleCall[ListExpiryRuns]) -> Content:
    """Show the runs of the expiry, and whether all is well."""
    answer = call.ask(list_expiry_runs, call.params)
    return {
        "state": answer.state,
        "advice": answer.advice,
        "lastRunAt": answer.last_run_at,
        "runs": answer.runs,
        "nextToken": answer.next_token,
    }


def schedule_page(call: ConsoleCall[GetRetention]) -> Content:
    """Show how long a domain keeps what it holds, in a form for those who may change it."""
    return {"schedule": call.ask(get_retention, call.params)}


def schedule_action(call: ConsoleCall[PutRetention]) -> Done:
    """Tell a domain how long to keep what it holds."""
    told = call.ask(put_retention, call.params)
    return Done(
        message="The schedule is saved. What is past its time now is deleted within a minute.",
        path=f"/domains/{told.domain_id}/retention",
    )
