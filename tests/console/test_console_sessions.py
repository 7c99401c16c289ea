"""What browsers keep: for how long, bound to what, and that nobody makes one up."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest
from rest_examples import Clock

from earwitness.console.sessions import LINK_GOOD, REPLACED, SIGNED_IN, UNUSED, Sessions
from earwitness.errors import Unauthorized
from earwitness.vault.data_key import DataKey

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sessions_of(clock: Clock, key: bytes = bytes(32), *, numbers: Callable[[], int] | None = None) -> Sessions:
    next_number = numbers or count(1).__next__
    return Sessions(DataKey(key), clock=clock, new_id=lambda: f"id-{next_number()}")


def test_a_session_opens_on_every_node_and_keeps_what_it_was_opened_with(clock: Clock) -> None:
    here, there = sessions_of(clock), sessions_of(clock)
    session = here.begin(account_id="111122223333", token_id="tok-1")  # noqa: S106
    assert there.open(here.seal(session)) == session


def test_a_value_that_is_not_used_is_good_for_an_hour(clock: Clock) -> None:
    sessions = sessions_of(clock)
    sealed = sessions.seal(sessions.begin(account_id="1", token_id="t"))  # noqa: S106
    clock.now += UNUSED - SECOND
    sessions.open(sealed)
    clock.now += SECOND
    with pytest.raises(Unauthorized, match="sign in again"):
        sessions.open(sealed)


def test_a_sign_in_that_is_used_all_the_time_lasts_twelve_hours(clock: Clock) -> None:
    sessions = sessions_of(clock)
    session = sessions.begin(account_id="1", token_id="t")  # noqa: S106
    sealed, began = sessions.seal(session), clock.now
    while clock.now < began + SIGNED_IN - REPLACED:
        clock.now += REPLACED
        opened = sessions.open(sealed)
        assert sessions.is_to_be_replaced(opened)
        sealed = sessions.seal(opened)
        assert not sessions.is_to_be_replaced(sessions.open(sealed))
    clock.now = began + SIGNED_IN
    with pytest.raises(Unauthorized):
        sessions.open(sealed)


def test_nobody_makes_a_session_up(clock: Clock) -> None:
    sessions, other = sessions_of(clock), sessions_of(clock, bytes(range(32)))
    session = sessions.begin(account_id="1", token_id="t")  # noqa: S106
    sealed = sessions.seal(session)
    changed = sealed[:-2] + ("A" if sealed[-2] != "A" else "B") + sealed[-1]
    link = sessions.link(account_id="1", token_id="t")  # noqa: S106
    for wrong in ("", "x", "é", changed, sealed[:-8], other.seal(session), link, sessions.form_token(session)):
        with pytest.raises(Unauthorized):
            sessions.open(wrong)
    with pytest.raises(Unauthorized):
        sessions.open_link(sealed)


def test_a_form_is_of_one_session_and_another_text_each_time(clock: Clock) -> None:
    sessions = sessions_of(clock)
    mine, other = (sessions.begin(account_id="1", token_id="t") for _ in range(2))  # noqa: S106
    first, second = sessions.form_token(mine), sessions.form_token(mine)
    assert first != second
    assert sessions.fits(mine, first)
    assert sessions.fits(mine, second)
    assert not sessions.fits(other, first)
    assert not sessions.fits(mine, "")
    assert not sessions.fits(mine, sessions.seal(mine))


def test_a_link_is_good_for_five_minutes(clock: Clock) -> None:
    sessions = sessions_of(clock)
    sealed = sessions.link(account_id="1", token_id="t")  # noqa: S106
    clock.now += LINK_GOOD - SECOND
    assert sessions.open_link(sealed).account_id == "1"
    clock.now += SECOND
    with pytest.raises(Unauthorized, match="five minutes"):
        sessions.open_link(sealed)


def test_a_message_is_shown_as_it_was_sealed(clock: Clock) -> None:
    sessions = sessions_of(clock)
    assert sessions.open_message(sessions.seal_message("It is deleted.")) == "It is deleted."
    assert sessions.open_message("somebody else's") == ""
