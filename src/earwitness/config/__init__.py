"""Settings: the only room that reads the environment and the settings file.

Each setting is one field: a name, a default, a unit and a sentence of help. The settings page in docs/ is generated
from these rows. Values come from, strongest first: the environment (`EARWITNESS_<NAME>`), the TOML file named by
`EARWITNESS_CONFIG` (default `earwitness.toml` in the user's configuration folder), the default. No room below receives
the whole of `Settings`; the composition roots hand each the values it needs.
"""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import platformdirs

from earwitness.config.client import ClientSettings
from earwitness.config.engine import EngineSettings
from earwitness.config.live import LiveSettings
from earwitness.config.service import ServiceSettings
from earwitness.errors import ConfigurationError

_PREFIX = "EARWITNESS_"
_CONFIG = "EARWITNESS_CONFIG"
_OF_TESTS = frozenset({"EARWITNESS_SPEECH_DIR", "EARWITNESS_FIELD_DIR", "EARWITNESS_TEST_POSTGRES_URL"})
"""Read by the tests; CONTRIBUTING.md has them."""


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings, LiveSettings, ServiceSettings, EngineSettings):
    """All settings of earwitness, already parsed and checked."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting as the documentation shows it."""

    name: str
    variable: str
    default: str
    unit: str
    help: str


def rows() -> list[Row]:
    """Every setting in the order of the class; defaults that depend on the machine are shown in words."""
    machine = {
        "models_dir": "the user's cache folder, `earwitness/models`",
        "gallery_file": "the user's data folder, `earwitness/gallery.json`",
        "data_dir": "the user's data folder, `earwitness/service`",
        "workers": "number of cores",
    }
    return [
        Row(
            name=row.name,
            variable=_PREFIX + row.name.upper(),
            default=machine.get(row.name, _shown(row.default)),
            unit=row.metadata["unit"],
            help=row.metadata["help"],
        )
        for row in dataclasses.fields(Settings)
    ]


def _shown(default: object) -> str:
    return "empty" if default in (None, "") else str(default)


def load(environment: Mapping[str, str] | None = None, *, defaults: Mapping[str, float] | None = None) -> Settings:
    """Read the settings; an unknown name in the file or a value out of range is a ConfigurationError that names it.

    `defaults`, by name, stand in for those of the fields.
    """
    environment = os.environ if environment is None else environment
    known = {row.name: row for row in dataclasses.fields(Settings)}
    path = _settings_file(environment)
    written = _read_file(path, must_exist=bool(environment.get(_CONFIG)))
    for unknown in written.keys() - known.keys():
        raise ConfigurationError(
            f"the settings file has {unknown!r}, and there is no setting of this name{_nearest(unknown, known)}; "
            "docs/settings.md lists them"
        )
    given = {
        name: _beside(path, value) if "Path" in str(known[name].type) else value
        for name, value in written.items()
        if value != ""  # empty is the default, as in the environment
    }
    for name in known:
        if value := environment.get(_PREFIX + name.upper()):
            given[name] = value
    # `Any`: each value was parsed to the type of its field.
    values: dict[str, Any] = dict(defaults or {})
    values |= {name: _parse(known[name], value) for name, value in given.items()}
    return Settings(**values)


def mistyped(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that begins as ours do and names no setting."""
    environment = os.environ if environment is None else environment
    known = {_PREFIX + row.name.upper() for row in dataclasses.fields(Settings)} | {_CONFIG}
    unknown = (name for name in sorted(environment) if name.startswith(_PREFIX) and name not in known | _OF_TESTS)
    return [f"{name} is no setting and does nothing{_nearest(name, known)}" for name in unknown]


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    by_rest = {one.removeprefix(_PREFIX): one for one in sorted(known)}
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), by_rest, n=1, cutoff=0.75)
    return f"; did you mean {by_rest[near[0]]}?" if near else ""


def _settings_file(environment: Mapping[str, str]) -> Path:
    named = environment.get(_CONFIG)
    return Path(named) if named else platformdirs.user_config_path("earwitness") / "earwitness.toml"


def _beside(file: Path, value: object) -> object:
    """A path as the settings file means it: a relative one begins in the file's folder, wherever a command is run."""
    try:
        return str(file.absolute().parent / Path(str(value)).expanduser())
    except RuntimeError:  # a home folder that is not there; _parse names the setting
        return value


def _read_file(path: Path, *, must_exist: bool) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise ConfigurationError(f"{_CONFIG} names {path}, which does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"the settings file {path} cannot be read: {error}") from error


# `Any`: dataclasses.Field is generic in a type that is only known from its annotation at run time.
def _parse(row: "dataclasses.Field[Any]", value: object) -> object:
    kind = str(row.type)
    try:
        if "Path" in kind:
            return Path(str(value)).expanduser()
        if "float" in kind or "int" in kind:
            number = float(cast(str, value))
            parsed = int(number) if "int" in kind else number
        elif (choices := row.metadata["choices"]) and str(value).lower() not in choices:
            raise ConfigurationError(f"setting {row.name} must be one of {', '.join(choices)}, not {value!r}")
        else:
            return str(value).lower() if choices else str(value)
    except RuntimeError as error:  # a home folder that is not there
        raise ConfigurationError(f"setting {row.name}: {error}") from error
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"setting {row.name} must be a number, not {value!r}") from None
    low, high = row.metadata["low"], row.metadata["high"]
    if not low <= parsed <= high:
        raise ConfigurationError(f"setting {row.name} must lie between {low:g} and {high:g}, not {value}")
    return parsed
