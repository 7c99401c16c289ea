"""Settings: where they come from, and what is refused."""

import dataclasses
from pathlib import Path

import pytest

from earwitness import config, development
from earwitness.errors import ConfigurationError


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('prior_known = 0.2\nworkers = 3\ngallery_file = "/data/g.json"\n')
    loaded = config.load({"EARWITNESS_CONFIG": str(file), "EARWITNESS_WORKERS": "5"})
    assert (loaded.prior_known, loaded.workers, loaded.gallery_file) == (0.2, 5, Path("/data/g.json"))
    assert loaded.strangers_named_percent == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unheard_of = 1", "'unheard_of', and there is no setting of this name;"),
        ("prior_knwon = 0.5", "did you mean prior_known?"),
        ("prior_known = 1.5", "between 0.001 and 0.999"),
        ("prior_known = nan", "between"),
        ('workers = "many"', "must be a number"),
        ("workers = [1]", "must be a number"),
        ('log_level = "loud"', "must be one of"),
        ("= 1", "cannot be read"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        config.load({"EARWITNESS_CONFIG": str(file)})


def test_other_defaults_stand_back_behind_what_is_set(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("stream_calls_per_second = 5.0\n")  # as the default
    environment = {"EARWITNESS_CONFIG": str(file), "EARWITNESS_STREAM_PUT_BYTES_PER_SECOND": "7"}
    loaded = config.load(environment, defaults=development.DEFAULTS)
    assert (loaded.stream_calls_per_second, loaded.stream_put_bytes_per_second) == (5.0, 7.0)
    assert (loaded.calls_per_second, loaded.stream_read_bytes_per_second) == (0.0, 0.0)


def test_all_rates_are_off_by_default_for_development() -> None:
    rates = {row.name for row in dataclasses.fields(config.Settings) if row.name.endswith("per_second")}
    assert dict.fromkeys(rates, 0.0) == development.DEFAULTS


def test_a_mistyped_variable_is_told_with_the_nearest_name() -> None:
    environment = {
        "EARWITNESS_STRANGER_NAMED_PERCENT": "2",
        "EARWITNESS_XYZ": "1",
        "EARWITNESS_TOKEN": "t",
        "PATH": "p",
    }
    near, far = config.mistyped(environment)
    assert near == (
        "EARWITNESS_STRANGER_NAMED_PERCENT is no setting and does nothing; did you mean "
        "EARWITNESS_STRANGERS_NAMED_PERCENT?"
    )
    assert far == "EARWITNESS_XYZ is no setting and does nothing"


def test_relative_paths_begin_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file: in the file's folder. In the environment: where the command runs."""
    file = tmp_path / "settings" / "earwitness.toml"
    file.parent.mkdir()
    file.write_text('data_dir = "data"\ngallery_file = "~/g.json"\nmodels_dir = "/models"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for named in (str(file), "../settings/earwitness.toml"):
        loaded = config.load({"EARWITNESS_CONFIG": named, "EARWITNESS_MEDIA_DIR": "media"})
        assert loaded.data_dir.resolve() == tmp_path / "settings" / "data"
        assert loaded.gallery_file == Path.home() / "g.json"
        assert (loaded.models_dir, loaded.media_dir) == (Path("/models"), Path("media"))


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        config.load({"EARWITNESS_CONFIG": str(tmp_path / "none.toml")})
