"""Calibrations of domains: the latest counts, going back is a new version, none outlives its domain."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_examples import MINE, OTHERS, add_domain

from earwitness.errors import Conflict, NotFound
from earwitness.store.calibrations import VERSIONS_MAX, CalibrationVersion
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit

DOCUMENT = b'{"format": "a calibration", "made_from": "calls of Jane Doe"}'


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def _install(
    store: Store, domain_id: str, calibration_id: str, *, seen: int | None = None, scope: Scope = MINE
) -> CalibrationVersion:
    def work(unit: Unit) -> CalibrationVersion:
        return unit.calibrations.install(
            scope,
            domain_id,
            calibration_id=calibration_id,
            encoder_id="two-d-1",
            document=DOCUMENT + calibration_id.encode(),
            key_id="KEY",
            seen=seen,
        )

    return store.write(work)


def _ids(store: Store, domain_id: str) -> list[tuple[int, str | None]]:
    return [(one.number, one.calibration_id) for one in store.calibrations.versions(MINE, domain_id)]


def test_a_domain_has_the_service_s_own_until_one_is_installed(store: Store, domain_id: str) -> None:
    assert store.calibrations.current(MINE, domain_id) is None
    assert store.calibrations.versions(MINE, domain_id) == ()
    assert store.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="KEY")) is None
    assert _ids(store, domain_id) == []


def test_the_latest_is_in_use(store: Store, domain_id: str) -> None:
    other = store.write(add_domain).domain_id
    first, second = (_install(store, domain_id, name) for name in ("aaaa0001", "aaaa0002"))
    assert store.calibrations.current(MINE, domain_id) == second
    assert (second.number, second.encoder_id, second.key_id) == (2, "two-d-1", "KEY")
    assert second.document == DOCUMENT + b"aaaa0002"
    assert second.created_at > first.created_at
    assert store.calibrations.versions(MINE, domain_id) == (second, first)
    assert store.calibrations.current(MINE, other) is None
    for scope in OTHERS:
        assert store.calibrations.current(scope, domain_id) is None
        with pytest.raises(NotFound, match="domain"):
            _install(store, domain_id, "aaaa0003", scope=scope)


def test_what_is_in_use_already_is_no_new_version(store: Store, domain_id: str) -> None:
    first = _install(store, domain_id, "aaaa0001")
    assert _install(store, domain_id, "aaaa0001") == first
    own = store.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="KEY"))
    assert store.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="KEY")) == own
    assert _ids(store, domain_id) == [(2, None), (1, "aaaa0001")]


def test_going_back_is_a_new_version(store: Store, domain_id: str) -> None:
    _install(store, domain_id, "aaaa0001")
    _install(store, domain_id, "aaaa0002")
    again = store.write(lambda unit: unit.calibrations.use_again(MINE, domain_id, "aaaa0001", key_id="OTHER"))
    assert again is not None
    assert store.calibrations.current(MINE, domain_id) == again
    assert (again.number, again.document, again.key_id) == (3, DOCUMENT + b"aaaa0001", "OTHER")
    own = store.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="OTHER"))
    assert own == store.calibrations.current(MINE, domain_id)
    assert own is not None
    assert (own.number, own.calibration_id, own.encoder_id, own.document) == (4, None, None, None)
    assert store.write(lambda unit: unit.calibrations.use_again(MINE, domain_id, "ffffffff", key_id="KEY")) is None
    assert _ids(store, domain_id) == [(4, None), (3, "aaaa0001"), (2, "aaaa0002"), (1, "aaaa0001")]


def test_so_many_are_kept_and_the_one_in_use_always(store: Store, domain_id: str) -> None:
    other = store.write(add_domain).domain_id
    _install(store, other, "bbbb0001")
    for number in range(1, VERSIONS_MAX + 4):
        _install(store, domain_id, f"aaaa{number:04}")
    kept = _ids(store, domain_id)
    assert len(kept) == VERSIONS_MAX
    assert (kept[0], kept[-1]) == ((VERSIONS_MAX + 3, f"aaaa{VERSIONS_MAX + 3:04}"), (4, "aaaa0004"))
    assert _ids(store, other) == [(1, "bbbb0001")]


def test_whoever_has_looked_at_another_version_is_told(store: Store, domain_id: str) -> None:
    assert _install(store, domain_id, "aaaa0001", seen=0).number == 1
    with pytest.raises(Conflict, match="installed meanwhile"):
        _install(store, domain_id, "aaaa0002", seen=0)
    with pytest.raises(Conflict):
        store.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="KEY", seen=0))
    with pytest.raises(Conflict):
        store.write(lambda unit: unit.calibrations.use_again(MINE, domain_id, "aaaa0001", key_id="KEY", seen=7))
    assert _ids(store, domain_id) == [(1, "aaaa0001")]
    assert _install(store, domain_id, "aaaa0002", seen=1).number == 2


def test_two_at_once_come_one_after_the_other(store: Store, domain_id: str) -> None:
    together = threading.Barrier(4)

    def install(number: int) -> int:
        together.wait()
        return _install(store, domain_id, f"aaaa000{number}").number

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(install, range(4)))
    assert sorted(numbers) == [1, 2, 3, 4]
    assert [number for number, _ in _ids(store, domain_id)] == [4, 3, 2, 1]


def test_of_two_who_have_looked_at_one_version_one_is_told(store: Store, domain_id: str) -> None:
    together = threading.Barrier(2)

    def install(number: int) -> str:
        together.wait()
        try:
            return _install(store, domain_id, f"aaaa000{number}", seen=0).calibration_id or ""
        except Conflict:
            return "told"

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(install, range(2)))
    assert sorted(said)[1] == "told"
    assert _ids(store, domain_id) == [(1, sorted(said)[0])]


def test_it_goes_with_its_domain(store: Store, domain_id: str) -> None:
    _install(store, domain_id, "aaaa0001")
    assert store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    assert store.calibrations.current(MINE, domain_id) is None
    with pytest.raises(NotFound):
        _install(store, domain_id, "aaaa0002")
    store.write(lambda unit: add_domain(unit, domain_id=domain_id))
    assert store.calibrations.versions(MINE, domain_id) == ()
