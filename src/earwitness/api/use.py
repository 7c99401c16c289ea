"""How much an account uses of what it may have: quotas in its Region, and its shares of what this process does."""

from collections.abc import Mapping

from earwitness.config.settings import Quotas
from earwitness.media.streams import MediaStreams
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.tasks.work import Work


def use_of(
    scope: Scope, *, store: Store, quotas: Quotas, work: Work, streams: MediaStreams
) -> Mapping[str, tuple[int, int]]:
    """Return what is used and the most that may be, by name. Raise StoreUnavailable."""
    account_id = scope.account_id
    is_alone = store.access_keys.is_only_account(account_id)
    return {
        "runningTasks": (work.running(account_id), work.most(account_id, is_alone=is_alone)),
        "mediaConnections": (streams.connections.held(account_id), streams.connections.most(account_id)),
        "activeTasks": (store.tasks.count_active(scope), quotas.active_tasks),
        "activePipelines": (store.pipelines.count_active(scope), quotas.active_pipelines),
        "configurations": (store.configurations.count(scope), quotas.configurations),
        "domains": (store.domains.count(scope), quotas.domains),
        "streams": (store.streams.count(scope), quotas.streams),
    }
