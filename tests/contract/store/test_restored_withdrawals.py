"""Withdrawals stay in force when an older backup is restored, also for who came back and for who did not.

A withdrawal that is done again counts from when it was made: older consents count no more, newer ones do.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from consent_examples import SUBJECT, TERMS, later, named, task_of
from restored_examples import backup_of, keeper_of, order_for, reopened, restored
from search_examples import adopted, end, enrol, voiceprint
from store_examples import MINE, Clock, add_domain, guid

from earwitness.errors import ConsentMissing
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Store, Unit
from earwitness.tasks.withdrawing import because_of
from earwitness.voice.consent import CarriedConsent, ConsentTerms

DAY = timedelta(days=1)


class Life:
    """What becomes of the records: backups, losses, and the days between; consents are of the subject."""

    def __init__(self, store: Store, url: str, new_target: Callable[[Path], str], clock: Clock, folder: Path) -> None:
        self.store, self.clock = store, clock
        self.domain_id = store.write(add_domain).domain_id
        self.restored = ExitStack()
        self._url, self._new_target, self._folder = url, new_target, folder

    def backup(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        backup_of(self.store, self._url, self._folder / "backups", self.clock, meanwhile=meanwhile)

    def withdraw(self, subject: str = SUBJECT) -> None:
        self.store.write(lambda unit: _withdraw(unit, subject))

    def enrolled(self, consent: ConsentTerms) -> VoiceProfile:
        """A profile that is enrolled with this consent."""
        task = self.store.write(lambda unit: task_of(unit, self.domain_id, CarriedConsent(terms=consent)))
        task = adopted(self.store, task)
        made = {"attempt": task.attempt, "voiceprint": voiceprint()}
        self.store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, **made))
        return enrol(self.store, end(self.store, task))

    def lose_and_restore(self) -> Store:
        """The records as they are after a restore of the newest backup, ten days later."""
        keeper_of(self.store, self.clock).look()
        self.clock.advance(10 * DAY)
        folder = self._folder / f"new-{guid()}"
        folder.mkdir()
        self._url = self._new_target(folder)
        restored(self._folder / "backups", order_for(self._url, folder), self.clock)
        self.store = self.restored.enter_context(reopened(self._url, self.clock))
        return self.store

    def is_accepted(self, consent: ConsentTerms) -> bool:
        """Whether the records take this consent, in a domain where there was none before."""
        other = self.store.write(add_domain).domain_id
        try:
            self.store.write(lambda unit: unit.consents.record(MINE, other, consent))
        except ConsentMissing:
            return False
        return True

    def is_searched(self) -> bool:
        """Whether a task is started for the subject, without any consent that comes with it."""
        try:
            self.store.write(lambda unit: task_of(unit, self.domain_id, named()))
        except ConsentMissing:
            return False
        return True


@pytest.fixture
def life(store: Store, url: str, new_target: Callable[[Path], str], clock: Clock, tmp_path: Path) -> Iterator[Life]:
    made = Life(store, url, new_target, clock, tmp_path)
    with made.restored:
        yield made


def _withdraw(unit: Unit, subject: str) -> None:
    asked = {"withdrawal_id": f"withdrawal-{guid()}", "key_id": "AKIA"}
    because_of(unit, **asked)
    unit.withdrawals.begin(MINE, subject, **asked, forget_metadata=lambda _pipeline: {})


def _held(store: Store, subject: str = SUBJECT) -> tuple[int, int, int]:
    """How many consents, profiles and tasks of the subject there are."""
    held = store.subjects.held(MINE, store.subject_digest(MINE, subject))
    return len(held.consents), len(held.profiles), len(held.tasks)


def _noted(store: Store) -> datetime | None:
    """When the subject has withdrawn last, as a report tells it."""
    return store.consents.withdrawn_at(MINE, store.subject_digest(MINE, SUBJECT))


def test_a_withdrawal_is_done_again(life: Life) -> None:
    life.enrolled(TERMS)
    life.backup()
    for subject in (SUBJECT, "customer nobody knew"):
        life.withdraw(subject)
    again = life.lose_and_restore()
    assert _held(again) == (0, 0, 0)
    assert len(again.withdrawals.open(limit=9)) == 1  # media and results are looked for anew
    for subject in (SUBJECT, "customer nobody knew"):
        with pytest.raises(ConsentMissing, match="withdrawn"):
            again.write(lambda unit, subject=subject: task_of(unit, life.domain_id, named(subject)))


def test_a_withdrawal_that_is_done_again_counts_from_when_it_was_made(life: Life) -> None:
    """Consent, backup, withdrawal; on the fifth of ten days until the restore, a new consent that nobody has kept."""
    life.enrolled(TERMS)
    life.backup()
    life.withdraw()
    withdrawn_at = _noted(life.store)
    assert _noted(life.lose_and_restore()) == withdrawn_at
    assert not life.is_accepted(TERMS)
    assert not life.is_searched()
    assert life.is_accepted(later(5))


def test_a_new_consent_in_the_backup_stays_in_force(life: Life) -> None:
    """Withdrawal, new consent and enrolment, backup: the restore does nothing again."""
    first = life.enrolled(TERMS)
    life.withdraw()
    life.clock.advance(2 * DAY)
    second = life.enrolled(later(1))
    life.backup()
    again = life.lose_and_restore()
    assert again.profiles.get(MINE, first.profile_id) is None
    assert again.profiles.get(MINE, second.profile_id) is not None
    assert life.is_searched()
    assert _held(again)[:2] == (1, 1)
    assert not life.is_accepted(TERMS)


def test_a_new_consent_stays_in_force_whose_withdrawal_the_ledger_has_behind_the_backup(life: Life) -> None:
    """What is withdrawn while a backup begins is in the records of the backup, which know that it was done."""
    enrolled: list[VoiceProfile] = []

    def withdraw_and_consent_anew() -> None:
        life.withdraw()
        life.clock.advance(DAY)
        enrolled.append(life.enrolled(later(0.5)))

    life.enrolled(TERMS)
    life.backup(withdraw_and_consent_anew)
    again = life.lose_and_restore()
    (profile,) = enrolled
    assert again.profiles.get(MINE, profile.profile_id) is not None
    assert _held(again)[:2] == (1, 1)
    assert life.is_searched()


def test_a_new_consent_that_is_lost_can_be_recorded_with_its_own_time(life: Life) -> None:
    """Withdrawal, backup, new consent, loss."""
    life.enrolled(TERMS)
    life.withdraw()
    life.backup()
    life.clock.advance(2 * DAY)
    profile = life.enrolled(later(1))
    again = life.lose_and_restore()
    assert again.profiles.get(MINE, profile.profile_id) is None
    assert not life.is_searched()
    assert not life.is_accepted(TERMS)
    assert life.is_accepted(later(1))


def test_of_two_withdrawals_the_second_counts(life: Life) -> None:
    """Withdrawal, new consent and enrolment, backup, second withdrawal: the new consent is withdrawn as well."""
    life.withdraw()
    life.clock.advance(2 * DAY)
    profile = life.enrolled(later(1))
    life.backup()
    life.clock.advance(2 * DAY)
    life.withdraw()
    again = life.lose_and_restore()
    assert again.profiles.get(MINE, profile.profile_id) is None
    assert _held(again) == (0, 0, 0)
    assert not life.is_accepted(later(1))
    assert not life.is_accepted(later(3))
    assert life.is_accepted(later(5))


def test_the_second_withdrawal_counts_where_the_backup_has_the_first_and_nothing_else(life: Life) -> None:
    """Withdrawal, backup, new consent, second withdrawal: nothing of the subject comes back, and it is refused."""
    life.enrolled(TERMS)
    life.withdraw()
    life.backup()
    life.clock.advance(2 * DAY)
    life.enrolled(later(1))
    life.withdraw()
    life.lose_and_restore()
    assert not life.is_accepted(later(1))
    assert not life.is_searched()
    assert life.is_accepted(later(5))


def test_of_two_withdrawals_after_the_backup_the_second_counts(life: Life) -> None:
    """Consent, backup, withdrawal, new consent, second withdrawal."""
    life.enrolled(TERMS)
    life.backup()
    life.withdraw()
    life.clock.advance(2 * DAY)
    life.enrolled(later(1))
    life.withdraw()
    withdrawn_at = _noted(life.store)
    assert _noted(life.lose_and_restore()) == withdrawn_at
    assert not life.is_accepted(later(1))
    assert life.is_accepted(later(5))


def test_a_consent_of_a_later_time_goes_with_the_withdrawal_that_deleted_it(life: Life) -> None:
    """Clocks differ: a consent may be dated after the withdrawal that came after it. In doubt it is deleted."""
    now = life.clock()
    life.enrolled(replace(TERMS, given_at=now + timedelta(minutes=4)))
    life.backup()
    life.withdraw()
    again = life.lose_and_restore()
    assert _held(again) == (0, 0, 0)
    assert not life.is_searched()


def test_what_was_done_again_is_not_done_a_second_time(life: Life) -> None:
    """Consent, backup, withdrawal, restore, new consent, backup, restore: the new consent stays in force."""
    life.enrolled(TERMS)
    life.backup()
    life.withdraw()
    life.lose_and_restore()
    profile = life.enrolled(later(5))
    life.backup()
    again = life.lose_and_restore()
    assert again.profiles.get(MINE, profile.profile_id) is not None
    assert _held(again)[:2] == (1, 1)
    assert life.is_searched()
    assert not life.is_accepted(TERMS)
