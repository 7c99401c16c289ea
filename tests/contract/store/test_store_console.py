"""What pages for people read beside what the APIs do: lists by state and by the beginning of an id, counts, Regions."""

from datetime import timedelta

from search_examples import append_event
from store_examples import MINE, OTHERS, START, add_domain, add_pipeline

from earwitness.store.records import DeliveryState, Scope
from earwitness.store.store import Store, Unit

QUEUE, TOPIC = "arn:aws:sqs:eu-central-1:111122223333:q", "arn:aws:sns:eu-central-1:111122223333:t"


def test_events_are_listed_newest_first_by_what_became_of_them(store: Store) -> None:
    pipeline_id = store.write(add_pipeline).pipeline_id
    made = [store.write(lambda unit: append_event(unit, pipeline_id, QUEUE, TOPIC)) for _ in range(3)]

    def deliver(unit: Unit) -> None:
        for one in unit.deliveries.claim(until=unit.now + timedelta(seconds=30), limit=10):
            if one.target == QUEUE:
                unit.deliveries.record_delivered(one)
            else:
                unit.deliveries.record_failed(one, error="no such topic; create it", retry_at=None)

    store.write(deliver)
    assert [one.event_id for one in store.events.newest(MINE, limit=10).items] == made[::-1]
    of_first = DeliveryState.DELIVERED, DeliveryState.PARKED
    assert [[one.event_id for one in store.events.newest(MINE, state=state, limit=10).items] for state in of_first] == [
        made[:1],
        made[:1],
    ]
    waiting = store.events.newest(MINE, state=DeliveryState.PENDING, limit=1)
    assert [one.event_id for one in waiting.items] == made[2:]
    rest = store.events.newest(MINE, state=DeliveryState.PENDING, after=waiting.next_key, limit=10)
    assert [one.event_id for one in rest.items] == made[1:2]
    assert store.events.delivery_counts(MINE) == {DeliveryState.PENDING: 4, DeliveryState.PARKED: 1}
    assert store.events.delivery_counts(OTHERS[0]) == {DeliveryState.PENDING: 0, DeliveryState.PARKED: 0}
    assert store.events.newest(OTHERS[0], limit=10).items == ()


def test_profiles_are_found_by_how_their_ids_begin(store: Store) -> None:
    def enrol(unit: Unit) -> str:
        domain_id = add_domain(unit).domain_id
        for days, profile_id in enumerate(("vp-b", "vp-a1", "vp-a2", "vp%a", "VP-A")):
            unit.profiles.create(
                MINE,
                profile_id=profile_id,
                domain_id=domain_id,
                arn=f"arn:aws:chime:eu-central-1:111122223333:voice-profile/{profile_id}",
                expires_at=START + timedelta(days=10 - days),
            )
        return domain_id

    domain_id = store.write(enrol)

    def found(prefix: str) -> set[str]:
        return {one.profile_id for one in store.profiles.list(MINE, domain_id, id_prefix=prefix, limit=10).items}

    assert found("vp-a") == {"vp-a1", "vp-a2"}
    assert found("vp%") == {"vp%a"}
    assert found("vp_") == set()
    assert len(found("")) == 5
    first = store.profiles.next_to_expire(MINE, domain_id)
    assert first is not None
    assert first.profile_id == "VP-A"
    assert store.profiles.next_to_expire(OTHERS[0], domain_id) is None


def test_an_account_knows_its_regions(store: Store) -> None:
    elsewhere = Scope(account_id=MINE.account_id, region="ap-south-1")
    store.write(add_pipeline)
    store.write(lambda unit: (add_domain(unit), add_domain(unit, elsewhere)))
    assert store.credentials.regions_of(MINE.account_id) == ("ap-south-1", MINE.region)
    assert store.credentials.regions_of("000000000001") == ()


def test_a_token_is_found_by_its_id_in_its_account_alone(store: Store) -> None:
    store.write(
        lambda unit: unit.bearer_tokens.create(
            token="t" * 47,
            token_id="tok-1",  # noqa: S106
            account_id=MINE.account_id,
            role="reader",
            name="",
        )
    )
    found = store.bearer_tokens.get(MINE.account_id, "tok-1")
    assert found is not None
    assert (found.role, found.state) == ("reader", "enabled")
    assert store.bearer_tokens.get("000000000001", "tok-1") is None
    store.write(lambda unit: unit.bearer_tokens.revoke(MINE.account_id, "tok-1"))
    revoked = store.bearer_tokens.get(MINE.account_id, "tok-1")
    assert revoked is not None
    assert revoked.state == "revoked"


def test_a_sign_in_that_was_ended_is_ended_for_all_who_read_and_no_other_is(store: Store) -> None:
    mine, others = (MINE.account_id, "session-1"), (OTHERS[0].account_id, "session-2")
    assert store.ended_sessions.among({mine, others}) == set()
    assert store.ended_sessions.among(set()) == set()
    assert store.write(lambda unit: unit.ended_sessions.end(*mine))
    assert not store.write(lambda unit: unit.ended_sessions.end(*mine))
    assert store.ended_sessions.among({mine, others, (MINE.account_id, "session-3")}) == {mine}
    assert store.ended_sessions.among({(OTHERS[0].account_id, "session-1")}) == set()
