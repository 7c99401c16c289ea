"""Access keys and bearer tokens."""

import pytest
from store_examples import MINE, OTHERS

from earwitness.errors import AlreadyExists, CiphertextRefused
from earwitness.store.store import Store

ACCOUNT = MINE.account_id
LATER = "n3w"
FIRST = "t1"


def _create(store: Store, key_id: str = "AKIAONE", *, account_id: str = ACCOUNT):
    return store.write(
        lambda unit: unit.access_keys.create(
            key_id=key_id, account_id=account_id, role="admin", name="build", secret="s3cr3t/of+" + key_id
        )
    )


def test_a_key_is_found_by_its_id_and_tells_its_account(store: Store) -> None:
    created = _create(store)
    assert store.access_keys.get("AKIAONE") == created
    assert (created.account_id, created.state, created.role) == (ACCOUNT, "enabled", "admin")
    assert store.access_keys.get("AKIANONE") is None
    assert "s3cr3t" not in repr(created)
    with pytest.raises(AlreadyExists):
        _create(store, account_id=OTHERS[0].account_id)


def test_a_key_is_disabled_and_deleted_by_its_own_account_only(store: Store) -> None:
    _create(store)
    assert store.write(lambda unit: unit.access_keys.disable("000000000000", "AKIAONE")) is False
    assert store.write(lambda unit: unit.access_keys.rotate("000000000000", "AKIAONE", secret=LATER)) is None
    assert store.write(lambda unit: unit.access_keys.delete("000000000000", "AKIAONE")) is False
    assert store.write(lambda unit: unit.access_keys.disable(ACCOUNT, "AKIAONE")) is True
    found = store.access_keys.get("AKIAONE")
    assert found is not None
    assert found.state == "disabled"
    assert store.write(lambda unit: unit.access_keys.delete(ACCOUNT, "AKIAONE")) is True
    assert store.access_keys.get("AKIAONE") is None


def test_a_rotated_key_has_another_secret(store: Store) -> None:
    created = _create(store)
    rotated = store.write(lambda unit: unit.access_keys.rotate(ACCOUNT, "AKIAONE", secret=LATER))
    assert rotated is not None
    assert (rotated.secret, rotated.created_at) == (LATER, created.created_at)
    assert store.access_keys.get("AKIAONE") == rotated


def test_what_another_process_does_to_a_key_is_seen_at_the_next_read(store: Store, open_again) -> None:
    created = _create(store)
    for _ in range(2):  # the second time, the secret is not decrypted again
        assert store.access_keys.get("AKIAONE") == created
    other = open_again()
    assert other.access_keys.get("AKIAONE") == created
    rotated = other.write(lambda unit: unit.access_keys.rotate(ACCOUNT, "AKIAONE", secret=LATER))
    assert store.access_keys.get("AKIAONE") == rotated
    assert other.write(lambda unit: unit.access_keys.disable(ACCOUNT, "AKIAONE"))
    found = store.access_keys.get("AKIAONE")
    assert found is not None
    assert found.state == "disabled"
    assert other.write(lambda unit: unit.access_keys.delete(ACCOUNT, "AKIAONE"))
    assert store.access_keys.get("AKIAONE") is None


def test_keys_are_listed_by_account(store: Store) -> None:
    mine = [_create(store, f"AKIA{number}") for number in (2, 1, 3)]
    _create(store, "AKIAOTHER", account_id=OTHERS[0].account_id)
    first = store.access_keys.list(ACCOUNT, limit=2)
    second = store.access_keys.list(ACCOUNT, after=first.next_key, limit=2)
    assert [*first.items, *second.items] == mine
    assert second.next_key is None


def test_a_secret_moved_to_another_key_is_refused(store: Store) -> None:
    from sqlalchemy import select, update

    from earwitness.store.schema import access_keys

    _create(store, "AKIAONE")
    _create(store, "AKIATWO")

    def move(unit) -> None:
        session = unit._writing.session
        chosen = select(access_keys.c.secret_ciphertext, access_keys.c.wrapped_key)
        ciphertext, wrapped_key = session.row(chosen.where(access_keys.c.key_id == "AKIAONE")).values()
        moved = update(access_keys).where(access_keys.c.key_id == "AKIATWO")
        session.change(moved.values(secret_ciphertext=ciphertext, wrapped_key=wrapped_key))

    store.write(move)
    with pytest.raises(CiphertextRefused):
        store.access_keys.get("AKIATWO")
    assert store.access_keys.get("AKIAONE") is not None


def test_a_bearer_token_is_looked_up_listed_and_revoked(store: Store) -> None:
    created = store.write(
        lambda unit: unit.bearer_tokens.create(
            token="ew_" + "r" * 40, token_id=FIRST, account_id=ACCOUNT, role="reader", name="console"
        )
    )
    assert store.bearer_tokens.find("ew_" + "r" * 40) == created
    assert store.bearer_tokens.find("ew_" + "r" * 39) is None
    assert store.bearer_tokens.find("half \ud800 \0") is None
    assert store.bearer_tokens.list(ACCOUNT, limit=5).items == (created,)
    assert store.bearer_tokens.list(OTHERS[0].account_id, limit=5).items == ()
    assert store.write(lambda unit: unit.bearer_tokens.revoke("000000000000", "t1")) is False
    assert store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "t1")) is True
    found = store.bearer_tokens.find("ew_" + "r" * 40)
    assert found is not None
    assert found.state == "revoked"


def test_which_keys_and_tokens_may_be_used_is_one_answer(store: Store) -> None:
    created, other = _create(store), _create(store, "AKIATWO", account_id=OTHERS[0].account_id)
    for token_id in ("tok-1", "tok-2"):
        store.write(
            lambda unit, token_id=token_id: unit.bearer_tokens.create(
                token=token_id, token_id=token_id, account_id=ACCOUNT, role="reader", name=""
            )
        )
    ids = {"AKIAONE", "AKIATWO", "AKIANONE", "tok-1", *(f"more-{n}" for n in range(1_200))}
    theirs = {(OTHERS[0].account_id, "AKIATWO"): other.version}
    mine = {(ACCOUNT, "AKIAONE"): created.version, (ACCOUNT, "tok-1"): b""}
    assert store.credentials.enabled(ids) == mine | theirs
    rotated = store.write(lambda unit: unit.access_keys.rotate(ACCOUNT, "AKIAONE", secret=LATER))
    assert rotated is not None and rotated.version != created.version
    store.write(lambda unit: unit.access_keys.disable(OTHERS[0].account_id, "AKIATWO"))
    store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "tok-1"))
    assert store.credentials.enabled(ids) == {(ACCOUNT, "AKIAONE"): rotated.version}


def test_whose_a_key_or_token_is(store: Store) -> None:
    _create(store)
    for account_id in (ACCOUNT, OTHERS[0].account_id):
        store.write(
            lambda unit, account_id=account_id: unit.bearer_tokens.create(
                token=account_id,
                token_id="tok-1",  # noqa: S106  # an id is no secret
                account_id=account_id,
                role="reader",
                name="",
            )
        )
    store.write(lambda unit: unit.access_keys.disable(ACCOUNT, "AKIAONE"))
    assert store.credentials.accounts_of("AKIAONE") == (ACCOUNT,)
    assert store.credentials.accounts_of("tok-1") == tuple(sorted((ACCOUNT, OTHERS[0].account_id)))
    assert store.credentials.accounts_of("AKIANONE") == ()
