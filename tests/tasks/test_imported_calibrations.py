"""The calibration of a domain in its export, and back; and what is hostile in one."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from calibration_examples import SHIPPED, document, long, moved

from earwitness.engine.calibration import Calibration, calibration_bytes
from earwitness.engine.space import shipped_space
from earwitness.errors import ArchiveInvalid
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX, CalibrationVersion
from earwitness.store.job_records import ItemInput
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit, open_store
from earwitness.tasks.archive import FORMAT, VERSION, ListedPart, Manifest, archive_of, part_name, part_of
from earwitness.tasks.exporting import make_part
from earwitness.tasks.importing import ImportResult, ImportTarget, import_archive
from earwitness.tasks.judged_archive import judge
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper
from earwitness.voice.band import Band
from earwitness.voice.job import PartKind

MINE = Scope(account_id="000000000000", region="us-east-1")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HIGHER = moved(0.05, made_from="our calls \u00e9")
_numbers = itertools.count(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    vault = Vault(MasterKeyWrapper(MasterKey(key=b"m" * 32)))
    with closing(open_store(f"sqlite:///{tmp_path / 'records.db'}", vault=vault, clock=lambda: NOW)) as opened:
        yield opened


def archive(path: Path, content: bytes, *, version: int = VERSION) -> Path:
    """An export of its domain's part alone."""
    name = part_name(1, encrypted=False)
    listed = ListedPart(
        name=name,
        kind=PartKind.DOMAIN,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        lines=1,
        recordings=0,
    )
    manifest = Manifest(
        format=FORMAT,
        version=version,
        writer="a test",
        job_id="job-1",
        domain_id="vpd-1",
        created_at="2026-01-01T00:00:00Z",
        recipient=None,
        with_audio=False,
        parts=(listed,),
        missing_parts=(),
    )

    path.write_bytes(b"".join(archive_of(msgspec.json.encode(manifest), [(name, content)])))
    return path


def with_calibration(path: Path, calibration: bytes | None, *, version: int = VERSION) -> Path:
    """An export whose domain has these bytes as its calibration; without the field for None."""
    line: dict[str, Any] = {"domainId": "vpd-1", "name": "callers", "band": "telephone", "tags": {}}
    if calibration is not None:
        line["calibration"] = msgspec.Raw(calibration)
    return archive(path, part_of(PartKind.DOMAIN, [line], []), version=version)


def bring(store: Store, path: Path, **target: Any) -> ImportResult:
    judged = judge(
        path, identity=None, space_of=lambda band: shipped_space(ENCODER_MODEL, band), now=NOW, leave_out=False
    )
    return import_archive(
        store,
        path,
        judged,
        ImportTarget(scope=MINE, **target),
        identity=None,
        new_id=lambda: str(next(_numbers)),
        now=NOW,
        progress=lambda *_: None,
        pause=lambda: None,
    )


def in_use(store: Store, domain_id: str) -> CalibrationVersion | None:
    return store.calibrations.current(MINE, domain_id)


def add_domain(unit: Unit, domain_id: str = "vpd-1") -> None:
    arn = f"arn:aws:chime:{MINE.region}:{MINE.account_id}:voice-profile-domain/{domain_id}"
    key = f"arn:aws:kms:{MINE.region}:{MINE.account_id}:key/1"
    unit.domains.create(
        MINE, domain_id=domain_id, arn=arn, name="n", description="", kms_key_arn=key, band=Band.TELEPHONE
    )


def install(unit: Unit, calibration: Calibration, domain_id: str = "vpd-1") -> None:
    unit.calibrations.install(
        MINE,
        domain_id,
        calibration_id=calibration.id,
        encoder_id=calibration.encoder_id,
        document=calibration_bytes(calibration),
        key_id="KEY",
    )


def exported(store: Store, path: Path) -> Path:
    domain = store.domains.get(MINE, "vpd-1")
    assert domain is not None
    source = {"recipient": None, "audio": False}
    return archive(path, make_part(store, MINE, domain, ItemInput(name="", part=PartKind.DOMAIN), source).content)


def test_what_is_in_use_goes_into_the_export_and_back(store: Store, tmp_path: Path) -> None:
    store.write(add_domain)
    store.write(lambda unit: install(unit, moved(0.1)))
    store.write(lambda unit: install(unit, HIGHER))
    done = bring(store, exported(store, tmp_path / "e.tar"))
    assert (done.calibration_id, done.calibration_left_out) == (HIGHER.id, None)
    version = in_use(store, done.domain.domain_id)
    assert version is not None
    assert (version.number, version.calibration_id, version.encoder_id) == (1, HIGHER.id, HIGHER.encoder_id)
    assert version.document == calibration_bytes(HIGHER)
    operations = [entry.operation for entry in store.audit.list(MINE, limit=3).items]
    assert operations == ["ImportDomain", f"InstallCalibration {HIGHER.id}", "ImportDomain"]


@pytest.mark.parametrize("goes_back", [False, True])
def test_the_service_s_own_is_in_no_export(store: Store, tmp_path: Path, goes_back: bool) -> None:
    store.write(add_domain)
    if goes_back:
        store.write(lambda unit: install(unit, HIGHER))
        store.write(lambda unit: unit.calibrations.use_service(MINE, "vpd-1", key_id="KEY"))
    done = bring(store, exported(store, tmp_path / "e.tar"))
    assert (done.calibration_id, done.calibration_left_out) == (None, None)
    assert in_use(store, done.domain.domain_id) is None


@pytest.mark.parametrize("version", [1, VERSION])
def test_exports_of_before_have_none(store: Store, tmp_path: Path, version: int) -> None:
    done = bring(store, with_calibration(tmp_path / "e.tar", None, version=version))
    assert (done.calibration_id, done.calibration_left_out) == (None, None)


def test_one_of_another_encoder_is_left_out_and_told(store: Store, tmp_path: Path) -> None:
    other = replace(HIGHER, encoder_id="other/telephone/00000000")
    done = bring(store, with_calibration(tmp_path / "e.tar", calibration_bytes(other)))
    assert (done.calibration_id, done.calibration_left_out) == (None, "it was fitted for another voice encoder")
    assert in_use(store, done.domain.domain_id) is None


def test_a_domain_that_is_there_is_searched_as_before(store: Store, tmp_path: Path) -> None:
    path = with_calibration(tmp_path / "e.tar", calibration_bytes(HIGHER))
    for domain_id in ("vpd-1", "vpd-2"):
        store.write(lambda unit, added=domain_id: add_domain(unit, added))
    store.write(lambda unit: install(unit, moved(0.1)))
    for domain_id, before in (("vpd-2", None), ("vpd-1", moved(0.1).id)):
        done = bring(store, path, domain_id=domain_id)
        assert done.calibration_id is None
        assert done.calibration_left_out is not None
        assert done.calibration_left_out.startswith("only a new domain gets it")
        assert f"`earwitness calibration export {HIGHER.id}`" in done.calibration_left_out
        version = in_use(store, domain_id)
        assert (None if version is None else version.calibration_id) == before


def fits(**changed: Any) -> list[dict[str, Any]]:
    return [{**fit, **changed} for fit in json.loads(document(SHIPPED))["fits"]]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"true",
        b'"x"',
        b"{}",
        b"[" * 100_000,
        b"[" * 5_000 + b"]" * 5_000,
        document(SHIPPED, format="earwitness calibration 9"),
        document(SHIPPED, persons=float("nan")),
        document(SHIPPED, trials=10**30),
        document(SHIPPED, fits=[]),
        document(SHIPPED, fits=fits(slope=1e300)),
        document(SHIPPED, fits=fits(offset="OVERFLOW")).replace(b'"OVERFLOW"', b"1e999"),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5], [0.1 + 1e-9, 0.4]])),
        document(SHIPPED, made_from="x" * 70_000),
        document(SHIPPED, made_from="\ud800"),
        document(SHIPPED, encoder_id="other/telephone/00000000", unknown_line_margin=7),
        document(SHIPPED, fits=[{**fits()[0], "net_seconds": n + 1} for n in range(400)]),
    ],
    ids=range(17),
)
def test_a_hostile_one_is_refused_before_anything_is_written(store: Store, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveInvalid) as refused:
        bring(store, with_calibration(tmp_path / "e.tar", content))
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()
    assert store.domains.count(MINE) == 0
    assert list(store.audit.list(MINE, limit=3).items) == []


def test_one_as_long_as_may_be_is_taken(store: Store, tmp_path: Path) -> None:

    longest = long(DOCUMENT_BYTES_MAX // (19 * len(SHIPPED.fits)) - 10)
    done = bring(store, with_calibration(tmp_path / "e.tar", calibration_bytes(longest)))
    assert done.calibration_id == longest.id
