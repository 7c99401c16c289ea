"""What can be sent where: ARNs of targets, checked before anything is sent to them, and the limit of an event's size.

Pure, so that a configuration is checked in the same way when it is written.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from earwitness.errors import SinkRefused

BODY_BYTES_MAX = 256 * 1024
"""What SQS, SNS, Lambda and EventBridge have always taken; one limit for all, so that no target is a surprise."""

RESOURCE_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "sqs": r"[A-Za-z0-9_-]{1,80}(\.fifo)?",
        "sns": r"[A-Za-z0-9_-]{1,256}(\.fifo)?",
        "lambda": r"function:[A-Za-z0-9_-]{1,140}(:[A-Za-z0-9$_-]{1,128})?",
        "kinesis": r"stream/[A-Za-z0-9_.-]{1,128}",
        "events": r"event-bus/default",
    }
)
"""The services events can go to, and what their ARNs name behind the account."""

SINK_SERVICES: Mapping[str, str] = {
    "KinesisDataStreamSink": "kinesis",
    "LambdaFunctionSink": "lambda",
    "SqsQueueSink": "sqs",
    "SnsTopicSink": "sns",
}
"""Element types that events go to, and the service of their targets."""

_ARN = re.compile(r"arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]+):([0-9]{12}):([^\s]+)")
_FORMS = {
    "sqs": "a queue",
    "sns": "a topic",
    "lambda": "a function",
    "kinesis": "a data stream",
    "events": "the default event bus",
}


def require_sendable(event_body: bytes) -> None:
    """Raise SinkRefused for a body that not every target takes: too large, or not ASCII."""
    if len(event_body) > BODY_BYTES_MAX:
        raise SinkRefused(
            f"the event has {len(event_body)} bytes and sinks take {BODY_BYTES_MAX}; "
            f"attach less runtime metadata to the pipeline"
        )
    if not event_body.isascii():
        raise SinkRefused("the event is not ASCII JSON; it was not written by this service, or is damaged")


@dataclass(frozen=True, kw_only=True)
class Arn:
    """The parts of an ARN."""

    partition: str
    service: str
    region: str
    account_id: str

    resource: str
    """What stands behind the account."""

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account_id}:{self.resource}"


def read_arn(text: str) -> Arn | None:
    """Return the parts, or None when this is no ARN with a service, a Region and an account."""
    match = _ARN.fullmatch(text)
    if match is None:
        return None
    partition, service, region, account_id, resource = match.groups()
    return Arn(partition=partition, service=service, region=region, account_id=account_id, resource=resource)


def kind_of(target: str) -> str:
    """Return what kind of target this is, without anything of its address: sqs, sns, …, webhook, file."""
    arn = read_arn(target)
    if arn is not None and arn.service in RESOURCE_PATTERNS:
        return arn.service
    return "webhook" if target == "webhook" or target.startswith(("http://", "https://")) else "file"


def fault_of_form(target_arn: str) -> str | None:
    """Return why nothing can be delivered to a target, wherever it lies, in words that can follow its name; or None."""
    arn = read_arn(target_arn)
    if arn is None:
        return "is no ARN of a target; give arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME"
    if arn.service not in RESOURCE_PATTERNS:
        return f"is of a service that events cannot go to; use one of {', '.join(RESOURCE_PATTERNS)}"
    if re.fullmatch(RESOURCE_PATTERNS[arn.service], arn.resource) is None:
        return f"does not name {_FORMS[arn.service]}; copy its ARN"
    if arn.resource.endswith(".fifo"):
        return f"is {_FORMS[arn.service]} of the FIFO kind, which is not supported; use a standard one"
    return None


def fault_of_place(target: Arn, *, account_id: str, region: str, service: str) -> str | None:
    """Return what is wrong with a target's account, Region or service, in words that can follow its name; or None.

    `account_id` and `region` are those of the caller, whose targets must lie in both. `service` is the one that fits:
    an SqsQueueSink takes `sqs`.
    """
    if target.service != service:
        return f"is of {target.service}; this kind of sink takes {_FORMS[service]} ({service})"
    if target.account_id != account_id:
        return (
            f"is of another account than the key that signed this request ({account_id}); call with a key of account "
            f"{target.account_id}, which `earwitness keys create --account {target.account_id}` makes"
        )
    if target.region != region:
        return f"is in {target.region}; a target must lie in the Region of its pipeline ({region})"
    return None
