"""The settings: each a field with a name, a default, a unit and a sentence of help.

docs/settings.md is generated from them. Numbers that few need to change stand in groups (`limits`, `quotas`,
`media_rates`), each of which is one setting.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from earwitness.cores import usable_cores

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_SWITCH = ("off", "on")


# `Any`: dataclasses.field returns the type of the default it is given.
def _row(
    default: Any,
    *,
    unit: str,
    text: str,
    low: float = 0.0,
    high: float = 0.0,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A field of a settings class. A secret one is not shown when the settings are printed."""
    metadata = {"unit": unit, "help": text, "low": low, "high": high, "choices": choices}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def _quota(default: int, text: str) -> int:
    return _row(default, unit="count", low=0, high=1e9, text=text)


def _group(default: object, *, text: str, **words: object) -> Any:
    """A field that holds a group of numbers. Each of `words` is a name for a whole group."""
    return field(default=default, metadata={"unit": "numbers", "help": text, "words": words})


def _data_dir() -> Path:
    return platformdirs.user_data_path("earwitness") / "service"


def _models_dir() -> Path:
    return platformdirs.user_cache_path("earwitness") / "models"


def _gallery_file() -> Path:
    return platformdirs.user_data_path("earwitness") / "gallery.json"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits against slow, huge and too many requests; few need others."""

    client_seconds: float = _row(
        30.0,
        unit="s",
        low=0.05,
        high=3_600,
        text="How long a client may take to send the head of a request, and then its body.",
    )
    store_wait_seconds: float = _row(
        5.0,
        unit="s",
        low=0.05,
        high=60,
        text="How long a request waits for a locked or slow database before it is answered with ServiceUnavailable.",
    )
    store_connections: int = _row(
        0,
        unit="count",
        low=0,
        high=10_000,
        text="Connections to PostgreSQL, half of them for reads; one more says who serves. 0 is twice `threads`.",
    )
    persist_wait_seconds: float = _row(
        60.0,
        unit="s",
        low=0,
        high=3_600,
        text="With several nodes: how long a fragment that is kept waits for the database, which says whether this "
        "node still serves, before its producer is told PERSISTED. After that the producer gets an error.",
    )
    stop_seconds: float = _row(
        30.0,
        unit="s",
        low=0,
        high=3_600,
        text="How long the service may take to stop; then it ends, whatever its threads do. Three quarters of it are "
        "for requests in progress. An init system should wait a little longer before it kills.",
    )
    recording_seconds: float = _row(
        3_600.0,
        unit="s",
        low=1,
        high=1e6,
        text="How much of a recording that is sent to the JSON API is decoded at most, in search of enough speech: a "
        "megabyte may hold ten hours of silence. Files of the command line are decoded as a whole.",
    )
    job_items_at_once: int = _row(
        2,
        unit="count",
        low=0,
        high=64,
        text="Recordings of jobs (`earwitness backfill`) that are worked on at one time. Calls in progress go first, "
        "however many these are. With 0 this process works on none.",
    )
    clock_skew_seconds: float = _row(
        300.0, unit="s", low=1, high=86_400, text="How far a request's time may be from ours, as in AWS."
    )
    requests_at_once: int = _row(
        1_000,
        unit="count",
        low=1,
        high=100_000,
        text="Requests in progress beyond which new ones get ServiceUnavailable. Media uploads and reads count apart.",
    )
    calls_at_once: int = _row(
        1_000, unit="count", low=0, high=100_000, text="Calls in progress at one door; one more is sent elsewhere."
    )
    body_bytes: int = _row(
        1_048_576, unit="bytes", low=1_024, high=1e9, text="The largest body of a request that is no media upload."
    )
    stream_readers: int = _row(
        20, unit="count", low=1, high=10_000, text="GetMedia connections of one stream; AWS allows 3."
    )
    stream_live_minutes: float = _row(
        5.0,
        unit="min",
        low=1,
        high=60,
        text="How long media of a stream without retention stay readable; a minute later they are off the disk. As "
        "long as at AWS.",
    )
    disk_reserve_bytes: int = _row(
        256 * 2**20,
        unit="bytes",
        low=0,
        high=1e15,
        text="Free bytes of the media's disk below which media are refused, so that records and deletions have room; "
        "at most a twentieth of the disk. 0 is none.",
    )
    stream_bytes: int = _row(
        10 * 2**30, unit="bytes", low=1_000_000, high=1e15, text="Media kept of one stream; the oldest goes first."
    )
    media_bytes: int = _row(
        0,
        unit="bytes",
        low=0,
        high=1e18,
        text="Media kept of all streams together; new media are refused above it, because what is kept was promised to "
        "its account. 0 is no bound but the disk's.",
    )
    threads: int = _row(
        16,
        unit="threads",
        low=1,
        high=256,
        text="Threads for requests that write or search; on PostgreSQL twice as many connections are used at most.",
    )


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """How much an account may have in a Region."""

    configurations: int = _row(
        1_000, unit="count", low=0, high=1e9, text="Media insights pipeline configurations; 100 at AWS."
    )
    active_pipelines: int = _row(
        1_000, unit="count", low=0, high=1e9, text="Active media insights pipelines; 20 at AWS."
    )
    active_tasks: int = _quota(1_000, "Active speaker search tasks; 25 at AWS.")
    domains: int = _quota(100, "Voice profile domains; 3 at AWS.")
    profiles_per_domain: int = _quota(20_000, "Voice profiles in one domain; AWS says 20,000 in one place, 20 in two.")
    streams: int = _row(
        10_000, unit="count", low=0, high=1e9, text="Kinesis video streams; 10,000 at AWS in its large Regions."
    )
    voice_connectors: int = _quota(100, "Voice Connectors; 3 at AWS.")
    open_jobs: int = _quota(100, "Jobs that have not ended; AWS has none.")
    job_bytes: int = _row(
        2**30,
        unit="bytes",
        low=0,
        high=1e15,
        text="Recordings of jobs that wait in the records. More are refused until some are done; `earwitness backfill` "
        "waits for that.",
    )
    tags_per_resource: int = _quota(50, "Tags of one resource; 50 at AWS, 200 for media pipelines.")


@dataclass(frozen=True, kw_only=True)
class MediaRateLimits:
    """How fast media may come and go. 0 is no limit; after a silence, two seconds' worth may come at once."""

    calls: float = _row(
        0.0,
        unit="calls/s",
        low=0,
        high=1e6,
        text="Calls of PutMedia for one stream, likewise of GetMedia and GetMediaForFragmentList; one more gets "
        "ClientLimitExceededException.",
    )
    put_fragments: float = _row(
        0.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one stream takes. A producer that is faster is slowed down, not refused.",
    )
    put_bytes: float = _row(0.0, unit="bytes/s", low=0, high=1e12, text="The same in bytes.")
    read_fragments: float = _row(
        0.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one GetMedia connection gives; it does not end by it, it takes longer. Tasks of this "
        "service read without it.",
    )
    read_bytes: float = _row(
        0.0,
        unit="bytes/s",
        low=0,
        high=1e12,
        text="Bytes that one connection of GetMedia or GetMediaForFragmentList gives.",
    )
    listed_fragments: float = _row(
        0.0,
        unit="1/s",
        low=0,
        high=1e9,
        text="MaxResults of all ListFragments calls for one stream, added up; one more gets "
        "ClientLimitExceededException.",
    )
    fetched_fragments: float = _row(
        0.0,
        unit="1/s",
        low=0,
        high=1e9,
        text="Fragments of one stream that GetMediaForFragmentList calls ask for; one more gets "
        "ClientLimitExceededException.",
    )


AWS_MEDIA_RATES = MediaRateLimits(
    calls=5.0,
    put_fragments=5.0,
    put_bytes=12_500_000.0,
    read_fragments=5.0,
    read_bytes=25_000_000.0,
    listed_fragments=10_000.0,
    fetched_fragments=500.0,
)


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What hearing, searching and measuring need."""

    models_dir: Path = _row(_models_dir, unit="folder", text="Where verified voice models are kept.")
    gallery_file: Path = _row(_gallery_file, unit="file", text="The gallery that enroll and identify use.")
    strangers_named_percent: float = _row(
        1.0,
        unit="%",
        low=0.0001,
        high=50.0,
        text="The threshold is set so that at most this share of strangers is given a name, whatever the "
        "number of enrolled voices.",
    )
    prior_known: float = _row(
        0.5,
        unit="probability",
        low=0.001,
        high=0.999,
        text="How likely it is, before hearing anything, that the caller is enrolled at all.",
    )
    calibration_file: Path | None = _row(
        None, unit="file", text="A calibration fitted on your own calls; the shipped one is used when empty."
    )
    workers: int = _row(
        usable_cores,
        unit="threads",
        low=1,
        high=1024,
        text="How many recordings are worked on at once in long runs; each uses one native thread.",
    )
    log_level: str = _row("warning", unit="level", text="debug, info, warning, error or critical.", choices=_LOG_LEVELS)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What the service needs."""

    host: str = _row(
        "127.0.0.1", unit="address", text="Where to listen. The default answers this machine alone; 0.0.0.0 everybody."
    )
    port: int = _row(4500, unit="port", low=0, high=65_535, text="The one port for all services; 0 takes a free one.")
    data_dir: Path = _row(_data_dir, unit="folder", text="Where records, media and the master key are kept.")
    store_url: str = _row(
        "",
        unit="URL",
        secret=True,
        text="The database: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`; a SQLite file in the data "
        "folder when empty.",
    )
    master_key: str = _row(
        "",
        unit="base64",
        secret=True,
        text="The key of 32 bytes that all encryption at rest hangs on. When empty, the file `master.key` in the data "
        "folder, which is made at the first start. Whoever loses it loses the records.",
    )
    public_url: str = _row(
        "",
        unit="URL",
        text="The address under which clients reach the media operations, as GetDataEndpoint tells them; the one "
        "that the request came to when empty. Set it behind a proxy or a mapped port.",
    )
    node_url: str = _row(
        "",
        unit="URL",
        text="With several nodes: the address under which clients reach this node and no other. Where nodes have one, "
        "GetDataEndpoint tells that of the node which a stream's media lie on. Leave it empty behind a balancer.",
    )
    internal_address: str = _row(
        "127.0.0.1:0",
        unit="address",
        text="With several nodes: where other nodes reach this one, as in `10.0.0.5:4501`, in a network of their own, "
        "because what they send each other is signed and not encrypted. Port 0 takes a free one.",
    )
    internal_url: str = _row(
        "",
        unit="URL",
        text="With several nodes: what other nodes call that address, where they see it as another one.",
    )
    tls_certificate: Path | None = _row(
        None, unit="file", text="PEM file with the certificate chain; plain HTTP when empty."
    )
    tls_key: Path | None = _row(None, unit="file", text="PEM file with the certificate's private key.")
    session_tokens: str = _row(
        "ignore",
        unit="rule",
        choices=("ignore", "refuse"),
        text="What to do with a session token in a signed request. Keys here are long-lived, so it proves nothing.",
    )
    calls_per_second: str = _row(
        "200",
        unit="calls/s",
        text="How often one key may call one operation, with bursts of twice as many; 0 is no limit, which is the "
        "default of `serve --dev`. Some operations of AWS's or our own API may have other rates, as in "
        "`200,GetSpeakerSearchTask=500,ListEvents=5`.",
    )
    trusted_proxies: str = _row(
        "",
        unit="list",
        text="Addresses or networks of your own proxies and load balancers, as in `10.0.0.7,192.168.4.0/24`. One "
        "address gets at most half of the 10,000 connections, which is too few for a proxy that brings everybody's; "
        "these may have any number.",
    )
    siprec: str = _row(
        "",
        unit="address",
        text="Where calls come in by SIPREC over UDP and TCP, as in `10.0.0.5:5060`; nowhere when empty. For private "
        "networks: nothing is encrypted, and the sender's address is the only proof.",
    )
    siprec_tls: str = _row(
        "", unit="address", text="The same over TLS, as in `10.0.0.5:5061`, with `tls_certificate` and `tls_key`."
    )
    siprec_media: str = _row(
        "16384-32767",
        unit="ports",
        text="UDP ports for the media of these calls, two for each party. Where phone systems see this machine at "
        "another address, that too, as in `203.0.113.7:16384-32767`.",
    )
    audiosocket: str = _row(
        "",
        unit="address",
        text="Where Asterisk's AudioSocket is taken, as in `127.0.0.1:9092`; nowhere when empty. It has no encryption: "
        "for this machine or a private network.",
    )
    quotas: Quotas = _group(Quotas(), text="How much an account may have in a Region, as in `domains=10,streams=100`.")
    limits: Limits = _group(
        Limits(),
        text="Limits against slow, huge and too many requests, as in `client_seconds=10,body_bytes=65536`.",
    )


@dataclass(frozen=True, kw_only=True)
class MediaSettings:
    """What calls in progress and telling of them need."""

    media_dir: Path | None = _row(
        None,
        unit="folder",
        text="Where media lie; the folder `media` in the data folder when empty. One process at a time.",
    )
    tasks_at_once: int = _row(
        200,
        unit="count",
        low=0,
        high=100_000,
        text="Calls listened to at once in this process; beyond it StartSpeakerSearchTask answers ServiceUnavailable.",
    )
    kvs_source: str = _row(
        "own",
        unit="word",
        text="Where tasks find their streams: `own`, in this service, or `aws`, in AWS's Kinesis Video Streams; the "
        "ARNs look alike. Some accounts may have the other, as in `own,111122223333=aws`.",
    )
    kvs_endpoint_url: str = _row(
        "",
        unit="URL",
        text="Where the streams of `aws` are reached; AWS itself when empty. `AWS_ENDPOINT_URL` does not count here, "
        "because it names this service.",
    )
    kvs_access_key_id: str = _row(
        "", unit="text", text="Access key for the streams of `aws`; boto3's own search for credentials when empty."
    )
    kvs_secret_access_key: str = _row("", unit="text", secret=True, text="Its secret.")
    line_learning: str = _row(
        "on",
        unit="switch",
        choices=_SWITCH,
        text="Whether domains learn their lines from who is searched for, unless `earwitness line` told them. While "
        "they do, up to 50 voices are kept encrypted, for a day at most.",
    )
    keep_enrolment_audio: str = _row(
        "off",
        unit="switch",
        choices=_SWITCH,
        text="Whether the speech behind a voiceprint is kept, encrypted, to rebuild it under a new voice model.",
    )
    events_file: Path | None = _row(
        None, unit="file", text="Every event is also written here, a JSON line each; `serve --dev` always writes one."
    )
    webhook_url: str = _row("", unit="URL", text="Every event is also sent here, signed as Standard Webhooks has it.")
    webhook_secret: str = _row(
        "", unit="text", secret=True, text="The key of the webhook's signatures: `whsec_` and base64 of 24 to 64 bytes."
    )
    webhook_private_addresses: str = _row(
        "off", unit="switch", choices=_SWITCH, text="Whether the webhook may be at a private or loopback address."
    )
    eventbridge: str = _row(
        "off",
        unit="word",
        text="Whether changes of a pipeline's state go to the default bus of EventBridge, as AWS's do: `off`, `on`, or "
        "the `Source` that these events are to have. With `on` it is `aws.chime`; AWS's own EventBridge keeps names "
        "that begin with `aws.` to itself and refuses them from anybody else: name another there, and in your rules.",
    )
    sink_endpoint_url: str = _row(
        "",
        unit="URL",
        text="Where SQS, SNS, Lambda, Kinesis and EventBridge are reached; AWS itself when empty. Some may be "
        "elsewhere, as in `http://localhost:4566,sqs=http://localhost:9324`. `AWS_ENDPOINT_URL` does not count here, "
        "because it names this service.",
    )
    sink_access_key_id: str = _row(
        "", unit="text", text="Access key for sinks; boto3's own search for credentials when empty."
    )
    sink_secret_access_key: str = _row("", unit="text", secret=True, text="Its secret.")
    voiceprint_status: str = _row(
        "VoiceprintGenerationSuccess",
        unit="word",
        choices=("voiceprintgenerationsuccess", "voiceprintgenerationsuccessful"),
        text="How events spell that a voiceprint was made; AWS's pages have both.",
    )
    media_rates: MediaRateLimits = _group(
        AWS_MEDIA_RATES,
        text="How fast media may come and go: `aws` as at AWS, `off` without limit, which is the default of "
        "`serve --dev`, or those of AWS with some others, as in `put_fragments=50,calls=0`.",
        aws=AWS_MEDIA_RATES,
        off=MediaRateLimits(),
    )


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Which service `earwitness tasks`, `watch`, `events` and `profiles --domain` ask."""

    url: str = _row("http://127.0.0.1:4500", unit="URL", text="The service that commands ask.")
    token: str = _row(
        "",
        unit="token",
        secret=True,
        text="The bearer token that commands ask with, as `earwitness keys token` made it; when empty they sign with "
        "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.",
    )


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings, MediaSettings, ServiceSettings, EngineSettings):
    """All settings of earwitness, already parsed and checked."""
