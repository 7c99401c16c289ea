"""Groups of instruments and their text: names, labels, and readings that hang."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from earwitness.errors import StoreUnavailable
from earwitness.metrics.instruments import Group
from earwitness.metrics.registry import Metrics
from earwitness.metrics.reported import OTHER, DeliveryOutcome, TaskResult
from earwitness.metrics.slow import SlowReading
from patience import PATIENCE_SECONDS


def text_of(metrics: Metrics) -> str:
    return metrics.text().decode()


def test_a_thousand_made_up_operations_are_one_label() -> None:
    metrics = Metrics(operations={"ListStreams"})
    for number in range(1_000):
        metrics.requests.answered(f"Get{number}", 404, seconds=0.1)
        metrics.requests.throttled(f"Get{number}")
    metrics.requests.answered(None, 404, seconds=0.1)
    metrics.requests.answered("ListStreams", 200, seconds=0.1)
    text = text_of(metrics)
    assert set(re.findall(r'operation="([^"]*)"', text)) == {OTHER, "ListStreams"}
    assert f'http_server_request_duration_seconds_count{{operation="{OTHER}",status="404"}} 1001.0' in text
    assert f'earwitness_throttled_total{{operation="{OTHER}"}} 1000.0' in text


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in Metrics(operations=()).described:
        assert metric.name.startswith(("earwitness_", "http_server_")), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.says.endswith("."), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds"), metric.name


def test_what_is_counted_by_an_enumeration_is_there_from_the_start() -> None:
    text = text_of(Metrics(operations=()))
    for result in TaskResult:
        assert f'earwitness_task_results_total{{result="{result.value}"}} 0.0' in text
    assert "_created" not in text


def test_two_services_of_one_process_count_apart() -> None:
    one, other = Metrics(operations=()), Metrics(operations=())
    one.deliveries.tried("sqs", DeliveryOutcome.DELIVERED)
    counted = 'earwitness_event_deliveries_total{outcome="delivered",sink="sqs"} 1.0'
    assert counted in text_of(one)
    assert counted not in text_of(other)


def test_a_number_that_nobody_has_now_is_left_out() -> None:
    class Some(Group):
        def __init__(self) -> None:
            super().__init__()
            self.gauge("earwitness_nothing", "Nothing.", lambda: None)
            self.gauge("earwitness_three", "Three.", lambda: {"a": 1.0, "b": 2.0}, label="kind")
            self.counted("earwitness_four_total", "Four.", lambda: 4)

    samples = [(sample.name, sample.labels, sample.value) for metric in Some().collect() for sample in metric.samples]
    assert samples == [
        ("earwitness_three", {"kind": "a"}, 1.0),
        ("earwitness_three", {"kind": "b"}, 2.0),
        ("earwitness_four_total", {}, 4.0),
    ]


class Readings:
    """A slow reading, its clock, and what it reads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.value: float | Exception = 1.0
        self.asked = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.threads = ThreadPoolExecutor(1)
        self.reading = SlowReading(self.read, threads=self.threads, seconds=5.0, monotonic=lambda: self.now)

    def read(self) -> float:
        self.asked += 1
        assert self.may_end.wait(PATIENCE_SECONDS)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def renewed(self) -> float | None:
        asyncio.run(self.reading.renew())
        return self.reading.last


@pytest.fixture
def readings() -> Readings:
    return Readings()


def test_a_reading_is_kept_for_a_while(readings: Readings) -> None:
    assert readings.renewed() == 1.0
    readings.value, readings.now = 2.0, 4.9
    assert (readings.renewed(), readings.asked) == (1.0, 1)
    readings.now = 5.0
    assert (readings.renewed(), readings.asked) == (2.0, 2)


@pytest.mark.parametrize("error", [StoreUnavailable("it is away"), OSError(5, "the disk"), ValueError("ours")])
def test_a_reading_that_fails_is_none(readings: Readings, error: Exception) -> None:
    assert readings.renewed() == 1.0
    readings.value, readings.now = error, 10.0
    assert readings.renewed() is None
    readings.value, readings.now = 3.0, 20.0
    assert readings.renewed() == 3.0


def test_a_reading_that_hangs_is_waited_for_once_and_holds_nobody(
    readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.metrics.slow.PATIENCE_SECONDS", 0.01)

    async def scene() -> None:
        readings.may_end.clear()
        for _ in range(3):
            await readings.reading.renew()
            assert readings.reading.last is None
        readings.may_end.set()
        while readings.reading.last is None:
            await readings.reading.renew()
        assert readings.reading.last == 1.0

    asyncio.run(scene())
    assert readings.asked == 1
