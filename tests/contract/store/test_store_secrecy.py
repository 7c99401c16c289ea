"""What the files of a SQLite database hold, read as bytes, and what of both databases can be read without the key."""

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import make_url, select
from store_examples import MINE, add_domain, add_pipeline, add_profile, vault

from earwitness.errors import CiphertextRefused
from earwitness.store.owners import domain_owner
from earwitness.store.schema import metadata
from earwitness.store.store import Store
from earwitness.vault.data_key import Place

SECRETS = {
    "secret": "AKSECRETvalue/0123456789abcdef",
    "metadata": "metadata-of-a-caller-+493012345",
    "token": "bearer-token-0123456789abcdef012",
    "request token": "client-token-0123456789",
    "request": "request-with-+493055555",
}


def _write_secrets(store: Store) -> tuple[str, bytes]:
    def work(unit):
        unit.access_keys.create(
            key_id="AKIA", account_id=MINE.account_id, role="admin", name="n", secret=SECRETS["secret"]
        )
        unit.bearer_tokens.create(
            token=SECRETS["token"], token_id="t" * 3, account_id=MINE.account_id, role="admin", name="n"
        )
        unit.idempotency.claim(
            MINE, operation="o", token=SECRETS["request token"], request=SECRETS["request"].encode(), reference="r"
        )
        return add_domain(unit), add_pipeline(unit, metadata={"phone": SECRETS["metadata"]})

    domain, pipeline = store.write(work)
    return pipeline.pipeline_id, domain.wrapped_key


def _files(url: str) -> dict[str, bytes]:
    path = Path(str(make_url(url).database))
    return {file.name: file.read_bytes() for file in path.parent.glob(path.name + "*")}


@pytest.fixture
def sqlite_only(kind: str) -> None:
    if kind != "sqlite":
        pytest.skip("the files of a PostgreSQL server are its own")


@pytest.mark.usefixtures("sqlite_only")
def test_no_secret_is_in_the_files_before_or_after_its_deletion(store: Store, url: str) -> None:
    pipeline_id, _ = _write_secrets(store)
    files = _files(url)
    assert "records.db-wal" in files
    for content in files.values():
        assert not any(secret.encode() in content for secret in SECRETS.values())
    store.write(lambda unit: unit.pipelines.delete(MINE, pipeline_id))
    store.write(lambda unit: unit.access_keys.delete(MINE.account_id, "AKIA"))
    for content in _files(url).values():
        assert not any(secret.encode() in content for secret in SECRETS.values())
        assert pipeline_id.encode() not in content


def test_no_secret_is_in_any_column(store: Store) -> None:
    _write_secrets(store)
    with store._database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    for secret in SECRETS.values():
                        assert secret not in str(value)
                        assert not (isinstance(value, bytes) and secret.encode() in value)


@pytest.mark.usefixtures("sqlite_only")
def test_a_deleted_domains_key_is_in_no_file_any_more(store: Store, url: str) -> None:
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    assert any(domain.wrapped_key in content for content in _files(url).values())
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    for content in _files(url).values():
        assert domain.wrapped_key not in content
        assert domain.domain_id.encode() not in content
        assert profile.profile_id.encode() not in content


@pytest.mark.usefixtures("sqlite_only")
def test_a_reader_in_the_way_delays_the_cleaning_and_nothing_else(store: Store, url: str) -> None:
    import sqlite3

    domain = store.write(add_domain)
    reader = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM voice_profile_domains").fetchone()
    assert store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id)) is True
    assert any(domain.wrapped_key in content for content in _files(url).values())
    reader.execute("COMMIT")
    reader.close()
    store.write(add_domain)
    assert not any(domain.wrapped_key in content for content in _files(url).values())


@pytest.mark.usefixtures("sqlite_only")
def test_the_files_are_their_owners_alone(store: Store, url: str) -> None:
    store.write(add_domain)
    path = Path(str(make_url(url).database))
    for file in path.parent.glob(path.name + "*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.usefixtures("sqlite_only")
def test_a_file_with_wider_rights_is_narrowed(url: str) -> None:
    from store_examples import opened

    path = Path(str(make_url(url).database))
    os.chmod(path, 0o644)  # noqa: PTH101
    opened(url).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_sealed_under_a_deleted_domain_is_unreadable(store: Store) -> None:
    domain = store.write(add_domain)
    owner = domain_owner(MINE, domain.domain_id)
    place = Place(account_id=MINE.account_id, table="voiceprints", row_id="v", column="vector")
    sealed = store._vault.key(domain.wrapped_key, owner=owner).seal(b"voiceprint", place)
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert store.domains.get(MINE, domain.domain_id) is None
    assert (domain.wrapped_key, owner) not in store._vault._remembered
    again = store.write(lambda unit: add_domain(unit, domain_id=domain.domain_id))
    with pytest.raises(CiphertextRefused):
        vault().key(again.wrapped_key, owner=owner).open(sealed, place)
