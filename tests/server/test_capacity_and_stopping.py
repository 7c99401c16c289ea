"""Too many requests, records that are away, the end of the service: what clients see, and what is left behind."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM

import pytest
from live import Live, answer, client, domain_input
from starlette.responses import PlainTextResponse

from earwitness.config import Settings
from earwitness.errors import ConfigurationError, StoreUnavailable, Unavailable
from earwitness.from_settings import certificate_of
from earwitness.server import run
from earwitness.threads import ThreadPool, Threads
from earwitness.wire.shares import Shares
from patience import PATIENCE_SECONDS, until

READY = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.slow
def test_more_requests_than_are_answered_at_once(start: Callable[..., Live]) -> None:
    live = start(requests_at_once=5, threads=2, store_wait_seconds=20)
    one = live.client
    with ThreadPoolExecutor(20) as pool:
        with live.locked():
            waiting = [pool.submit(one.create_voice_profile_domain, **domain_input(f"d{i}")) for i in range(20)]
            until(lambda: sum(future.done() for future in waiting) == 15)
            errors = [future.exception() for future in waiting if future.done()]
            assert {type(error) for error in errors} == {one.exceptions.ServiceUnavailableException}
            assert live.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        done = [future.result() for future in waiting if future.exception() is None]
    listed = one.list_voice_profile_domains()["VoiceProfileDomains"]
    assert len(done) == 5
    assert {domain["VoiceProfileDomainId"] for domain in listed} == {
        made["VoiceProfileDomain"]["VoiceProfileDomainId"] for made in done
    }
    assert live.service.root.aws._in_progress == 0


def test_clients_that_send_slowly_take_nobodys_place(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service.root.aws, "_limits", _with(live, at_once_max=1))
    with live.connect() as slow, live.connect() as slower:
        for connection in (slow, slower):
            connection.sendall(live.signed("POST", body=b"{}")[:-1])
        until(lambda: live.service.root.aws._body_memory.held_bytes == 2)
        assert live.ask(live.signed())[0] == 200
        slow.sendall(b"}")
        assert answer(slow)[0] == 400


def _with(live: Live, **changes: int):
    from dataclasses import replace

    return replace(live.service.root.aws._limits, **changes)


@pytest.mark.slow
def test_locked_records_are_unavailable_in_time_and_nothing_is_half_written(live: Live) -> None:
    before = live.client.list_voice_profile_domains()["VoiceProfileDomains"]
    with live.locked():
        with pytest.raises(live.client.exceptions.ServiceUnavailableException):
            live.client.create_voice_profile_domain(**domain_input())
        assert live.client.list_voice_profile_domains()["VoiceProfileDomains"] == before
    assert live.client.list_voice_profile_domains()["VoiceProfileDomains"] == before
    assert live.client.create_voice_profile_domain(**domain_input())


@pytest.mark.slow
def test_records_that_are_closed_are_unavailable(start: Callable[..., Live]) -> None:
    live = start()
    live.client.list_voice_profile_domains()
    live.store.close()
    with pytest.raises(live.client.exceptions.ServiceUnavailableException):
        live.client.list_voice_profile_domains()
    status, _, body = live.ask(READY)
    assert (status, b"unavailable" in body) == (503, True)
    assert live.ask(READY.replace(b"ready", b"health"))[0] == 200


@pytest.mark.slow
def test_a_service_that_stops_takes_nothing_new(start: Callable[..., Live]) -> None:
    live = start()
    with live.connect() as connection:
        connection.sendall(live.signed())
        assert answer(connection)[0] == 200
        live.service.begin_to_stop()
        connection.sendall(live.signed())
        status, headers, _ = answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
        assert headers["connection"] == "close"
    assert live.ask(READY)[::2] == (503, b'{"status":"stopping"}')
    assert live.ask(READY.replace(b"ready", b"health"))[0] == 200


@pytest.mark.slow
def test_requests_that_outlast_the_stop_are_cut_off(
    start: Callable[..., Live], caplog: pytest.LogCaptureFixture
) -> None:
    live = start(stop_seconds=0, store_wait_seconds=3, client_seconds=1)
    with live.locked(), live.connect() as connection:
        connection.sendall(live.signed("DELETE", "/voice-profile-domains/none"))
        until(lambda: live.service.root.aws._in_progress == 1)
        live.server.handle_exit(SIGTERM, None)
        status, headers, _ = answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
        assert "none" not in caplog.text


@pytest.mark.slow
def test_bad_signatures_are_slowed_down_and_good_ones_are_not(start: Callable[..., Live]) -> None:
    live = start(requests_at_once=1, free_failures=2, delay_seconds_first=3.0)
    wrong = client(live.url, secret="wrong")  # noqa: S106

    def fail() -> None:
        with pytest.raises(wrong.exceptions.UnauthorizedClientException):
            wrong.list_voice_profile_domains()

    live.client.list_voice_profile_domains()
    for _ in range(2):
        fail()
    assert live.service.root.aws._wrong_credentials._delayed.held("127.0.0.1") == 0
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(fail)
        until(lambda: live.service.root.aws._wrong_credentials._delayed.held("127.0.0.1") == 1)
        live.client.list_voice_profile_domains()
        assert not slow.done()
        slow.result()
    wrong.close()


def test_when_too_many_answers_are_held_back_the_next_is_given_at_once(
    start: Callable[..., Live],
) -> None:
    live = start(free_failures=0)
    live.service.root.aws._wrong_credentials._delayed = Shares(0, refusal="none")
    status, headers, _ = live.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, headers["connection"]) == (401, "close")


@pytest.mark.slow
def test_an_uncaught_error_shows_nobody_its_message(
    start: Callable[..., Live], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = start()
    caplog.set_level(logging.DEBUG)

    def fail(*_: object, **__: object) -> None:
        raise ValueError("+15551234567")

    monkeypatch.setattr(live.service.root.aws._gateway, "finish", fail)
    with pytest.raises(live.client.exceptions.ServiceFailureException) as caught:
        live.client.list_voice_profile_domains()
    monkeypatch.setattr(live.service.root.aws._gateway, "refuse", fail)  # even if the refusal itself fails
    status, headers, body = live.ask(live.signed())
    assert (status, headers["connection"], body) == (500, "close", b"Internal Server Error")
    everything = str(caught.value) + "".join(f"{record.getMessage()} {vars(record)}" for record in ours(caplog))
    assert "+15551234567" not in everything
    failed = [record for record in ours(caplog) if record.levelno == logging.ERROR]
    assert {(record.name, vars(record)["error"]) for record in failed} == {
        ("earwitness.gateway", "ValueError"),
        ("earwitness.server", "ValueError"),
    }
    assert caught.value.response["ResponseMetadata"]["RequestId"] == vars(failed[0])["request_id"]


def test_what_clients_send_is_not_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    live.raw(b"GET /secret\xff\nforged HTTP/1.1\r\n\r\n")
    live.ask(b"GET /secret?phone=5551234 HTTP/1.1\r\nHost: forged\r\nauthorization: AWS4-HMAC-SHA256 forged\r\n\r\n")
    live.ask(b"GET /secret HTTP/1.1\r\nHost: forged\r\nConnection: upgrade\r\nUpgrade: forged\r\n\r\n\0")
    lines = [f"{record.getMessage()} {vars(record)}" for record in ours(caplog)]
    assert len(lines) >= 2
    assert not any("forged" in line or "secret" in line.replace("secret access", "") for line in lines)
    assert {record.levelno for record in ours(caplog)} == {logging.INFO}
    assert not logging.getLogger("uvicorn.error").propagate  # what it says itself, nobody hears
    assert not logging.getLogger("uvicorn.access").propagate


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What goes into our log. (Pytest listens to loggers that nobody else hears, too.)"""
    return [record for record in caplog.records if record.name.startswith("earwitness")]


def test_threads_refuse_what_is_too_much_and_what_comes_too_late() -> None:
    import asyncio

    threads = Threads(count=1, at_once_max=2)
    blocked = threading.Event()

    async def check() -> None:
        running = asyncio.ensure_future(threads.run(blocked.wait))
        waiting = asyncio.ensure_future(threads.run(lambda: 1))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="over its capacity"):
            await threads.run(lambda: 1)
        waiting.cancel()  # a place that was given up before its work began is free again
        await asyncio.sleep(0)
        again = asyncio.ensure_future(threads.run(lambda: 2))
        await asyncio.sleep(0)
        blocked.set()
        assert (await running, await again) == (True, 2)

    asyncio.run(check())
    threads.close()
    with pytest.raises(Unavailable, match="stopping"):
        asyncio.run(threads.run(lambda: 1))


def test_background_work_that_fails_or_finds_no_place_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    threads = Threads(count=1, at_once_max=1)
    blocked = threading.Event()

    def fail() -> None:
        blocked.wait()
        raise ValueError("+15551234567")

    threads.in_background(fail)
    threads.in_background(fail)
    blocked.set()
    threads.close()
    assert [record.getMessage() for record in caplog.records] == [
        "background work was left out",
        "background work failed",
    ]
    assert "+15551234567" not in caplog.text


@pytest.mark.slow
def test_tls(start: Callable[..., Live], certificate: tuple[Path, Path]) -> None:
    live = start(tls_certificate=certificate[0], tls_key=certificate[1])
    assert live.url.startswith("https://")
    trusting = client(live.url, verify=str(certificate[0]))
    assert trusting.list_voice_profile_domains()["VoiceProfileDomains"] == []
    assert not live.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 2")
    trusting.close()


def test_a_certificate_that_cannot_be_used(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate", encoding="utf-8")
    for pair in ((wrong, certificate[1]), (certificate[0], wrong), (tmp_path / "none.pem", None), (None, wrong)):
        with pytest.raises(ConfigurationError, match=r"tls_certificate|tls_key|TLS certificate"):
            certificate_of(Settings(tls_certificate=pair[0], tls_key=pair[1]))


def test_an_address_that_cannot_be_had(live: Live) -> None:
    from dataclasses import replace

    for host, port in (("127.0.0.1", live.port), ("192.0.2.1", 0), ("a..b", 0), ("no.such.host.invalid", 0)):
        with pytest.raises(ConfigurationError, match=f"cannot listen on {host} port {port}: .*--port"):
            run.open_socket(replace(live.listening, host=host, port=port))


def test_a_store_is_closed_as_often_as_one_likes(start: Callable[..., Live]) -> None:
    live = start()
    live.store.close()
    live.store.close()
    with pytest.raises(StoreUnavailable):
        live.store.require_ready()


def test_readers_do_not_wait_for_writers(live: Live) -> None:
    with live.locked(), sqlite3.connect(live.settings.data_dir / "records.db"):
        assert live.ask(live.signed())[0] == 200


def test_two_that_ask_at_once_whether_it_is_ready_get_one_answer(live: Live) -> None:
    asked_once, may_answer = threading.Event(), threading.Event()

    def look() -> None:
        assert not asked_once.is_set()
        asked_once.set()
        may_answer.wait(PATIENCE_SECONDS)

    async def both() -> list[tuple[str, str]]:
        root = replace(live.service.root, require_ready=look)
        asking = [asyncio.ensure_future(root._readiness()) for _ in range(2)]
        await asyncio.to_thread(asked_once.wait)
        may_answer.set()
        return await asyncio.gather(*asking)

    assert asyncio.run(both()) == [("ready", ""), ("ready", "")]


def test_a_process_that_is_ended_by_its_deadline_says_why() -> None:
    script = (
        "import threading; from earwitness.server.run import Deadline; "
        "deadline = Deadline(0.01, code=lambda: 8); "
        "del threading.Thread.start; "  # the system gives no more threads
        "deadline.begin(); threading.Event().wait()"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=PATIENCE_SECONDS).returncode == 8


@contextmanager
def no_more_threads() -> Iterator[None]:
    """The system gives this process no more threads, as where a container limits its processes."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        yield


def test_who_asks_whether_it_is_ready_is_told_that_there_are_no_threads(live: Live) -> None:
    until(lambda: live.ask(READY)[0] == 200)

    async def ask() -> tuple[str, str]:  # on a loop that has no threads yet
        with no_more_threads():
            return await replace(live.service.root)._readiness()

    status, reason = asyncio.run(ask())
    assert status == "unavailable"
    assert "no more threads" in reason


def test_a_pool_goes_on_with_the_threads_it_has(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPool(4) as pool:
        with no_more_threads(), pytest.raises(Unavailable, match="no more threads"):
            pool.submit(int)
        blocked = threading.Event()
        waiting = pool.submit(blocked.wait)
        with no_more_threads():
            later = [pool.submit(int), pool.submit(int)]
        blocked.set()
        assert waiting.result(PATIENCE_SECONDS)
        assert [each.result(PATIENCE_SECONDS) for each in later] == [0, 0]
    assert [record.message for record in caplog.records] == ["the system gives this process no more threads"]


def test_a_service_that_has_no_threads_as_it_stops_ends_all_it_can(live: Live) -> None:
    until(lambda: live.ask(READY)[0] == 200)
    background = live.service._background
    running = background._started()

    async def stop() -> None:
        running.loop.set_default_executor(ThreadPoolExecutor())  # which has none yet
        with no_more_threads():
            await background.stop()

    with pytest.raises(RuntimeError, match="new thread"):
        asyncio.run_coroutine_threadsafe(stop(), running.loop).result(PATIENCE_SECONDS)
    assert all(job.done() for job in running.jobs)
    assert running.log._closed
    with pytest.raises(RuntimeError, match="after shutdown"):
        background._inference.submit(int)


def test_work_that_was_refused_for_want_of_a_thread_is_not_done_later() -> None:
    done: list[str] = []
    with ThreadPool(1) as pool:
        with no_more_threads():
            for _ in range(3):
                with pytest.raises(Unavailable, match="no more threads"):
                    pool.submit(done.append, "refused")
        pool.submit(done.append, "taken")
    assert done == ["taken"]


@pytest.mark.parametrize("is_signal", [True, False])
def test_a_service_stops_whatever_fails_when_it_begins_to(is_signal: bool) -> None:
    def stopping() -> None:
        raise RuntimeError("can't start new thread")

    listening = run.Listening(host="", port=0, certificate=None, head_seconds_max=1.0, stop_seconds_max=1.0)
    server = run.prepare(PlainTextResponse("unused"), listening, on_stopping=stopping)
    with pytest.raises(RuntimeError):
        server.handle_exit(SIGTERM, None) if is_signal else server.stop()
    assert server.should_exit
