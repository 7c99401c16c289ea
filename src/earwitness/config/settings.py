"""The settings: each a field with a name, a default, a unit and a sentence of help.

docs/settings.md is generated from them. Numbers that few need to change stand in groups (`limits`, `quotas`,
`media_rates`), each of which is one setting.
"""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from earwitness.config.limits import AWS_MEDIA_RATES, Limits, MediaRateLimits, Quotas
from earwitness.config.rows import group, row
from earwitness.cores import usable_cores

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_SWITCH = ("off", "on")


def _data_dir() -> Path:
    return platformdirs.user_data_path("earwitness") / "service"


def _models_dir() -> Path:
    return platformdirs.user_cache_path("earwitness") / "models"


def _gallery_file() -> Path:
    return platformdirs.user_data_path("earwitness") / "gallery.json"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What hearing, searching and measuring need."""

    models_dir: Path = row(_models_dir, unit="folder", text="Where verified voice models are kept.")
    gallery_file: Path = row(_gallery_file, unit="file", text="The gallery that enroll and identify use.")
    strangers_named_percent: float = row(
        1.0,
        unit="%",
        low=0.0001,
        high=50.0,
        text="The threshold is set so that at most this share of strangers is given a name, whatever the "
        "number of enrolled voices.",
    )
    prior_known: float = row(
        0.5,
        unit="probability",
        low=0.001,
        high=0.999,
        text="How likely it is, before hearing anything, that the caller is enrolled at all.",
    )
    calibration_file: Path | None = row(
        None,
        unit="file",
        text="A calibration fitted on your own calls; domains that have one installed keep theirs. The shipped one "
        "when empty.",
    )
    workers: int = row(
        usable_cores,
        unit="threads",
        low=1,
        high=1024,
        text="How many recordings are worked on at once in long runs; each uses one native thread.",
    )
    log_level: str = row("warning", unit="level", text="debug, info, warning, error or critical.", choices=_LOG_LEVELS)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What the service needs."""

    host: str = row(
        "127.0.0.1", unit="address", text="Where to listen. The default answers this machine alone; 0.0.0.0 everybody."
    )
    port: int = row(4500, unit="port", low=0, high=65_535, text="The one port for all services; 0 takes a free one.")
    data_dir: Path = row(_data_dir, unit="folder", text="Where records, media and the master key are kept.")
    store_url: str = row(
        "",
        unit="URL",
        secret=True,
        text="The database: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`; a SQLite file in the data "
        "folder when empty.",
    )
    master_key: str = row(
        "",
        unit="base64",
        secret=True,
        text="The key of 32 bytes that all encryption at rest hangs on. When empty, the file `master.key` in the data "
        "folder, which is made at the first start. Whoever loses it loses the records.",
    )
    master_key_passphrase: str = row(
        "",
        unit="text",
        secret=True,
        text="The passphrase that the master key is made of, by scrypt, instead of a key in a file. Salt and "
        "parameters are `master.key.scrypt` in the data folder: made at the first start, and as needed as the "
        "passphrase.",
    )
    master_key_passphrase_file: Path | None = row(
        None,
        unit="file",
        text="The file whose first line is that passphrase, as a credential of systemd's; for its owner's eyes only.",
    )
    kms_keys: str = row(
        "",
        unit="list",
        text="Which `KmsKeyArn`s of domains are keys at KMS, and where, as in "
        "`arn:aws:kms:eu-central-1:111122223333:*=aws`: AWS's own, or a URL, and `#KEY` behind it where the key has "
        "another name there. Data keys of domains that are made from then on are wrapped by these. All other ARNs are "
        "kept and used for nothing.",
    )
    kms_access_key_id: str = row(
        "", unit="text", text="Access key for KMS; boto3's own search for credentials when empty."
    )
    kms_secret_access_key: str = row("", unit="text", secret=True, text="Its secret.")
    public_url: str = row(
        "",
        unit="URL",
        text="The address under which clients reach the media operations, as GetDataEndpoint tells them; the one "
        "that the request came to when empty. Set it behind a proxy or a mapped port.",
    )
    node_url: str = row(
        "",
        unit="URL",
        text="With several nodes: the address under which clients reach this node and no other. Where nodes have one, "
        "GetDataEndpoint tells that of the node which a stream's media lie on. Leave it empty behind a balancer.",
    )
    internal_address: str = row(
        "127.0.0.1:0",
        unit="address",
        text="With several nodes: where other nodes reach this one, as in `10.0.0.5:4501`, in a network of their own, "
        "because what they send each other is signed and not encrypted. Port 0 takes a free one.",
    )
    internal_url: str = row(
        "",
        unit="URL",
        text="With several nodes: what other nodes call that address, where they see it as another one.",
    )
    tls_certificate: Path | None = row(
        None, unit="file", text="PEM file with the certificate chain; plain HTTP when empty."
    )
    tls_key: Path | None = row(None, unit="file", text="PEM file with the certificate's private key.")
    tls_client_ca: Path | None = row(
        None,
        unit="file",
        text="PEM file with authorities, and revocation lists of theirs: at the service's port only who shows a "
        "certificate of one of them gets in, `/health` and WebSockets included. Keys and tokens are needed as before.",
    )
    session_tokens: str = row(
        "ignore",
        unit="rule",
        choices=("ignore", "refuse"),
        text="What to do with a session token in a signed request. Keys here are long-lived, so it proves nothing.",
    )
    calls_per_second: str = row(
        "200",
        unit="calls/s",
        text="How often one key may call one operation, with bursts of twice as many; 0 is no limit, which is the "
        "default of `serve --dev`. Some operations of AWS's or our own API may have other rates, as in "
        "`200,GetSpeakerSearchTask=500,ListEvents=5`.",
    )
    console: str = row(
        "on",
        unit="switch",
        choices=_SWITCH,
        text="Whether pages for people are served at `/console`.",
    )
    console_hosts: str = row(
        "",
        unit="list",
        text="Names under which the console answers beside those of this machine and that of `public_url`, as in "
        "`voices.example.org,10.0.0.5`. Under other names it does not, because a page elsewhere could let its own name "
        "lead here.",
    )
    trusted_proxies: str = row(
        "",
        unit="list",
        text="Addresses or networks of your own proxies and load balancers, as in `10.0.0.7,192.168.4.0/24`. One "
        "address gets at most half of the 10,000 connections, which is too few for a proxy that brings everybody's; "
        "these may have any number.",
    )
    audit_dir: str = row(
        "",
        unit="place",
        text="Where signed checkpoints of the audit trail go each minute, and files of entries after a year. Name a "
        "folder on another machine, or `s3://BUCKET/PREFIX`, so that whoever changes records cannot change these. When "
        "empty: checkpoints alone, in `audit` in the data folder, which shows damage and little more.",
    )
    audit_endpoint_url: str = row(
        "", unit="URL", text="Where the bucket of `audit_dir` is reached; AWS's S3 when empty."
    )
    metrics_address: str = row(
        "",
        unit="address",
        text="Where metrics are read besides `/metrics` at the service's own address, as in `127.0.0.1:9464`; nowhere "
        "when empty. On a loopback address everybody may read them, elsewhere who has a token. With several processes "
        "each has the next port.",
    )
    metrics_access: str = row(
        "token",
        unit="rule",
        choices=("token", "anybody"),
        text="Who may read metrics at a `metrics_address` that others than this machine reach: who has a bearer token "
        "of role monitor, or anybody. What is sent there is not encrypted.",
    )
    otlp_endpoint: str = row(
        "",
        unit="URL",
        text="Where traces of tasks go, by OpenTelemetry's protocol over HTTP, as in "
        "`http://127.0.0.1:4318/v1/traces`; nowhere when empty. It needs the extra `otel`.",
    )
    siprec: str = row(
        "",
        unit="address",
        text="Where calls come in by SIPREC over UDP and TCP, as in `10.0.0.5:5060`; nowhere when empty. For private "
        "networks: nothing is encrypted, and the sender's address is the only proof.",
    )
    siprec_tls: str = row(
        "", unit="address", text="The same over TLS, as in `10.0.0.5:5061`, with `tls_certificate` and `tls_key`."
    )
    siprec_tls_client_ca: Path | None = row(
        None,
        unit="file",
        text="PEM file with authorities, and revocation lists of theirs: at `siprec_tls` only phone systems with a "
        "certificate of one of them get in.",
    )
    siprec_media: str = row(
        "16384-32767",
        unit="ports",
        text="UDP ports for the media of these calls, two for each party. Where phone systems see this machine at "
        "another address, that too, as in `203.0.113.7:16384-32767`.",
    )
    audiosocket: str = row(
        "",
        unit="address",
        text="Where Asterisk's AudioSocket is taken, as in `127.0.0.1:9092`; nowhere when empty. It has no encryption: "
        "for this machine or a private network.",
    )
    quotas: Quotas = group(Quotas(), text="How much an account may have in a Region, as in `domains=10,streams=100`.")
    limits: Limits = group(
        Limits(),
        text="Limits against slow, huge and too many requests, as in `client_seconds=10,body_bytes=65536`.",
    )


@dataclass(frozen=True, kw_only=True)
class MediaSettings:
    """What calls in progress and telling of them need."""

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
    kvs_source: str = row(
        "own",
        unit="word",
        text="Where tasks find their streams: `own`, in this service, or `aws`, in AWS's Kinesis Video Streams; the "
        "ARNs look alike. Some accounts may have the other, as in `own,111122223333=aws`.",
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
    line_learning: str = row(
        "on",
        unit="switch",
        choices=_SWITCH,
        text="Whether domains learn their lines from who is searched for, unless `earwitness line` told them. While "
        "they do, up to 50 voices are kept encrypted, for a day at most.",
    )
    keep_enrolment_audio: str = row(
        "off",
        unit="switch",
        choices=_SWITCH,
        text="Whether the speech behind a voiceprint is kept, encrypted, to make it again under a new voice "
        "encoder (`earwitness backfill reembed`).",
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
        unit="word",
        text="Whether changes of a pipeline's state go to the default bus of EventBridge, as AWS's do: `off`, `on`, or "
        "the `Source` that these events are to have. With `on` it is `aws.chime`; AWS's own EventBridge keeps names "
        "that begin with `aws.` to itself and refuses them from anybody else: name another there, and in your rules.",
    )
    sink_endpoint_url: str = row(
        "",
        unit="URL",
        text="Where SQS, SNS, Lambda, Kinesis and EventBridge are reached; AWS itself when empty. Some may be "
        "elsewhere, as in `http://localhost:4566,sqs=http://localhost:9324`. `AWS_ENDPOINT_URL` does not count here, "
        "because it names this service.",
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
    media_rates: MediaRateLimits = group(
        AWS_MEDIA_RATES,
        text="How fast media may come and go: `aws` as at AWS, `off` without limit, which is the default of "
        "`serve --dev`, or those of AWS with some others, as in `put_fragments=50,calls=0`.",
        aws=AWS_MEDIA_RATES,
        off=MediaRateLimits(),
    )


@dataclass(frozen=True, kw_only=True)
class BackupSettings:
    """What backups need, and the ledgers of deletions beside them."""

    backup_days_max: float = row(
        35.0,
        unit="days",
        low=1,
        high=3_650,
        text="How long a backup is kept at most; `earwitness backup prune` deletes older ones. What was deleted from "
        "the records is in no backup any more after that.",
    )
    deletion_ledger: str = row(
        "",
        unit="place",
        text="A folder or `s3://BUCKET/PREFIX` where a second ledger of deletions is kept, apart from the backups. A "
        "restore deletes again what the ledgers say.",
    )
    backup_endpoint_url: str = row(
        "", unit="URL", text="Where the buckets of backups are reached; AWS's S3 when empty."
    )


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Which service `earwitness tasks`, `watch`, `events` and `profiles --domain` ask."""

    url: str = row("http://127.0.0.1:4500", unit="URL", text="The service that commands ask.")
    token: str = row(
        "",
        unit="token",
        secret=True,
        text="The bearer token that commands ask with, as `earwitness keys token` made it; when empty they sign with "
        "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.",
    )
    client_certificate: Path | None = row(
        None,
        unit="file",
        text="PEM file with the certificate that commands show to a service which asks for one (`tls_client_ca`).",
    )
    client_key: Path | None = row(None, unit="file", text="PEM file with its private key, where that is elsewhere.")


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings, BackupSettings, MediaSettings, ServiceSettings, EngineSettings):
    """All settings of earwitness, already parsed and checked."""
