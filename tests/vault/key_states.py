"""moto's KMS as AWS's is with keys that are off: moto wraps and opens with them all the same.

Requests pass to moto, except to wrap or open with a key that is disabled or to be deleted, by moto's own word: these
get the errors that AWS documents for Encrypt and Decrypt.
"""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_ERRORS = {"Disabled": "DisabledException", "PendingDeletion": "KMSInvalidStateException"}
_USES = {"TrentService.Encrypt", "TrentService.Decrypt"}


@contextmanager
def minding_key_states(moto_url: str, kms: Any) -> Iterator[str]:
    """Yield the URL. `kms` is a client of moto's."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            error = ""
            if self.headers.get("X-Amz-Target") in _USES:
                key = json.loads(body)["KeyId"].rpartition("/")[2]
                error = _ERRORS.get(kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"], "")
            status, answer = (400, json.dumps({"__type": error}).encode()) if error else self._passed_on(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _passed_on(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(urlsplit(moto_url).netloc, timeout=20)
            connection.request("POST", "/", body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.status, answer.read()
            connection.close()
            return content

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its signature
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
