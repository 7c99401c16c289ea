"""Limits and quotas: numbers that few need to change, each group of which is one setting."""

from dataclasses import dataclass

from earwitness.config.rows import row


def _quota(default: int, text: str) -> int:
    return row(default, unit="count", low=0, high=1e9, text=text)


PROCESS_CONNECTIONS_MIN = 4
"""To PostgreSQL, for each of several processes."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits against slow, huge and too many requests; few need others."""

    client_seconds: float = row(
        30.0,
        unit="s",
        low=0.05,
        high=3_600,
        text="How long a client may take to send the head of a request, and then its body.",
    )
    store_wait_seconds: float = row(
        5.0,
        unit="s",
        low=0.05,
        high=60,
        text="How long a request waits for a locked or slow database before it is answered with ServiceUnavailable.",
    )
    store_connections: int = row(
        0,
        unit="count",
        low=0,
        high=10_000,
        text="Connections to PostgreSQL, half of them for reads; one more says who serves. 0 is twice `threads`.",
    )
    persist_wait_seconds: float = row(
        60.0,
        unit="s",
        low=0,
        high=3_600,
        text="With several nodes: how long a fragment that is kept waits for the database, which says whether this "
        "node still serves, before its producer is told PERSISTED. After that the producer gets an error.",
    )
    stop_seconds: float = row(
        30.0,
        unit="s",
        low=0,
        high=3_600,
        text="How long the service may take to stop; then it ends, whatever its threads do. Three quarters of it are "
        "for requests in progress. An init system should wait a little longer before it kills.",
    )
    recording_seconds: float = row(
        3_600.0,
        unit="s",
        low=1,
        high=1e6,
        text="How much of a recording that is sent to the JSON API is decoded at most, in search of enough speech: a "
        "megabyte may hold ten hours of silence. Files of the command line are decoded as a whole.",
    )
    job_items_at_once: int = row(
        2,
        unit="count",
        low=0,
        high=64,
        text="Recordings of jobs (`earwitness backfill`) that are worked on at one time. Calls in progress go first, "
        "however many these are. With 0 this process works on none.",
    )
    clock_skew_seconds: float = row(
        300.0, unit="s", low=1, high=86_400, text="How far a request's time may be from ours, as in AWS."
    )
    requests_at_once: int = row(
        1_000,
        unit="count",
        low=1,
        high=100_000,
        text="Requests in progress beyond which new ones get ServiceUnavailable. Media uploads and reads count apart.",
    )
    calls_at_once: int = row(
        1_000, unit="count", low=0, high=100_000, text="Calls in progress at one door; one more is sent elsewhere."
    )
    body_bytes: int = row(
        1_048_576, unit="bytes", low=1_024, high=1e9, text="The largest body of a request that is no media upload."
    )
    stream_readers: int = row(
        20, unit="count", low=1, high=10_000, text="GetMedia connections of one stream; AWS allows 3."
    )
    stream_live_minutes: float = row(
        5.0,
        unit="min",
        low=1,
        high=60,
        text="How long media of a stream without retention stay readable; a minute later they are off the disk. As "
        "long as at AWS.",
    )
    disk_reserve_bytes: int = row(
        256 * 2**20,
        unit="bytes",
        low=0,
        high=1e15,
        text="Free bytes of the media's disk below which media are refused, so that records and deletions have room; "
        "at most a twentieth of the disk. 0 is none.",
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
    threads: int = row(
        16,
        unit="threads",
        low=1,
        high=256,
        text="Threads for requests that write or search; on PostgreSQL twice as many connections are used at most.",
    )
    inference_threads: int = row(
        0,
        unit="threads",
        low=0,
        high=1_024,
        text="Threads that compute voiceprints. 0 is one for each core that this process may use; with `--processes` "
        "the cores are shared out.",
    )

    @property
    def connections(self) -> int:
        """Connections to PostgreSQL, but for the one that says who serves."""
        return self.store_connections or 2 * self.threads


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """How much an account may have in a Region."""

    configurations: int = _quota(1_000, "Media insights pipeline configurations; 100 at AWS.")
    active_pipelines: int = _quota(1_000, "Active media insights pipelines; 20 at AWS.")
    active_tasks: int = _quota(1_000, "Active speaker search tasks; 25 at AWS.")
    domains: int = _quota(100, "Voice profile domains; 3 at AWS.")
    profiles_per_domain: int = _quota(20_000, "Voice profiles in one domain; AWS says 20,000 in one place, 20 in two.")
    streams: int = _quota(10_000, "Kinesis video streams; 10,000 at AWS in its large Regions.")
    voice_connectors: int = _quota(100, "Voice Connectors; 3 at AWS.")
    open_jobs: int = _quota(100, "Jobs that have not ended; AWS has none.")
    job_bytes: int = row(
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

    calls: float = row(
        0.0,
        unit="calls/s",
        low=0,
        high=1e6,
        text="Calls of PutMedia for one stream, likewise of GetMedia and GetMediaForFragmentList; one more gets "
        "ClientLimitExceededException.",
    )
    put_fragments: float = row(
        0.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one stream takes. A producer that is faster is slowed down, not refused.",
    )
    put_bytes: float = row(0.0, unit="bytes/s", low=0, high=1e12, text="The same in bytes.")
    read_fragments: float = row(
        0.0,
        unit="1/s",
        low=0,
        high=1e6,
        text="Fragments that one GetMedia connection gives; it does not end by it, it takes longer. Tasks of this "
        "service read without it.",
    )
    read_bytes: float = row(
        0.0,
        unit="bytes/s",
        low=0,
        high=1e12,
        text="Bytes that one connection of GetMedia or GetMediaForFragmentList gives.",
    )
    listed_fragments: float = row(
        0.0,
        unit="1/s",
        low=0,
        high=1e9,
        text="MaxResults of all ListFragments calls for one stream, added up; one more gets "
        "ClientLimitExceededException.",
    )
    fetched_fragments: float = row(
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
