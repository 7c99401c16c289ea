"""`earwitness doctor`: is this machine fit, and does the whole way from audio to answer work on it?"""

from collections.abc import Callable

import typer

from earwitness import config
from earwitness.cli.calls import lines_of_all
from earwitness.cli.models import model_cache
from earwitness.cli.options import JsonOption
from earwitness.cli.output import Exit, advice_of, print_json, reporting, say
from earwitness.errors import AudioUnreadable, EarwitnessError, GalleryUnreadable, ModelDamaged, ServiceUnreachable
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome
from earwitness.voice.line import LineHealth


def doctor(as_json: JsonOption = False) -> None:
    """Check versions, audio formats, models, folders, and run one known search. Exit code 1: something is wrong."""
    with reporting(as_json=as_json):
        checks = {
            "versions": _versions,
            "audio formats": _formats,
            "settings": _settings,
            "certificate": _certificate,
            "calibration": _calibration,
            "models": _models,
            "gallery": _gallery,
            "domains": _domains,
            "a known search": _known_search,
        }
        results = {name: _run(check) for name, check in checks.items()}
    if as_json:
        print_json({name: {"ok": ok, "found": found} for name, (ok, found) in results.items()})
    else:
        for name, (ok, found) in results.items():
            say("[green]ok [/green] {}: {}" if ok else "[red]bad[/red] {}: {}", name, found)
    if not all(ok for ok, _ in results.values()):
        raise typer.Exit(Exit.NO)


def _run(check: Callable[[], str | tuple[bool, str]]) -> tuple[bool, str]:
    try:
        found = check()
        return (True, found) if isinstance(found, str) else found
    except EarwitnessError as error:
        return False, str(error)


def _versions() -> str:
    import platform
    from importlib.metadata import version

    packages = ("earwitness", "numpy", "onnxruntime", "soundfile", "soxr", "pip")
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages)


def _formats() -> str:
    from earwitness.audio.files import readable_formats

    formats = readable_formats()
    if missing := {"WAV", "FLAC", "OGG", "MP3"} - formats.keys():
        raise AudioUnreadable(
            f"libsndfile here cannot read {', '.join(sorted(missing))}; install soundfile's own wheel"
        )
    return ", ".join(formats)


def _settings() -> str:
    settings = config.load()
    return (
        f"at most {settings.strangers_named_percent:g} % of strangers named, prior {settings.prior_known:g}, "
        f"{settings.workers} workers"
    )


def _certificate() -> str | tuple[bool, str]:
    from earwitness.app import now
    from earwitness.from_settings import certificate_of, siprec_certificate

    settings = config.load()
    certificate = certificate_of(settings)
    siprec_certificate(settings)
    if certificate is None:
        return "none is set; the service answers plain HTTP"
    if fault := certificate.fault():
        return certificate.ends_at() > now(), fault
    found = f"{settings.tls_certificate} is valid until {certificate.ends_at():%Y-%m-%d}"
    return f"{found}; clients show one of {settings.tls_client_ca}" if settings.tls_client_ca else found


def _calibration() -> str | tuple[bool, str]:
    from earwitness.engine.calibration import read_calibration, shipped_calibration
    from earwitness.models.catalogue import ENCODER_MODEL

    shipped = [shipped_calibration(ENCODER_MODEL, band) for band in Band]
    file = config.load().calibration_file
    if file is None:
        return "shipped: " + ", ".join(f"{one.encoder_id} from {one.persons:,} people" for one in shipped)
    own = read_calibration(file)
    found = f"{file}: {own.encoder_id} from {own.persons:,} people"
    if own.encoder_id in (needed := [one.encoder_id for one in shipped]):
        return found
    again = "fit it again with `earwitness evaluate --fit-calibration`"
    return False, f"{found}; this version needs one for {' or '.join(needed)}: {again}"


def _models() -> str:
    from earwitness.models.catalogue import catalogue

    cache = model_cache()
    for entry in catalogue().values():
        cache.read(entry)
    return f"{', '.join(catalogue())} verified in {cache.folder}"


def _gallery() -> str:
    from earwitness.engine.gallery_file import read_gallery

    path = config.load().gallery_file
    try:
        there = path.exists()
    except OSError as error:
        raise GalleryUnreadable(f"the gallery {path} cannot be looked at: {error.strerror}") from error
    if not there:
        return f"none yet at {path}"
    stored = read_gallery(path)
    profiles = {voiceprint.profile_id for voiceprint in stored.voiceprints}
    former = (
        f"; {stored.former_count} voiceprints of a former version, enrol these again" if stored.former_count else ""
    )
    return f"{len(profiles)} enrolled in {path}{former}"


def _domains() -> str | tuple[bool, str]:
    """Whether the lines of all domains are well, if there is a service that may be asked."""
    from earwitness.cli.client import connect

    if not config.load().token:
        return "no service was asked; EARWITNESS_TOKEN names nobody who could ask"
    try:
        with connect(url=None, region=None) as service:
            domains = lines_of_all(service)
    except ServiceUnreachable as error:
        return str(error)
    lines = [line for domain in domains for line in domain["lines"]]
    said = [f"{len(domains)} with {len(lines)} lines"]
    said += [f"{domain['domainId']}: {advice}" for domain in domains for advice in advice_of(domain)]
    return all(line["health"] != LineHealth.OFF for line in lines), "; ".join(said)


def _known_search() -> str:
    from earwitness.engine.engine import build_engine
    from earwitness.engine.enrol import voiceprints_of
    from earwitness.samples import first_call, second_call

    engine = build_engine(config.Settings(models_dir=config.load().models_dir), Band.TELEPHONE)
    gallery = engine.gallery(voiceprints_of(engine, "sally", [first_call("sally")]).voiceprints)
    known, stranger = (engine.identify(engine.listen(second_call(name)), gallery) for name in ("sally", "kal"))
    if known.outcome is not Outcome.MATCH or stranger.outcome is not Outcome.NO_MATCH:
        raise ModelDamaged(
            f"a known voice gave {known.outcome} and a stranger {stranger.outcome}; pull the models again"
        )
    return f"a known voice scored {known.candidates[0].score:.2f}, a stranger {stranger.candidates[0].score:.2f}"
