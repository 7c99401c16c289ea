"""What a release is: its version from the tag, wheel and sdist with every file, the same bytes each time."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import hatch_build
import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from hatchling import build; print(getattr(build, 'build_' + sys.argv[1])(sys.argv[2]))"

Git = Callable[..., None]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


@pytest.fixture
def git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Runs git in a repository of its own; the user's settings do not count."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@example.net")

    def run(*words: str) -> None:
        subprocess.run(["git", *words], cwd=checkout, check=True, capture_output=True)

    run("init", "--quiet")
    run("commit", "--allow-empty", "--message", "one")
    return run


def test_a_tagged_checkout_has_the_version_of_its_tag(checkout: Path, git: Git) -> None:
    git("tag", "v0.3.10")
    assert hatch_build.version(checkout) == "0.3.10"


def test_behind_a_tag_comes_a_development_version_of_the_next(checkout: Path, git: Git) -> None:
    git("tag", "--annotate", "v0.3.0", "--message", "v0.3.0")
    for _ in range(2):
        git("commit", "--allow-empty", "--message", "more")
    assert hatch_build.version(checkout) == "0.3.1.dev2"


@pytest.mark.parametrize("tag", ["", "nightly", "v1", "version-0.3.0", "v0.3.0rc1"])
def test_without_a_tag_of_ours_it_is_a_development_version(checkout: Path, git: Git, tag: str) -> None:
    if tag:
        git("tag", tag)
    assert hatch_build.version(checkout) == f"{hatch_build.NEXT_VERSION}.dev0"


def test_without_git_somebody_may_name_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hatch_build.version(checkout) == f"{hatch_build.NEXT_VERSION}.dev0"
    monkeypatch.setenv("BUILD_VERSION", "0.4.0")
    assert hatch_build.version(checkout) == "0.4.0"
    monkeypatch.setenv("PATH", "")
    (checkout / ".git").mkdir()
    assert hatch_build.version(checkout) == "0.4.0"


def test_a_repository_around_it_does_not_count(checkout: Path, git: Git) -> None:
    git("tag", "v9.9.9")
    (checkout / "unpacked").mkdir()
    assert hatch_build.version(checkout / "unpacked") == f"{hatch_build.NEXT_VERSION}.dev0"


@pytest.mark.slow
def test_wheel_and_sdist_have_every_file_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    """The second wheel is built from the sdist, elsewhere, of files with other times."""
    tracked = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a clone of the repository")
    wheel, sdist = (_build(kind, ROOT, tmp_path / "first") for kind in ("wheel", "sdist"))
    assert _build("sdist", ROOT, tmp_path / "second").read_bytes() == sdist.read_bytes()
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    for path in unpacked.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert _build("wheel", unpacked, tmp_path / "second").read_bytes() == wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    static = {path.relative_to(ROOT).as_posix() for path in hatch_build.FOLDER.glob("*")}
    expected = {
        name.removeprefix("src/") for name in {*tracked.stdout.splitlines(), *static} if (ROOT / name).is_file()
    }
    assert "earwitness/py.typed" in expected
    assert expected - inside == set()
    assert {name for name in inside - expected if ".dist-info/" not in name} == set()


def _build(kind: str, source: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / built.stdout.splitlines()[-1]
