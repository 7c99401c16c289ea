"""Recordings that are made to cost: ten hours of silence in a megabyte, sent many times, by clients that hang up."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from live import Live, answer, until

from earwitness.models.cache import ModelCache
from earwitness.samples import first_call
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.voice.band import Band

ATTACKER, NEIGHBOUR = "222233334444", "555566667777"
REGION = "us-east-1"
pytestmark = pytest.mark.slow


@cache
def ten_hours() -> bytes:
    """Of silence, as FLAC."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as writing:
        for _ in range(600):
            writing.write(np.zeros(60 * 8_000, np.int16))
    return file.getvalue()


def token(account_id: str) -> str:
    return f"ewt_of_{account_id}".ljust(47, "x")


def request(account_id: str, method: str, path: str, content: bytes = b"") -> bytes:
    head = (
        f"{method} /earwitness/v1/{path}?region={REGION} HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {token(account_id)}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def search(account_id: str, recording: bytes) -> bytes:
    return request(account_id, "POST", f"domains/domain-of-{account_id}/search", recording)


class Service:
    """A served application with a domain in each of two accounts."""

    def __init__(self, live: Live) -> None:
        self.live = live
        live.store.write(self._accounts)

    @staticmethod
    def _accounts(unit: Unit) -> None:
        for account_id in (ATTACKER, NEIGHBOUR):
            unit.bearer_tokens.create(
                token=token(account_id), token_id=f"tok-{account_id}", account_id=account_id, role="admin", name=""
            )
            unit.domains.create(
                Scope(account_id=account_id, region=REGION),
                domain_id=f"domain-of-{account_id}",
                arn=f"arn:aws:chime:{REGION}:{account_id}:voice-profile-domain/domain-of-{account_id}",
                name="callers",
                description="",
                kms_key_arn="arn:aws:kms:us-east-1:111122223333:key/1",
                band=Band.TELEPHONE,
            )

    # `Any`: JSON.
    def ask(self, sent: bytes) -> tuple[int, Any]:
        with self.live.connect() as connection:
            connection.settimeout(120)  # models are opened at the first search
            connection.sendall(sent)
            status, _, body = answer(connection)
        return status, json.loads(body)

    def in_work(self, account_id: str = ATTACKER) -> int:
        """How many of the account's recordings are listened to, as its own status says."""
        status, told = self.ask(request(account_id, "GET", "status"))
        assert status == 200
        return next(one["used"] for one in told["use"] if one["name"] == "recordings")

    @contextmanager
    def sent(self, count: int) -> Iterator[list[socket.socket]]:
        """Connections on which the attacker has sent ten hours each; they hang up at the end."""
        with ExitStack() as stack:
            connections = [stack.enter_context(self.live.connect()) for _ in range(count)]
            for connection in connections:
                connection.sendall(search(ATTACKER, ten_hours()))
            yield connections


@pytest.fixture
def served(start: Callable[..., Live], model_cache: ModelCache) -> Service:
    """Recordings are decoded to their end here, so that what ends earlier was ended."""
    service = Service(start(models_dir=model_cache.folder, recording_seconds=1e6, client_seconds=60))
    assert service.ask(search(NEIGHBOUR, first_call("sally").read_bytes()))[0] == 200
    return service


def test_work_ends_when_the_client_hangs_up(served: Service) -> None:
    with served.sent(1):
        until(lambda: served.in_work() == 1)
    until(lambda: served.in_work() == 0)


def test_a_neighbour_is_answered_while_the_attackers_recordings_are_decoded(served: Service) -> None:
    with served.sent(4):
        until(lambda: served.in_work() == 4)
        status, refused = served.ask(search(ATTACKER, ten_hours()))
        assert (status, refused["error"]["type"]) == (503, "Unavailable")
        assert "of this account" in refused["error"]["message"]
        for _ in range(3):
            status, found = served.ask(search(NEIGHBOUR, first_call("sally").read_bytes()))
            assert (status, found["outcome"]) == (200, "no match")
        assert served.in_work() == 4  # none of them has ended meanwhile
    until(lambda: served.in_work() == 0)


def test_a_service_that_stops_waits_for_no_recording(tmp_path: Path, model_cache: ModelCache) -> None:
    live = Live(tmp_path / "data", models_dir=model_cache.folder, recording_seconds=1e6, stop_seconds=0)
    with live, Service(live).sent(1):
        until(lambda: live.service._background.turns.busy_count == 1)
    # `Live` has waited for the server and for all threads of requests.
    assert live.service._background.turns.busy_count == 0
