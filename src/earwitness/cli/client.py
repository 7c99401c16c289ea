"""The client of a running service: HTTP with a bearer token or a signature, and errors that say what to do next."""

import contextlib
import json
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from earwitness import config
from earwitness.config.aws import AwsVariables, aws_variables, certificate_fault, trusted
from earwitness.errors import (
    AskingError,
    AudioUnreadable,
    ConfigurationError,
    ServiceRefused,
    ServiceUnreachable,
    ServiceUntrusted,
)
from earwitness.progress import Progress

ANSWER_SECONDS_MAX = 40.0
"""Twice as long as the service lets a request for events wait."""

RECORDING_SECONDS_MAX = 180.0
"""How long a search may take: models may have to be loaded, and silence has to be heard to its end."""

RECORDING_BYTES_MAX = 50_000_000
"""No service takes more than this; it is refused before it is sent."""

_PIECE_BYTES = 256 * 1024

DEFAULT_REGION = "us-east-1"

_PREFIX = "/earwitness/v1"
_NEXT_STEPS = {
    401: "a token is made where the records are (that of `serve --dev` is test), and exported as EARWITNESS_TOKEN",
    404: "records of other Regions are not seen; choose one with --region",
}


class ServiceClient:
    """A running service, asked with somebody's credentials about the records of a Region."""

    def __init__(self, client: httpx.Client, *, token: str, aws: AwsVariables, region: str) -> None:
        self._client = client
        self._token = token
        self._aws = aws
        self._region = region

    # `Any`: a JSON object, and values that become text in the query; None leaves one out. Here and below.
    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the answer to GET. Raise ServiceUnreachable and ServiceRefused, as the other methods do."""
        return self._answer(self._request("GET", path, query))

    def published(self, path: str) -> dict[str, Any]:
        """Return a document that the service shows to anybody; errors as of `get`."""
        try:
            return _read(self._client.get(path))
        except httpx.RequestError as error:
            raise _unanswered(self._client.base_url, error) from error

    def post(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the answer to POST without a body."""
        return self._answer(self._request("POST", path, query))

    def tell(self, path: str, body: dict[str, Any], **query: Any) -> dict[str, Any]:
        """Return the answer to POST with a body of JSON, for what may not stand in an address."""
        content = json.dumps(body, separators=(",", ":")).encode()
        request = self._request("POST", path, query, content=content, headers={"Content-Type": "application/json"})
        return self._answer(request, content)

    def put(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the answer to PUT without a body."""
        return self._answer(self._request("PUT", path, query))

    def delete(self, path: str) -> dict[str, Any]:
        """Return the answer to DELETE."""
        return self._answer(self._request("DELETE", path, {}))

    def every(self, path: str, member: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        following = None
        while True:
            page = self.get(path, nextToken=following, limit=100, **query)
            yield from page[member]
            following = page["nextToken"]
            if following is None:
                return

    def send(self, path: str, recording: Path, *, sent: Progress, method: str = "POST", **query: Any) -> dict[str, Any]:
        """Return the answer to a request with a recording; `sent` is called with the bytes that have gone.

        Raise AudioUnreadable as well, when the file cannot be read or is too large.
        """
        content = _content(recording)
        request = self._request(
            method,
            path,
            query,
            content=_pieces(content, sent),
            headers={"Content-Length": str(len(content)), "Content-Type": "application/octet-stream"},
            timeout=RECORDING_SECONDS_MAX,
        )
        return self._answer(request, content)

    def download(self, path: str, file: IO[bytes], *, got: Progress) -> None:
        """Write the file that is answered to GET; `got` is called with the bytes that have come. Raise OSError too."""
        request = self._request("GET", path, {})
        request.headers.update(self._credentials(request, b""))
        try:
            response = self._client.send(request, stream=True)
            with contextlib.closing(response):
                if not response.is_success:
                    response.read()
                    _read(response)
                total = int(response.headers.get("Content-Length", 0))
                for piece in response.iter_bytes():
                    file.write(piece)
                    got("fetching", response.num_bytes_downloaded, total)
        except httpx.RequestError as error:
            raise _unanswered(self._client.base_url, error) from error

    @staticmethod
    def segment(text: str, *, what: str) -> str:
        """Return an id as a segment of a path. Raise ConfigurationError when it cannot be one."""
        if not text or "/" in text:
            raise ConfigurationError(f"the {what} is an id without slashes, not an ARN")
        return quote(text, safe="")

    def _request(self, method: str, path: str, query: dict[str, Any], **more: Any) -> httpx.Request:
        given = {name: value for name, value in query.items() if value is not None}
        return self._client.build_request(method, _PREFIX + path, params={"region": self._region, **given}, **more)

    def _answer(self, request: httpx.Request, content: bytes = b"") -> dict[str, Any]:
        request.headers.update(self._credentials(request, content))
        try:
            return _read(self._client.send(request))
        except httpx.RequestError as error:
            raise _unanswered(self._client.base_url, error) from error

    def _credentials(self, request: httpx.Request, content: bytes) -> dict[str, str]:
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        signed = AWSRequest(method=request.method, url=str(request.url), data=content)
        SigV4Auth(Credentials(self._aws.key_id, self._aws.secret), "earwitness", self._region).add_auth(signed)
        return dict(signed.headers)


@contextmanager
def connect(*, url: str | None, region: str | None) -> Generator[ServiceClient]:
    """Open a client of the service at `url`, else of the settings; the default Region is that of AWS's variables.

    Raise ConfigurationError without an address or credentials.
    """
    settings, aws = config.load(), aws_variables()
    if not settings.token and not (aws.key_id and aws.secret):
        raise ConfigurationError(
            "there is nothing to ask the service with; make a token where the records are, with `earwitness keys "
            "token`, and export it as EARWITNESS_TOKEN (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if not settings.token.isascii() or not settings.token.isprintable():
        raise ConfigurationError("the token in EARWITNESS_TOKEN has characters that no token has; copy it again")
    with httpx.Client(base_url=_address(url or settings.url), timeout=ANSWER_SECONDS_MAX, verify=trusted()) as client:
        yield ServiceClient(client, token=settings.token, aws=aws, region=region or aws.region or DEFAULT_REGION)


def _unanswered(address: httpx.URL, error: httpx.RequestError) -> AskingError:
    """Return the error when nothing answers, or when what answers cannot be trusted."""
    if fault := certificate_fault(error):
        return ServiceUntrusted(f"something answers at {address}, but {fault}")
    hint = ""
    if isinstance(_root(error), ssl.SSLError):
        hint = "; without a certificate of its own its address begins with http://"
    elif isinstance(error, httpx.RemoteProtocolError):
        hint = "; with a certificate of its own its address begins with https://"
    return ServiceUnreachable(
        f"no earwitness service answers at {address} ({type(error).__name__}){hint}; start it with "
        "`earwitness serve`, or say where it is with --url"
    )


def _root(error: BaseException) -> BaseException:
    """Return the first of a chain of errors."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _content(recording: Path) -> bytes:
    try:
        if recording.stat().st_size > RECORDING_BYTES_MAX:
            raise AudioUnreadable(
                f"{recording.name} is larger than {RECORDING_BYTES_MAX // 1_000_000} MB; cut it, 20 s of speech "
                "are enough"
            )
        return recording.read_bytes()
    except OSError as error:
        raise AudioUnreadable(f"{recording} cannot be read: {error.strerror}") from error


def _pieces(content: bytes, sent: Progress) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES]
        yield piece
        sent("sending", start + len(piece), len(content))


def _address(text: str) -> httpx.URL:
    try:
        address = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"http", "https"} or not address.host:
        raise ConfigurationError("the service's address is no URL; give one as in http://127.0.0.1:4500")
    return address


# `Any`: a JSON object.
def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        document: Any = response.json()
        if response.is_success and isinstance(document, dict):
            return document  # pyright: ignore[reportUnknownVariableType]  # JSON
        message = str(document["error"]["message"])
    except (ValueError, KeyError, TypeError):
        raise ServiceRefused(
            f"what answers at {response.url.copy_with(path='/', query=None)} is no earwitness service (status "
            f"{response.status_code}); say where it is with --url",
            status=response.status_code,
        ) from None
    hint = _NEXT_STEPS.get(response.status_code)
    raise ServiceRefused(f"{message}; {hint}" if hint else message, status=response.status_code)
