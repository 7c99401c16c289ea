"""Nobody meets another account's records, and no input breaks a database."""

import pytest
from search_examples import IDENTIFICATION, append_event, end, enrol, voiceprint, with_voiceprint
from store_examples import MINE, OTHERS, add_domain, add_pipeline, add_profile, add_stream, configure

from earwitness.errors import AttemptSuperseded, BadRequest, NotFound
from earwitness.store.store import Store
from earwitness.voice.task_status import StopReason


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


def test_nobody_sees_or_changes_another_accounts_or_regions_searches(store: Store) -> None:
    task = with_voiceprint(store, audio=b"speech")
    profile = enrol(store, task)
    event_id = store.write(lambda unit: append_event(unit, task.pipeline_id, "arn:q"))
    (mine,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    before = store.tasks.get(MINE, task.task_id), store.domains.get(MINE, task.domain_id)
    for other in OTHERS:
        assert store.tasks.get(other, task.task_id) is None
        assert store.tasks.list(other, task.pipeline_id, limit=9).items == ()
        assert store.tasks.count_active(other) == 0
        assert store.task_voiceprints.get(other, task.task_id) is None
        assert store.profile_voiceprints.list(other, profile.profile_id) == ()
        assert store.profile_voiceprints.audio(other, profile.profile_id, mine.voiceprint_id) is None
        assert store.profile_voiceprints.gallery_page(other, task.domain_id, limit=9) is None
        assert store.events.get(other, event_id) is None
        assert store.events.list(other, task.pipeline_id, limit=9).items == ()
        for nothing in (
            lambda unit, other=other: unit.tasks.request_stop(other, task.task_id, reason=StopReason.CALLER),
            lambda unit, other=other: unit.attempts.adopt(other, task.task_id),
            lambda unit, other=other: unit.deliveries.replay(other, event_id),
            lambda unit, other=other: unit.profiles.add_voiceprint(
                other, profile.profile_id, voiceprint_id="2", voiceprint=voiceprint(), expires_at=unit.now
            ),
        ):
            assert store.write(nothing) is None
        assert not store.write(
            lambda unit, other=other: unit.tasks.request_stop_of_pipeline(
                other, task.pipeline_id, reason=StopReason.CALLER
            )
        )
        assert not store.write(
            lambda unit, other=other: unit.profile_voiceprints.delete(other, profile.profile_id, mine.voiceprint_id)
        )
        with pytest.raises(AttemptSuperseded):
            store.write(
                lambda unit, other=other: unit.attempts.conclude_identification(
                    other, task.task_id, attempt=1, identification=IDENTIFICATION
                )
            )
        with pytest.raises(NotFound):
            store.write(
                lambda unit, other=other: unit.profiles.update_from_task(
                    other, profile.profile_id, task_id=task.task_id, voiceprint_id="2", expires_at=unit.now
                )
            )
    assert (store.tasks.get(MINE, task.task_id), store.domains.get(MINE, task.domain_id)) == before
    assert store.profile_voiceprints.list(MINE, profile.profile_id) == (mine,)
    end(store, task)


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
