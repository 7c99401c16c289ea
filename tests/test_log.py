"""Logs: one JSON object a line, and nothing personal in it."""

import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest

from earwitness import log


def test_a_line_has_its_context_and_withholds_what_is_personal(capsys: pytest.CaptureFixture[str]) -> None:
    log.install(level="info")
    logging.getLogger("earwitness.test").info("a search ended", extra={"candidates": 3, "pii.caller": "+15550100"})
    logging.getLogger("earwitness.test").debug("too much detail")
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["text"], record["level"], record["room"]) == ("a search ended", "info", "earwitness.test")
    assert record["candidates"] == 3
    assert record["pii.caller"] == "(withheld)"
    assert "5550100" not in line


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe as small as they get, and nobody who reads it."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        os.close(end)


def read_all(descriptor: int, writer: log.StderrWriter) -> str:
    """All that comes until nothing waits to be written."""
    os.set_blocking(descriptor, False)
    found = b""
    while True:
        is_written = writer.drain(seconds_max=0.001)
        try:
            found += os.read(descriptor, 1 << 16)
        except BlockingIOError:
            if is_written:
                return found.decode()


def test_writing_never_waits_and_what_was_dropped_is_told_in_its_place(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = log.StderrWriter(writing, unwritten_bytes_max=20_000)
    for number in range(1_000):
        writer.write(f"{number:099}\n")  # returns although the pipe holds 40 of them
    assert writer.lines_dropped == 800
    before = read_all(reading, writer)
    writer.write("and on it goes\n")
    lines = (before + read_all(reading, writer)).splitlines()
    told = json.loads(lines[200])
    assert [int(line) for line in lines[:200]] == list(range(200))
    assert (told["lines"], told["level"], "nobody read" in told["text"]) == (800, "warning", True)
    assert lines[201:] == ["and on it goes"]
    assert writer.lines_dropped == 800
    writer.end()


def test_writing_to_a_reader_that_is_gone_is_counted(pipe: tuple[int, int]) -> None:
    gone, writing = os.pipe()
    os.close(gone)
    writer = log.StderrWriter(writing)
    for _ in range(3):
        writer.write("nobody hears this\n")
        assert writer.drain(seconds_max=60)
    assert writer.lines_dropped == 3
    writer.end()
    os.close(writing)


def test_everything_of_a_process_goes_the_same_way(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reading, writing = pipe
    stream = os.fdopen(os.dup(writing), "w")
    monkeypatch.setattr(sys, "stderr", stream)
    log.install(level="info")
    with log.without_waiting():
        logging.getLogger("earwitness.test").info("a line of ours")
        sys.stderr.write("a line that is printed\n")
        assert log.lines_dropped() == 0
    assert sys.stderr is stream
    logging.getLogger("earwitness.test").info("afterwards")
    said = os.read(reading, 4096).decode().splitlines()
    assert [json.loads(said[index])["text"] for index in (0, 2)] == ["a line of ours", "afterwards"]
    assert said[1] == "a line that is printed"
    stream.close()
    assert capfd.readouterr().err == ""


def test_the_end_of_a_process_does_not_wait_for_a_full_pipe(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, writing = pipe
    stream = os.fdopen(os.dup(writing), "w")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(log, "LAST_LINES_SECONDS", 0.01)
    with log.without_waiting():
        sys.stderr.write("x" * 10_000)
    sys.stderr.write("what comes after does not wait either\n")
    assert isinstance(sys.stderr, log.StderrWriter)
    stream.close()


def test_what_fails_again_and_again_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    failing = log.Recurring(logging.getLogger("earwitness.test"), monotonic=lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        failing.tell(logging.WARNING, "the records are away", reason=f"for {second} s")
        if second == 30:  # of another kind: told at once
            failing.tell(logging.ERROR, "the records are away", error="KeyError")
    told = [(record.levelname, vars(record)["failures"], vars(record).get("reason")) for record in caplog.records]
    assert told == [("WARNING", 1, "for 0 s"), ("ERROR", 1, None), ("WARNING", 60, "for 60 s")]
