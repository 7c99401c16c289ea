"""`earwitness serve` and `earwitness migrate`: the service, started by hand or by an init system."""

from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.banner import announce, preparation
from earwitness.cli.options import DataOption
from earwitness.cli.output import note, reporting, say

if TYPE_CHECKING:
    from earwitness.app import Service
    from earwitness.config import Settings

DEV_ACCOUNT = "000000000000"


def register(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(migrate)


def serve(
    dev: Annotated[bool, typer.Option("--dev", help="For development: key test, secret test, loopback only.")] = False,
    host: Annotated[str | None, typer.Option("--host", help="Where to listen; default: setting host.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Default: setting port, 4500.")] = None,
    data: DataOption = None,
    account: Annotated[
        str, typer.Option("--account", metavar="ID", help="With --dev: the account of the key, twelve digits.")
    ] = DEV_ACCOUNT,
    fail: Annotated[
        list[str] | None,
        typer.Option(
            "--fail",
            metavar="OPERATION=ERROR",
            help="With --dev: let an operation fail, as in [b]GetMediaPipeline=ServiceUnavailable[/b]; several times.",
        ),
    ] = None,
    no_fetch: Annotated[
        bool, typer.Option("--no-fetch", help="Do not fetch voice models that are missing; say so and leave.")
    ] = False,
) -> None:
    """Answer AWS SDKs: Chime SDK media pipelines and voice, Kinesis Video Streams. Stop with Ctrl-C."""
    from earwitness.log import without_waiting

    with without_waiting(), reporting(as_json=False):
        settings = _settings(dev=dev, host=host, port=port, data=data)
        _serve(settings, account=account if dev else None, fail=fail or [], may_fetch=not no_fetch)


def migrate(data: DataOption = None) -> None:
    """Bring the records to this version's schema. A new folder needs no migration."""
    from earwitness.installation import migrate_installation

    with reporting(as_json=False):
        settings = _settings(dev=False, host=None, port=None, data=data)
        if migrate_installation(settings):
            say("the records have this version's schema", to=note)
        else:
            say("there are no records yet; new ones begin with this version's schema", to=note)


def _settings(*, dev: bool, host: str | None, port: int | None, data: Path | None) -> "Settings":
    from dataclasses import replace

    from earwitness import config
    from earwitness import development as development_mode

    settings = config.load(defaults=development_mode.DEFAULTS if dev else None)
    if data is not None:
        settings = replace(settings, data_dir=data)
    elif dev:
        settings = replace(settings, data_dir=settings.data_dir.with_name("dev"))
    return replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )


def _serve(settings: "Settings", *, account: str | None, fail: list[str], may_fetch: bool) -> None:
    from earwitness import development as development_mode
    from earwitness.cli.keys import require_account
    from earwitness.engine.voice_models import require_models
    from earwitness.errors import ConfigurationError
    from earwitness.models.cache import ModelCache
    from earwitness.server import run

    if account is None and fail:
        raise ConfigurationError("--fail works with --dev only")
    if account is not None:
        development_mode.require_loopback(settings.host)
        require_account(account)
    provoked = development_mode.provoked(fail)
    if not may_fetch:
        require_models(ModelCache(settings.models_dir))
    listening = run.Listening(
        host=settings.host,
        port=settings.port,
        tls_certificate=settings.tls_certificate,
        tls_key=settings.tls_key,
        head_seconds_max=settings.limits.client_seconds,
        stop_seconds_max=settings.limits.stop_seconds,
        trusted_proxies=settings.trusted_proxies,
    )
    with run.open_socket(listening) as socket, _built(settings, account, provoked) as built:
        has_keys = built.has_keys()
        url = f"{listening.scheme}://{_shown_host(settings.host)}:{socket.getsockname()[1]}"

        def started() -> None:
            announce(url, settings, account=account, has_keys=has_keys)
            built.prepare_models(preparation(settings, may_fetch=may_fetch, failed=server.stop))

        def stopping() -> None:
            built.begin_to_stop()
            run.end_within(settings.limits.stop_seconds)

        server = run.prepare(built.root, listening, on_started=started, on_stopping=stopping)
        try:
            server.run([socket])
        except SystemExit:  # how uvicorn ends when the start failed
            built.require_started()
            raise
        except KeyboardInterrupt:
            say("stopped", to=note)
        else:
            built.require_started()  # it ended by itself


@contextmanager
def _built(settings: "Settings", account: str | None, provoked: Mapping[str, Exception]) -> "Generator[Service]":
    """The service on its records, which are let go whatever happens."""
    from earwitness import app
    from earwitness import development as development_mode

    store = app.open_records(settings)
    with closing(store), app.leading_alone(store, on_waiting=lambda text: say("{}", text, to=note)) as lead:
        if account is None:
            development_mode.refuse_development_key(store)
            development = None
        else:
            development_mode.ensure_development_key(store, account)
            development = development_mode.Development(account_id=account, provoked=provoked)
        with closing(app.Service(settings, store, development=development)) as built:
            yield built
        lead.require()


def _shown_host(host: str) -> str:
    if host == "0.0.0.0":  # noqa: S104  # only looked at
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
