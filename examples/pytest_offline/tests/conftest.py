"""What all tests here share: the application, and a line that calls come in on."""

import boto3
import pytest
from callers import Callers


@pytest.fixture
def stream(earwitness_aws) -> str:  # noqa: ARG001  # it sets the variables by which boto3 finds the service
    """The Kinesis video stream of a telephone line."""
    return boto3.client("kinesisvideo").create_stream(StreamName="line-1", DataRetentionInHours=1)["StreamARN"]


@pytest.fixture
def callers(earwitness_aws) -> Callers:  # noqa: ARG001  # as above
    """The application."""
    return Callers()
