"""Settings: the only room that reads the environment and the settings file.

Values come from, strongest first: the environment (`EARWITNESS_<NAME>`), the TOML file named by `EARWITNESS_CONFIG`
(default `earwitness.toml` in the user's configuration folder), the default. No room receives the whole of `Settings`;
the composition root hands each the values it needs.
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

from earwitness.config.limits import Limits, MediaRateLimits, Quotas
from earwitness.config.settings import Settings
from earwitness.errors import ConfigurationError

_PREFIX = "EARWITNESS_"
_CONFIG = "EARWITNESS_CONFIG"
_OF_TESTS = frozenset({"EARWITNESS_SPEECH_DIR", "EARWITNESS_FIELD_DIR", "EARWITNESS_TEST_POSTGRES_URL"})
"""Read by the tests; CONTRIBUTING.md has them."""

_FORMER: Mapping[str, tuple[str, str]] = {
    "calls_per_second_by_operation": ("calls_per_second", "OPERATION=RATE"),
    "kvs_source_by_account": ("kvs_source", "ACCOUNT=own"),
    "eventbridge_source": ("eventbridge", "on"),
    "sink_endpoint_urls": ("sink_endpoint_url", "SERVICE=URL"),
    **{name: ("limits", name) for name in Limits.__dataclass_fields__},
    **{f"quota_{name}": ("quotas", name) for name in Quotas.__dataclass_fields__},
    **{f"stream_{name}_per_second": ("media_rates", name) for name in MediaRateLimits.__dataclass_fields__},
}
"""Settings of version 0.1 that are a part of another setting now, by their former names."""


@dataclass(frozen=True, kw_only=True)
class SettingRow:
    """One setting, or one number of a group, as the documentation shows it."""

    name: str
    variable: str
    default: str
    unit: str
    help: str


_GROUPS: Mapping[str, Any] = {row.name: row.default for row in dataclasses.fields(Settings) if "words" in row.metadata}
"""Settings that are groups of numbers, with their defaults. `Any`: each is a dataclass of its own."""


def rows() -> list[SettingRow]:
    """Return every setting in the order of the class; defaults that depend on the machine are shown in words."""
    return _rows_of(Settings)


def groups() -> dict[str, list[SettingRow]]:
    """Return the numbers of each group by the name of its setting; `variable` is empty."""
    return {
        name: [dataclasses.replace(number, variable="") for number in _rows_of(type(default), default)]
        for name, default in _GROUPS.items()
    }


def _rows_of(kind: Any, values: object = None) -> list[SettingRow]:
    machine = {
        "models_dir": "the user's cache folder, `earwitness/models`",
        "gallery_file": "the user's data folder, `earwitness/gallery.json`",
        "data_dir": "the user's data folder, `earwitness/service`",
        "workers": "number of cores",
        "quotas": "see below",
        "limits": "see below",
        "media_rates": "aws",
    }
    return [
        SettingRow(
            name=row.name,
            variable=_PREFIX + row.name.upper(),
            default=machine.get(row.name, _shown(getattr(values, row.name, row.default))),
            unit=row.metadata["unit"],
            help=row.metadata["help"],
        )
        for row in dataclasses.fields(kind)
    ]


def _shown(default: object) -> str:
    return "empty" if default in (None, "") else str(default)


def load(environment: Mapping[str, str] | None = None, *, defaults: Mapping[str, object] | None = None) -> Settings:
    """Read the settings; an unknown name in the file or a value out of range is a ConfigurationError that names it.

    `defaults`, by name, stand in for those of the fields.
    """
    environment = os.environ if environment is None else environment
    known = {row.name: row for row in dataclasses.fields(Settings)}
    path = _settings_file(environment)
    written = _read_file(path, must_exist=bool(environment.get(_CONFIG)))
    for unknown in sorted(written.keys() - known.keys()):
        if unknown in _FORMER:
            group, name = _FORMER[unknown]
            raise ConfigurationError(f"the settings file has {unknown!r}, which is `{name}` in the setting {group} now")
        raise ConfigurationError(
            f"the settings file has {unknown!r}, and there is no setting of this name{_nearest(unknown, known)}; "
            "docs/settings.md lists them"
        )
    given = {
        name: _beside(path, value) if _is_path(known[name], value) else value
        for name, value in written.items()
        if value != ""  # empty is the default, as in the environment
    }
    for name in known:
        if value := environment.get(_PREFIX + name.upper()):
            given[name] = value
    # `Any`: each value was parsed to the type of its field.
    values: dict[str, Any] = dict(defaults or {})
    values |= {
        name: _parse_group(known[name], value, among=values.get(name, _GROUPS[name]))
        if name in _GROUPS
        else _parse(known[name], value)
        for name, value in given.items()
    }
    return Settings(**values)


def mistyped(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that begins as ours do and names no setting."""
    environment = os.environ if environment is None else environment
    known = {_PREFIX + row.name.upper() for row in dataclasses.fields(Settings)} | {_CONFIG}
    unknown = [name for name in sorted(environment) if name.startswith(_PREFIX) and name not in known | _OF_TESTS]
    return [f"{name} is no setting and does nothing{_hint(name, known)}" for name in unknown]


def _hint(variable: str, known: Iterable[str]) -> str:
    group, name = _FORMER.get(variable.removeprefix(_PREFIX).lower(), ("", ""))
    return f"; it is `{name}` in {_PREFIX}{group.upper()} now" if group else _nearest(variable, known)


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    by_rest = {one.removeprefix(_PREFIX): one for one in sorted(known)}
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), by_rest, n=1, cutoff=0.75)
    return f"; did you mean {by_rest[near[0]]}?" if near else ""


def _settings_file(environment: Mapping[str, str]) -> Path:
    named = environment.get(_CONFIG)
    return Path(named) if named else platformdirs.user_config_path("earwitness") / "earwitness.toml"


# `Any`: as at `_parse`.
def _is_path(row: "dataclasses.Field[Any]", value: object) -> bool:
    return "Path" in str(row.type) or (row.metadata["unit"] == "place" and "://" not in str(value))


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


def _parse_group(row: "dataclasses.Field[Any]", value: object, *, among: Any) -> object:
    """Return a group: a word for a whole one, or some numbers (`name=number,…`, or a table of the file) `among` others.

    `Any`: each group is a dataclass of its own.
    """
    words: Mapping[str, object] = row.metadata["words"]
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    known = {number.name: number for number in dataclasses.fields(among)}
    given = cast(dict[str, object], value) if isinstance(value, dict) else _pairs(str(value))
    for name in given:
        if name not in known:
            either = "".join(f"`{word}`, or " for word in words)
            raise ConfigurationError(
                f"setting {row.name} is {either}NAME=NUMBER,…, and {name!r} is no number of it{_nearest(name, known)}; "
                "docs/settings.md lists them"
            )
    return dataclasses.replace(among, **{name: _parse(known[name], number) for name, number in given.items()})


def _pairs(text: str) -> dict[str, object]:
    parts = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip(): number.strip() for name, _, number in parts}
