"""Forms with files as bytes: whole, in any pieces, cut off, and as nobody's browser sends them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.console.multipart import FIELD_BYTES_MAX, HEAD_BYTES_MAX, FormReader, KeepPiece, boundary_of
from earwitness.errors import BadRequest

BOUNDARY = b"----WebKitFormBoundaryx1"


class Form:
    """What a reader gave."""

    def __init__(self, boundary: bytes = BOUNDARY, parts_max: int = 20) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, str, bytearray]] = []
        self.reader = FormReader(
            boundary,
            take_field=lambda name, value: self.fields.append((name, value)),
            begin_file=self.begin,
            parts_max=parts_max,
        )

    def begin(self, name: str, file_name: str) -> KeepPiece:
        content = bytearray()
        self.files.append((name, file_name, content))
        return content.extend

    def read(self, *pieces: bytes) -> "Form":
        for piece in pieces:
            self.reader.feed(piece)
        self.reader.end()
        return self


def part(name: str, content: bytes, *, file_name: str | None = None, boundary: bytes = BOUNDARY) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if file_name is not None:
        disposition += f'; filename="{file_name}"\r\nContent-Type: audio/wav'
    return b"--" + boundary + b"\r\n" + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def end(boundary: bytes = BOUNDARY) -> bytes:
    return b"--" + boundary + b"--\r\n"


def test_fields_and_files_come_in_their_order() -> None:
    form = Form().read(
        part("formToken", b"t"), part("note", "Grüße".encode()), part("f", b"\r\n--\r\n", file_name="a"), end()
    )
    assert form.fields == [("formToken", "t"), ("note", "Grüße")]
    assert form.files == [("f", "a", bytearray(b"\r\n--\r\n"))]
    assert Form().read(part("f", b"", file_name=""), end()).files == [("f", "", bytearray())]


@given(
    contents=st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--" + BOUNDARY[:-1], b"\r", b"--"]), max_size=4),
    cuts=st.lists(st.integers(0, 900), max_size=12),
)
def test_pieces_do_not_matter(contents: list[bytes], cuts: list[int]) -> None:
    body = b"".join(part(f"f{n}", content, file_name="x") for n, content in enumerate(contents)) + end()
    if b"\r\n--" + BOUNDARY in b"".join(contents):
        return
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[a:b] for a, b in pairwise(places)]
    assert [bytes(content) for _, _, content in Form().read(*pieces).files] == contents


@given(st.binary(max_size=400))
def test_bytes_that_are_no_form_are_refused_and_nothing_else_happens(body: bytes) -> None:
    with pytest.raises(BadRequest):
        Form().read(body)


@given(st.integers(0, 10_000))
def test_a_form_that_is_cut_off_is_told_so(cut: int) -> None:
    body = part("formToken", b"t") + part("recording", bytes(200), file_name="a.wav") + end()
    with pytest.raises(BadRequest):
        Form().read(body[: cut % (len(body) - 3)])


@pytest.mark.parametrize(
    "body",
    [
        b"--" + BOUNDARY + b"\r\n\r\n\r\n" + b"x\r\n" + end(),
        part('a"b', b"x") + end(),
        part("a b", b"x") + end(),
        part("x" * 65, b"x") + end(),
        part("a", b"\xff\xfe") + end(),
        b"--" + BOUNDARY + b"\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n" + end(),
        b"--" + BOUNDARY + b"\r\nX: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\nx\r\n" + end(),
        b"--" + BOUNDARY + b"xx" + part("a", b"") + end(),
        b"preamble\r\n" + part("a", b"x") + end(),
        part("a", b"x" * (FIELD_BYTES_MAX + 1)) + end(),
        part("a", b"x" * 40_000) + part("b", b"x" * 40_000) + end(),
        b"".join(part(f"a{n}", b"") for n in range(21)) + end(),
    ],
)
def test_forms_that_no_browser_of_ours_sends(body: bytes) -> None:
    with pytest.raises(BadRequest):
        Form().read(body)


def test_little_is_kept_of_a_file_while_it_comes() -> None:
    form = Form()
    form.reader.feed(part("f", b"", file_name="a")[:-2])
    for _ in range(1_000):
        form.reader.feed(bytes(1_000))
        assert len(form.reader._buffer) < 100
    assert len(form.files[0][2]) > 999_000


@pytest.mark.parametrize(
    "kind", ["", "multipart/form-data", "multipart/form-data; boundary=", "text/plain; boundary=x"]
)
def test_content_types_that_are_none(kind: str) -> None:
    with pytest.raises(BadRequest):
        boundary_of(kind)


def test_boundaries() -> None:
    assert boundary_of("multipart/form-data; boundary=abc") == b"abc"
    assert boundary_of('Multipart/Form-Data;boundary="a b"') == b"a b"
    with pytest.raises(BadRequest):
        boundary_of("multipart/form-data; boundary=" + "x" * 71)
