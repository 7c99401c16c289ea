"""Records, master key and media: whatever is missing or another's is named, and nothing is written."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import ANY

import pytest
from postgres_server import create_database, drop_database, serve_postgres, url_of
from store_examples import MINE, add_stream
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.config import Settings
from earwitness.config.limits import Limits
from earwitness.errors import ConfigurationError, EarwitnessError, InstallationIncomplete, MasterKeyInvalid
from earwitness.fragments.interface import StreamIdentity
from earwitness.fragments.log import write_owner
from earwitness.installation import migrate_installation, open_installation, settings_of_process
from earwitness.store.records import KinesisStream

KEY = "A" * 43 + "="


def at() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def served_once(settings: Settings, *, by_former_version: bool = False) -> None:
    """What a service leaves: records, a key, a stream with media."""
    with closing(open_installation(settings, clock=at)) as store:
        stream: KinesisStream = store.write(lambda unit: add_stream(unit, "line"))
        digest = StreamIdentity(account_id=MINE.account_id, stream_arn=stream.arn).digest
        media = settings.media_dir or settings.data_dir / "media"
        (media / digest).mkdir(parents=True)
        (media / digest / f"{1:020}.segment").write_bytes(b"media")
        if not by_former_version:
            write_owner(media, store.identity)


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refused(settings: Settings, kind: type[EarwitnessError] = InstallationIncomplete) -> str:
    """What is said, by all who open the records; nothing changes."""
    before = files(settings.data_dir.parent)
    said = set[str]()
    for opening in (lambda: open_installation(settings, clock=at), lambda: migrate_installation(settings)):
        with pytest.raises(kind) as error:
            opening()
        said.add(str(error.value))
    assert files(settings.data_dir.parent) == before
    assert len(said) == 1
    return said.pop()


def test_a_whole_installation_opens_again_and_again(settings: Settings) -> None:
    served_once(settings)
    for _ in range(2):
        with closing(open_installation(settings, clock=at)) as store:
            assert store.streams.count(MINE) == 1
    migrate_installation(settings)


def test_a_former_version_did_not_say_whose_the_media_are(settings: Settings, tmp_path: Path) -> None:
    served_once(settings, by_former_version=True)
    open_installation(settings, clock=at).close()
    shutil.copytree(settings.data_dir / "media", tmp_path / "elsewhere")
    other = Settings(data_dir=tmp_path / "other", media_dir=tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "away")
    open_installation(other, clock=at).close()
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    with pytest.raises(InstallationIncomplete, match="know none of the streams in"):
        open_installation(other, clock=at)


def remove(name: str) -> Callable[[Path], object]:
    return lambda data: (data / name).unlink()


def empty(name: str) -> Callable[[Path], object]:
    return lambda data: (data / name).write_bytes(b"")


def without_tables(data: Path) -> None:
    (data / "records.db").unlink()
    with closing(sqlite3.connect(data / "records.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE something (x)")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove("master.key"), "master.key is missing"),
        (remove("records.db"), "records.db are missing or empty"),
        (empty("records.db"), "records.db are missing or empty"),
        (without_tables, "records.db are missing or empty"),
    ],
    ids=["no key", "no records", "empty records", "records without tables"],
)
@pytest.mark.parametrize("by_former_version", [False, True], ids=["now", "former version"])
def test_what_is_missing_is_named(
    settings: Settings, damage: Callable[[Path], object], said: str, by_former_version: bool
) -> None:
    served_once(settings, by_former_version=by_former_version)
    damage(settings.data_dir)
    answer = refused(settings)
    assert said in answer
    assert "from your backup" in answer
    assert "docs/records.md" in answer


def test_media_alone(settings: Settings) -> None:
    """Without both, the key is named first: with a new one the old records would be of no use."""
    served_once(settings)
    for name in ("master.key", "records.db"):
        (settings.data_dir / name).unlink()
    assert "the media in" in refused(settings)


def test_records_whose_media_are_gone_open(settings: Settings) -> None:
    """A lost disk of media is a loss, and no reason to refuse: calls can go on."""
    served_once(settings)
    shutil.rmtree(settings.data_dir / "media")
    open_installation(settings, clock=at).close()


def test_a_folder_moved_away_begins_anew(settings: Settings, tmp_path: Path) -> None:
    served_once(settings)
    (settings.data_dir / "records.db").unlink()
    refused(settings)
    settings.data_dir.rename(tmp_path / "old")
    open_installation(settings, clock=at).close()


def test_the_parts_of_two_installations(settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, data_dir=tmp_path / "other")
    served_once(settings)
    served_once(other)
    shutil.copy(other.data_dir / "master.key", settings.data_dir / "master.key")
    with pytest.raises(MasterKeyInvalid, match="another master key"):
        open_installation(settings, clock=at)
    shutil.copy(other.data_dir / "records.db", settings.data_dir / "records.db")
    assert "belong to other records than those in " in refused(settings)


@pytest.mark.parametrize("name", ["records.db", "master.key"])
def test_what_is_damaged_is_no_new_beginning(settings: Settings, name: str) -> None:
    served_once(settings)
    (settings.data_dir / name).write_bytes(b"?" * 100)
    before = files(settings.data_dir)
    with pytest.raises(EarwitnessError, match="backup"):
        open_installation(settings, clock=at)
    assert files(settings.data_dir) == before


def test_a_data_folder_below_a_file(settings: Settings) -> None:
    settings.data_dir.write_bytes(b"")
    assert "below a file" in refused(replace(settings, data_dir=settings.data_dir / "deeper"))


def test_a_folder_that_cannot_be_written(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so it is the answer of the system that is played."""
    served_once(settings)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "its rights do not allow it" in refused(settings)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_system_that_is_mounted_read_only(small_disk: Path) -> None:
    import subprocess

    settings = Settings(data_dir=small_disk / "data")
    served_once(settings)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert os.statvfs(small_disk).f_flag & os.ST_RDONLY
    assert "mounted read-only" in refused(settings)


@pytest.mark.parametrize("command", [["list"], ["disable", "EARW"], ["rotate", "EARW"]])
def test_a_mistyped_folder_is_no_new_installation(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(app, ["keys", *command, "--data", str(tmp_path / "typo")])
    assert result.exit_code == 8
    assert "there are no records yet" in " ".join(result.stderr.split())
    assert not (tmp_path / "typo").exists()


def test_the_records_of_development_are_named_where_there_are_no_others(tmp_path: Path) -> None:
    mistyped = ["connectors", "list", "--data", str(tmp_path / "service")]
    assert "--dev" not in CliRunner().invoke(app, mistyped).stderr
    (tmp_path / "dev").mkdir()
    told = "".join(CliRunner().invoke(app, mistyped).stderr.split())
    assert f"thoseof`earwitnessserve--dev`arein--data{tmp_path / 'dev'}" in told


def test_a_migration_makes_no_installation(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["migrate", "--data", str(tmp_path / "typo")])
    assert result.exit_code == 0
    assert "there are no records" in " ".join(result.stderr.split())
    assert not (tmp_path / "typo").exists()


def test_keys_obey_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    served_once(settings)
    (settings.data_dir / "records.db").unlink()
    monkeypatch.setenv("EARWITNESS_DATA_DIR", str(settings.data_dir))
    for command in (["keys", "create"], ["keys", "list"], ["serve", "--port", "0"], ["migrate"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 8, result.output
        assert "missing or empty" in " ".join(result.stderr.split())
    assert not (settings.data_dir / "records.db").exists()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    yield from serve_postgres()


@pytest.mark.slow
def test_an_empty_database_beside_media(postgres: str, settings: Settings) -> None:
    names = [create_database(postgres) for _ in range(2)]
    one, other = (replace(settings, store_url=url_of(postgres, name)) for name in names)
    served_once(one)
    assert f"the records in PostgreSQL's database {names[1]} are missing or empty" in refused(other)
    (settings.data_dir / "master.key").unlink()
    assert "master.key is missing" in refused(one)
    served_once(replace(other, master_key=KEY, media_dir=settings.data_dir.parent / "media"))
    assert "belong to other records" in refused(replace(other, master_key=KEY))
    for name in names:
        drop_database(postgres, name)


@pytest.mark.slow
def test_records_move_to_postgresql_and_their_media_stay(
    postgres: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_once(settings)
    name = create_database(postgres)
    moving = ["records", "move", "--data", str(settings.data_dir)]
    refusal = CliRunner().invoke(app, moving)
    assert refusal.exit_code == 2
    assert "set EARWITNESS_STORE_URL" in " ".join(refusal.stderr.split())
    monkeypatch.setenv("EARWITNESS_STORE_URL", url_of(postgres, name))
    done = CliRunner().invoke(app, [*moving, "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"rows": ANY, "former": str(settings.data_dir / "records.db.moved")}
    assert json.loads(done.stdout)["rows"]["kinesis_streams"] == 1
    there = replace(settings, store_url=url_of(postgres, name))
    with closing(open_installation(there, clock=at)) as store:
        assert store.streams.count(MINE) == 1
    assert "records.db are missing or empty" in refused(settings)
    again = CliRunner().invoke(app, moving)
    assert again.exit_code == 8
    assert "records.db are missing or empty" in " ".join(again.stderr.split())
    drop_database(postgres, name)


def several(**more: object) -> Settings:
    """Settings that several processes can have."""
    given = {"store_url": "postgresql://db/calls", "data_dir": Path("/data"), "siprec": "10.0.0.5:5060", **more}
    return Settings(**given)  # pyright: ignore[reportArgumentType]


def test_several_processes_share_what_a_machine_has_once() -> None:
    limits = Limits(threads=16, inference_threads=3, media_bytes=9_000, job_items_at_once=2)
    settings = several(
        internal_address="10.0.0.5:4501", internal_url="http://ten:4501/", limits=limits, metrics_address="[::1]:9464"
    )
    each = [settings_of_process(settings, number, 3) for number in (1, 2, 3)]
    assert [one.media_dir or one.data_dir / "media" for one in each] == [
        Path("/data/media"),
        Path("/data/media-2"),
        Path("/data/media-3"),
    ]
    assert [one.internal_address for one in each] == ["10.0.0.5:4501", "10.0.0.5:4502", "10.0.0.5:4503"]
    assert [one.internal_url for one in each] == ["http://ten:4501", "http://ten:4502", "http://ten:4503"]
    assert [one.metrics_address for one in each] == ["[::1]:9464", "[::1]:9465", "[::1]:9466"]
    assert [one.siprec for one in each] == ["10.0.0.5:5060", "", ""]
    shares = {(one.limits.store_connections, one.limits.media_bytes, one.limits.job_items_at_once) for one in each}
    assert shares == {(10, 3_000, 1)}
    assert {one.limits.inference_threads for one in each} == {3}
    free = settings_of_process(several(), 2, 64)
    assert (free.internal_address, free.internal_url) == ("127.0.0.1:0", "")
    assert free.metrics_address == ""
    assert (free.limits.inference_threads, free.limits.store_connections) == (1, 4)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"store_url": ""}, "SQLite"),
        ({"internal_url": "http://ten"}, "internal_url"),
        ({"internal_url": "http://ten:port"}, "internal_url"),
        ({"internal_address": "10.0.0.5:65534"}, "internal_address"),
        ({"metrics_address": "10.0.0.5:65534"}, "metrics_address"),
    ],
)
def test_what_several_processes_cannot_have_is_named(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        settings_of_process(several(**wrong), 3, 3)
