"""What `earwitness serve` says while it starts: where it answers, what to type next, how far the voice models are."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from earwitness.cli.output import note, progress_of, say

if TYPE_CHECKING:
    from earwitness.config import Settings
    from earwitness.engine.voice_models import ModelPreparation
    from earwitness.models.cache import Progress

_ENDPOINT_VARIABLES = (
    "AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES",
    "AWS_ENDPOINT_URL_CHIME_SDK_VOICE",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA",
    "AWS_ENDPOINT_URL_KINESIS_VIDEO_ARCHIVED_MEDIA",
)

_LINE_SECONDS = 5.0
"""How often a line tells of a download where there is no terminal to draw a bar on."""


def announce(url: str, settings: "Settings", *, account: str | None, has_keys: bool) -> None:
    """Say where the service answers and what a program needs. `account` is that of the key of `--dev`, if it is on."""
    from earwitness import __version__
    from earwitness.app import store_url
    from earwitness.store.store import described

    say("[b]earwitness {} answers at {}[/b]; it keeps {}", __version__, url, described(store_url(settings)), to=note)
    if account is not None:
        say(
            "[yellow]development mode: everybody on this machine can use it, with access key test and secret test "
            "(account {}). Not for real voices.[/yellow]",
            account,
            to=note,
        )
    elif not has_keys:
        say(
            "[yellow]nobody can use it yet: there is no access key. Make one with[/yellow]\n  {}",
            f"earwitness keys create{_data_option(settings)}",
            to=note,
        )
    say("In the shell of your program:", to=note)
    for variable in _ENDPOINT_VARIABLES:
        say("  export {}={}", variable, settings.public_url or url, to=note)
    if account is not None:
        say("  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", to=note)
    say("  export AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1", to=note)


def preparation(settings: "Settings", *, may_fetch: bool, failed: Callable[[], None]) -> "ModelPreparation":
    """How the voice models are made ready, told to whoever looks at the terminal. `failed` ends the service."""
    from earwitness.engine.voice_models import ModelPreparation

    @contextmanager
    def progress() -> "Generator[Progress]":
        say("voice models are fetched with pip, once; they are kept in {}", settings.models_dir, to=note)
        with progress_of(sizes=True) if note.is_terminal else _lines() as show:
            yield show

    return ModelPreparation(
        may_fetch=may_fetch,
        progress=progress,
        opened=lambda: say("ready: the voice models are open", to=note),
        failed=failed,
    )


def _data_option(settings: "Settings") -> str:
    """The option that names the folder of the records, where it is not the one of the settings."""
    from shlex import quote

    from earwitness import config

    usual = config.load().data_dir
    return "" if settings.data_dir == usual else f" --data {quote(str(settings.data_dir))}"


@contextmanager
def _lines() -> "Generator[Progress]":
    """Progress in plain lines: one for each thing that is done, and one every five seconds while it lasts."""
    told_at: dict[str, float] = {}

    def show(doing: str, done: int, total: int) -> None:
        now = monotonic()
        if doing not in told_at or now - told_at[doing] >= _LINE_SECONDS:
            told_at[doing] = now
            amount = f", {done / 1e6:.0f} of {total / 1e6:.0f} MB" if 0 < done < total else ""
            say("{}{}", doing, amount, to=note)

    yield show
