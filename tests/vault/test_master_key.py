"""The master key's file: made once, whole, and for its owner's eyes."""

import base64
import stat
import threading
from pathlib import Path

import pytest

from earwitness.errors import MasterKeyInvalid
from earwitness.vault.master_key import MasterKey, load_or_make_master_key, master_key_from_text

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "master.key"


def test_a_key_is_made_at_the_first_start_and_found_at_the_second(path: Path) -> None:
    made = load_or_make_master_key(path, random_bytes=lambda count: KEY[:count])
    assert made.key == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_or_make_master_key(path, random_bytes=lambda count: b"x" * count) == made
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_of_several_first_starts_all_get_one_key(path: Path) -> None:
    found: list[bytes] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        found.append(load_or_make_master_key(path).key)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {load_or_make_master_key(path).key}


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_may_open_is_refused(path: Path, rights: int) -> None:
    load_or_make_master_key(path)
    path.chmod(rights)
    with pytest.raises(MasterKeyInvalid, match="chmod 600"):
        load_or_make_master_key(path)


@pytest.mark.parametrize("content", [b"", b"\n", TEXT.encode()[:-1], b"\xff" * 44, b"A" * 1000, b"not base64 at all"])
def test_a_file_that_holds_no_key_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    load_or_make_master_key(path)
    path.write_bytes(content)
    with pytest.raises(MasterKeyInvalid, match="backup"):
        load_or_make_master_key(path)
    assert path.read_bytes() == content


def test_what_is_no_file_or_has_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyInvalid):
        load_or_make_master_key(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(MasterKeyInvalid):
        load_or_make_master_key(tmp_path / "file" / "master.key")


def test_a_leftover_of_a_start_that_was_killed_does_no_harm(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".master.key.killed").write_bytes(b"half a k")
    assert len(load_or_make_master_key(path).key) == 32


def test_a_key_is_given_by_value() -> None:
    assert master_key_from_text(TEXT).key == KEY
    assert master_key_from_text(f" {TEXT}\n").key == KEY


@pytest.mark.parametrize("text", ["", "secret-ish", "☎" * 44, TEXT + "AAAA", base64.b64encode(b"x" * 16).decode()])
def test_a_value_that_is_no_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(MasterKeyInvalid) as caught:
        master_key_from_text(text)
    assert not text or text not in str(caught.value)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(MasterKeyInvalid, match="31"):
        MasterKey(key=b"x" * 31)
