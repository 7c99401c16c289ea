"""Events to send, and who sends them."""

import base64
from datetime import UTC, datetime

from earwitness.voice.events import (
    Envelope,
    PipelineFacts,
    SearchedChannel,
    StateChange,
    event_body,
    identification_no_matches_found,
    state_change,
)

ACCOUNT = "123456789012"
REGION = "us-east-1"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
"""A webhook's, with that key in it."""

EVENT_ID = "0e1d7c46-2f2f-4a0e-8a53-2f0a7f0f6a10"
PIPELINE_ID = "5a3b2f00-1111-4222-8333-444455556666"
PIPELINE_ARN = f"arn:aws:chime:us-east-1:123456789012:media-pipeline/{PIPELINE_ID}"
NOON = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
ENVELOPE = Envelope(event_id=EVENT_ID, occurred_at=NOON, account_id=ACCOUNT, region=REGION)


def found_nobody(transaction_id: str | None) -> bytes:
    """Return an event of a search, of a Voice Connector's call if it has a transaction."""
    channel = SearchedChannel(
        task_id="11111111-1111-4222-8333-444455556666",
        pipeline_id=PIPELINE_ID,
        pipeline_arn=PIPELINE_ARN,
        stream_arn="arn:aws:kinesisvideo:us-east-1:123456789012:stream/calls/1562589645061",
        channel_id=0,
        transaction_id=transaction_id,
    )
    return event_body(identification_no_matches_found(ENVELOPE, channel))


BODY = found_nobody(None)
STATE_BODY = event_body(
    state_change(
        ENVELOPE,
        PipelineFacts(
            pipeline_arn=PIPELINE_ARN,
            change=StateChange.STOPPED,
            runtime_metadata={"agent": "Zoë <&> \u2028 \U0001f600"},
        ),
    )
)
