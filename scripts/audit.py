"""Known weaknesses of the pinned packages, by a copy of the OSV database; without one it says that nothing was audited.

    python scripts/audit.py [COPY]

COPY, or the variable OSV, is `all.zip` of the ecosystem PyPI (https://google.github.io/osv.dev/data/ says where), or a
folder of files in the OSV format, such as a clone of github.com/github/advisory-database. Nothing is fetched. Exit
code 1: a package has a weakness; 2: the copy cannot be used; 0 otherwise, also where there is no copy.
"""

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock")
RECORD_BYTES_MAX = 10_000_000

ACCEPTED: dict[str, str] = {}
"""Weaknesses that do not concern us, by their id, with the reason."""


class CopyUnusable(Exception):
    """The copy of the database cannot be read, or holds nothing about packages of Python."""


@dataclass(frozen=True, order=True)
class Weakness:
    """One weakness of one pinned package."""

    package: str
    version: str
    id: str
    mended_in: str
    summary: str


def pinned(locks: tuple[Path, ...] = LOCKS) -> set[tuple[str, str]]:
    """Return names and versions of all that is pinned, for whatever version of Python."""
    lines = "\n".join(lock.read_text(encoding="utf-8") for lock in locks)
    return {(canonicalize_name(name), version) for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lines, re.M)}


# `Any`: records are JSON of others.
def records(copy: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a copy. Raise CopyUnusable."""
    try:
        if copy.is_dir():
            for file in sorted(copy.rglob("*.json")):
                yield json.loads(file.read_bytes())
            return
        with zipfile.ZipFile(copy) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".json") and entry.file_size <= RECORD_BYTES_MAX:
                    yield json.loads(archive.read(entry))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CopyUnusable(f"{copy} is no copy of the OSV database: {error}") from error


def weaknesses(packages: set[tuple[str, str]], copy: Path) -> tuple[list[Weakness], str]:
    """Return what is known against these packages, and when the latest record was changed. Raise CopyUnusable."""
    found, latest = set[Weakness](), ""
    versions: dict[str, list[str]] = {}
    for name, version in packages:
        versions.setdefault(name, []).append(version)
    for record in records(copy):
        about = [one for one in record.get("affected") or () if one.get("package", {}).get("ecosystem") == "PyPI"]
        if not about:
            continue
        latest = max(latest, str(record.get("modified", "")))
        if record.get("withdrawn") or record.get("id") in ACCEPTED:
            continue
        for affected in about:
            name = canonicalize_name(affected["package"].get("name", ""))
            for version in versions.get(name, ()):
                if _is_affected(Version(version), affected):
                    summary = str(record.get("summary", ""))[:120]
                    found.add(Weakness(name, version, str(record.get("id")), _mended_in(affected), summary))
    if not latest:
        raise CopyUnusable(f"{copy} holds no records about packages of Python")
    return sorted(found), latest


def _is_affected(version: Version, affected: dict[str, Any]) -> bool:
    if any(_version(one) == version for one in affected.get("versions") or ()):
        return True
    for span in affected.get("ranges") or ():
        if span.get("type") == "ECOSYSTEM" and _is_within(version, span.get("events") or ()):
            return True
    return False


def _is_within(version: Version, events: Any) -> bool:
    """Return whether a version lies in a range: events in the order of their versions, as the OSV schema has it."""
    steps: list[tuple[Version, int, bool]] = []
    for event in events:
        for kind, place, begins in (("introduced", 0, True), ("fixed", 0, False), ("last_affected", 1, False)):
            if kind in event:
                text = "0.dev0" if event[kind] == "0" else event[kind]
                if (parsed := _version(text)) is not None:
                    steps.append((parsed, place, begins))
    is_affected = False
    for parsed, place, begins in sorted(steps):
        if parsed < version or (parsed == version and place == 0):
            is_affected = begins
    return is_affected


def _mended_in(affected: dict[str, Any]) -> str:
    spans = [span for span in affected.get("ranges") or () if span.get("type") == "ECOSYSTEM"]
    return ", ".join(str(one["fixed"]) for span in spans for one in span.get("events") or () if "fixed" in one)


def _version(text: Any) -> Version | None:
    try:
        return Version(str(text))
    except InvalidVersion:
        return None


def main(arguments: list[str]) -> int:
    """Print what was found; return the exit code."""
    copy = arguments[0] if arguments else os.environ.get("OSV", "")
    packages = pinned()
    if not copy:
        print(
            f"NOT AUDITED: no copy of the OSV database is here; {len(packages)} pinned packages were not looked at.\n"
            "Fetch all.zip of the ecosystem PyPI (https://google.github.io/osv.dev/data/), then: make audit OSV=all.zip"
        )
        return 0
    try:
        found, latest = weaknesses(packages, Path(copy))
    except CopyUnusable as error:
        print(f"NOT AUDITED: {error}")
        return 2
    for one in found:
        mended = f"mended in {one.mended_in}" if one.mended_in else "not mended yet"
        print(f"{one.package} {one.version}: {one.id}, {mended}. {one.summary}")
    print(f"{len(packages)} packages audited, {len(found)} weaknesses; the latest record is of {latest[:10]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
