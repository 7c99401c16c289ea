"""`earwitness serve` as a process: what it refuses at its start, how it ends, what is left after it was killed."""

import json
import resource
import signal
import socket
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import Process, domain_input
from typer.testing import CliRunner, Result

from earwitness import __version__, development
from earwitness.app import open_records
from earwitness.cli.main import app
from earwitness.config import Settings
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> tuple[int, str]:
    """Exit code and message of a service that does not start."""
    result = run("serve", "--port", "0", *arguments)
    return result.exit_code, " ".join(result.stderr.split())


def new_key() -> dict[str, str]:
    return json.loads(run("keys", "create", "--json").stdout)


@pytest.fixture
def dev_records(tmp_path: Path) -> Path:
    """A folder that `serve --dev` has used."""
    store = open_records(Settings(data_dir=tmp_path / "data"))
    development.ensure_development_key(store, "000000000000")
    store.close()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("host", "settings", "warned"),
    [
        ("0.0.0.0", {}, True),  # noqa: S104  # what is warned of
        ("0.0.0.0", {"EARWITNESS_PUBLIC_URL": "https://voice.example.net"}, False),  # noqa: S104
        ("127.0.0.1", {}, False),
    ],
)
def test_who_listens_on_the_network_without_tls_is_warned(
    tmp_path: Path, host: str, settings: dict[str, str], warned: bool
) -> None:
    with Process(tmp_path / "data", "--host", host, environment=settings) as served:
        pass
    said = " ".join(served.said.split())
    assert ("voices and tokens cross the network in clear" in said) is warned
    assert (
        f"The console is at {settings.get('EARWITNESS_PUBLIC_URL', served.url)}/console/" in said
    )  # else a browser warns


def test_development(tmp_path: Path) -> None:
    options = ("--dev", "--account", "111122223333", "--fail", "GetVoiceProfileDomain=ServiceUnavailableException")
    with Process(tmp_path / "dev", *options, "--fail", "DeleteVoiceProfileDomain=ServiceFailure") as served:
        one = served.client()
        made = one.create_voice_profile_domain(**domain_input())["VoiceProfileDomain"]
        assert ":111122223333:" in made["VoiceProfileDomainArn"]
        with pytest.raises(one.exceptions.ServiceUnavailableException, match="this failure was asked for"):
            one.get_voice_profile_domain(VoiceProfileDomainId=made["VoiceProfileDomainId"])
        with pytest.raises(one.exceptions.ServiceFailureException):
            one.delete_voice_profile_domain(VoiceProfileDomainId=made["VoiceProfileDomainId"])
        assert len(one.list_voice_profile_domains()["VoiceProfileDomains"]) == 1
        one.close()
        records = tmp_path / "dev" / "records.db"
        assert (
            served.lines[0] == f"earwitness {__version__} answers at {served.url} and keeps its records in {records}\n"
        )
        assert "development mode" in served.said
        served.process.terminate()
        assert served.wait() == 0
        assert served.lines[-1] == "stopped\n"
    for folder in (tmp_path / "dev", *(tmp_path / "dev").rglob("*")):
        assert not stat.S_IMODE(folder.stat().st_mode) & 0o077, folder


def test_without_any_key_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARWITNESS_DATA_DIR", str(tmp_path / "usual"))
    for data, command in (
        (tmp_path / "usual", "earwitness keys create"),
        (tmp_path / "another folder", f"earwitness keys create --data '{tmp_path / 'another folder'}'"),
    ):
        with Process(data) as served:
            at = next(at for at, line in enumerate(served.lines) if "there is no access key. Make one with" in line)
            assert served.lines[at + 1].strip() == command
    made = run("keys", "create", "--json", "--data", tmp_path / "usual")
    with Process(tmp_path / "usual") as served:
        assert "there is no access key" not in served.said
        client = served.client(json.loads(made.stdout))
        assert client.list_voice_profile_domains()["VoiceProfileDomains"] == []
        client.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dev", "--host", "0.0.0.0"), "loopback only, not on 0.0.0.0"),  # noqa: S104  # refused
        (("--dev", "--host", "192.0.2.1"), "loopback only"),
        (("--dev", "--host", "example.com"), "loopback only"),
        (("--dev", "--host", "::"), "loopback only"),
        (("--dev", "--account", "12"), "twelve digits"),
        (("--fail", "GetMediaPipeline=NotFound"), "--fail works with --dev only"),
        (("--dev", "--fail", "GetEverything=NotFound"), "there is no operation 'GetEverything' here"),
        (("--dev", "--fail", "GetMediaPipeline=Sorrow"), "give one of BadRequest, "),
        (("--dev", "--fail", "GetMediaPipeline"), "give one of BadRequest, "),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, message = refused(*arguments)
    assert (code, said in message) == (2, True), message
    assert not (tmp_path / "data").exists() and not (tmp_path / "dev").exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with Process(tmp_path / "one") as served:
        port = served.url.rpartition(":")[2]
        result = run("serve", "--port", port)
        assert result.exit_code == 2
        assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in " ".join(result.stderr.split())


def test_an_address_for_metrics_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("EARWITNESS_METRICS_ADDRESS", f"127.0.0.1:{port}")
        code, said = refused("--dev")
    assert code == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said
    assert "change the setting metrics_address" in said


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CALLS_PER_SECOND", "200,GetNothing=5", "no operation 'GetNothing' is served"),
        ("CALLS_PER_SECOND", "200,ListVoiceProfiles=nan", "'nan' is no number of calls per second"),
        ("TLS_CERTIFICATE", "/no/such/file", "tls_certificate /no/such/file cannot be read"),
        ("TLS_KEY", "/no/such/file", "no tls_certificate"),
        ("STORE_URL", "mysql://host/name", "the store cannot be mysql"),
        ("PORT", "70000", "must lie between 0 and 65535"),
        ("METRICS_ADDRESS", "everywhere", "setting metrics_address is no address"),
        ("METRICS_ACCESS", "maybe", "must be one of token, anybody"),
        ("SESSION_TOKENS", "maybe", "must be one of ignore, refuse"),
    ],
)
def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"EARWITNESS_{setting}", value)
    code, message = refused()
    assert (code, said in message) == (2, True), message


def test_an_empty_setting_in_the_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('tls_certificate = ""\nstore_url = ""\n', encoding="utf-8")
    with Process(tmp_path / "data") as served:
        assert served.url.startswith("http://")


def test_another_master_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_key()
    monkeypatch.setenv("EARWITNESS_MASTER_KEY", "A" * 43 + "=")
    code, message = refused()
    assert code == 8
    assert "master key" in message and "AAAA" not in message
    monkeypatch.setenv("EARWITNESS_MASTER_KEY", "no key at all")
    code, message = refused()
    assert (code, "not base64" in message) == (8, True)
    assert "no key at all" not in message


def test_records_of_a_newer_version(tmp_path: Path) -> None:
    new_key()
    with closing(sqlite3.connect(tmp_path / "data" / "records.db", isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert refused()[0] == 8
    assert run("keys", "list").exit_code == 8
    assert run("migrate").exit_code == 8


def test_records_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "records.db").write_bytes(b"no database at all" * 100)
    code, message = refused()
    assert (code, "no database" in message) == (8, True), message


def test_records_of_a_development_are_refused_for_real_use(dev_records: Path) -> None:
    code, message = refused("--data", dev_records)
    assert code == 2
    assert "earwitness keys disable test --account 000000000000" in message
    assert run("keys", "disable", "test").exit_code == 0
    with Process(dev_records) as served:
        one = served.client()
        with pytest.raises(one.exceptions.UnauthorizedClientException):
            one.list_voice_profile_domains()
        one.close()


@pytest.mark.parametrize("apart", [False, True], ids=["one media folder", "two media folders"])
def test_a_folder_belongs_to_one_process(tmp_path: Path, apart: bool) -> None:
    """Records are not shared either, whatever the folder of the media; commands may run beside the service."""
    environment = {"EARWITNESS_MEDIA_DIR": str(tmp_path / "media")} if apart else {}
    with Process(tmp_path / "data") as first, Process(tmp_path / "data", environment=environment) as second:
        assert second.wait() == 8
        assert f"process {first.process.pid} on " in second.said
        assert "answers at" not in second.said
        one = first.client(new_key())
        assert _names(one) == set()
        one.close()
    assert not (tmp_path / "media").exists()
    with Process(tmp_path / "data") as third:
        assert "answers at" in third.said


def test_the_key_of_development_opens_no_real_service(tmp_path: Path) -> None:
    """Not even where it comes to the records while the service runs."""
    with Process(tmp_path / "data") as real:
        with closing(open_records(Settings(data_dir=tmp_path / "data"))) as store:
            development.ensure_development_key(store, "000000000000")
        one = real.client()
        with pytest.raises(one.exceptions.UnauthorizedClientException, match="unknown or disabled"):
            one.list_voice_profile_domains()
        one.close()


@pytest.mark.parametrize("change", ["rotate", "disable", "move"])
def test_development_mends_its_key(dev_records: Path, change: str) -> None:
    if change != "move":
        assert run("keys", change, "test").exit_code == 0
    account = "111122223333" if change == "move" else "000000000000"
    with closing(open_records(Settings(data_dir=dev_records))) as store:
        development.ensure_development_key(store, account)
        key = store.access_keys.get("test")
    assert key
    assert (key.account_id, key.state, key.role, key.secret) == (account, "enabled", "admin", "test")


def _create(client: Any, name: str) -> str:
    return client.create_voice_profile_domain(**domain_input(name))["VoiceProfileDomain"]["VoiceProfileDomainId"]


def _domains(client: Any) -> list[dict[str, Any]]:
    """All of them; botocore has no paginator for this operation."""
    found: list[dict[str, Any]] = []
    following: dict[str, str] = {}
    while True:
        page = client.list_voice_profile_domains(**following)
        found += page["VoiceProfileDomains"]
        if not page.get("NextToken"):
            return found
        following = {"NextToken": page["NextToken"]}


def _names(client: Any) -> set[str]:
    return {domain["Name"] for domain in _domains(client)}


def test_a_request_in_progress_is_answered_when_the_service_is_stopped(tmp_path: Path) -> None:
    made = new_key()
    with Process(tmp_path / "data") as served:
        client = served.client(made)
        with ThreadPoolExecutor(1) as pool:
            with closing(sqlite3.connect(tmp_path / "data" / "records.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = pool.submit(_create, client, "last")
                while not _has_read_a_request(served):
                    continue
                # It has begun it: requests are begun in order.
                assert httpx.get(f"{served.url}/health", timeout=PATIENCE_SECONDS).status_code == 200
                served.process.send_signal(signal.SIGTERM)
                while _is_accepting(served):
                    continue
                assert not waiting.done()
                other.execute("ROLLBACK")
            assert waiting.result(20)
        client.close()
        assert served.wait() == 0
        assert served.lines[-1] == "stopped\n"
    with Process(tmp_path / "data") as again:
        client = again.client(made)
        assert _names(client) == {"last"}
        client.close()


def _has_read_a_request(served: Process) -> bool:
    """Whether somebody is connected, and nothing that was sent is still on its way (Linux knows)."""
    port = f":{int(served.url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    queues = [row[4] for row in rows if row[3] == "01" and (row[1].endswith(port) or row[2].endswith(port))]
    return bool(queues) and set(queues) == {"00000000:00000000"}


def _is_accepting(served: Process) -> bool:
    try:
        httpx.get(f"{served.url}/health", timeout=PATIENCE_SECONDS)
    except httpx.TransportError:
        return False
    return True


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    made = new_key()
    acknowledged: list[str] = []

    def create(number: int) -> None:
        try:
            acknowledged.append(_create(client, f"domain{number}"))
        except Exception:
            return  # killed in between: it may be there or not
        if len(acknowledged) == 60:
            served.process.kill()

    with Process(tmp_path / "data", environment={"EARWITNESS_QUOTAS": "domains=1000"}) as served:
        client = served.client(made)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(create, range(300)))
        client.close()
        assert served.wait() == -signal.SIGKILL
    assert len(acknowledged) >= 60
    with Process(tmp_path / "data") as again:
        client = again.client(made)
        listed = {domain["VoiceProfileDomainId"] for domain in _domains(client)}
        assert set(acknowledged) <= listed
        for domain_id in listed:  # none half-made: each can be read and deleted
            client.get_voice_profile_domain(VoiceProfileDomainId=domain_id)
            client.delete_voice_profile_domain(VoiceProfileDomainId=domain_id)
        client.close()
    with closing(sqlite3.connect(tmp_path / "data" / "records.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        operations = "SELECT operation, count(*) FROM audit_entries GROUP BY operation"
        counts = dict(database.execute(operations).fetchall())
        assert counts["CreateVoiceProfileDomain"] == counts["DeleteVoiceProfileDomain"] == len(listed)
        whole = json.loads(run("audit", "verify", "--json").stdout)
        assert (whole["whole"], whole["afterCheckpoints"]) == (True, 0), whole  # the stop wrote the last one
        with database:
            database.execute("DELETE FROM audit_entries WHERE number > (SELECT max(number) - 10 FROM audit_entries)")
    found = json.loads(run("audit", "verify", "--json").stdout)["problems"]
    assert [problem["number"] for problem in found] == [whole["entries"] - 9]


def test_a_full_disk(tmp_path: Path) -> None:
    made = new_key()
    with Process(tmp_path / "data") as served:
        client = served.client(made)
        _create(client, "before")
        before = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        written = max(
            file.stat().st_size for file in (tmp_path / "data").glob("records.db*") if file.suffix != ".reserve"
        )
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (written + 20_000, before[1]))
        made_until = _names(client)
        with pytest.raises(client.exceptions.ServiceUnavailableException):
            for number in range(100):
                _create(client, f"domain{number}")
                made_until.add(f"domain{number}")
        assert _names(client) == made_until
        assert httpx.get(f"{served.url}/health", timeout=PATIENCE_SECONDS).status_code == 200
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, before)
        _create(client, "after")
        assert _names(client) == made_until | {"after"}
        client.close()


def test_a_crowd_of_idle_clients_leaves_file_descriptors_to_the_records(tmp_path: Path) -> None:
    made = new_key()
    # From an address without a share of its own, so that the bound on all connections is what is met.
    proxy = {"EARWITNESS_TRUSTED_PROXIES": "127.0.0.1"}
    with Process(tmp_path / "data", open_files=300, environment=proxy) as served, ExitStack() as crowd:
        client = served.client(made)
        assert _names(client) == set()
        address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
        for _ in range(400):
            crowd.enter_context(socket.create_connection(address))
        client.close()  # its connection was silent for longest, so the crowd has its place
        client = served.client(made)
        _create(client, "amid the crowd")
        assert _names(client) == {"amid the crowd"}
        assert 100 < len(list(Path(f"/proc/{served.process.pid}/fd").iterdir())) < 250
        crowd.close()
        while not _is_accepting(served):
            continue
        client.close()


def test_without_free_descriptors_it_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with Process(tmp_path / "data", open_files=400) as served, httpx.Client(base_url=served.url) as client:
        pid = served.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        while (answer := client.get("/ready")).status_code != 200:
            assert answer.json()["status"] == "starting"
        taken = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken, before[1]))
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert f"no file descriptor is free: this process may have {taken}" in answer.json()["reason"]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert client.get("/ready").status_code == 200


def test_a_low_soft_limit_of_descriptors_is_raised(tmp_path: Path) -> None:
    program = "import resource, runpy; limit = resource.RLIMIT_NOFILE; "
    program += "resource.setrlimit(limit, (200, resource.getrlimit(limit)[1])); "
    program += "runpy.run_module('earwitness', run_name='__main__', alter_sys=True)"
    with Process(tmp_path / "data", program=("-c", program)) as served:
        soft, hard = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard


def test_migrate_is_told_to_do_nothing_twice(tmp_path: Path) -> None:
    for _ in range(2):
        result = run("migrate", "--data", tmp_path / "data")
        assert (result.exit_code, "this version's schema" in result.stderr) == (0, True)


def test_the_log_of_a_process_is_json_and_tells_nothing_that_clients_sent(tmp_path: Path) -> None:
    made = new_key()
    with Process(tmp_path / "data") as served:
        httpx.get(f"{served.url}/private?phone=15551234567")
        client = served.client(made)
        with pytest.raises(client.exceptions.NotFoundException):
            client.get_voice_profile_domain(VoiceProfileDomainId="15551234567")
        client.close()
    logged = [json.loads(line) for line in served.lines if line.startswith("{")]
    assert [line["text"] for line in logged] == ["refused", "refused"]
    assert logged[1]["key_id"] == made["id"]
    assert "15551234567" not in served.said and "private" not in served.said and made["secret"] not in served.said
