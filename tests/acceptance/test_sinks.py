"""Events where an application reads them: in a queue of SQS, as the configuration names it."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from calls import Application
from serving import start, stop

from earwitness.samples import first_call
from moto_server import moto
from patience import until

pytestmark = pytest.mark.slow


@pytest.fixture
def moto_server() -> Iterator[str]:
    """The URL of a moto server."""
    with moto() as url:
        yield url


def test_a_queue_gets_the_events_of_its_pipelines(moto_server: str, tmp_path: Path) -> None:
    credentials = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    queues = boto3.client("sqs", endpoint_url=moto_server, **credentials)
    url = queues.create_queue(QueueName="results")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    settings = tmp_path / "sinks.toml"
    settings.write_text(
        f'sink_endpoint_url = "{moto_server}"\nsink_access_key_id = "AKIDEXAMPLE"\nsink_secret_access_key = "secret"\n',
        encoding="utf-8",
    )
    account = arn.split(":")[4]
    served = start(tmp_path / "data", "--account", account, settings_file=settings)
    sink = {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": arn}}
    app = Application(served, "sinks", sinks=[sink])
    received: list[str] = []

    def receive() -> bool:
        answer = queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        received.extend(message["Body"] for message in answer.get("Messages", ()))
        return len(received) >= 2

    try:
        task, _ = app.call(first_call("kal"), stream=app.stream("line"), domain=app.domain("callers"))
        until(receive)
        lines = (served.data / "events.jsonl").read_text("utf-8").splitlines()
        expected = [line for line in lines if json.loads(line)["detail"].get("taskId") == task]
        assert received == expected  # the same bytes, in order; state changes go to EventBridge only
        assert len(expected) == 2
    finally:
        app.close()
        queues.close()
        stop(served)
