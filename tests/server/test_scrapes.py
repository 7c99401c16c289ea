"""`/metrics` of a running service: who may read it, what it costs others, what it says while the records are away."""

import asyncio
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from live import ACCOUNT, Live, domain_input, signed
from postgres_server import frozen, serve_postgres

from earwitness.access.roles import Role
from earwitness.observing import CONNECTIONS_MAX
from earwitness.scrape import OPERATION, refuse_shared
from earwitness.store.records import Scope
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

IN_PROGRESS = 'earwitness_tasks{status="InProgress"}'


def token_of(role: str) -> str:
    return f"ewt_{role}".ljust(47, "x")


def with_tokens(live: Live) -> Live:
    for role in Role:
        live.store.write(
            lambda unit, role=role: unit.bearer_tokens.create(
                token=token_of(role), token_id=f"tok-{role}", account_id=ACCOUNT, role=role, name=""
            )
        )
    return live


@pytest.fixture
def server() -> Iterator[str]:
    yield from serve_postgres(own=True)


@pytest.fixture
def live(start: Callable[..., Live]) -> Live:
    return with_tokens(start())


def scrape(url: str, role: str | None = "monitor", **more: Any) -> httpx.Response:
    headers = {} if role is None else {"authorization": f"Bearer {token_of(role)}"}
    return httpx.get(f"{url}/metrics", headers=headers, timeout=PATIENCE_SECONDS, **more)


def sample(text: str, name: str) -> float | None:
    """The value of a series, by its name and labels as they are written."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return None if found is None else float(found[1])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# Who may read.


def test_nobody_reads_metrics_without_the_token_of_a_monitor(live: Live) -> None:
    nobody = scrape(live.url, None)
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="earwitness"')
    assert "role monitor" in nobody.text
    assert "earwitness_" not in nobody.text
    wrong = httpx.get(f"{live.url}/metrics", headers={"authorization": f"Bearer {'w' * 47}"})
    assert wrong.status_code == 401
    signature = live.ask(signed(live.url, "GET", "/metrics"))
    assert signature[0] == 401
    for role in set(Role) - {Role.MONITOR}:
        refused = scrape(live.url, role)
        assert refused.status_code == 403, role
        assert "earwitness_" not in refused.text

    def refusals() -> int:
        entries = live.store.audit.list(Scope(account_id=ACCOUNT, region=""), limit=100).items
        return sum((entry.operation, entry.outcome) == (OPERATION, "Forbidden") for entry in entries)

    until(lambda: refusals() == len(Role) - 1)
    assert scrape(live.url).status_code == 200


def test_a_monitor_reads_metrics_and_nothing_else(live: Live) -> None:
    headers = {"authorization": f"Bearer {token_of('monitor')}"}
    for path in ("status", "domains", "tasks", "events", "doors"):
        answer = httpx.get(f"{live.url}/earwitness/v1/{path}", params={"region": "us-east-1"}, headers=headers)
        assert answer.status_code == 403, path


def test_a_token_that_is_revoked_reads_nothing(live: Live) -> None:
    assert scrape(live.url).status_code == 200
    live.store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "tok-monitor"))
    assert scrape(live.url).status_code == 401


def test_an_address_of_its_own_answers_this_machine_and_asks_others_for_a_token(start: Callable[..., Live]) -> None:
    port, other, third = free_port(), free_port(), free_port()
    assert httpx.get(f"{start(metrics_address=f'127.0.0.1:{port}').url}/health").status_code == 200
    assert scrape(f"http://127.0.0.1:{port}", None).status_code == 200
    assert httpx.get(f"http://127.0.0.1:{port}/earwitness/v1/openapi.json").status_code == 404
    assert httpx.post(f"http://127.0.0.1:{port}/metrics").status_code == 405
    assert scrape(with_tokens(start(metrics_address=f"0.0.0.0:{other}")).url).status_code == 200
    assert scrape(f"http://127.0.0.1:{other}", None).status_code == 401
    assert scrape(f"http://127.0.0.1:{other}").status_code == 200
    open_to_all = start(metrics_address=f"0.0.0.0:{third}", metrics_access="anybody")
    assert scrape(open_to_all.url, None).status_code == 401  # the service's own address stays as it is
    assert scrape(f"http://127.0.0.1:{third}", None).status_code == 200


def test_a_port_that_several_processes_share_says_where_to_scrape() -> None:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(refuse_shared), base_url="http://shared") as client:
            return await client.get("/metrics")

    answer = asyncio.run(ask())
    assert (answer.status_code, "set metrics_address" in answer.text) == (404, True)


# What it says.


def test_requests_are_counted_by_operations_that_there_are(live: Live) -> None:
    live.client.list_voice_profile_domains()
    domain = live.client.create_voice_profile_domain(**domain_input())["VoiceProfileDomain"]
    with pytest.raises(ClientError):
        live.client.get_voice_profile(VoiceProfileId="no-profile-of-this-id")
    for number in range(1_000):
        live.raw(f"GET /made-up/{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    for number in range(20):
        httpx.get(f"{live.url}/earwitness/v1/{number}")
    text = scrape(live.url).text
    served = 'http_server_request_duration_seconds_count{operation="ListVoiceProfileDomains",status="200"}'
    assert sample(text, served) == 1.0
    made = 'http_server_request_duration_seconds_count{operation="CreateVoiceProfileDomain",status="201"}'
    assert sample(text, made) == 1.0
    operations = set(re.findall(r'operation="([^"]*)"', text))
    assert operations == {"ListVoiceProfileDomains", "CreateVoiceProfileDomain", "GetVoiceProfile", "other"}
    others = re.findall(r'duration_seconds_count\{operation="other",status="(\d+)"\} (\d+)', text)
    assert sum(int(count) for _, count in others) == 1_020
    for secret in (domain["VoiceProfileDomainId"], domain["Name"], ACCOUNT, "us-east-1", token_of("monitor")):
        assert secret not in text


def test_no_label_looks_like_an_id_a_number_or_an_address(live: Live) -> None:
    live.client.create_voice_profile_domain(**domain_input("callers of 49301234567"))
    text = scrape(live.url).text
    allowed = re.compile(r"[A-Za-z][A-Za-z_]{0,60}|[0-9]{3}|\+Inf|[0-9.]+([.]dev[0-9]+)?")
    for name, value in re.findall(r'(\w+)="([^"]*)"', text):
        assert allowed.fullmatch(value), (name, value)
        assert name in ("le", "version", "status", "generation") or not re.search(r"\d", value), (name, value)


def test_throttled_requests_are_counted(start: Callable[..., Live]) -> None:
    live = with_tokens(start(calls_per_second="1"))
    refused = 0
    for _ in range(20):
        try:
            live.client.list_voice_profile_domains()
        except ClientError:
            refused += 1
    assert refused
    assert sample(scrape(live.url).text, 'earwitness_throttled_total{operation="ListVoiceProfileDomains"}') == refused


def test_promtool_finds_nothing_to_say(live: Live, promtool: str) -> None:
    text = scrape(live.url).text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


# What may go wrong.


def test_scrapes_go_on_while_the_database_stands_still(start: Callable[..., Live], server: str) -> None:
    live = with_tokens(start(store_url=server, store_wait_seconds=5.0))

    def told(name: str) -> float | None:
        return sample(scrape(live.url).text, name)

    assert told("earwitness_store_up") == 1.0
    assert told(IN_PROGRESS) == 0.0
    with frozen(server):
        until(lambda: told("earwitness_store_up") == 0.0)
        until(lambda: told(IN_PROGRESS) is None)  # it is no longer known
        unknown = scrape(live.url, "reader")  # nobody can say what this token may
        assert unknown.status_code == 503
    until(lambda: told("earwitness_store_up") == 1.0)
    until(lambda: told(IN_PROGRESS) == 0.0)
    assert (told("earwitness_store_errors_total") or 0.0) > 0.0


def test_a_scraper_that_does_not_read_holds_nobody_up(live: Live) -> None:
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_of('monitor')}\r\n\r\n".encode()
    with ExitStack() as held:
        for _ in range(20):
            slow = held.enter_context(live.connect(receive_bytes=1_024))
            slow.sendall(head * 10)
        assert scrape(live.url).status_code == 200
        assert live.client.list_voice_profile_domains()["VoiceProfileDomains"] == []


def test_a_crowd_at_the_own_address_leaves_room_for_who_asks(start: Callable[..., Live]) -> None:
    port = free_port()
    assert httpx.get(f"{start(metrics_address=f'127.0.0.1:{port}', client_seconds=0.2).url}/health").is_success
    with ExitStack() as held:
        for _ in range(2 * CONNECTIONS_MAX):
            held.enter_context(socket.create_connection(("127.0.0.1", port)))

        def answered() -> bool:
            try:
                return scrape(f"http://127.0.0.1:{port}", None).status_code == 200
            except httpx.TransportError:
                return False

        until(answered)


def test_many_scrapes_at_once_are_all_answered(live: Live) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: scrape(live.url).status_code, range(64)))
    assert answers == [200] * 64
