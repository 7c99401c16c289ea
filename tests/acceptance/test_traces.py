"""Traces of calls at a collector: a real OTLP receiver, a real service, and what is never sent."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from calls import Application
from serving import start, stop

from earwitness.samples import first_call
from patience import until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

pytestmark = pytest.mark.slow

ALLOWED = {"earwitness.task_id", "earwitness.status", "earwitness.attempt", "earwitness.sink", "error.type"}


class Collector:
    """Takes traces as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.bodies: list[bytes] = []
        self.spans: list[Any] = []
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest()
                request.ParseFromString(body)
                outer.bodies.append(body)
                for resource in request.resource_spans:
                    names = {one.key: one.value.string_value for one in resource.resource.attributes}
                    outer.services.add(names["service.name"])
                    outer.spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the library calls it
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def named(self, name: str) -> list[Any]:
        return [span for span in list(self.spans) if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def traced(folder: Path, url: str) -> Path:
    settings = folder / "traced.toml"
    settings.write_text(f'otlp_endpoint = "{url}"\n', encoding="utf-8")
    return settings


def test_a_call_is_one_trace_from_its_first_fragment_to_delivery(tmp_path: Path, collector: Collector) -> None:
    served = start(tmp_path / "data", settings_file=traced(tmp_path, collector.url))
    app = Application(served, "secret-name-of-a-program")
    stream, domain = app.stream("line"), app.domain("secret-callers")
    task, _ = app.call(first_call("sally"), stream=stream, domain=domain)
    until(lambda: collector.named("speaker search") and len(collector.named("deliver")) >= 2)
    until(lambda: collector.named("PutMedia"))
    (root,) = collector.named("speaker search")
    assert attributes(root) == {"earwitness.task_id": task, "earwitness.status": "Stopped", "earwitness.attempt": 1}
    assert not root.parent_span_id
    children = [span for span in collector.spans if span.trace_id == root.trace_id and span is not root]
    assert {span.name for span in children} == {"identify", "enrol", "deliver"}
    for span in children:
        assert span.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    (put_media,) = collector.named("PutMedia")
    assert [link.span_id for link in root.links] == [put_media.span_id]
    assert put_media.trace_id != root.trace_id
    app.close()
    stop(served)
    assert collector.services == {"earwitness"}
    assert {name for span in collector.spans for name in attributes(span)} <= ALLOWED
    sent = b"".join(collector.bodies)
    for secret in ("secret", stream, domain, "000000000000", "us-east-1", "sally"):
        assert secret.encode() not in sent, secret


def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path, collector: Collector) -> None:
    away = collector.url.replace("/v1/traces", "").rpartition(":")[0] + ":9/v1/traces"
    served = start(tmp_path / "data", settings_file=traced(tmp_path, away))
    app = Application(served, "program")
    _, results = app.call(first_call("sally"), stream=app.stream("line"), domain=app.domain("callers"))
    assert [one["detailStatus"] for one in results] == ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]
    app.close()
    stop(served)


def test_a_collector_that_is_away_is_a_line_in_the_log_and_no_stack(caplog: pytest.LogCaptureFixture) -> None:
    from earwitness.traces.otlp import OtlpTraces

    traces = OtlpTraces("http://127.0.0.1:9/v1/traces", version="1", instance_id="here")
    try:
        for number in range(3):
            traces.ended(f"task {number}", began=datetime.now(UTC), status="Stopped", attempt=1)
    finally:
        traces.close()
    (line,) = [record for record in caplog.records if record.name == "earwitness.traces"]
    assert "not taken by their collector" in line.getMessage()
    assert line.exc_info is None
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def test_nothing_of_it_is_loaded_when_it_is_off() -> None:
    program = (
        "import json, sys, earwitness.app, earwitness.tasks.follow; "
        "print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry')]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
