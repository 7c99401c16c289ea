"""A service in a thread, on a real socket with real records, and raw clients that send whatever they like."""

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache, cached_property
from pathlib import Path
from signal import SIGTERM
from typing import Any, Self

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from earwitness.app import Service, open_records
from earwitness.config.limits import Limits
from earwitness.config.settings import Settings
from earwitness.from_settings import certificate_of
from earwitness.server import run
from patience import PATIENCE_SECONDS, until

ACCOUNT = "111122223333"
KEY_ID = "EARWADMIN"
SECRET = "s3cret-of-the-tests"  # noqa: S105
DOMAINS = "/voice-profile-domains"
DEADLINE_SECONDS = PATIENCE_SECONDS


class Live:
    """A running service; a context manager."""

    def __init__(
        self,
        data: Path,
        *,
        write_seconds_max: float = 60.0,
        free_failures: int = 1_000_000,
        delay_seconds_first: float = 0.1,
        **settings: Any,
    ) -> None:
        """By default bad signatures are free: everybody here comes from one address, and most are not signed. A busy
        machine may be slow to write; a test of that sets `store_wait_seconds`.
        """
        self._free_failures, self._delay_seconds_first = free_failures, delay_seconds_first
        settings.setdefault("store_wait_seconds", 60.0)
        limits = {name: settings.pop(name) for name in [*settings] if name in Limits.__dataclass_fields__}
        self.settings = Settings(data_dir=data, port=0, limits=Limits(**limits), **settings)
        self._write_seconds_max = write_seconds_max

    def __enter__(self) -> Self:
        settings = self.settings
        self.listening = run.Listening(
            host=settings.host,
            port=settings.port,
            certificate=certificate_of(settings),
            is_public_https=settings.public_url.startswith("https://"),
            head_seconds_max=settings.limits.client_seconds,
            stop_seconds_max=settings.limits.stop_seconds,
            write_seconds_max=self._write_seconds_max,
            trusted_proxies=settings.trusted_proxies,
        )
        self.store = open_records(settings)
        if self.store.access_keys.get(KEY_ID) is None:
            self.store.write(
                lambda unit: unit.access_keys.create(
                    key_id=KEY_ID, account_id=ACCOUNT, role="admin", name="", secret=SECRET
                )
            )
        self.service = Service(settings, self.store, certificate=self.listening.certificate)
        wrong = self.service.root.aws._wrong_credentials
        wrong._free_failures, wrong._delay_seconds_first = self._free_failures, self._delay_seconds_first
        listener = run.open_socket(self.listening)
        self.port: int = listener.getsockname()[1]
        self.url = f"{self.listening.scheme}://127.0.0.1:{self.port}"
        self.server = run.prepare(
            self.service.root,
            self.listening,
            on_stopping=self.service.begin_to_stop,
            descriptors_kept=self.service.doors.descriptors_max,
        )
        self._thread = threading.Thread(target=self.server.run, args=([listener],), name="live")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.handle_exit(SIGTERM, None)
        until(lambda: not self._thread.is_alive())
        self.service.close()
        self.store.close()

    @cached_property
    def client(self) -> Any:
        """Botocore's client of the voice service, with one attempt a call."""
        return client(self.url)

    def connect(self, *, receive_bytes: int = 0) -> socket.socket:
        """A raw connection."""
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(DEADLINE_SECONDS)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer to these bytes: status, headers in lower case, body."""
        with self.connect() as connection:
            connection.sendall(sent)
            return answer(connection)

    def raw(self, sent: bytes) -> bytes:
        """All bytes that come until the server closes the connection."""
        with self.connect() as connection:
            try:
                connection.sendall(sent)
                return drain(connection)
            except ConnectionError:
                return b""

    def signed(self, method: str = "GET", path: str = DOMAINS, body: bytes = b"", **headers: str) -> bytes:
        """A good request as bytes."""
        return signed(self.url, method, path, body, **headers)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Somebody else holds the records' write lock."""
        with closing(sqlite3.connect(self.settings.data_dir / "records.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")


@cache
def _session() -> botocore.session.Session:
    """One for all clients: it reads each service's model once."""
    return botocore.session.Session()


def client(url: str, key_id: str = KEY_ID, secret: str = SECRET, **config: Any) -> Any:
    """A botocore client of the voice service."""
    return _session().create_client(
        "chime-sdk-voice",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=PATIENCE_SECONDS),
        **config,
    )


def signed(
    url: str, method: str, path: str, body: bytes = b"", *, key_id: str = KEY_ID, secret: str = SECRET, **headers: str
) -> bytes:
    """A good request as bytes; `headers` are added after it is signed."""
    host = url.partition("://")[2]
    request = AWSRequest(method=method, url=url + path, data=body, headers={"Host": host})
    SigV4Auth(Credentials(key_id, secret), "chime", "us-east-1").add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a connection, and not a byte more; with `head_only`, the answer to HEAD."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(connection, 1)
    status, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = 0 if head_only else int(headers.get("content-length", 0))
    return int(status.split()[1]), headers, _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError("the answer ends too early")
        received += piece
    return received


def drain(connection: socket.socket) -> bytes:
    """All bytes until the server closes."""
    received = bytearray()
    while piece := connection.recv(65_536):
        received += piece
    return bytes(received)


def domain_input(name: str = "callers") -> dict[str, Any]:
    """What CreateVoiceProfileDomain needs."""
    return {
        "Name": name,
        "ServerSideEncryptionConfiguration": {"KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1"},
    }


def fault_of(error: Exception) -> tuple[str, int]:
    """The class that the client made of a fault, and its status."""
    response: Any = getattr(error, "response", {})
    return type(error).__name__, response["ResponseMetadata"]["HTTPStatusCode"]
