"""Groups of instruments: what somebody counts, times, or is asked for when Prometheus comes.

A group belongs to who reports to it and is made without a registry; the composition root puts all of them into one
(`registry.py`). So nothing is global, and a test that looks at nothing needs no registry.

What belongs here: making instruments, and what the documents say of each. What must never: labels whose values are ids,
names, numbers or domains. The values of a label are an enumeration, a table of ours, or what a door or sink is called.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

ReadNumber = Callable[[], float | Mapping[str, float] | None]
"""Returns a number, one for each value of the label, or None where there is nothing to say now."""


class Over(StrEnum):
    """How the numbers of several nodes become one."""

    SUM = "sum"
    """Each node has its part."""

    OWN = "each its own"
    """They do not add up: the worst node counts, or the latest."""

    ONE = "sum; one node tells it"
    """It is a number of the records. The node that keeps house tells it, so that a sum counts it once."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the documents say of a metric."""

    name: str
    #: counter, gauge or histogram.
    kind: str
    label: str
    says: str
    over: Over


@dataclass(frozen=True)
class _Asked(Collector):
    """A number that is asked for when somebody scrapes."""

    described: Described
    read: ReadNumber

    def collect(self) -> Iterable[Metric]:
        found, described = self.read(), self.described
        if found is None:
            return
        family = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
        labels = [described.label] if described.label else []
        # The library adds `_total` to a counter's name.
        made = family(described.name.removesuffix("_total"), described.says, labels=labels)
        for value, number in found.items() if isinstance(found, Mapping) else (("", found),):
            made.add_metric([value] if labels else [], number)
        yield made


class Group(Collector):
    """Instruments that are collected together. Safe to use from several threads."""

    def __init__(self) -> None:
        self.described: list[Described] = []
        """In the order in which they were made."""

        self._parts: list[Collector] = []

    def collect(self) -> Iterable[Metric]:
        """Return what all of them say now, without the times at which counters began: they double what is sent."""
        for part in self._parts:
            for metric in part.collect():
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                yield metric

    def describe(self) -> Iterable[Metric]:
        """Return no samples: what is asked for at a scrape is not asked for to register it."""
        return [Metric(each.name, each.says, each.kind) for each in self.described]

    def counter(
        self, name: str, says: str, *, label: str = "", values: Iterable[str] = (), over: Over = Over.SUM
    ) -> Counter:
        """Return a counter; `name` ends with `_total`. `label` may be several, with commas between.

        Each of `values` begins at 0, so that its first one is seen as an increase.
        """
        made = Counter(name.removesuffix("_total"), says, _labels(label), registry=None)
        for value in values:
            made.labels(value)
        self._add(made, Described(name=name, kind="counter", label=label, says=says, over=over))
        return made

    def histogram(
        self, name: str, says: str, *, buckets: Sequence[float], label: str = "", values: Iterable[str] = ()
    ) -> Histogram:
        """Return a histogram; labels as of a counter."""
        made = Histogram(name, says, _labels(label), registry=None, buckets=buckets)
        for value in values:
            made.labels(value)
        self._add(made, Described(name=name, kind="histogram", label=label, says=says, over=Over.SUM))
        return made

    def gauge(self, name: str, says: str, read: ReadNumber, *, label: str = "", over: Over = Over.SUM) -> None:
        """Have a gauge whose value is asked for at each scrape; `read` must be quick and must not raise."""
        described = Described(name=name, kind="gauge", label=label, says=says, over=over)
        self._add(_Asked(described, read), described)

    def counted(self, name: str, says: str, read: ReadNumber, *, label: str = "") -> None:
        """Have a counter that somebody else counts; as `gauge`."""
        described = Described(name=name, kind="counter", label=label, says=says, over=Over.SUM)
        self._add(_Asked(described, read), described)

    def _add(self, part: Collector, described: Described) -> None:
        self._parts.append(part)
        self.described.append(described)


def _labels(label: str) -> list[str]:
    return label.split(",") if label else []
