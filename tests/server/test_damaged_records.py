"""Records that are damaged, before the start and while the service runs: told as such, and never a failure of ours."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from live import DOMAINS, KEY_ID, Live, domain_input

from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.errors import EarwitnessError

READY = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"
PAGE = 4_096


def halved(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def a_few_bytes(file: Path) -> None:
    os.truncate(file, 50)


def noise(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(file.stat().st_size))


def text(file: Path) -> None:
    file.write_text("no database\n" * 1_000)


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def zeros_behind_the_first_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(PAGE)
        opened.write(bytes(file.stat().st_size - PAGE))


def page_size(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(16)
        opened.write((512).to_bytes(2))


def schema_format(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(44)
        opened.write((99).to_bytes(4))


def no_version(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("DELETE FROM alembic_version")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def log_is_a_folder(file: Path) -> None:
    file.with_name("records.db-wal").mkdir()


REFUSED = (
    halved,
    a_few_bytes,
    noise,
    text,
    zeros,
    zeros_behind_the_first_page,
    page_size,
    schema_format,
    no_version,
    a_folder,
    log_is_a_folder,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a service that has ended."""
    data = tmp_path_factory.mktemp("written") / "data"
    with Live(data) as live:
        for name in ("a", "b", "c"):
            live.client.create_voice_profile_domain(**domain_input(name))
    return data


@pytest.mark.parametrize("damage", REFUSED)
def test_a_start_is_refused_with_a_sentence(written: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    data = shutil.copytree(written, tmp_path / "data")
    damage(data / "records.db")
    with pytest.raises(EarwitnessError) as refused:
        open_records(Settings(data_dir=data)).close()
    assert "SELECT" not in str(refused.value)
    assert ";" in str(refused.value) or "cannot be opened" in str(refused.value)  # what happened; what to do


@pytest.mark.slow
@pytest.mark.parametrize("damage", [a_few_bytes, noise, text, zeros, zeros_behind_the_first_page])
def test_damage_while_the_service_runs(
    start: Callable[..., Live], caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    live = start()
    live.client.create_voice_profile_domain(**domain_input())
    records = live.settings.data_dir / "records.db"
    with closing(sqlite3.connect(records)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(records)
    statuses = {live.ask(live.signed("GET", f"{DOMAINS}/{number}"))[0] for number in range(5)}
    statuses |= {live.ask(live.signed("POST", DOMAINS, b'{"Name": "another"}'))[0] for _ in range(3)}
    assert statuses <= {200, 201, 400, 401, 404, 503}
    assert 503 in statuses
    status, _, body = live.ask(READY)
    assert status == 503
    assert b"backup" in body
    told = [record for record in caplog.records if record.getMessage() == "the records are damaged"]
    assert len(told) == 1
    assert "restore it from a backup" in vars(told[0])["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE voice_profile_domains SET created_at = 'yesterday'",
        "UPDATE voice_profile_domains SET band = 'ultraviolet'",
        f"UPDATE access_keys SET secret_ciphertext = x'00' WHERE key_id = '{KEY_ID}'",  # noqa: S608  # a test's own name
        f"UPDATE access_keys SET wrapped_key = x'00' WHERE key_id = '{KEY_ID}'",  # noqa: S608  # likewise
    ],
)
def test_values_that_nobody_wrote(start: Callable[..., Live], change: str) -> None:
    live = start()
    domain = live.client.create_voice_profile_domain(**domain_input())["VoiceProfileDomain"]["VoiceProfileDomainId"]
    with closing(sqlite3.connect(live.settings.data_dir / "records.db", isolation_level=None)) as other:
        other.execute(change)
    for path in (DOMAINS, f"{DOMAINS}/{domain}"):
        status, headers, body = live.ask(live.signed("GET", path))
        assert status in (200, 503), body
        assert status == 200 or headers["x-amzn-errortype"] == "ServiceUnavailableException"


@pytest.mark.slow
@pytest.mark.parametrize("value", ["x'00ff'", "7"])
@pytest.mark.parametrize("column", ["name", "arn", "domain_id", "created_at", "wrapped_key"])
def test_a_value_of_another_kind_in_one_column(start: Callable[..., Live], column: str, value: str) -> None:
    """SQLite keeps any kind of value in any column, and hands it out as it is."""
    live = start()
    live.client.create_voice_profile_domain(**domain_input())
    with closing(sqlite3.connect(live.settings.data_dir / "records.db", isolation_level=None)) as other:
        (domain,) = other.execute("SELECT domain_id FROM voice_profile_domains").fetchone()
        other.execute("PRAGMA foreign_keys = OFF")
        kind = "CAST(%s AS TEXT)" if column in ("created_at", "wrapped_key") and value == "7" else "%s"
        other.execute(f"UPDATE voice_profile_domains SET {column} = {kind % value}")  # noqa: S608  ours
    statuses = [live.ask(live.signed("GET", path))[0] for path in (f"{DOMAINS}/{domain}", DOMAINS)]
    statuses.append(live.ask(live.signed("POST", DOMAINS, b'{"Name": "another"}'))[0])
    assert 500 not in statuses
    assert set(statuses) <= {200, 201, 400, 404, 503}
