"""Nobody meets another account's records, and no input breaks a database."""

import pytest
from store_examples import MINE, OTHERS, add_domain, add_pipeline, add_profile, add_stream, configure

from earwitness.errors import BadRequest
from earwitness.store.store import Store


def test_nobody_sees_or_changes_another_accounts_or_regions_resources(store: Store) -> None:
    configuration = configure(store)
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    stream = store.write(lambda unit: add_stream(unit, "calls"))
    store.write(lambda unit: unit.tags.set(MINE, domain.arn, {"a": "b"}, limit=5))
    for other in OTHERS:
        for name in (configuration.name, configuration.arn):
            assert store.configurations.get(other, name) is None
        assert store.configurations.get_by_id(other, configuration.configuration_id) is None
        for found in (
            *(store.domains.get(other, name) for name in (domain.domain_id, domain.arn)),
            *(store.pipelines.get(other, name) for name in (pipeline.pipeline_id, pipeline.arn)),
            *(store.profiles.get(other, name) for name in (profile.profile_id, profile.arn)),
            *(store.streams.get(other, name) for name in (stream.name, stream.arn)),
        ):
            assert found is None
        assert store.tags.list(other, domain.arn) == {}
        for page in (
            store.configurations.list(other, limit=9),
            store.domains.list(other, limit=9),
            store.pipelines.list(other, limit=9),
            store.profiles.list(other, domain.domain_id, limit=9),
            store.streams.list(other, limit=9),
            store.audit.list(other, limit=9),
        ):
            assert page.items == ()
        assert store.domains.count(other) == store.pipelines.count_active(other) == store.streams.count(other) == 0
        for delete in (
            lambda unit, other=other: unit.configurations.delete(other, configuration.arn),
            lambda unit, other=other: unit.pipelines.delete(other, pipeline.pipeline_id),
            lambda unit, other=other: unit.profiles.delete(other, profile.profile_id),
            lambda unit, other=other: unit.streams.delete(other, stream.name),
        ):
            assert store.write(delete) is False
        store.write(lambda unit, other=other: unit.tags.remove(other, domain.arn, ["a"]))
    assert store.tags.list(MINE, domain.arn) == {"a": "b"}
    assert store.pipelines.get(MINE, pipeline.pipeline_id) == pipeline


@pytest.mark.parametrize("text", ["a\0b", "half \ud800"])
def test_text_that_a_database_cannot_hold_is_a_bad_request(store: Store, text: str) -> None:
    domain = store.write(add_domain)
    with pytest.raises(BadRequest):
        store.write(lambda unit: unit.domains.update(MINE, domain.domain_id, description=text))
    with pytest.raises(BadRequest):
        store.configurations.get(MINE, text)
    try:
        assert store.domains.get(MINE, text) is None
    except BadRequest:
        return  # a compiled read may refuse it as well as not find it


def test_a_document_may_hold_any_text_and_no_infinite_number(store: Store) -> None:
    configure(store)
    body = {"text": "a\0b \ud800 ☎ 𝄞", "deep": [{"x": [1, None, True]}]}
    updated = store.write(lambda unit: unit.configurations.update(MINE, "analytics", body=body))
    assert updated is not None
    assert updated.body == body
    with pytest.raises(BadRequest):
        store.write(lambda unit: unit.configurations.update(MINE, "analytics", body={"x": float("nan")}))
