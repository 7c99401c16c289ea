"""Settings of calls in progress: media, tasks, events."""

from dataclasses import dataclass
from pathlib import Path

from earwitness.config.rows import row

_SWITCH = ("off", "on")


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """What listening to calls and telling of them needs."""

    media_dir: Path | None = row(
        None,
        unit="folder",
        text="Where media lie; the folder `media` in the data folder when empty. One process at a time.",
    )
    tasks_at_once: int = row(
        200,
        unit="count",
        low=0,
        high=100_000,
        text="Calls listened to at once in this process; beyond it StartSpeakerSearchTask answers ServiceUnavailable.",
    )
    stream_bytes: int = row(
        10 * 2**30, unit="bytes", low=1_000_000, high=1e15, text="Media kept of one stream; the oldest goes first."
    )
    media_bytes: int = row(
        0,
        unit="bytes",
        low=0,
        high=1e18,
        text="Media kept of all streams together; new media are refused above it, because what is kept was promised to "
        "its account. 0 is no bound but the disk's.",
    )
    disk_reserve_bytes: int = row(
        256 * 2**20,
        unit="bytes",
        low=0,
        high=1e15,
        text="Free bytes of the media's disk below which media are refused, so that records and deletions have room; "
        "at most a twentieth of the disk. 0 is none.",
    )
    stream_live_minutes: float = row(
        5.0,
        unit="min",
        low=1,
        high=60,
        text="How long media of a stream without retention stay readable; a minute later they are off the disk. As "
        "long as at AWS.",
    )
    stream_readers: int = row(
        20, unit="count", low=1, high=10_000, text="GetMedia connections of one stream; AWS allows 3."
    )
    stream_calls_per_second: float = row(
        5.0,
        unit="calls/s",
        low=0,
        high=1e6,
        text="How often PutMedia may be called for one stream, likewise GetMedia and GetMediaForFragmentList; one more "
        "gets ClientLimitExceededException. 5 at AWS. This rate and the six that follow allow twice as much at once "
        "after a silence; 0 is no limit, which is the default of `serve --dev`.",
    )
    stream_put_fragments_per_second: float = row(
        5.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one stream takes. A producer that is faster is slowed down, not refused. 5 at AWS.",
    )
    stream_put_bytes_per_second: float = row(
        12_500_000.0, unit="bytes/s", low=0, high=1e12, text="The same in bytes. 12.5 MB at AWS."
    )
    stream_read_fragments_per_second: float = row(
        5.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one GetMedia connection gives; it does not end by it, it takes longer. 5 at AWS. Tasks of "
        "this service read without it.",
    )
    stream_read_bytes_per_second: float = row(
        25_000_000.0,
        unit="bytes/s",
        low=0,
        high=1e12,
        text="Bytes that one GetMedia or GetMediaForFragmentList connection gives. 25 MB at AWS.",
    )
    stream_listed_fragments_per_second: float = row(
        10_000.0,
        unit="1/s",
        low=0,
        high=1e9,
        text="MaxResults of all ListFragments calls for one stream, added up; one more gets "
        "ClientLimitExceededException. 10,000 at AWS.",
    )
    stream_fetched_fragments_per_second: float = row(
        500.0,
        unit="1/s",
        low=0,
        high=1e9,
        text="Fragments that GetMediaForFragmentList calls ask for, of one stream; one more gets "
        "ClientLimitExceededException. 500 at AWS.",
    )
    kvs_source: str = row(
        "own",
        unit="word",
        choices=("own", "aws"),
        text="Where tasks find their streams: in this service, or in AWS's Kinesis Video Streams. The ARNs look alike.",
    )
    kvs_source_by_account: str = row(
        "", unit="list", text="The same for some accounts, as in `111122223333=aws,444455556666=own`."
    )
    kvs_endpoint_url: str = row(
        "",
        unit="URL",
        text="Where the streams of `aws` are reached; AWS itself when empty. `AWS_ENDPOINT_URL` does not count here, "
        "because it names this service.",
    )
    kvs_access_key_id: str = row(
        "", unit="text", text="Access key for the streams of `aws`; boto3's own search for credentials when empty."
    )
    kvs_secret_access_key: str = row("", unit="text", secret=True, text="Its secret.")
    keep_enrolment_audio: str = row(
        "off",
        unit="switch",
        choices=_SWITCH,
        text="Whether the speech behind a voiceprint is kept, encrypted, to rebuild it under a new voice model.",
    )
    events_file: Path | None = row(
        None, unit="file", text="Every event is also written here, a JSON line each; `serve --dev` always writes one."
    )
    webhook_url: str = row("", unit="URL", text="Every event is also sent here, signed as Standard Webhooks has it.")
    webhook_secret: str = row(
        "", unit="text", secret=True, text="The key of the webhook's signatures: `whsec_` and base64 of 24 to 64 bytes."
    )
    webhook_private_addresses: str = row(
        "off", unit="switch", choices=_SWITCH, text="Whether the webhook may be at a private or loopback address."
    )
    eventbridge: str = row(
        "off",
        unit="switch",
        choices=_SWITCH,
        text="Whether changes of a pipeline's state go to the default bus of EventBridge, as AWS's do.",
    )
    eventbridge_source: str = row(
        "aws.chime",
        unit="name",
        text="The `Source` of these events. AWS's own EventBridge keeps names that begin with `aws.` to itself and "
        "refuses them from anybody else: name another there, and in your rules.",
    )
    sink_endpoint_url: str = row(
        "",
        unit="URL",
        text="Where SQS, SNS, Lambda, Kinesis and EventBridge are reached; AWS itself when empty. `AWS_ENDPOINT_URL` "
        "does not count here, because it names this service.",
    )
    sink_endpoint_urls: str = row(
        "",
        unit="list",
        text="Other addresses for some of them, as in `sqs=http://localhost:9324,sns=http://…`.",
    )
    sink_access_key_id: str = row(
        "", unit="text", text="Access key for sinks; boto3's own search for credentials when empty."
    )
    sink_secret_access_key: str = row("", unit="text", secret=True, text="Its secret.")
    voiceprint_status: str = row(
        "VoiceprintGenerationSuccess",
        unit="word",
        choices=("voiceprintgenerationsuccess", "voiceprintgenerationsuccessful"),
        text="How events spell that a voiceprint was made; AWS's pages have both.",
    )
