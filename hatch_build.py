"""What is decided at a build: the version, from the tag, and the console's scripts, fetched from npm and checked.

The scripts are pinned by version and hash, never committed, and never asked for at run time. Without a network the
wheel is built without them: the console then works without live updates and pictures that move, and says so. Nothing of
Node is needed; where npm is installed it fetches, because it knows the user's registry, proxy and credentials.

By hand: python hatch_build.py
"""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand, where only the package is installed
    BuildHookInterface = object

ROOT = Path(__file__).parent

NEXT_VERSION = "0.2.0"
"""What comes next where no tag tells it. Raised after a release."""

FOLDER = ROOT / "src" / "earwitness" / "console" / "static"
STAMP = "packages.txt"
"""In the folder, the last that is written: which packages its files are of."""

REGISTRY = "https://registry.npmjs.org/"
SECONDS_MAX = 30.0
"""For one package; the largest has 0.4 MB. Without a network it fails at once."""


def version(root: Path = ROOT) -> str:
    """Return the version of a checkout or of an unpacked sdist.

    On the tag v0.3.0 it is 0.3.0, five commits behind it 0.3.1.dev5. Without a tag, or without git, it is that of
    BUILD_VERSION, or a development version of what comes next.
    """
    if (root / "PKG-INFO").is_file():  # an sdist
        return re.findall(r"^Version: (\S+)$", (root / "PKG-INFO").read_text(encoding="utf-8"), re.MULTILINE)[0]
    described = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)-(\d+)-g[0-9a-f]+", _described(root))
    if described is None:
        return os.environ.get("BUILD_VERSION") or f"{NEXT_VERSION}.dev0"
    major, minor, patch, behind = map(int, described.groups())
    return f"{major}.{minor}.{patch + 1}.dev{behind}" if behind else f"{major}.{minor}.{patch}"


def _described(root: Path) -> str:
    """Return what git says of the checkout, or nothing; a repository around an unpacked archive does not count."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "describe", "--tags", "--long", "--match", "v[0-9]*.[0-9]*.[0-9]*"]
    try:
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class FetchFailed(Exception):
    """A package could not be had, or is not the one that was pinned."""


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """A package of npm's registry, and what is taken of it."""

    name: str
    version: str
    #: As npm's registry gives it: sha512 of the tarball, in base64.
    integrity: str
    #: Files of the package, by the name that they get here.
    files: Mapping[str, str]


PACKAGES = (
    NpmPackage(
        name="htmx.org",
        version="4.0.1",
        integrity="sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==",
        files={
            "htmx.min.js": "dist/htmx.min.js",
            "hx-sse.min.js": "dist/ext/hx-sse.min.js",
            "hx-csp.min.js": "dist/ext/hx-csp.min.js",
            "htmx.LICENSE.txt": "LICENSE",
        },
    ),
    NpmPackage(
        name="uplot",
        version="1.6.32",
        integrity="sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        files={
            "uPlot.min.js": "dist/uPlot.iife.min.js",
            "uPlot.min.css": "dist/uPlot.min.css",
            "uPlot.LICENSE.txt": "LICENSE",
        },
    ),
)


class AssetsHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is there only where something is built
    """Fetches the console's scripts before the files of a wheel, an editable install or an sdist are gathered."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # `Any`: as hatchling has it
        """Fetch what is not there. A failure is told, and is no failure of the build."""
        del version, build_data
        try:
            ensure_assets(FOLDER)
        except FetchFailed as failure:
            self.app.display_warning(f"the console is built without its scripts: {failure}")


def ensure_assets(folder: Path, packages: tuple[NpmPackage, ...] = PACKAGES) -> bool:
    """Have the files of all packages in a folder, whole and as pinned, or as they were. Return whether any was fetched.

    Raise FetchFailed.
    """
    if _is_there(folder, packages):
        return False
    files: dict[str, bytes] = {}
    for package in packages:
        files |= _taken(package, _checked(package, _fetched(package)))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / STAMP).write_text(_stamp(packages), encoding="utf-8")
    return True


def _is_there(folder: Path, packages: tuple[NpmPackage, ...]) -> bool:
    stamp = folder / STAMP
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8") == _stamp(packages)
        and all((folder / name).is_file() for package in packages for name in package.files)
    )


def _stamp(packages: tuple[NpmPackage, ...]) -> str:
    return "".join(f"{package.name} {package.version} {package.integrity}\n" for package in packages)


def _fetched(package: NpmPackage) -> bytes:
    """Return the tarball of a package, not looked at yet."""
    npm = shutil.which("npm")
    try:
        return _packed(npm, package) if npm else _downloaded(package)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise FetchFailed(
            f"{package.name} {package.version} cannot be fetched ({type(error).__name__}); build again with a network"
        ) from error


def _packed(npm: str, package: NpmPackage) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{package.name}@{package.version}", "--silent", "--ignore-scripts"]
        command += ["--fetch-retries=0", "--fetch-timeout=10000", "--pack-destination", folder]
        subprocess.run(
            command, check=True, timeout=SECONDS_MAX, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True
        )
        (file,) = Path(folder).glob("*.tgz")
        return file.read_bytes()


def _downloaded(package: NpmPackage) -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY)
    if not registry.startswith(("https://", "http://")):
        raise ValueError("the registry has no address of HTTP")
    base = package.name.rpartition("/")[2]
    url = f"{registry.rstrip('/')}/{package.name}/-/{base}-{package.version}.tgz"
    with urllib.request.urlopen(url, timeout=SECONDS_MAX / 2) as answer:
        content: bytes = answer.read()
    return content


def _checked(package: NpmPackage, tarball: bytes) -> bytes:
    digest = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    if digest != package.integrity:
        raise FetchFailed(
            f"{package.name} {package.version} is not what was pinned; look where your registry has it from"
        )
    return tarball


def _taken(package: NpmPackage, tarball: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        found: dict[str, bytes] = {}
        for name, inside in package.files.items():
            member = archive.extractfile(f"package/{inside}")
            if member is None:
                raise FetchFailed(f"{package.name} {package.version} has no {inside}")
            found[name] = member.read()
        return found


if __name__ == "__main__":
    try:
        print("fetched" if ensure_assets(FOLDER) else "there already")
    except FetchFailed as failed:
        sys.exit(f"error: {failed}")
