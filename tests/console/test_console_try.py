"""*Try it* over a running service: recordings that browsers send, and what comes of them; and hostile ones."""

import io
import socket
import struct
import wave
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from console_examples import CONSENT, DOMAIN
from console_visit import REGION, SCOPE, Visit
from live import ACCOUNT, Live
from rest_examples import token

from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow

IDENTIFY, ENROL = f"{REGION}/try/identify", f"{REGION}/try/enrol"


def send(
    browser: Visit,
    place: str,
    recording: bytes | None,
    *,
    file_name: str = "call.wav",
    headers: Any = None,
    **fields: str,
) -> httpx.Response:
    """Send the form of the page, the token first as browsers do."""
    given = {"formToken": browser.form_token(f"{REGION}/try"), "domainId": DOMAIN, **fields}
    parts: list[Any] = [(name, (None, value)) for name, value in given.items()]
    if recording is not None:
        parts.append(("recording", (file_name, recording, "audio/wav")))
    asked = {"origin": browser.url, **(headers or {})}
    return browser.client.post(place, files=parts, headers=asked, timeout=60.0)


def silence(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 8_000, 0, "NONE", ""))
        written.writeframes(bytes(16_000 * seconds))
    return file.getvalue()


def test_a_voice_is_enrolled_and_found_again(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    enrolled = send(browser, ENROL, first_call("sally").read_bytes(), consent="form 7")
    assert enrolled.status_code == 303, enrolled.text
    page = browser.get(enrolled.headers["location"]).text
    assert "The voice is enrolled." in page
    assert "form 7" in page
    profile_id = enrolled.headers["location"].rpartition("/")[2]
    send(browser, ENROL, first_call("russell").read_bytes(), consent="form 8")
    found = send(browser, IDENTIFY, second_call("sally").read_bytes())
    assert found.status_code == 200, found.text
    for words in ("match", profile_id, "Margin to the second", "Above noise", '<path class="own"', "Strangers named"):
        assert words in found.text, words
    document = send(browser, IDENTIFY, second_call("sally").read_bytes(), headers={"accept": "application/json"})
    assert document.json()["found"]["candidates"][0]["profileId"] == profile_id
    assert document.json()["found"]["quality"]["snrDb"] is not None
    stranger = send(browser, IDENTIFY, first_call("marvin").read_bytes())
    assert "stranger" in stranger.text
    operations = [one.operation for one in live.store.audit.list(SCOPE, limit=20).items]
    assert (operations.count("SearchRecording"), operations.count("EnrolRecording")) == (3, 2)


def test_a_form_that_is_sent_again_enrols_nobody_twice(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    before = live.store.profiles.count(SCOPE, DOMAIN)
    made = [
        send(browser, ENROL, first_call("sally").read_bytes(), consent="form 7", clientRequestToken="once")
        for _ in range(2)
    ]
    assert made[0].headers["location"] == made[1].headers["location"]
    assert live.store.profiles.count(SCOPE, DOMAIN) == before + 1


@pytest.mark.parametrize(
    ("recording", "status", "words"),
    [
        (b"no audio at all", 422, "read"),
        (None, 400, "no recording was sent"),
        (b"", 400, "no recording was sent"),
        (first_call("sally").read_bytes()[:40], 422, ""),
        (silence(5), 200, "too little speech"),
        (b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + bytes(60), 422, ""),
    ],
)
def test_recordings_that_are_none(visit: Callable[..., Visit], recording: bytes, status: int, words: str) -> None:
    answer = send(visit("operator"), IDENTIFY, recording)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    if status != 200:
        assert f'href="{REGION}/try"' in answer.text  # back to the form


def test_a_recording_that_is_too_large_is_refused(visit: Callable[..., Visit]) -> None:
    answer = send(visit("operator"), IDENTIFY, bytes(50_500_000))
    assert (answer.status_code, "larger than" in answer.text) == (413, True)


def test_hours_of_silence_in_a_small_file_are_not_listened_to(start: Callable[..., Live]) -> None:
    live = start(recording_seconds=60.0)
    with httpx.Client(base_url=live.url) as client:
        browser = Visit(client, live.url)
        browser.sign_in(token("operator", SCOPE))
        answer = send(browser, IDENTIFY, silence(120))
        assert (answer.status_code, "is not decoded" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "file_name", ["../../etc/passwd", "<script>alert(1)</script>.wav", "a\u202egnp.wav", "x" * 900]
)
def test_the_name_of_a_file_is_nothing(visit: Callable[..., Visit], file_name: str) -> None:
    answer = send(visit("operator"), IDENTIFY, silence(4), file_name=file_name)
    assert answer.status_code == 200
    assert "passwd" not in answer.text
    assert "alert(1)" not in answer.text


def test_fields_that_are_missing_or_wrong(visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    sally = first_call("sally").read_bytes()
    assert "consent reference" in send(browser, ENROL, sally).text
    assert send(browser, ENROL, sally).status_code == 400
    assert send(browser, IDENTIFY, sally, domainId="vpd-none").status_code == 404
    assert send(browser, IDENTIFY, sally, domainId="../x").status_code == 400
    assert send(browser, IDENTIFY, sally, channel="64").status_code == 400
    assert send(browser, IDENTIFY, sally, other="1").status_code == 400
    assert send(browser, ENROL, sally, consent="x" * 257).status_code == 400
    assert send(browser, ENROL, sally, consent=CONSENT, profileId="vp-none").status_code == 404


def test_forms_of_others_are_refused_before_their_file_is_taken(live: Live, visit: Callable[..., Visit]) -> None:
    browser, other = visit("operator"), visit("operator")
    sally = first_call("sally").read_bytes()
    assert send(browser, IDENTIFY, sally, headers={"origin": "https://evil.example"}).status_code == 403
    foreign = other.form_token(f"{REGION}/try")
    assert send(browser, IDENTIFY, sally, formToken=foreign).status_code == 403
    files: Any = [("recording", ("a.wav", sally)), ("formToken", (None, browser.form_token(f"{REGION}/try")))]
    late = browser.client.post(IDENTIFY, files=files, headers={"origin": browser.url})
    assert late.status_code == 403  # the file came before the proof
    assert visit("").client.post(IDENTIFY, files=files, headers={"origin": browser.url}).status_code == 401
    urlencoded = browser.post(IDENTIFY, formToken=browser.form_token(f"{REGION}/try"), domainId=DOMAIN)
    assert urlencoded.status_code == 400
    assert "SearchRecording" not in [one.operation for one in live.store.audit.list(SCOPE, limit=20).items]


def test_a_reader_is_refused_before_the_recording_comes(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    answer = browser.client.post(IDENTIFY, files={"recording": b"x"}, headers={"origin": browser.url})
    assert answer.status_code == 403
    assert "SearchRecording" in answer.text


def test_an_upload_that_is_cut_off_leaves_nothing_behind(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    (name, value), *_ = dict(browser.client.cookies).items()
    head = (
        f"POST {IDENTIFY} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nOrigin: {live.url}\r\nCookie: {name}={value}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="formToken"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(head.encode() + browser.form_token(f"{REGION}/try").encode())
        connection.sendall(
            b'\r\n--b\r\nContent-Disposition: form-data; name="recording"; filename="a"\r\n\r\n' + bytes(9_000)
        )
    console = live.service.console
    assert console
    until(lambda: not console._rest.recording_places.held(ACCOUNT))
    assert send(browser, IDENTIFY, silence(4)).status_code == 200


def test_a_token_that_is_revoked_while_its_recording_comes(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    form_token = browser.form_token(f"{REGION}/try")
    assert live.service.console
    held = live.service.console._access.held_keys

    def pieces() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="formToken"\r\n\r\n' + form_token.encode() + b"\r\n"
        yield b'--b\r\nContent-Disposition: form-data; name="domainId"\r\n\r\n' + DOMAIN.encode() + b"\r\n"
        yield b'--b\r\nContent-Disposition: form-data; name="recording"; filename="a"\r\n\r\n'
        until(lambda: held._held)  # the request was taken, with a token that was good
        live.store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "tok-operator"))
        until(lambda: all(one.has_ended for one in held._held))
        yield silence(4)
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b", "origin": browser.url}
    answer = browser.client.post(IDENTIFY, content=pieces(), headers=kind)
    assert (answer.status_code, "disabled" in answer.text) == (401, True)
