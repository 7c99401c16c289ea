"""A file of events: whole lines, the owner's alone, on the disk."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from event_examples import BODY, EVENT_ID, PIPELINE_ID, STATE_BODY

from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.sinks.json_lines import JsonLinesSink
from earwitness.voice.events import EventKind


def send(path: Path, body: bytes = BODY) -> None:
    JsonLinesSink(path).send(body, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=EventKind.SPEAKER_SEARCH)


def test_an_event_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    send(path)
    send(path, STATE_BODY)
    assert path.read_bytes() == BODY + b"\n" + STATE_BODY + b"\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink(path)
    sink.send(BODY, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=EventKind.POST_CALL)
    path.rename(tmp_path / "events.jsonl.1")
    sink.send(STATE_BODY, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=EventKind.POST_CALL)
    assert path.read_bytes() == STATE_BODY + b"\n"


def test_half_a_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"version":"0","id')
    send(path)
    assert path.read_bytes().splitlines()[1] == BODY


def test_a_write_that_was_cut_short_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    write = os.write
    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
        with pytest.raises(SinkUnavailable, match="the disk"):
            send(path)
    send(path)
    assert path.read_bytes() == BODY[:10] + b"\n" + BODY + b"\n"


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink(path)
    bodies = [json.dumps({"id": str(number), "pad": "x" * 5000}).encode() for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda body: sink.send(body, event_id="1", ordering_key="2", kind=EventKind.STATE_CHANGE), bodies)
        )
    assert sorted(path.read_bytes().splitlines()) == sorted(bodies)


def test_sinks_that_know_nothing_of_each_other_leave_no_empty_lines(tmp_path: Path) -> None:
    """A service makes one for every delivery, and two services may share a file; lines longer than a page of memory
    appear piece by piece to others."""
    file = tmp_path / "events.jsonl"
    body = json.dumps({"detail": "x" * 100_000}).encode()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: send(file, body), range(120)))
    assert file.read_bytes().splitlines() == [body] * 120


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match="look at its folder") as raised:
        send(tmp_path / "none" / "events.jsonl")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_a_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkRefused, match="plain file"):
        send(tmp_path / "pipe")


@pytest.mark.parametrize("body", [b'{"a":\n1}', "{é}".encode(), b'"' + b"x" * 300_000 + b'"'])
def test_what_is_no_event_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(SinkRefused):
        send(tmp_path / "events.jsonl", body)
    assert not (tmp_path / "events.jsonl").exists()
