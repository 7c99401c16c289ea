"""Settings: where they come from, and what is refused."""

import dataclasses
import re
from pathlib import Path

import pytest

from earwitness import config, development
from earwitness.config.addresses import host_and_port
from earwitness.config.limits import AWS_MEDIA_RATES, Limits, MediaRateLimits, Quotas
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
    file.write_text('media_rates = "calls=5"\n')  # as the default
    loaded = config.load({"EARWITNESS_CONFIG": str(file)}, defaults=development.DEFAULTS)
    assert loaded.media_rates == MediaRateLimits(calls=5.0)
    assert loaded.calls_per_second == "0"


def test_all_rates_are_off_by_default_for_development() -> None:
    assert {"calls_per_second": "0", "media_rates": MediaRateLimits()} == development.DEFAULTS
    assert set(dataclasses.astuple(MediaRateLimits())) == {0.0}


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("aws", AWS_MEDIA_RATES),
        ("OFF", MediaRateLimits()),
        ("put_fragments=50, calls=0", dataclasses.replace(AWS_MEDIA_RATES, put_fragments=50.0, calls=0.0)),
    ],
)
def test_a_group_is_a_word_or_some_of_its_numbers(text: str, rates: MediaRateLimits) -> None:
    assert config.load({"EARWITNESS_MEDIA_RATES": text}).media_rates == rates


def test_a_group_may_be_a_table_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[limits]\nclient_seconds = 10\nbody_bytes = 65536\n\n[quotas]\ndomains = 3\n")
    loaded = config.load({"EARWITNESS_CONFIG": str(file)})
    assert loaded.limits == Limits(client_seconds=10.0, body_bytes=65_536)
    assert loaded.quotas == Quotas(domains=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("client_secods=10", "'client_secods' is no number of it; did you mean client_seconds?"),
        ("client_seconds", "setting client_seconds must be a number, not ''"),
        ("client_seconds=0", "setting client_seconds must lie between 0.05 and 3600"),
        ("aws", "setting limits is NAME=NUMBER"),
    ],
)
def test_bad_groups_are_explained(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        config.load({"EARWITNESS_LIMITS": text})


def test_former_names_say_where_they_went(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("quota_domains = 5\n")
    with pytest.raises(ConfigurationError, match="'quota_domains', which is `domains` in the setting quotas now"):
        config.load({"EARWITNESS_CONFIG": str(file)})
    file.write_text('kvs_source_by_account = "111122223333=aws"\n')
    with pytest.raises(ConfigurationError, match="which is `ACCOUNT=own` in the setting kvs_source now"):
        config.load({"EARWITNESS_CONFIG": str(file)})
    assert config.mistyped({"EARWITNESS_STREAM_CALLS_PER_SECOND": "1"}) == [
        "EARWITNESS_STREAM_CALLS_PER_SECOND is no setting and does nothing; it is `calls` in EARWITNESS_MEDIA_RATES now"
    ]


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9092", ("127.0.0.1", 9_092)),
        (" localhost:0 ", ("localhost", 0)),
        ("[::1]:5061", ("::1", 5_061)),
        ("10.0.0.5", ("10.0.0.5", 5_060)),
        ("2001:db8::5", ("2001:db8::5", 5_060)),
        ("[2001:db8::5]", ("2001:db8::5", 5_060)),
    ],
)
def test_addresses_to_listen_at(text: str, found: tuple[str, int]) -> None:
    assert host_and_port(text, setting="siprec", default_port=5_060) == found


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", ":9092", "127.0.0.1:65536", "127.0.0.1:x", "h:-1"])
def test_what_is_no_address_to_listen_at(text: str) -> None:
    with pytest.raises(ConfigurationError, match="audiosocket"):
        host_and_port(text, setting="audiosocket")
