"""All metrics of one process, and their text."""

from collections.abc import Collection, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import generate_latest

from earwitness.metrics.instruments import Described, Group
from earwitness.metrics.reported import (
    DeliveryMetrics,
    ExpiryMetrics,
    JobMetrics,
    MediaMetrics,
    RequestMetrics,
    StoreMetrics,
    TaskMetrics,
)
from earwitness.metrics.state import StateMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text."""


class Metrics:
    """The groups of one process."""

    def __init__(self, *, operations: Collection[str]) -> None:
        """`operations` are all that are served."""
        self.requests = RequestMetrics(operations)
        self.tasks = TaskMetrics()
        self.media = MediaMetrics()
        self.deliveries = DeliveryMetrics()
        self.jobs = JobMetrics()
        self.store = StoreMetrics()
        self.expiry = ExpiryMetrics()
        self._groups: list[Group] = [
            self.requests,
            self.tasks,
            self.media,
            self.deliveries,
            self.jobs,
            self.store,
            self.expiry,
        ]
        self._registry = CollectorRegistry(auto_describe=False)
        for group in self._groups:
            self._registry.register(group)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._state: StateMetrics | None = None

    def add_state(self, state: StateMetrics) -> None:
        """Have the state of what was built told too."""
        self._groups.append(state)
        self._registry.register(state)
        self._state = state

    async def renew(self) -> None:
        """Read again, before `text`, what takes long."""
        if self._state is not None:
            await self._state.renew()

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them. It takes milliseconds: call it off the event loop."""
        return generate_latest(self._registry)

    @property
    def described(self) -> Sequence[Described]:
        """Return what the documents say of each metric of ours."""
        return [each for group in self._groups for each in group.described]
