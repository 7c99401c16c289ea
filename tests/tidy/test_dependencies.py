"""What is installed is named in NOTICE with its licence, audited and listed; claims of SECURITY.md have their tests."""

import json
import re
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, metadata
from pathlib import Path
from typing import Any

import dependencies
import pytest

import audit

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.fixture
def installed() -> list[Distribution]:
    """What is installed; skipped where that is not what pyproject.toml and requirements.lock name now."""
    if set(metadata("earwitness").get_all("Provides-Extra") or ()) != EXTRAS.keys():
        pytest.skip("this environment was made before the last change of pyproject.toml: `make clean`, then again")
    try:
        return dependencies.installed()
    except SystemExit as missing:
        pytest.skip(str(missing))


def test_every_installed_package_is_in_the_notice(installed: list[Distribution]) -> None:
    text = dependencies.NOTICE.read_text(encoding="utf-8")
    names = {dependencies.name_of(one) for one in installed}
    assert {name for name in names if f"\n- {name}: " not in text} == set()
    assert {"soxr", "psycopg", "certifi"} <= names


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other versions of Python have other packages")
def test_the_licences_in_the_notice_are_those_of_the_packages(installed: list[Distribution]) -> None:
    text = dependencies.NOTICE.read_text(encoding="utf-8")
    assert dependencies.notice(text) == text


def test_every_claim_of_security_is_shown_by_a_test_that_there_is() -> None:
    shown = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", SECURITY)
    assert len(shown) > 20
    for file, name in shown:
        assert (ROOT / file).exists(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"


def test_every_row_of_what_holds_names_a_test() -> None:
    rows = [line for line in SECURITY.partition("## What holds")[2].partition("\n## ")[0].splitlines() if "|" in line]
    assert len(rows) > 15
    for row in rows[2:]:
        assert "`tests/" in row, row


# The audit.


def record(id_: str, name: str, *, events: list[dict[str, str]], versions: tuple[str, ...] = (), **more: str) -> Any:
    """A record as the OSV schema has it."""
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events}, {"type": "GIT", "events": [{"introduced": "0"}]}],
        "versions": list(versions),
    }
    return {"id": id_, "modified": "2026-11-01T00:00:00Z", "summary": "a weakness", "affected": [affected], **more}


RECORDS = [
    record("A", "Some.Package", events=[{"introduced": "0"}, {"fixed": "1.5"}]),
    record("B", "some-package", events=[{"introduced": "1.4"}, {"last_affected": "1.4.9"}]),
    record("C", "some-package", events=[{"introduced": "2.0"}, {"fixed": "2.1"}]),
    record("D", "some-package", events=[{"fixed": "1.0"}, {"introduced": "0"}, {"introduced": "1.4.1"}]),
    record("E", "some-package", events=[], versions=("1.4.2", "nonsense")),
    record("F", "some-package", events=[{"introduced": "0"}], withdrawn="2026-01-01T00:00:00Z"),
    record("G", "another", events=[{"introduced": "0"}]),
]


def copy_of(folder: Path, records: list[Any]) -> Path:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for one in records:
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return folder / "all.zip"


@pytest.mark.parametrize(
    ("version", "known"),
    [("1.4.2", "ABDE"), ("1.4.9", "ABD"), ("1.5", "D"), ("2.0", "CD"), ("0.9", "AD"), ("1.0", "A")],
)
def test_a_version_is_compared_with_ranges_and_lists(tmp_path: Path, version: str, known: str) -> None:
    found, latest = audit.weaknesses({("some-package", version)}, copy_of(tmp_path, RECORDS))
    assert ("".join(one.id for one in found), latest[:10]) == (known, "2026-11-01")


def test_without_a_copy_it_is_said_and_nothing_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSV", raising=False)
    assert audit.main([]) == 0
    assert capsys.readouterr().out.startswith("NOT AUDITED: no copy of the OSV database is here")


def test_a_weakness_of_a_pinned_package_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(audit.pinned()) > 100
    bad = record("X", "Jinja2", events=[{"introduced": "0"}, {"fixed": "99"}])
    assert audit.main([str(copy_of(tmp_path, [bad]))]) == 1
    assert re.search(r"^jinja2 [\d.]+: X, mended in 99. a weakness$", capsys.readouterr().out, re.MULTILINE)
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "x.json").write_text(json.dumps(record("G", "another", events=[{"introduced": "0"}])), encoding="utf-8")
    assert audit.main([str(folder)]) == 0


def test_a_copy_that_is_none_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(copy_of(tmp_path, RECORDS).read_bytes()[:200])
    empty = tmp_path / "empty"
    empty.mkdir()
    for copy in (broken, empty, tmp_path / "none.zip"):
        assert audit.main([str(copy)]) == 2
        assert capsys.readouterr().out.startswith("NOT AUDITED: ")


# The list of parts.


@pytest.mark.slow
def test_the_list_of_parts_is_whole_and_the_same_each_time(
    installed: list[Distribution], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cyclonedx")
    import sbom

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    text = sbom.text()
    assert text == sbom.text()
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    parts = {one["name"]: one for one in document["components"]}
    assert {dependencies.name_of(one) for one in installed} | {"campplus", "silero-vad"} == parts.keys()
    assert parts["soxr"]["licenses"] == [{"expression": "LGPL-2.1-or-later"}]
    assert all(one["licenses"] for one in parts.values())
    on = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    root = document["metadata"]["component"]["bom-ref"]
    assert parts["soxr"]["bom-ref"] in on[root]
    assert parts["cffi"]["bom-ref"] in on[parts["cryptography"]["bom-ref"]]
