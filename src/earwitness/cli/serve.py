"""`earwitness serve` and `earwitness migrate`: the service, started by hand or by an init system, and what it says."""

import gc
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import __version__, config, log
from earwitness.cli.keys import DEFAULT_ACCOUNT, require_account
from earwitness.cli.options import DataOption
from earwitness.cli.output import Exit, note, progress_of, remark, report_mistake, reporting
from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from earwitness.app import Service
    from earwitness.config import Settings
    from earwitness.development import ProvokedFailures
    from earwitness.engine.voice_models import ModelPreparation
    from earwitness.nodes.own import OwnNode
    from earwitness.progress import Progress
    from earwitness.server.certificate import Certificate
    from earwitness.server.processes import Told
    from earwitness.store.store import Store
    from earwitness.tasks.leading import Lead

_ENDPOINT_VARIABLES = (
    "AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES",
    "AWS_ENDPOINT_URL_CHIME_SDK_VOICE",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO_ARCHIVED_MEDIA",
)

_LINE_SECONDS = 5.0
"""How often a line reports a download where there is no terminal to draw a bar on."""


def serve(
    dev: Annotated[bool, typer.Option("--dev", help="For development: key test, secret test, loopback only.")] = False,
    host: Annotated[str | None, typer.Option("--host", help="Where to listen; default: setting host.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Default: setting port, 4500.")] = None,
    data: DataOption = None,
    account: Annotated[
        str, typer.Option("--account", metavar="ID", help="With --dev: the account of the key, twelve digits.")
    ] = DEFAULT_ACCOUNT,
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
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            max=256,
            help="So many processes behind the one port, for a machine with several cores; needs PostgreSQL.",
        ),
    ] = 1,
) -> None:
    """Answer AWS SDKs: Chime SDK media pipelines and voice, Kinesis Video Streams. Stop with Ctrl-C."""
    with log.without_waiting(), reporting(as_json=False):
        settings = _settings(dev=dev, host=host, port=port, data=data)
        how = How(account=account if dev else None, fail=tuple(fail or ()), may_fetch=not no_fetch)
        if processes == 1:
            _serve(settings, how)
        else:
            _serve_with(processes, settings, how)


def _load() -> None:
    """Load a service without looking for garbage: all of it stays, and the looking would take a seventh of the time."""
    gc.disable()
    try:
        import_module("earwitness.app")
    finally:
        gc.enable()


@dataclass(frozen=True, kw_only=True)
class How:
    """What the options of `serve` say beside the settings. It is handed to other processes."""

    #: The account of the key of `--dev`; None without it.
    account: str | None
    #: Operations that fail, as `--fail` has them.
    fail: tuple[str, ...]
    may_fetch: bool
    #: Of several processes on one port.
    is_one_of_several: bool = False
    #: Whether it says where it answers.
    announces: bool = True


def migrate(data: DataOption = None) -> None:
    """Bring the records to this version's schema. A new folder needs no migration."""
    from earwitness.installation import migrate_installation

    with reporting(as_json=False):
        settings = _settings(dev=False, host=None, port=None, data=data)
        if migrate_installation(settings):
            remark("the records have this version's schema")
        else:
            remark("there are no records yet; new ones begin with this version's schema")


def _settings(*, dev: bool, host: str | None, port: int | None, data: Path | None) -> "Settings":
    from earwitness import development as development_mode
    from earwitness.installation import DEVELOPMENT_FOLDER

    settings = config.load(defaults=development_mode.DEFAULTS if dev else None)
    if data is not None:
        settings = replace(settings, data_dir=data)
    elif dev:
        settings = replace(settings, data_dir=settings.data_dir.with_name(DEVELOPMENT_FOLDER))
    return replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )


def _serve_with(count: int, settings: "Settings", how: How) -> None:
    """Serve with several processes. Raise ConfigurationError where that cannot be."""
    from earwitness.cores import usable_cores
    from earwitness.installation import settings_of_process
    from earwitness.server.processes import Processes
    from earwitness.server.run import shared_port

    settings_of_process(settings, count, count)  # raises what all would
    if count > usable_cores():
        remark("[yellow]{} processes share {} cores[/yellow]", count, usable_cores())
    with shared_port(settings.host, settings.port) as port:
        arguments = replace(settings, port=port), count, replace(how, is_one_of_several=True)
        processes = Processes(count, _serve_as, arguments, stop_seconds_max=settings.limits.stop_seconds)
        code = processes.serve(on_started=lambda: remark("{} processes serve", count))
    if code:
        raise typer.Exit(code)
    remark("stopped")


def _serve_as(number: int, first: bool, told: "Told", settings: "Settings", count: int, how: How) -> None:
    """Be one of several processes."""
    log.install(level=settings.log_level)
    try:
        from earwitness.installation import settings_of_process

        with log.without_waiting(), reporting(as_json=False):
            own = settings_of_process(settings, number, count)
            _serve(own, replace(how, announces=first and number == 1), on_started=told.started if first else None)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except KeyboardInterrupt:  # it was stopped before it served
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        report_mistake(error)
        sys.exit(Exit.INTERNAL)


def _serve(settings: "Settings", how: How, *, on_started: Callable[[], None] | None = None) -> None:
    _load()
    from earwitness import development as development_mode
    from earwitness.engine.voice_models import require_models
    from earwitness.from_settings import certificate_of
    from earwitness.models.cache import ModelCache
    from earwitness.server import run

    if how.account is None and how.fail:
        raise ConfigurationError("--fail works with --dev only")
    if how.account is not None:
        development_mode.require_loopback(settings.host)
        require_account(how.account)
    provoked = development_mode.provoked(how.fail)
    if not how.may_fetch:
        require_models(ModelCache(settings.models_dir))
    listening = run.Listening(
        host=settings.host,
        port=settings.port,
        is_shared=how.is_one_of_several,
        certificate=certificate_of(settings),
        is_public_https=settings.public_url.startswith("https://"),
        head_seconds_max=settings.limits.client_seconds,
        stop_seconds_max=settings.limits.stop_seconds,
        trusted_proxies=settings.trusted_proxies,
    )
    with run.open_socket(listening) as socket, _built(settings, how, provoked, listening.certificate) as (built, lead):
        has_keys = built.has_keys()
        url = f"{listening.scheme}://{_shown_host(settings.host)}:{socket.getsockname()[1]}"

        def started() -> None:
            if how.announces:
                _announce(url, settings, account=how.account, has_keys=has_keys)
                _warn_of_certificate(settings, listening.certificate)
                _announce_console(url, settings, built, account=how.account)
            built.prepare_models(_preparation(settings, how, failed=server.stop))
            if on_started is not None:
                on_started()

        def stopping() -> None:
            deadline.begin()
            built.begin_to_stop()

        def code() -> Exit:
            return Exit.OK if lead.lost is None else Exit.RECORDS

        deadline = run.Deadline(settings.limits.stop_seconds, code=code)

        server = run.prepare(
            built.root,
            listening,
            on_started=started,
            on_stopping=stopping,
            descriptors_kept=built.doors.descriptors_max,
        )
        try:
            server.run([socket])
        except SystemExit:  # how uvicorn ends when the start failed
            built.require_started()
            raise
        except KeyboardInterrupt:
            if not how.is_one_of_several:
                remark("stopped")
        else:
            built.require_started()  # it ended by itself


@contextmanager
def _built(
    settings: "Settings", how: How, provoked: "ProvokedFailures", certificate: "Certificate | None"
) -> "Generator[tuple[Service, Lead]]":
    """Open the records and build the service on them; the records are let go whatever happens."""
    from earwitness import app
    from earwitness import development as development_mode

    with app.this_node(settings) as node, _serving(settings, node) as (store, lead):
        if how.account is None:
            development_mode.refuse_development_key(store)
            development = None
        else:
            development_mode.ensure_development_key(store, how.account)
            development = development_mode.Development(account_id=how.account, provoked=provoked)
        service = app.Service(
            settings,
            store,
            development=development,
            node=node,
            is_one_of_several=how.is_one_of_several,
            certificate=certificate,
        )
        with closing(service) as built:
            yield built, lead
        lead.require()


@contextmanager
def _serving(settings: "Settings", node: "OwnNode | None") -> "Generator[tuple[Store, Lead]]":
    """Open the records, and hold the place of a process that serves them."""
    from earwitness import app

    store = app.open_records(settings) if node is None else app.open_records(settings, clock=node.clock)
    with closing(store), app.serving(store, node, on_waiting=lambda text: remark("{}", text)) as lead:
        yield store, lead


def _shown_host(host: str) -> str:
    if host == "0.0.0.0":  # noqa: S104  # only looked at
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _announce(url: str, settings: "Settings", *, account: str | None, has_keys: bool) -> None:
    """Say where the service answers and what a program needs. `account` is that of the key of `--dev`, if it is on."""
    from earwitness.app import store_url
    from earwitness.store.store import place_of_records

    place = place_of_records(store_url(settings))
    remark("[b]earwitness {} answers at {}[/b] and keeps its records in {}", __version__, url, place)
    if account is not None:
        remark(
            "[yellow]development mode: everybody on this machine can use it, with access key test and secret test "
            "(account {}). Not for real voices.[/yellow]",
            account,
        )
    elif not has_keys:
        usual = settings.data_dir == config.load().data_dir
        option = "" if usual else f" --data {quote(str(settings.data_dir))}"
        remark(
            "[yellow]nobody can use it yet: there is no access key. Make one with[/yellow]\n  {}",
            f"earwitness keys create{option}",
        )
    remark("In the shell of your program:")
    for variable in _ENDPOINT_VARIABLES:
        remark("  export {}={}", variable, settings.public_url or url)
    if account is not None:
        remark("  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
    remark("  export AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1")
    _announce_doors(settings)


def _announce_console(url: str, settings: "Settings", built: "Service", *, account: str | None) -> None:
    """Say where the pages for people are; in development mode with a link that signs in once."""
    from earwitness.development import DEV_TOKEN_ID

    if built.console is None:
        return
    if account is None:
        remark("The console is at {}/console/", settings.public_url or url)
    else:
        link = built.console.sessions.link(account_id=account, token_id=DEV_TOKEN_ID)
        remark(
            "The console, signed in once within five minutes (later with the token test): {}/console/link/{}", url, link
        )


def _warn_of_certificate(settings: "Settings", certificate: "Certificate | None") -> None:
    """Say that the certificate has expired, or will soon; or that there is none, and the network reads along."""
    from earwitness.development import is_loopback

    if certificate is not None and (fault := certificate.fault()):
        remark("[yellow]tls_certificate {}[/yellow]", fault)
    ends_before = settings.public_url.startswith("https://") or settings.trusted_proxies
    if certificate is None and not ends_before and not is_loopback(settings.host):
        remark(
            "[yellow]voices and tokens cross the network in clear: the service listens on {} without TLS. Set "
            "tls_certificate and tls_key, or public_url where a proxy has the certificate[/yellow]",
            settings.host,
        )


def _announce_doors(settings: "Settings") -> None:
    """Say where calls come in, and warn where everybody may send them unencrypted."""
    doors = {
        "SIPREC calls come in at {}, UDP and TCP": settings.siprec,
        "SIPREC calls come in at {}, TLS": settings.siprec_tls,
        "AudioSocket calls come in at {}": settings.audiosocket,
    }
    for words, address in doors.items():
        if address:
            remark(words, address)
    if not settings.siprec:
        return
    from earwitness.doors.siprec.settings import is_public_address

    if is_public_address(settings.siprec):
        remark(
            "[yellow]siprec = {} may be reached from the internet, where an address proves nothing and everybody reads "
            "along: listen on a private address, or use siprec_tls[/yellow]",
            settings.siprec,
        )


def _preparation(settings: "Settings", how: How, *, failed: Callable[[], None]) -> "ModelPreparation":
    """Return how the voice models are made ready, which is shown on the terminal. `failed` ends the service."""
    from earwitness.engine.voice_models import ModelPreparation

    @contextmanager
    def progress() -> "Generator[Progress]":
        remark("voice models are fetched with pip, once; they are kept in {}", settings.models_dir)
        with progress_of(sizes=True) if note.is_terminal else _lines() as show:
            yield show

    def opened() -> None:
        # All that was loaded stays: a full search for garbage goes through it no more, which would hold up everybody.
        gc.freeze()
        if how.announces:
            remark("ready: the voice models are open")

    return ModelPreparation(may_fetch=how.may_fetch, progress=progress, opened=opened, failed=failed)


@contextmanager
def _lines() -> "Generator[Progress]":
    """Show progress in plain lines: one for each thing that is done, and one every five seconds while it lasts."""
    shown_at: dict[str, float] = {}

    def show(doing: str, done: int, total: int) -> None:
        now = monotonic()
        if doing not in shown_at or now - shown_at[doing] >= _LINE_SECONDS:
            shown_at[doing] = now
            amount = f", {done / 1e6:.0f} of {total / 1e6:.0f} MB" if 0 < done < total else ""
            remark("{}{}", doing, amount)

    yield show
