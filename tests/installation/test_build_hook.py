"""The console's scripts: taken as pinned or not at all, and a build without a network goes on."""

import base64
import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["hatch_build"] = module
    spec.loader.exec_module(module)
    return module


def tarball(**files: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return written.getvalue()


def package(hook: ModuleType, content: bytes, **files: str) -> Any:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    return hook.NpmPackage(name="scripts", version="1.0.0", integrity=integrity, files=files)


def test_what_is_pinned_is_taken_once(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, fetched = tarball(a="let a", LICENSE="free"), list[str]()

    def fetch(one: Any) -> bytes:
        fetched.append(one.name)
        return content

    monkeypatch.setattr(hook, "_fetched", fetch)
    packages = (package(hook, content, **{"a.js": "a", "a.LICENSE.txt": "LICENSE"}),)
    folder = tmp_path / "static"
    assert hook.ensure_assets(folder, packages)
    assert not hook.ensure_assets(folder, packages)
    assert fetched == ["scripts"]
    assert (folder / "a.js").read_text() == "let a"
    (folder / "a.js").unlink()
    assert hook.ensure_assets(folder, packages)


def test_what_is_not_pinned_is_not_taken(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = package(hook, tarball(a="let a"), **{"a.js": "a"})
    folder = tmp_path / "static"
    monkeypatch.setattr(hook, "_fetched", lambda _: tarball(a="let evil"))
    with pytest.raises(hook.FetchFailed, match="not what was pinned"):
        hook.ensure_assets(folder, (pinned,))
    assert not folder.exists()


def test_without_a_network_it_says_so_and_what_is_there_stays(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "old.js").write_text("let old")
    monkeypatch.setattr(hook.shutil, "which", lambda _: None)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")  # nobody listens on discard
    with pytest.raises(hook.FetchFailed, match="build again with a network"):
        hook.ensure_assets(folder)
    assert (folder / "old.js").read_text() == "let old"


@pytest.mark.slow
def test_a_wheel_is_built_without_a_network(tmp_path: Path) -> None:
    """A copy, because its scripts may be there already."""
    source = tmp_path / "source"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a clone of the repository")
    for name in files.stdout.splitlines():
        if not name.startswith(("tests/", "docs/", "benchmarks/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    environment = {"PATH": "", "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9/"}
    command = [sys.executable, "-c", build, str(tmp_path)]
    built = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "without its scripts" in built.stderr + built.stdout
    wheel = built.stdout.splitlines()[-1]
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], cwd=tmp_path, capture_output=True, text=True
    )
    assert "console/templates/page.html" in listed.stdout
    assert "console/assets/console.css" in listed.stdout
    assert "console/static" not in listed.stdout
