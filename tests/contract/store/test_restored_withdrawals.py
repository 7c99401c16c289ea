"""Withdrawals stay in force when an older backup is restored, also for who came back and for who did not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from consent_examples import SUBJECT, TERMS, named, task_of
from postgres_server import create_database, drop_database, url_of
from restored_examples import backup_of, keeper_of, order_for, reopened, restored
from search_examples import adopted, end, enrol, voiceprint
from store_examples import MINE, Clock, add_domain, guid

from earwitness.errors import ConsentMissing
from earwitness.store.store import Store, Unit
from earwitness.tasks.withdrawing import because_of
from earwitness.voice.consent import CarriedConsent


@pytest.fixture
def target(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a backup is put back."""
    if kind == "sqlite":
        (tmp_path / "new").mkdir()
        yield f"sqlite:///{tmp_path / 'new' / 'records.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = create_database(server)
    yield url_of(server, name)
    drop_database(server, name)


def _withdraw(unit: Unit, subject: str) -> None:
    asked = {"withdrawal_id": f"withdrawal-{guid()}", "key_id": "AKIA"}
    because_of(unit, **asked)
    unit.withdrawals.begin(MINE, subject, **asked, forget_metadata=lambda _pipeline: {})


def test_a_withdrawal_is_done_again(store: Store, url: str, target: str, clock: Clock, tmp_path: Path) -> None:
    domain_id = store.write(add_domain).domain_id
    task = adopted(store, store.write(lambda unit: task_of(unit, domain_id, CarriedConsent(terms=TERMS))))
    made = {"attempt": task.attempt, "voiceprint": voiceprint()}
    store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, **made))
    enrol(store, end(store, task))
    place = tmp_path / "backups"
    backup_of(store, url, place, clock)
    for subject in (SUBJECT, "customer nobody knew"):
        store.write(lambda unit, subject=subject: _withdraw(unit, subject))
    keeper_of(store, clock).look()
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        held = again.subjects.held(MINE, again.subject_digest(MINE, SUBJECT))
        assert (held.consents, held.profiles, held.tasks) == ((), (), ())
        assert len(again.withdrawals.open(limit=9)) == 1  # media and results are looked for anew
        for subject in (SUBJECT, "customer nobody knew"):
            with pytest.raises(ConsentMissing, match="withdrawn"):
                again.write(lambda unit, subject=subject: task_of(unit, domain_id, named(subject)))
