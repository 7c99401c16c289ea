"""Units of work: everything or nothing, request tokens, the audit trail."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from store_examples import MINE, OTHERS, Clock, add_domain, add_stream, configuration_arn, guid

from earwitness.errors import LimitExceeded, StoreUnavailable
from earwitness.store.store import Store, Unit

ONE = "token-1"


def _claim(unit: Unit, reference: str, *, token: str = ONE, request: bytes = b"{}", scope=MINE):
    return unit.idempotency.claim(
        scope, operation="CreateVoiceProfileDomain", token=token, request=request, reference=reference
    )


def _append(unit: Unit, outcome: str = "done") -> None:
    unit.audit.append(MINE, key_id="AKIA", operation="Create", resource_arn="arn:x", outcome=outcome, request_id="r1")


def _everything(unit: Unit) -> str:
    domain = add_domain(unit)
    unit.tags.set(MINE, domain.arn, {"a": "b"}, limit=50)
    _claim(unit, domain.domain_id)
    _append(unit)
    return domain.domain_id


def test_a_unit_that_fails_leaves_nothing(store: Store) -> None:
    def fail(unit: Unit) -> None:
        _everything(unit)
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        store.write(fail)
    assert store.domains.count(MINE) == 0
    assert store.audit.list(MINE, limit=9).items == ()
    claim = store.write(lambda unit: _claim(unit, "vpd-new"))
    assert claim.is_new
    domain_id = store.write(lambda unit: add_domain(unit).domain_id)
    assert store.domains.get(MINE, domain_id) is not None


def test_a_unit_sees_its_own_changes_and_others_do_not_yet(store: Store) -> None:
    def look(unit: Unit) -> tuple[object, object]:
        domain_id = _everything(unit)
        return unit.domains.get(MINE, domain_id), store.domains.get(MINE, domain_id)

    inside, outside = store.write(look)
    assert inside is not None
    assert outside is None
    assert store.domains.count(MINE) == 1


def test_a_unit_inside_a_unit_is_a_mistake_that_is_named(store: Store, kind: str) -> None:
    if kind == "sqlite":
        with pytest.raises(RuntimeError, match="inside"):
            store.write(lambda _: store.write(add_domain))


def test_a_token_remembers_the_first_request(store: Store, clock: Clock) -> None:
    assert store.write(lambda unit: _claim(unit, "first", request=b"a")).is_new
    again = store.write(lambda unit: _claim(unit, "second", request=b"a"))
    assert (again.is_new, again.is_same_request, again.reference) == (False, True, "first")
    other = store.write(lambda unit: _claim(unit, "third", request=b"b"))
    assert (other.is_new, other.is_same_request) == (False, False)
    assert store.write(lambda unit: _claim(unit, "x", scope=OTHERS[0])).is_new
    assert store.write(lambda unit: _claim(unit, "x", scope=OTHERS[1])).is_new
    clock.advance(timedelta(hours=24))
    assert store.write(lambda unit: _claim(unit, "fourth", request=b"b")).is_new


def test_old_tokens_are_purged(store: Store, clock: Clock) -> None:
    store.write(lambda unit: _claim(unit, "first"))
    day = timedelta(hours=24)
    assert store.write(lambda unit: unit.idempotency.purge(claimed_before=unit.now - day)) == 0
    clock.advance(day)
    assert store.write(lambda unit: unit.idempotency.purge(claimed_before=unit.now - day)) == 1


def test_a_hundred_identical_creates_make_one_resource(store: Store) -> None:
    together = threading.Barrier(100)

    def create(number: int) -> str:
        def work(unit: Unit) -> str:
            claim = _claim(unit, f"vpd-{number}", request=b"the same")
            if claim.is_new:
                add_domain(unit, domain_id=claim.reference, limit=50)
            assert claim.is_same_request
            return claim.reference

        together.wait()
        return store.write(work)

    with ThreadPoolExecutor(100) as threads:
        made = set(threads.map(create, range(100)))
    assert len(made) == 1
    assert [domain.domain_id for domain in store.domains.list(MINE, limit=9).items] == list(made)


def test_a_limit_holds_against_many_at_once(store: Store) -> None:
    together = threading.Barrier(20)

    def create(number: int) -> bool:
        together.wait()
        try:
            store.write(lambda unit: add_stream(unit, f"s{number}", limit=7))
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(create, range(20))) == 7
    assert store.streams.count(MINE) == 7


def test_one_failing_unit_among_many_takes_no_other_with_it(store: Store) -> None:
    together = threading.Barrier(20)

    def create(number: int) -> str:
        def work(unit: Unit) -> str:
            domain = add_domain(unit)
            if number % 3 == 0:
                raise KeyError(number)
            return domain.domain_id

        together.wait()
        try:
            return store.write(work)
        except KeyError:
            return ""

    with ThreadPoolExecutor(20) as threads:
        made = [domain_id for domain_id in threads.map(create, range(20)) if domain_id]
    assert len(made) == 13
    assert {domain.domain_id for domain in store.domains.list(MINE, limit=99).items} == set(made)


def test_two_stores_on_one_database_share_it(store: Store, open_again) -> None:
    other = open_again()
    domain = store.write(add_domain)
    assert other.domains.get(MINE, domain.domain_id) == domain
    other.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert store.domains.get(MINE, domain.domain_id) is None


def test_the_trail_is_listed_newest_first(store: Store) -> None:
    for outcome in ("done", "ForbiddenException", "done"):
        store.write(lambda unit, outcome=outcome: _append(unit, outcome))
    first = store.audit.list(MINE, limit=2)
    second = store.audit.list(MINE, after=first.next_key, limit=2)
    assert [entry.outcome for entry in (*first.items, *second.items)] == ["done", "ForbiddenException", "done"]
    assert first.items[0].time > first.items[1].time
    assert second.next_key is None
    assert store.audit.list(OTHERS[0], limit=9).items == ()


def test_a_closed_store_is_unavailable(store: Store, open_again, kind: str) -> None:
    if kind == "postgresql":
        pytest.skip("SQLAlchemy opens a disposed pool again")
    other = open_again()
    other.close()
    with pytest.raises(StoreUnavailable):
        other.write(add_domain)
    with pytest.raises(StoreUnavailable):
        other.domains.get(MINE, "x")


def test_the_scope_of_a_configuration_name_is_its_account(store: Store) -> None:
    for scope in (MINE, *OTHERS):
        store.write(
            lambda unit, scope=scope: unit.configurations.create(
                scope, configuration_id=guid(), name="n", arn=configuration_arn("n", scope), body={"r": scope.region}
            )
        )
    for scope in (MINE, *OTHERS):
        found = store.configurations.get(scope, configuration_arn("n", scope))
        assert found is not None
        assert found.body == {"r": scope.region}
