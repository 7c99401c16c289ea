"""Where master keys are, and what becomes of the files when one takes the place of another."""

import base64
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import MasterKeyInvalid
from earwitness.vault.key_folder import KeyFolder, passphrase_in
from earwitness.vault.master_key import MasterKey, read_master_key, write_master_key
from earwitness.vault.passphrase import key_of_passphrase, new_key, read_parameters

COST = 2**14
WORDS = "correct horse battery staple"
NEXT = MasterKey(key=b"n" * 32)
OTHER = MasterKey(key=b"o" * 32)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"settings.toml"}  # that is of the tests' settings


def of_passphrase(folder: Path, words: str = WORDS) -> KeyFolder:
    return KeyFolder(folder, ask=lambda: words)


def ids(folder: KeyFolder) -> list[str]:
    return [key.key_id for key in folder.found()]


def test_the_file_is_made_only_where_it_may_be(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    assert folder.found() == ()
    (made,) = folder.found(may_make=True)
    assert folder.found() == (made,)
    assert made.source == "file"


def test_a_file_takes_the_place_of_a_file(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    (former,) = folder.found(may_make=True)
    folder.offer(NEXT)
    assert ids(folder) == [former.key_id, NEXT.key_id]
    assert folder.settle(former.key_id) == ""
    assert ids(folder) == [former.key_id, NEXT.key_id], "nothing happens before the end of a rotation"
    for _ in range(2):
        assert folder.settle(NEXT.key_id) == ""
        assert ids(folder) == [NEXT.key_id]
        assert names(tmp_path) == {"master.key", f"master.key.former-{former.key_id}"}
    assert read_master_key(tmp_path / f"master.key.former-{former.key_id}") == former


def test_a_passphrase_takes_the_place_of_a_file_and_a_file_that_of_a_passphrase(tmp_path: Path) -> None:
    (former,) = KeyFolder(tmp_path).found(may_make=True)
    key, parameters = new_key(WORDS, cost=COST)
    KeyFolder(tmp_path).offer(key, parameters)
    KeyFolder(tmp_path).settle(key.key_id)
    assert names(tmp_path) == {"master.key.scrypt", f"master.key.former-{former.key_id}"}
    assert ids(of_passphrase(tmp_path)) == [key.key_id]
    with pytest.raises(MasterKeyInvalid, match="made of a passphrase"):
        KeyFolder(tmp_path).found()
    KeyFolder(tmp_path).offer(NEXT)
    KeyFolder(tmp_path).settle(NEXT.key_id)
    assert ids(KeyFolder(tmp_path)) == [NEXT.key_id]
    assert f"master.key.scrypt.former-{key.key_id}" in names(tmp_path)


@pytest.mark.parametrize("to_passphrase", [False, True])
def test_whatever_is_killed_while_files_change_all_keys_are_found(tmp_path: Path, to_passphrase: bool) -> None:
    """After each renaming of `settle`, by itself."""
    key, parameters = new_key(WORDS, cost=COST) if to_passphrase else (NEXT, None)
    for renamings in range(4):
        home = tmp_path / str(renamings)
        folder = KeyFolder(home)
        folder.found(may_make=True)
        folder.offer(key, parameters)
        left = [renamings]

        def until_killed(path: Path, to: Path | None = None, left: list[int] = left, **_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            if to is None:
                os.unlink(path)  # noqa: PTH108  # what is in its place is this
            else:
                shutil.move(path, to)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Path, "rename", until_killed)
            patched.setattr(Path, "unlink", until_killed)
            with suppress(KeyboardInterrupt):
                folder.settle(key.key_id)
        words = WORDS if (home / "master.key.scrypt").exists() else ""
        assert key.key_id in ids(of_passphrase(home, words))
        of_passphrase(home, words).settle(key.key_id)
        words = WORDS if to_passphrase else ""
        assert ids(of_passphrase(home, words)) == [key.key_id]
        assert not (home / "master.key.next").exists()


def test_a_value_is_told_to_be_changed(tmp_path: Path) -> None:
    given = base64.b64encode(OTHER.key).decode()
    folder = KeyFolder(tmp_path, text=given)
    folder.offer(NEXT)
    assert ids(folder) == [OTHER.key_id, NEXT.key_id]
    assert "set it to the one in" in folder.settle(NEXT.key_id)
    assert ids(folder) == [OTHER.key_id, NEXT.key_id]
    changed = KeyFolder(tmp_path, text=base64.b64encode(NEXT.key).decode())
    assert changed.settle(NEXT.key_id) == ""
    assert names(tmp_path) == set()


def test_salt_of_a_passphrase_that_was_broken_off_is_not_taken_for_anothers(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.found(may_make=True)
    folder.next_parameters.write_bytes(new_key(WORDS, cost=COST)[1].as_bytes())
    folder.offer(NEXT)
    folder.settle(NEXT.key_id)
    assert "master.key.scrypt" not in names(tmp_path)


def test_a_wrong_passphrase_is_told(tmp_path: Path) -> None:
    key, parameters = new_key(WORDS, cost=COST)
    (tmp_path / "master.key.scrypt").write_bytes(parameters.as_bytes())
    (tmp_path / "master.key.scrypt").chmod(0o600)
    assert ids(of_passphrase(tmp_path)) == [key.key_id]
    with pytest.raises(MasterKeyInvalid, match="not the one"):
        of_passphrase(tmp_path, f"{WORDS}!").found()
    with pytest.raises(MasterKeyInvalid, match="at least 12 characters"):
        new_key("short", cost=COST)


def test_a_passphrase_beside_a_key_in_a_file_is_refused(tmp_path: Path) -> None:
    KeyFolder(tmp_path).found(may_make=True)
    with pytest.raises(MasterKeyInvalid, match="rotate --passphrase"):
        of_passphrase(tmp_path).found()


@pytest.mark.parametrize(
    ("name", "there"),
    [("master.key.scrypt", True), ("master.key.next", False)],
)
def test_files_open_to_others_are_refused(tmp_path: Path, name: str, there: bool) -> None:
    _, parameters = new_key(WORDS, cost=COST)
    if there:
        (tmp_path / name).write_bytes(parameters.as_bytes())
    else:
        write_master_key(tmp_path / name, NEXT)
    (tmp_path / name).chmod(0o644)
    with pytest.raises(MasterKeyInvalid, match="open to others"):
        of_passphrase(tmp_path).found()


@pytest.mark.parametrize(("content", "rights"), [(b"", 0o600), (b"\n", 0o600), (b"\xff\xfe", 0o600), (b"words", 0o644)])
def test_a_passphrase_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, rights: int) -> None:
    path = tmp_path / "words"
    path.write_bytes(content)
    path.chmod(rights)
    with pytest.raises(MasterKeyInvalid, match="passphrase"):
        passphrase_in(path)
    with pytest.raises(MasterKeyInvalid, match="missing"):
        passphrase_in(tmp_path / "none")


def test_the_first_line_is_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text(f"{WORDS}\r\nand more\n", encoding="utf-8")
    path.chmod(0o600)
    assert passphrase_in(path) == WORDS


@given(st.binary(max_size=200) | st.sampled_from([b'{"kdf":"scrypt","n":1099511627776,"r":8,"p":1,"salt":"AAAA"}']))
def test_damaged_parameters_are_refused(content: bytes) -> None:
    with pytest.raises(MasterKeyInvalid, match="damaged"):
        read_parameters(content)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_parameters_changed_anywhere_are_refused_or_make_no_key(at: int, byte: int) -> None:
    key, parameters = _KEPT
    content = bytearray(parameters.as_bytes())
    content[at % len(content)] = byte
    try:
        read = read_parameters(bytes(content))
        assert read.cost <= 2**20
        if read.cost == COST:
            assert key_of_passphrase(WORDS, read) == key
    except MasterKeyInvalid:
        pass


_KEPT = new_key(WORDS, cost=COST)
