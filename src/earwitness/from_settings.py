"""What the settings say, as rooms take it: doors, targets of events, origins of streams, rates.

What belongs here: texts of settings made into values of the rooms below, or refused with a message that names the
setting. What must never: building what uses them.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from earwitness import __version__
from earwitness.api.operations import BY_NAME
from earwitness.audit.places import AuditPlace, place_of
from earwitness.aws.clients import AwsCredentials, AwsSettings
from earwitness.config import Settings
from earwitness.config.addresses import host_and_port
from earwitness.config.aws import aws_region
from earwitness.config.rules import with_exceptions
from earwitness.console.guard import Hosts
from earwitness.doors.audiosocket_door import AudioSocketDoor
from earwitness.doors.desk import Desk
from earwitness.doors.doors import Door
from earwitness.errors import ConfigurationError
from earwitness.evaluation.background import Evaluations, EvaluationSettings
from earwitness.media.origins import READ_SECONDS, SPARE_THREADS, OriginSettings
from earwitness.rest.routes import ROUTES
from earwitness.server.certificate import Certificate, TlsFiles
from earwitness.server.connections import trusted_networks
from earwitness.sinks.aws_clients import SinkSettings
from earwitness.sinks.webhook import WebhookSettings, require_webhook
from earwitness.tasks.events import TargetSettings
from earwitness.traces.traces import Traces

_EVENTBRIDGE_SOURCE = "aws.chime"


class ConsoleParts(TypedDict):
    """What of the settings the console works with."""

    hosts: Hosts
    evaluations: Evaluations


def console_parts(settings: Settings, *, clock: Callable[[], datetime]) -> ConsoleParts:
    """Return under which names the console answers, and what is evaluated beside the service."""
    evaluated = EvaluationSettings(
        models_dir=settings.models_dir,
        calibration_file=settings.calibration_file,
        prior_known=settings.prior_known,
        strangers_named_percent=settings.strangers_named_percent,
        workers=settings.workers,
        decoded_seconds_max=settings.limits.recording_seconds,
    )
    return ConsoleParts(hosts=console_hosts(settings), evaluations=Evaluations(evaluated, clock=clock))


class AuditParts(TypedDict):
    """What of the settings the keeping of the audit trail works with."""

    place: AuditPlace
    keeps_expired: bool
    clock: Callable[[], datetime]


def audit_parts(settings: Settings, *, clock: Callable[[], datetime]) -> AuditParts:
    """Return where the audit trail is kept. Raise ConfigurationError for a place that is none."""
    return AuditParts(place=audit_place(settings, clock=clock), keeps_expired=bool(settings.audit_dir), clock=clock)


def audit_place(settings: Settings, *, clock: Callable[[], datetime]) -> AuditPlace:
    """Return where checkpoints of the audit trail go. Raise ConfigurationError for a place that is none."""
    return place_of(
        settings.audit_dir or str(settings.data_dir / "audit"),
        endpoint_url=settings.audit_endpoint_url,
        region=aws_region(),
        clock=clock,
    )


def build_doors(settings: Settings, desk: Desk, *, is_drained: Callable[[], bool]) -> list[Door]:
    """Return the doors that the settings name. Raise ConfigurationError for what cannot be used."""
    doors: list[Door] = []
    certificate = siprec_certificate(settings)
    if settings.audiosocket:
        host, port = host_and_port(settings.audiosocket, setting="audiosocket")
        doors.append(AudioSocketDoor(desk, host=host, port=port))
    if not settings.siprec and not settings.siprec_tls:
        return doors
    from earwitness.doors.siprec.listener import SiprecDoor  # a start need not wait for what few have
    from earwitness.doors.siprec.settings import read_listening

    listening = read_listening(
        siprec=settings.siprec,
        siprec_tls=settings.siprec_tls,
        siprec_media=settings.siprec_media,
        certificate=certificate,
        calls_max=settings.limits.calls_at_once,
    )
    if listening is not None:
        doors.append(SiprecDoor(desk, listening, is_drained=is_drained))
    return doors


def certificate_of(settings: Settings) -> Certificate | None:
    """Return what clients of the service's own port are shown; None for plain HTTP.

    Raise ConfigurationError, which names the file, when it cannot be used.
    """
    files = tls_files(settings)
    return None if files is None else Certificate(files)


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of the service's own port; None for plain HTTP. Raise ConfigurationError for half of them."""
    if settings.tls_certificate is None:
        for name, file in (("tls_key", settings.tls_key), ("tls_client_ca", settings.tls_client_ca)):
            if file is not None:
                raise ConfigurationError(f"there is a {name} and no tls_certificate; set both, or none for plain HTTP")
        return None
    return TlsFiles(certificate=settings.tls_certificate, key=settings.tls_key, client_ca=settings.tls_client_ca)


def siprec_tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of `siprec_tls`; None without a certificate. Phone systems have authorities of their own."""
    if settings.tls_certificate is None:
        return None
    return TlsFiles(
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        client_ca=settings.siprec_tls_client_ca,
        client_ca_setting="siprec_tls_client_ca",
    )


def siprec_certificate(settings: Settings) -> Certificate | None:
    """Return what phone systems are shown at `siprec_tls`; None where there is no such address or no certificate.

    Raise ConfigurationError, which names the file, when it cannot be used, and for authorities without `siprec_tls`.
    """
    if not settings.siprec_tls:
        if settings.siprec_tls_client_ca is not None:
            raise ConfigurationError("there is a siprec_tls_client_ca and no siprec_tls; set both, or neither")
        return None
    files = siprec_tls_files(settings)
    return None if files is None else Certificate(files)


def console_hosts(settings: Settings) -> Hosts:
    """Return the names under which the console answers."""
    names = (name.strip().lower() for name in settings.console_hosts.split(","))
    return Hosts(
        public_url=settings.public_url,
        names=frozenset(filter(None, names)),
        trusted_proxies=trusted_networks(settings.trusted_proxies),
    )


def target_settings(settings: Settings, *, events_file: Path | None) -> TargetSettings:
    """Return where events go. Raise ConfigurationError for settings that cannot be used."""
    files = [_url_of(file) for file in (settings.events_file, events_file) if file is not None]
    webhook = None
    if settings.webhook_url:
        if not settings.webhook_secret:
            raise ConfigurationError(
                "there is a webhook_url and no webhook_secret, to sign with; set it to `whsec_` and 24 to 64 bytes "
                "in base64, as `echo whsec_$(openssl rand -base64 32)` makes it"
            )
        webhook = WebhookSettings(
            secret=settings.webhook_secret, allow_private_addresses=settings.webhook_private_addresses == "on"
        )
        require_webhook(settings.webhook_url, webhook)
    key_id, secret = settings.sink_access_key_id, settings.sink_secret_access_key
    everywhere_url, urls = with_exceptions(settings.sink_endpoint_url)
    eventbridge = settings.eventbridge.lower()
    return TargetSettings(
        webhook_url=settings.webhook_url,
        webhook=webhook,
        file_url=files[0] if files else "",
        more_files=tuple(one for one in files[1:] if one != files[0]),
        eventbridge=eventbridge != "off",
        sinks=SinkSettings(
            endpoint_url=everywhere_url or None,
            endpoint_urls=urls,
            credentials=AwsCredentials(access_key_id=key_id, secret_access_key=secret) if key_id else None,
            state_change_source=_EVENTBRIDGE_SOURCE if eventbridge == "on" else settings.eventbridge,
        ),
    )


def _url_of(file: Path) -> str:
    return file.expanduser().resolve().as_uri()


def origin_settings(settings: Settings) -> OriginSettings:
    """Return where streams come from. Raise ConfigurationError for settings that cannot be used."""
    default, by_account = with_exceptions(settings.kvs_source.lower())
    if default not in ("own", "aws"):
        raise ConfigurationError(f"setting kvs_source begins with own or aws, not {default!r}")
    for account, kind in by_account.items():
        if not (len(account) == 12 and account.isascii() and account.isdecimal()) or kind not in ("own", "aws"):
            raise ConfigurationError(f"setting kvs_source: {account}={kind} is not 12 digits and =own or =aws")
    key_id, secret = settings.kvs_access_key_id, settings.kvs_secret_access_key
    if bool(key_id) != bool(secret):
        raise ConfigurationError("give both kvs_access_key_id and kvs_secret_access_key, or neither")
    return OriginSettings(
        default=default,
        by_account=by_account,
        aws=AwsSettings(
            endpoint_url=settings.kvs_endpoint_url or None,
            credentials=AwsCredentials(access_key_id=key_id, secret_access_key=secret) if key_id else None,
            read_seconds=READ_SECONDS,
        ),
        readers=settings.tasks_at_once + SPARE_THREADS,
    )


def traces_of(settings: Settings, *, instance_id: str) -> Traces:
    """Return where traces go. Raise ConfigurationError for an address that is none, or without the extra `otel`."""
    endpoint = settings.otlp_endpoint
    if not endpoint:
        return Traces()
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError("setting otlp_endpoint is a URL, as in http://127.0.0.1:4318/v1/traces")
    try:
        from earwitness.traces.otlp import OtlpTraces
    except ImportError as error:
        raise ConfigurationError(
            "there is an otlp_endpoint, and OpenTelemetry is not installed: pip install 'earwitness[otel]'"
        ) from error
    return OtlpTraces(endpoint, version=__version__, instance_id=instance_id)


def operation_names() -> set[str]:
    """Return the names of all operations of both APIs."""
    return {operation for _, operation in BY_NAME} | {route.operation for route in ROUTES}


_FOR_ANYBODY = {route.operation for route in ROUTES if not route.roles}
"""No key calls these, so none is counted."""


def rates(text: str) -> tuple[float, dict[str, float]]:
    """Return the calls per second of `200,GetVoiceProfile=5,…`: of all operations, and of some by name.

    Raise ConfigurationError for what cannot be read.
    """
    default, exceptions = with_exceptions(text)
    for name in exceptions.keys() - (operation_names() - _FOR_ANYBODY):
        raise ConfigurationError(f"setting calls_per_second: no operation {name!r} is served")
    found = {name: _rate(number) for name, number in {"": default, **exceptions}.items()}
    return found.pop(""), found


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise ConfigurationError(f"setting calls_per_second: {text!r} is no number of calls per second")
    return number
