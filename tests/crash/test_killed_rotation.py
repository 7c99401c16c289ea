"""`earwitness master-key rotate` is killed again and again while a service answers; it ends, and everything opens."""

import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from killed_records import Records
from serving import Served, start, stop
from test_killed_jobs import asked
from test_killed_reembedding import MINE, TOKEN

import started
from earwitness.samples import first_call, second_call
from earwitness.store.store import Store, Unit
from patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

STREAMS = 5_000
_AT_ONCE = 500
_DOMAINS = "voice_profile_domains"


def add_streams(store: Store) -> None:
    """Streams, each with a data key; and a reader's token, as it may have been before."""

    def let_in(unit: Unit) -> None:
        unit.bearer_tokens.create(token=TOKEN, token_id="t", account_id=MINE.account_id, role="admin", name="asks")  # noqa: S106

    def write(unit: Unit, first: int) -> None:
        for each in range(first, first + _AT_ONCE):
            unit.streams.create(
                MINE, name=f"line-{each}", arn=f"arn:line-{each}", version="v", retention_hours=0, status="ACTIVE"
            )

    store.write(let_in)
    for first in range(0, STREAMS, _AT_ONCE):
        store.write(lambda unit, first=first: write(unit, first))


class Asking:
    """A client that makes a domain, with a data key of its own, and reads voices, as long as the block lasts."""

    def __init__(self, served: Served, domain: str) -> None:
        self._url, self._domain = f"{served.url}/earwitness/v1", domain
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.codes: list[int | str] = []

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE_SECONDS) as client:
            while not self._ended.is_set():
                for method, path in (("POST", "/domains?name=more"), ("GET", f"/domains/{self._domain}/profiles")):
                    try:
                        self.codes.append(client.request(method, self._url + path).status_code)
                    except httpx.HTTPError as error:
                        self.codes.append(repr(error))


def command(data: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "earwitness", "master-key", *words, "--data", str(data)]


def done(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(data, *words), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def told(data: Path, *words: str, code: int = 0) -> Any:
    """The JSON that a command prints."""
    ended = done(data, *words, "--json")
    assert ended.returncode == code, ended
    return json.loads(ended.stdout)


def killed(data: Path, reached: Callable[[], bool]) -> bool:
    """Begin a rotation, and kill it as soon as it came so far; return whether it was killed before its end."""
    with started.process(command(data, "rotate"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(lambda: reached() or process.poll() is not None)
        process.kill()
        return process.wait() == -9


def test_it_goes_on_and_everything_opens(records_at: Records, tmp_path: Path) -> None:
    environment = {**records_at.environment, "EARWITNESS_QUOTAS": "domains=100000"}
    served = start(tmp_path / "data", environment=environment)
    data, port = served.data, int(served.url.rsplit(":", 1)[1])
    domain = asked(served, "domains", "create", "callers")["domainId"]
    for person in ("kal", "sally"):
        asked(served, "domains", "enroll", domain, str(first_call(person)), "--consent", f"form of {person}")
    stop(served)
    with closing(records_at.opened(data)) as store:
        add_streams(store)
    served = start(data, port=port, environment=environment)
    search = "domains", "search", domain, str(second_call("kal"))
    answer, profiles = asked(served, *search)["candidates"], asked(served, "profiles", "--domain", domain)
    first = told(data, "show")
    shutil.copy(data / "master.key", tmp_path / "former.key")

    with closing(records_at.connected(data)) as reading:

        def wrapped() -> dict[str, bytes]:
            return dict(reading.execute("select arn, wrapped_key from kinesis_streams"))

        before = wrapped()

        def in_use() -> bool:
            return reading.execute("select max(next_in_use) from vault_checks").fetchone()[0] == 1

        def again(least: int) -> bool:
            return sum(before[arn] != now for arn, now in wrapped().items()) >= least

        share = sorted(random.sample(range(1, STREAMS // 2), 2))
        with Asking(served, domain) as asking:
            assert killed(data, (data / "master.key.next").exists)
            assert killed(data, in_use)
            half = told(data, "show")
            assert (half["id"], half["nextInUse"]) == (first["id"], True)
            assert "`earwitness master-key rotate` goes on" in " ".join(done(data, "show").stderr.split())
            assert killed(data, lambda: again(share[0])), share
            assert told(data, "verify")["unopened"] == {}
        assert set(asking.codes) <= {200, 201}, asking.codes
        assert {200, 201} & set(asking.codes)
        stop(served)
        served = start(data, port=port, environment=environment)  # with both keys
        with Asking(served, domain) as asking:
            assert killed(data, lambda: again(share[1])), share
            ended = told(data, "rotate")
            assert asked(served, *search)["candidates"] == answer
        assert set(asking.codes) <= {200, 201}, asking.codes
        assert not set(before.values()) & set(wrapped().values())
    assert (ended["id"], ended["former"], ended["unopened"]) == (half["nextId"], first["id"], 0)
    assert 0 < ended["wrapped"] < STREAMS  # the runs that were killed wrapped the others
    shown = told(data, "show")
    assert (shown["id"], shown["nextId"], shown["source"]) == (ended["id"], None, "file")
    checked = told(data, "verify")
    assert (checked["opened"] > STREAMS, checked["unopened"]) == (True, {})
    assert f"{checked['opened']:,} data keys open" in done(data, "verify").stdout
    assert (data / f"master.key.former-{first['id']}").read_bytes() == (tmp_path / "former.key").read_bytes()
    assert not (data / "master.key.next").exists()
    stop(served)
    served = start(data, port=port, environment=environment)
    assert asked(served, *search)["candidates"] == answer
    assert asked(served, "profiles", "--domain", domain) == profiles
    stop(served)
    shutil.move(tmp_path / "former.key", data / "master.key")
    refused = told(data, "verify", code=8)["error"]["message"]
    assert f"another master key {ended['id']}" in refused
    with pytest.raises(AssertionError, match=f"another master key {ended['id']}"):
        start(data, environment=environment)


def test_a_data_key_that_was_moved_is_counted(records_at: Records, tmp_path: Path) -> None:
    """It opens at its own row alone: `verify` says so by its exit code, and a rotation leaves it as it is."""
    served = start(tmp_path / "data", environment=records_at.environment)
    for name in ("first", "second"):
        asked(served, "domains", "create", name)
    stop(served)
    with closing(records_at.connected(served.data)) as writing:
        writing.execute(
            "update voice_profile_domains set wrapped_key = "
            "(select wrapped_key from voice_profile_domains order by domain_id limit 1)"
        )
    assert told(served.data, "verify", code=1)["unopened"] == {_DOMAINS: 1}
    said = done(served.data, "verify")
    assert (said.returncode, f"1 of {_DOMAINS} do not" in said.stderr) == (1, True), said
    assert told(served.data, "rotate")["unopened"] == 1
    assert told(served.data, "verify", code=1)["unopened"] == {_DOMAINS: 1}
