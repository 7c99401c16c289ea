"""Settings of `earwitness serve`."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from earwitness.config.rows import row


def _data_dir() -> Path:
    return platformdirs.user_data_path("earwitness") / "service"


def _quota(default: int, what: str) -> int:
    return row(default, unit="count", low=0, high=1e9, text=f"{what} an account may have in a Region.")


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
    store_wait_seconds: float = row(
        5.0,
        unit="s",
        low=0.05,
        high=60,
        text="How long a request waits for a locked or slow database before it is answered with ServiceUnavailable.",
    )
    master_key: str = row(
        "",
        unit="base64",
        secret=True,
        text="The key of 32 bytes that all encryption at rest hangs on. When empty, the file `master.key` in the data "
        "folder, which is made at the first start. Whoever loses it loses the records.",
    )
    public_url: str = row(
        "",
        unit="URL",
        text="The address under which clients reach the media operations, as GetDataEndpoint tells them; the one "
        "that the request came to when empty. Set it behind a proxy or a mapped port.",
    )
    tls_certificate: Path | None = row(
        None, unit="file", text="PEM file with the certificate chain; plain HTTP when empty."
    )
    tls_key: Path | None = row(None, unit="file", text="PEM file with the certificate's private key.")
    clock_skew_seconds: float = row(
        300.0, unit="s", low=1, high=86_400, text="How far a request's time may be from ours, as in AWS."
    )
    session_tokens: str = row(
        "ignore",
        unit="rule",
        choices=("ignore", "refuse"),
        text="What to do with a session token in a signed request. Keys here are long-lived, so it proves nothing.",
    )
    calls_per_second: float = row(
        200.0,
        unit="calls/s",
        low=0,
        high=1e6,
        text="How often one key may call one operation, with bursts of twice as many; 0 is no limit, which is the "
        "default of `serve --dev`.",
    )
    calls_per_second_by_operation: str = row(
        "",
        unit="list",
        text="Other rates for some operations, of AWS's or our own API, as in `GetSpeakerSearchTask=500,ListEvents=5`.",
    )
    requests_at_once: int = row(
        1_000,
        unit="count",
        low=1,
        high=100_000,
        text="Requests in progress beyond which new ones get ServiceUnavailable. Media uploads and reads count apart.",
    )
    threads: int = row(
        16,
        unit="threads",
        low=1,
        high=256,
        text="Threads for requests that write or search; on PostgreSQL twice as many connections are used at most.",
    )
    body_bytes: int = row(
        1_048_576, unit="bytes", low=1_024, high=1e9, text="The largest body of a request that is no media upload."
    )
    trusted_proxies: str = row(
        "",
        unit="list",
        text="Addresses or networks of your own proxies and load balancers, as in `10.0.0.7,192.168.4.0/24`. One "
        "address gets at most half of the 10,000 connections, which is too few for a proxy that brings everybody's; "
        "these may have any number.",
    )
    client_seconds: float = row(
        30.0,
        unit="s",
        low=0.05,
        high=3_600,
        text="How long a client may take to send the head of a request, and then its body.",
    )
    recording_seconds: float = row(
        3_600.0,
        unit="s",
        low=1,
        high=1e6,
        text="How much of a recording that is sent to the JSON API is decoded at most, in search of enough speech: a "
        "megabyte may hold ten hours of silence. Files of the command line are decoded as a whole.",
    )
    stop_seconds: float = row(
        30.0,
        unit="s",
        low=0,
        high=3_600,
        text="How long the service may take to stop; then it ends, whatever its threads do. Three quarters of it are "
        "for requests in progress. An init system should wait a little longer before it kills.",
    )
    quota_configurations: int = _quota(1_000, "Media insights pipeline configurations")
    quota_active_pipelines: int = _quota(1_000, "Active media insights pipelines")
    quota_active_tasks: int = _quota(1_000, "Active speaker search tasks")
    quota_domains: int = _quota(100, "Voice profile domains")
    quota_profiles_per_domain: int = row(
        20_000, unit="count", low=0, high=1e9, text="Voice profiles that one domain may hold."
    )
    quota_streams: int = _quota(10_000, "Kinesis video streams")
