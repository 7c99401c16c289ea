"""The records change from one master key to another while they are read and written."""

from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import select, text
from store_examples import MASTER_KEY, MINE, Clock, add_domain, add_pipeline, add_stream

from earwitness.errors import CiphertextRefused, Conflict, MasterKeyInvalid, StoreUnavailable
from earwitness.store.columns import Form, secrecy
from earwitness.store.master_key_schema import vault_checks
from earwitness.store.rotation import INSTALLATION, WRAPPED, Rotation
from earwitness.store.schema import domains
from earwitness.store.store import Store, open_store, records_identity
from earwitness.store.tables import metadata
from earwitness.tasks.leading import this_process
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper

NEW_KEY = MasterKey(key=bytes(range(100, 132)))
THIRD_KEY = MasterKey(key=bytes(range(50, 82)))


def open_with(url: str, *keys: MasterKey, later: tuple[MasterKey, ...] = ()) -> Store:
    wrapper = MasterKeyWrapper(*keys, look_again=lambda: (*keys, *later))
    return open_store(url, vault=Vault(wrapper), clock=Clock(), wait_seconds_max=20.0)


def quiet(doing: str, done: int, total: int) -> None:
    """No bar."""


def fill(store: Store) -> None:
    """Something in each table that has data keys."""
    store.write(
        lambda unit: unit.access_keys.create(
            key_id="AKIAONE",
            account_id=MINE.account_id,
            role="admin",
            name="",
            secret="s3cret",  # noqa: S106
        )
    )
    for number in range(3):
        store.write(add_domain)
        store.write(lambda unit: add_pipeline(unit, metadata={"caller": "Ada"}))
        store.write(lambda unit, number=number: add_stream(unit, f"line-{number}"))


def wrap_all(rotation: Rotation) -> int:
    return rotation.wrap_again(quiet, lambda: None)


def rotate(store: Store, to: MasterKey = NEW_KEY) -> int:
    rotation = store.rotation(to=to.key_id)
    rotation.offer()
    rotation.use()
    changed = wrap_all(rotation)
    rotation.finish()
    return changed


def everything(store: Store) -> object:
    """What is read with each kind of data key."""
    pipelines = store.pipelines.list(MINE, limit=9).items
    streams = store.streams.list(MINE, limit=9).items
    return (
        store.access_keys.get("AKIAONE"),
        [(one.pipeline_id, one.runtime_metadata) for one in pipelines],
        [store.stream_key(MINE, one).digest(b"same key") for one in streams],
        store.token_key.digest(b"same key"),
        store.identity,
    )


def domain_keys(store: Store) -> list[bytes]:
    return [one.wrapped_key for one in store.domains.list(MINE, limit=9).items]


def test_every_table_with_data_keys_is_wrapped_again() -> None:
    having = {
        table
        for table in metadata.tables.values()
        if any(secrecy(column).form is Form.WRAPPED for column in table.columns)
    }
    assert having == set(WRAPPED)


def test_all_is_read_as_before_and_the_former_key_opens_nothing(url: str) -> None:
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        fill(store)
        before, former_keys = everything(store), domain_keys(store)
        assert rotate(store) == 10
        assert everything(store) == before
        assert store.verify_master_key(quiet) == (10, {})
    with pytest.raises(MasterKeyInvalid, match=f"another master key {NEW_KEY.key_id}, and {MASTER_KEY.key_id} is here"):
        open_with(url, MASTER_KEY)
    with closing(open_with(url, NEW_KEY)) as store:
        assert everything(store) == before
        assert not set(former_keys) & set(domain_keys(store))
        assert store.master_keys.state().key_id == NEW_KEY.key_id
        told = [(one.operation, one.outcome) for one in store.audit.list(INSTALLATION, limit=9).items]
        assert ("RotateMasterKey", "done") in told
        assert ("VerifyMasterKey", "done") in told
    assert records_identity(url) == before[-1]  # type: ignore[index]


@pytest.mark.parametrize("done", ["offered", "used", "half", "wrapped"])
def test_whatever_is_left_off_is_gone_on_with(url: str, done: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two steps: who has both keys reads and writes, who has one is told so, and the next run ends it."""
    monkeypatch.setattr("earwitness.store.rotation._ROWS_AT_ONCE", 2)
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        fill(store)
        before = everything(store)
        rotation = store.rotation(to=NEW_KEY.key_id)
        rotation.offer()
        if done != "offered":
            rotation.use()
        if done == "half":
            with pytest.raises(ZeroDivisionError):
                rotation.wrap_again(quiet, lambda: 1 // 0)
        if done == "wrapped":
            wrap_all(rotation)
    if done != "offered":
        with pytest.raises(MasterKeyInvalid, match="give both"):
            open_with(url, MASTER_KEY)
    with pytest.raises(MasterKeyInvalid, match="still under"):
        open_with(url, NEW_KEY)
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        assert everything(store) == before
        made = store.write(lambda unit: add_domain(unit, domain_id="vpd-meanwhile"))
        under = MasterKeyWrapper(MASTER_KEY if done == "offered" else NEW_KEY)
        owner = WRAPPED[domains]({"account_id": MINE.account_id, "region": MINE.region, "domain_id": made.domain_id})
        assert under.opener(made.wrapped_key, owner=owner) is not None
        with pytest.raises(Conflict, match="another master key"):
            store.rotation(to=THIRD_KEY.key_id).offer()
        rotate(store)
    with closing(open_with(url, NEW_KEY)) as store:
        assert everything(store) == before
        assert store.verify_master_key(quiet) == (11, {})


def test_a_service_takes_the_next_key_up_and_forgets_the_former_one(url: str) -> None:
    with closing(open_with(url, MASTER_KEY, later=(NEW_KEY,))) as serving:
        fill(serving)
        before = everything(serving)
        with closing(open_with(url, MASTER_KEY, NEW_KEY)) as command:
            rotation = command.rotation(to=NEW_KEY.key_id)
            rotation.offer()
            serving.master_keys.take_up("the service")
            rotation.use()
            assert wrap_all(rotation) == 10
            assert everything(serving) == before
            rotation.finish()
        now = [0.0]
        serving.master_keys._monotonic = lambda: now[0]
        settled: list[str] = []
        serving.master_keys.on_changed = settled.append
        for now[0] in (1.0, 2.0, 70.0):
            serving.master_keys.take_up("the service")
        assert settled == [NEW_KEY.key_id]
        assert not serving._vault.master_keys.has(MASTER_KEY.key_id)
        assert everything(serving) == before
        serving.write(add_domain)


def test_who_has_not_taken_the_next_key_up_is_named(url: str) -> None:
    me = this_process(node_id="node-1")
    with closing(open_with(url, MASTER_KEY, later=(NEW_KEY,))) as serving:
        assert serving.leading.claim(me) is None
        with closing(open_with(url, MASTER_KEY, NEW_KEY)) as command:
            rotation = command.rotation(to=NEW_KEY.key_id)
            rotation.offer()
            assert [str(me.process) in one for one in rotation.lacking(this_process())] == [True]
            serving.master_keys.take_up(me.holder)
            assert rotation.lacking(this_process()) == []
            rotation.withdraw()
            assert command.master_keys.state().next_key_id == ""
        serving.leading.release()


def test_who_lacks_the_next_key_makes_no_data_key(url: str) -> None:
    with closing(open_with(url, MASTER_KEY)) as lacking, closing(open_with(url, MASTER_KEY, NEW_KEY)) as command:
        rotation = command.rotation(to=NEW_KEY.key_id)
        rotation.offer()
        rotation.use()
        with pytest.raises(StoreUnavailable, match=r"master\.key\.next"):
            lacking.write(add_domain)
        assert lacking.domains.count(MINE) == 0


def test_a_key_in_use_is_not_withdrawn(url: str) -> None:
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        rotation = store.rotation(to=NEW_KEY.key_id)
        rotation.offer()
        rotation.use()
        rotation.withdraw()
        assert store.master_keys.state().next_in_use


def test_what_does_not_open_is_counted_and_left(url: str) -> None:
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        fill(store)
        first, second = store.domains.list(MINE, limit=2).items
        # A row that somebody moved: the key of one domain at another.
        with store._database.engine.begin() as connection:
            moved = domains.update().where(domains.c.domain_id == second.domain_id)
            connection.execute(moved.values(wrapped_key=first.wrapped_key))
        rotation = store.rotation(to=NEW_KEY.key_id)
        rotation.offer()
        rotation.use()
        assert wrap_all(rotation) == 9
        assert rotation.unopened == 1
        rotation.finish()
        assert store.verify_master_key(quiet) == (9, {"voice_profile_domains": 1})


def test_a_lock_that_makes_a_data_key_holds_the_step_up(url: str, open_again: Callable[[float], Store]) -> None:
    """In PostgreSQL: a transaction that has read which key to use ends before another one is to be used."""
    with closing(open_with(url, MASTER_KEY, NEW_KEY)) as store:
        rotation = store.rotation(to=NEW_KEY.key_id)
        rotation.offer()
        with store._database.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                pytest.skip("one writer at a time")
            connection.execute(select(vault_checks).with_for_update(read=True))
            impatient = open_again(0.3)
            with pytest.raises(StoreUnavailable):
                Rotation(impatient._database, store._vault, impatient._change, to=NEW_KEY.key_id).use()
            connection.execute(text("ROLLBACK"))
        rotation.use()


def test_a_master_key_does_not_open_what_another_wrapped() -> None:
    wrapped = MasterKeyWrapper(MASTER_KEY).wrap(b"k" * 32, owner="a")
    assert MasterKeyWrapper(NEW_KEY, MASTER_KEY).unwrap(wrapped, owner="a") == b"k" * 32
    with pytest.raises(CiphertextRefused):
        MasterKeyWrapper(NEW_KEY).unwrap(wrapped, owner="a")
    with pytest.raises(CiphertextRefused):
        MasterKeyWrapper(NEW_KEY, MASTER_KEY).unwrap(wrapped, owner="b")
