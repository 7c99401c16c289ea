"""The pytest plug-in: a service for tests as a fixture. docs/testing.md shows how it is used.

pytest loads this module in every run where earwitness is installed. It loads nothing heavy, changes nothing, and starts
nothing unless a test asks for one of its fixtures.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from earwitness.testing.service import EarwitnessService
    from earwitness.testing.voices import Voices

SCOPES = ("function", "class", "module", "package", "session")
_SCOPE_SETTING = "earwitness_scope"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting for pytest's own configuration file."""
    parser.addini(
        _SCOPE_SETTING,
        help=f"how long one service of the fixture earwitness_service lives: {', '.join(SCOPES)}",
        default="function",
    )


def _scope(fixture_name: str, config: pytest.Config) -> Any:  # noqa: ARG001  # as pytest calls it; `Any`: its own names of scopes
    scope = config.getini(_SCOPE_SETTING)
    if scope not in SCOPES:
        raise pytest.UsageError(f"{_SCOPE_SETTING} is one of {', '.join(SCOPES)}, not {scope!r}")
    return scope


@pytest.fixture(scope="session")
def earwitness_options() -> dict[str, Any]:
    """What `earwitness_service` is started with: arguments of `earwitness.testing.start_service`. Override it."""
    return {}


@pytest.fixture(scope=_scope)
def earwitness_service(earwitness_options: dict[str, Any]) -> "Iterator[EarwitnessService]":
    """A running service, `earwitness.testing.EarwitnessService`, with records of its own.

    Each test has its own, unless `earwitness_scope` in pytest's configuration says `module` or `session`.
    """
    from earwitness.testing.service import start_service

    with start_service(**earwitness_options) as service:
        yield service


@pytest.fixture
def earwitness_aws(
    earwitness_service: "EarwitnessService", monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[EarwitnessService]":
    """`earwitness_service` with the environment of the test set so that boto3 finds it and nothing of the user's own.

    What was scripted and what was to fail is forgotten behind the test, also where the service lives on.
    """
    nothing = tmp_path_factory.mktemp("aws") / "none"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nothing))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
    for name, value in earwitness_service.environment.items():
        monkeypatch.setenv(name, value)
    yield earwitness_service
    earwitness_service.reset()


@pytest.fixture(scope="session")
def start_earwitness() -> "Iterator[Callable[..., EarwitnessService]]":
    """`earwitness.testing.start_service`, for tests that need several services; all of them end with the test run."""
    from earwitness.testing.service import start_service

    started: list[EarwitnessService] = []

    def start(**options: Any) -> "EarwitnessService":
        started.append(start_service(**options))
        return started[-1]

    yield start
    for service in started:
        service.close()


@pytest.fixture(scope="session")
def earwitness_models() -> None:
    """Skip a test that needs the voice models where they are not installed."""
    from earwitness import config
    from earwitness.engine.voice_models import require_models
    from earwitness.errors import ModelMissing
    from earwitness.models.cache import ModelCache

    try:
        require_models(ModelCache(config.load().models_dir))
    except ModelMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def earwitness_voices(
    earwitness_models: None,  # noqa: ARG001  # skips where there are none
    earwitness_options: dict[str, Any],
) -> "Iterator[Voices]":
    """Ready voices, `earwitness.testing.Voices`: a service that hears calls, with four synthetic voices enrolled.

    The test is skipped where the voice models are not installed.
    """
    from earwitness.testing.voices import start_voices

    with start_voices(**earwitness_options) as voices:
        yield voices
