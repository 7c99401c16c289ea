"""Tars inside backups: what is written is read again, whatever the blocks; nothing hostile is."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.backup.contents import BackedFile, files_in, tar_of
from earwitness.errors import BackupInvalid

NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9_-]{1,8}){0,2}", fullmatch=True)


def _tar(files: dict[str, bytes]) -> bytes:
    return b"".join(
        tar_of(BackedFile(name=name, size=len(content), blocks=iter([content])) for name, content in files.items())
    )


def _read(content: bytes, block: int = 700) -> dict[str, bytes]:
    blocks = (content[start : start + block] for start in range(0, len(content), block))
    return {file.name: b"".join(file.blocks) for file in files_in(blocks)}


@given(files=st.dictionaries(NAMES, st.binary(max_size=2_000), max_size=5), block=st.integers(1, 5_000))
def test_what_is_written_is_read(files: dict[str, bytes], block: int) -> None:
    content = _tar(files)
    assert _read(content, block) == files
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:  # anybody's tar reads it
        assert tar.getnames() == list(files)


@given(files=st.dictionaries(NAMES, st.binary(max_size=600), min_size=1, max_size=3), cut=st.integers(1, 9_999))
def test_a_cut_is_noticed(files: dict[str, bytes], cut: int) -> None:
    content = _tar(files)
    with pytest.raises(BackupInvalid):
        _read(content[: cut % len(content)])


@given(noise=st.binary(max_size=4_000))
def test_noise_is_refused(noise: bytes) -> None:
    try:
        assert _read(noise) == {}
        raise AssertionError("noise was read")
    except BackupInvalid:
        pass


def test_what_comes_behind_the_end_is_refused() -> None:
    with pytest.raises(BackupInvalid):
        _read(_tar({"a": b"1"}) + b"more")


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/passwd", "a//b", "a/./b", ".hidden", "a\nb", "a\\b", ""])
def test_no_name_leads_out(name: str) -> None:
    assert _read(tarfile.TarInfo("plain").tobuf(tarfile.USTAR_FORMAT) + bytes(1_024)) == {"plain": b""}
    with pytest.raises(BackupInvalid, match="lead out of its folder"):
        _read(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT) + bytes(1_024))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_plain_files_are_read(kind: bytes) -> None:
    header = tarfile.TarInfo("a")
    header.type, header.linkname = kind, "/etc/passwd"
    with pytest.raises(BackupInvalid):
        _read(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1_024))


def test_a_file_that_shrank_while_it_was_read_is_filled_up_and_one_that_grew_is_cut() -> None:
    def blocks(*some: bytes) -> Iterator[bytes]:
        yield from some

    short = BackedFile(name="short", size=10, blocks=blocks(b"abc"))
    long = BackedFile(name="long", size=4, blocks=blocks(b"abc", b"def"))
    assert _read(b"".join(tar_of([short, long]))) == {"short": b"abc" + bytes(7), "long": b"abcd"}
