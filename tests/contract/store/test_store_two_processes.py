"""Two real `earwitness serve` on one PostgreSQL: never two of one node, and none that was taken for dead."""

import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from calls import Application
from postgres_server import create_database, drop_database, url_of
from serving import Served, start, stop
from store_examples import opened

import started
from earwitness.cli.keys import DEFAULT_ACCOUNT
from earwitness.development import DEV_KEY, ensure_development_key
from patience import until

pytestmark = pytest.mark.slow


@pytest.fixture
def settings_file(postgres_server: str, tmp_path: Path) -> Iterator[Path]:
    """Settings of both: the same records, the same master key."""
    name = create_database(postgres_server)
    path = tmp_path / "both.toml"
    path.write_text(
        f'store_url = "{url_of(postgres_server, name)}"\nmaster_key = "{"A" * 43}="\nlog_level = "info"\n',
        encoding="utf-8",
    )
    yield path
    drop_database(postgres_server, name)


@pytest.fixture
def first(settings_file: Path, tmp_path: Path) -> Iterator[Served]:
    served = start(tmp_path / "first", settings_file=settings_file)
    yield served
    if served.process.poll() is None:
        served.process.kill()
    served.process.wait()


def test_a_second_process_on_the_same_media_is_refused(first: Served, settings_file: Path) -> None:
    command = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", "0", "--data", str(first.data)]
    environment = first.environment | {"EARWITNESS_CONFIG": str(settings_file)}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 8
    assert f"process {first.process.pid} on " in refused.stderr
    assert "has the node of this data folder; give each process a folder of its own" in refused.stderr
    assert "answers at" not in refused.stderr
    stop(first)
    stop(start(first.data, settings_file=settings_file))  # the claim was given up, so it need not wait for its end


def test_a_killed_process_is_waited_for(first: Served, settings_file: Path) -> None:
    app = Application(first, "killed")
    app.domain("before")
    first.process.kill()
    second = start(first.data, settings_file=settings_file)  # returns when it answers
    assert len(Application(second, "after").voice.list_voice_profile_domains()["VoiceProfileDomains"]) == 1
    stop(second)


def test_a_process_that_was_stopped_for_longer_than_its_lease_concludes_nothing(
    first: Served, settings_file: Path, tmp_path: Path
) -> None:
    """Requests wait at its door, and another one has taken it for dead. It does neither answer nor change: it ends."""
    app = Application(first, "paused")
    pipeline = app.pipeline(app.stream("line"))
    app.start(pipeline, app.domain("callers"))
    first.process.send_signal(signal.SIGSTOP)
    url = tomllib.loads(settings_file.read_text(encoding="utf-8"))["store_url"]
    with ThreadPoolExecutor(8) as threads, psycopg.connect(url, autocommit=True) as connection:
        late = [threads.submit(app.domain, f"late {number}") for number in range(8)]
        second = start(tmp_path / "second", settings_file=settings_file)
        dead = "SELECT process FROM nodes WHERE dead_at IS NOT NULL"
        until(lambda: connection.execute(dead).fetchall() == [(first.process.pid,)])
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait() == 8
        assert all(isinstance(one.exception(), ClientError | BotoCoreError) for one in late)
    domains = Application(second, "after").voice.list_voice_profile_domains()["VoiceProfileDomains"]
    assert [one["Name"] for one in domains] == ["callers"]
    said = started.all_said(first.process)
    assert "this process serves no longer, and stops" in said
    assert "a pipeline was stopped" not in said
    assert re.search(r"^error: this node .*taken for dead", said, re.MULTILINE)
    stop(second)


def test_nodes_that_start_at_once_have_the_development_key(postgres_server: str) -> None:
    name = create_database(postgres_server)
    stores = [opened(url_of(postgres_server, name)) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as threads:
        for _ in range(20):
            stores[0].write(lambda unit: unit.access_keys.delete(DEFAULT_ACCOUNT, DEV_KEY))
            list(threads.map(lambda store: ensure_development_key(store, DEFAULT_ACCOUNT), stores))
            assert stores[0].access_keys.get(DEV_KEY) is not None
    for store in stores:
        store.close()
    drop_database(postgres_server, name)
