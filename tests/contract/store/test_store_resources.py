"""Each resource is created, read, changed and deleted, and nobody else ever sees it."""

from datetime import timedelta

import pytest
from store_examples import (
    MINE,
    OTHERS,
    Clock,
    add_domain,
    add_pipeline,
    add_profile,
    add_stream,
    configuration_arn,
    configure,
    guid,
)

from earwitness.errors import AlreadyExists, Conflict, LimitExceeded, NotFound, VersionMismatch
from earwitness.store.store import Store
from earwitness.voice.band import Band


def test_a_configuration_is_found_by_name_and_by_arn(store: Store) -> None:
    created = configure(store)
    assert store.configurations.get(MINE, "analytics") == created
    assert store.configurations.get(MINE, created.arn) == created
    assert store.configurations.get_by_id(MINE, created.configuration_id) == created
    assert store.configurations.get(MINE, "other") is None


def test_the_name_of_a_configuration_is_unique_in_its_account_and_region(store: Store) -> None:
    configure(store)
    with pytest.raises(AlreadyExists):
        configure(store)
    for other in OTHERS:
        store.write(
            lambda unit, other=other: unit.configurations.create(
                other, configuration_id=guid(), name="analytics", arn=configuration_arn("analytics", other), body={}
            )
        )
    assert store.configurations.count(MINE) == 1


def test_a_configuration_is_updated_and_deleted(store: Store) -> None:
    created = configure(store)
    updated = store.write(lambda unit: unit.configurations.update(MINE, "analytics", body={"Elements": []}))
    assert updated is not None
    assert updated.body == {"Elements": []}
    assert updated.updated_at > created.updated_at == updated.created_at
    assert store.write(lambda unit: unit.configurations.update(MINE, "other", body={})) is None
    assert store.write(lambda unit: unit.configurations.delete(MINE, created.arn)) is True
    assert store.write(lambda unit: unit.configurations.delete(MINE, created.arn)) is False
    assert store.configurations.get(MINE, "analytics") is None


def test_a_name_used_again_inherits_no_tags(store: Store) -> None:
    created = configure(store)
    store.write(lambda unit: unit.tags.set(MINE, created.arn, {"team": "fraud"}, limit=200))
    store.write(lambda unit: unit.configurations.delete(MINE, "analytics"))
    assert store.tags.list(MINE, configure(store).arn) == {}


def test_a_pipeline_comes_back_as_it_was_created(store: Store) -> None:
    created = store.write(lambda unit: add_pipeline(unit, metadata={"fromNumber": "+4930123456", "ünïcode": "☎"}))
    assert store.pipelines.get(MINE, created.pipeline_id) == created
    assert store.pipelines.get(MINE, created.arn) == created
    bare = store.write(add_pipeline)
    assert store.pipelines.get(MINE, bare.pipeline_id) == bare
    assert "4930123456" not in repr(created)


def test_a_status_changes_only_from_an_expected_one(store: Store) -> None:
    pipeline = store.write(add_pipeline)

    def change(unit, expected: list[str], status: str, **times):
        return unit.pipelines.change_status(
            MINE, pipeline.pipeline_id, expected=expected, status=status, element_statuses=[{"Type": "x"}], **times
        )

    paused = store.write(lambda unit: change(unit, ["NotStarted", "InProgress"], "Paused", paused_at=unit.now))
    assert paused is not None
    assert (paused.status, paused.element_statuses) == ("Paused", ({"Type": "x"},))
    assert paused.paused_at is not None
    with pytest.raises(Conflict, match="Paused"):
        store.write(lambda unit: change(unit, ["NotStarted"], "InProgress"))
    ended = store.write(lambda unit: change(unit, ["Paused"], "Stopped", ended_at=unit.now))
    assert ended is not None
    assert (ended.paused_at, ended.ended_at is None) == (None, False)
    missing = store.write(
        lambda unit: unit.pipelines.change_status(
            OTHERS[0], pipeline.pipeline_id, expected=["Stopped"], status="x", element_statuses=[]
        )
    )
    assert missing is None


def test_active_pipelines_are_counted_and_limited(store: Store) -> None:
    first = store.write(lambda unit: add_pipeline(unit, active_limit=1))
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_pipeline(unit, active_limit=1))
    assert store.pipelines.count_active(MINE, configuration_arn=first.configuration_arn) == 1
    assert store.pipelines.count_active(MINE, configuration_arn="arn:other") == 0
    store.write(
        lambda unit: unit.pipelines.change_status(
            MINE, first.pipeline_id, expected=["NotStarted"], status="Stopped", element_statuses=[], ended_at=unit.now
        )
    )
    assert store.pipelines.count_active(MINE) == 0
    store.write(lambda unit: add_pipeline(unit, active_limit=1))


def test_ended_pipelines_are_purged_after_their_time(store: Store, clock: Clock) -> None:
    kept, old = store.write(add_pipeline), store.write(add_pipeline)
    store.write(lambda unit: unit.tags.set(MINE, old.arn, {"a": "b"}, limit=200))
    store.write(
        lambda unit: unit.pipelines.change_status(
            MINE, old.pipeline_id, expected=["NotStarted"], status="Stopped", element_statuses=[], ended_at=unit.now
        )
    )
    week = timedelta(days=7)
    assert store.write(lambda unit: unit.pipelines.purge(ended_before=unit.now - week, limit=100)) == 0
    clock.advance(week)
    assert store.write(lambda unit: unit.pipelines.purge(ended_before=unit.now - week, limit=100)) == 1
    assert store.pipelines.get(MINE, old.pipeline_id) is None
    assert store.tags.list(MINE, old.arn) == {}
    assert store.pipelines.get(MINE, kept.pipeline_id) == kept
    assert store.write(lambda unit: unit.pipelines.delete(MINE, kept.pipeline_id)) is True


def test_a_domain_is_created_updated_and_listed(store: Store) -> None:
    created = store.write(add_domain)
    assert store.domains.get(MINE, created.domain_id) == created
    assert store.domains.get(MINE, created.arn) == created
    assert created.band is Band.TELEPHONE
    updated = store.write(lambda unit: unit.domains.update(MINE, created.domain_id, description="of branch 7"))
    assert updated is not None
    assert (updated.name, updated.description) == (created.name, "of branch 7")
    assert updated.updated_at > created.updated_at
    assert store.write(lambda unit: unit.domains.update(MINE, "vpd-none", name="x")) is None
    assert store.domains.list(MINE, limit=10).items == (updated,)
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_domain(unit, limit=1))


def test_profiles_belong_to_a_domain(store: Store) -> None:
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id, limit=1))
    assert store.profiles.get(MINE, profile.profile_id) == store.profiles.get(MINE, profile.arn) == profile
    assert store.profiles.list(MINE, domain.domain_id, limit=5).items == (profile,)
    assert store.profiles.count(MINE, domain.domain_id) == 1
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_profile(unit, domain.domain_id, limit=1))
    with pytest.raises(NotFound):
        store.write(lambda unit: add_profile(unit, "vpd-none"))
    with pytest.raises(NotFound):
        store.write(lambda unit: add_profile(unit, domain.domain_id, OTHERS[0]))
    assert store.write(lambda unit: unit.profiles.delete(MINE, "vp-none")) is False


def test_a_stream_is_found_by_name_and_by_arn(store: Store) -> None:
    created = store.write(lambda unit: add_stream(unit, "calls"))
    assert store.streams.get(MINE, "calls") == store.streams.get(MINE, created.arn) == created
    with pytest.raises(AlreadyExists):
        store.write(lambda unit: add_stream(unit, "calls"))
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_stream(unit, "more", limit=1))
    assert store.write(lambda unit: unit.streams.delete(MINE, created.arn)) is True
    again = store.write(lambda unit: add_stream(unit, "calls"))
    assert again.arn != created.arn
    assert store.streams.get(MINE, created.arn) is None


def test_a_stream_changes_only_from_the_version_that_was_read(store: Store) -> None:
    first = store.write(lambda unit: add_stream(unit, "calls"))

    def update(expected: str, new: str, **changes):
        return store.write(
            lambda unit: unit.streams.update(MINE, "calls", expected_version=expected, new_version=new, **changes)
        )

    second = update(first.version, "b" * 20, device_name="pbx", retention_hours=24)
    assert second is not None
    assert (second.device_name, second.retention_hours, second.version) == ("pbx", 24, "b" * 20)
    with pytest.raises(VersionMismatch):
        update(first.version, "c" * 20)
    with pytest.raises(VersionMismatch):
        store.write(lambda unit: unit.streams.delete(MINE, "calls", expected_version=first.version))
    assert store.write(lambda unit: unit.streams.delete(MINE, "calls", expected_version=second.version)) is True
    assert update(second.version, "d" * 20) is None


def test_streams_are_listed_by_the_beginning_of_their_names(store: Store) -> None:
    for name in ["b", "a_2", "a-1", "A", "a.3", "ab"]:
        store.write(lambda unit, name=name: add_stream(unit, name))
    names = [stream.name for stream in store.streams.list(MINE, limit=10).items]
    assert names == sorted(names)
    found = store.streams.list(MINE, name_prefix="a", limit=10).items
    assert [stream.name for stream in found] == ["a-1", "a.3", "a_2", "ab"]
    assert store.streams.list(MINE, name_prefix="zz", limit=10).items == ()


def test_tags_are_set_replaced_limited_and_removed(store: Store) -> None:
    arn = store.write(add_domain).arn
    store.write(lambda unit: unit.tags.set(MINE, arn, {"a": "1", "b": ""}, limit=3))
    store.write(lambda unit: unit.tags.set(MINE, arn, {"a": "2", "c": "3"}, limit=3))
    assert store.tags.list(MINE, arn) == {"a": "2", "b": "", "c": "3"}
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: unit.tags.set(MINE, arn, {"a": "9", "d": "4"}, limit=3))
    assert store.tags.list(MINE, arn) == {"a": "2", "b": "", "c": "3"}
    store.write(lambda unit: unit.tags.remove(MINE, arn, ["a", "zz"]))
    assert store.tags.list(MINE, arn) == {"b": "", "c": "3"}


def test_deleting_a_domain_leaves_nothing_of_it(store: Store) -> None:
    domain, other = store.write(add_domain), store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    untouched = store.write(lambda unit: add_profile(unit, other.domain_id))
    for arn in (domain.arn, profile.arn, untouched.arn):
        store.write(lambda unit, arn=arn: unit.tags.set(MINE, arn, {"k": "v"}, limit=50))
    assert store.write(lambda unit: unit.domains.delete(OTHERS[0], domain.domain_id)) is False
    assert store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id)) is True
    assert store.domains.get(MINE, domain.domain_id) is None
    assert store.profiles.get(MINE, profile.profile_id) is None
    assert store.tags.list(MINE, domain.arn) == store.tags.list(MINE, profile.arn) == {}
    assert store.tags.list(MINE, untouched.arn) == {"k": "v"}
    assert store.profiles.get(MINE, untouched.profile_id) == untouched
    assert store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id)) is False
