"""A service for tests, as a test sees it: clients for it, verdicts, failures, its clock, and what it has told.

Public API, with `earwitness.testing`. The service itself runs in a process of its own (served.py).
"""

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from earwitness.testing.starting import ServiceLine, load_services
from earwitness.testing.verdicts import ScriptedVerdict

if TYPE_CHECKING:
    import boto3

    from earwitness.testing.asking import LoopbackApi

ACCOUNT = "000000000000"
REGION = "us-east-1"
KEY = "test"
"""Access key, secret and bearer token."""

WAIT_SECONDS = 30.0
"""How long a test waits for what its service does, unless it says otherwise. Nearly all of it happens at once."""

_POLL_SECONDS = 20
_ENDPOINTS = ("CHIME_SDK_MEDIA_PIPELINES", "CHIME_SDK_VOICE", "KINESIS_VIDEO")
_MEDIA_ENDPOINTS = ("KINESIS_VIDEO_MEDIA", "KINESIS_VIDEO_ARCHIVED_MEDIA")

_NO_PROFILE = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
"""What a session takes from AWS's files, where the user's profile may not even exist."""

JsonDocument: TypeAlias = dict[str, Any]
"""A JSON object. `Any`: whatever JSON can hold."""


class ServiceClock:
    """The clock of a service: this machine's, until it is turned. It goes on by itself."""

    def __init__(self, line: ServiceLine) -> None:
        self._line = line

    def now(self) -> datetime:
        """Return the service's time in UTC."""
        return datetime.fromisoformat(self._line.ask("now")["now"])

    def forward(self, **delta: float) -> datetime:
        """Turn the clock forward and return its time; `delta` as for `datetime.timedelta`: hours=24, days=7.

        Whatever is due by then is done when this returns: voiceprints, results and profiles that have expired are
        deleted, calls that are silent have ended. Tasks that wait for their verdict go on at once. Raise ScriptInvalid
        for a turn backwards.
        """
        answer = self._line.ask("forward", seconds=timedelta(**delta).total_seconds())
        return datetime.fromisoformat(answer["now"])


class EarwitnessService:
    """A running service. Made by `start_service`; everything but `close` may be called from any thread."""

    def __init__(self, line: ServiceLine, *, account_id: str, region: str, api: "LoopbackApi") -> None:
        self._line = line
        self.url: str = line.started["url"]
        """Where it answers, on loopback."""

        self.account_id = account_id
        """Twelve digits: the account of its only key."""

        self.region = region
        self.clock = ServiceClock(line)
        self._api = api

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead AWS's SDKs and command line to this service, and nowhere else for its APIs.

        Clients of other services (SQS, S3) are not led anywhere; they get credentials that are of no use to AWS.
        """
        endpoints = {f"AWS_ENDPOINT_URL_{service}": self.url for service in (*_ENDPOINTS, *_MEDIA_ENDPOINTS)}
        return endpoints | {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "EARWITNESS_URL": self.url,
            "EARWITNESS_TOKEN": KEY,
        }

    def session(self) -> "boto3.Session":
        """Return a boto3 session with the service's credentials and Region, and nothing of the user's profiles.

        Its clients need the endpoint as well; `client` has it.
        """
        import boto3
        import botocore.session

        own = {name: (None, None, value, None) for name, value in _NO_PROFILE.items()}
        return boto3.Session(
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
            region_name=self.region,
            botocore_session=botocore.session.Session(session_vars=own),
        )

    def client(self, service_name: str, **options: Any) -> Any:  # `Any`: boto3's clients are made at run time
        """Return a boto3 client of this service: `chime-sdk-voice`, `chime-sdk-media-pipelines`, `kinesisvideo`.

        `options` go to boto3.
        """
        options.setdefault("endpoint_url", self.url)
        session: Any = self.session()
        return session.client(service_name, **options)

    def script(self, *verdicts: ScriptedVerdict, stream: str | None = None, caller: str | None = None) -> None:
        """Write what the tasks that begin from now on find: those of a stream, of a caller, or all of them.

        `stream` is an ARN or a name. `caller` is a value of `fromNumber`, `callId` or `transactionId` in the runtime
        metadata of the task's pipeline; calls of Voice Connectors have all three. With several verdicts each task takes
        the next one, and the last one counts for all further tasks. Of several scripts that fit a task the latest
        counts. Raise ScriptInvalid for a stream or a profile that does not exist.
        """
        self._line.ask("script", verdicts=[one.as_document() for one in verdicts], stream=stream, caller=caller)

    def fail(self, operation: str, error: str = "ServiceFailureException", *, times: int | None = None) -> None:
        """Let an operation of AWS's APIs fail, from now on or so many times.

        `error` as AWS calls it: `ThrottledClientException`, `ServiceUnavailableException` and so on. Mind that SDKs try
        some errors again by themselves: to see a throttled call fail, it must fail as often as the SDK tries. Raise
        ConfigurationError for a name that is not known.
        """
        self._line.ask("fail", operation=operation, error=error, times=times)

    def reset(self) -> None:
        """Forget scripts and failures. Records stay, and the clock is where it was."""
        self._line.ask("reset")

    def task(self, task_id: str) -> JsonDocument:
        """Return a task with its results in full, as `GET /earwitness/v1/tasks/{taskId}` has it."""
        return self.get(f"/tasks/{task_id}")

    def wait_for_task(self, task_id: str, *, seconds: float = WAIT_SECONDS) -> JsonDocument:
        """Return a task that has ended. Raise TimeoutError when it has not after so many seconds."""
        return self._wait(lambda: _ended(self.task(task_id)), f"the task {task_id} has not ended", seconds)

    def events(self, *, task_id: str | None = None) -> list[JsonDocument]:
        """Return the events so far, all or those of a task, oldest first: bodies as sinks get them."""
        found: list[JsonDocument] = []
        after = 0
        while page := self.get("/events", after=after, limit=100)["events"]:
            found += [event["body"] for event in page]
            after = page[-1]["sequence"]
        return [one for one in found if task_id in (None, one["detail"].get("taskId"))]

    def wait_for_event(self, status: str, *, task_id: str | None = None, seconds: float = WAIT_SECONDS) -> JsonDocument:
        """Return the first event with this `detailStatus` or `eventType`, of a task if one is given.

        Raise TimeoutError when there is none after so many seconds; the message lists the events that came.
        """

        def first() -> JsonDocument | None:
            for event in self.events(task_id=task_id):
                if status in (event["detail"].get("detailStatus"), event["detail"].get("eventType")):
                    return event
            return None

        return self._wait(first, f"no event {status} came", seconds)

    def get(self, path: str, **query: object) -> JsonDocument:
        """Return what earwitness's own JSON API answers to GET (docs/api.md). `path` comes behind its prefix."""
        return self._request("GET", path, query)

    def enrol(self, recording: Path, *, domain_id: str, consent: str = "given in a test") -> str:
        """Enrol the voice in a recording, and return the profile's id. The service needs its voice models."""
        content = recording.read_bytes()
        answer = self._request("POST", f"/domains/{domain_id}/profiles", {"consent": consent}, content)
        return answer["profileId"]

    @property
    def log(self) -> str:
        """Return what the service has logged so far: a JSON object a line."""
        return self._line.log()

    def close(self) -> None:
        """End the service. Its records go with it."""
        self._line.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(
        self, method: str, path: str, query: Mapping[str, object], content: bytes | None = None
    ) -> JsonDocument:
        return self._api.ask(method, f"{self.url}/earwitness/v1", path, query, content)

    def _wait(self, look: Callable[[], JsonDocument | None], missing: str, seconds: float) -> JsonDocument:
        give_up, pause = time.monotonic() + seconds, 0.005
        while (found := look()) is None:
            if time.monotonic() >= give_up:
                told = "; ".join(map(_summary, self.events())) or "none"
                raise TimeoutError(f"{missing} after {seconds:g} s; events so far: {told}")
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        return found


def _summary(event: JsonDocument) -> str:
    """Return what an event tells, with its reason."""
    detail = event["detail"]
    what, why = detail.get("detailStatus") or detail.get("eventType"), detail.get("statusMessage")
    return f"{what} ({why})" if why else str(what)


def _ended(task: JsonDocument) -> JsonDocument | None:
    return task if task["status"] in ("Stopped", "Failed") else None


def start_service(
    *,
    account_id: str = ACCOUNT,
    region: str = REGION,
    port: int = 0,
    models: bool = False,
    settings: Mapping[str, object] | None = None,
) -> EarwitnessService:
    """Start a service on loopback and return it when it answers; use it in a `with` statement, or close it.

    `port` 0 takes a free one. With `models` it hears calls as a service in production does, with the voice models that
    are installed (`earwitness models pull`), where no verdict is scripted. `settings` are those of docs/settings.md by
    name: `{"sink_endpoint_url": "http://127.0.0.1:5000"}`. Raise ServiceNotStarted, ConfigurationError for settings or
    a port that is taken, ModelMissing.
    """
    load_services()
    from earwitness import config  # while services load
    from earwitness.testing.asking import LoopbackApi

    api = LoopbackApi(token=KEY, region=region, seconds_max=WAIT_SECONDS + _POLL_SECONDS)
    given = {name: str(value) for name, value in (settings or {}).items()}
    given.setdefault("models_dir", str(config.load().models_dir))
    line = ServiceLine({"account": account_id, "region": region, "port": port, "models": models, "settings": given})
    return EarwitnessService(line, account_id=account_id, region=region, api=api)
