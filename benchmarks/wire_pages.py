"""A list of 10,000 resources, page by page through the served API, for `wire`."""

import json
import socket
from http.client import HTTPResponse
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.benchmark import Numbers
from benchmarks.wire_records import DOMAINS, Made
from benchmarks.wire_servers import Server
from benchmarks.wire_signed import VOICE, Signer
from earwitness.cli.output import progress_of

_PAGE = 100
_WALKS, _NOT_COUNTED = 6, 1
_COMPARED = 10
"""So many pages at the list's beginning, and so many at its end."""


def measure_pages(server: Server, made: Made) -> Numbers:
    """Milliseconds of the first and last pages, their ratio, and the server's memory before and after."""
    signer = Signer(made, port=server.port)
    walks: list[list[float]] = []
    resident: list[float] = []
    with progress_of() as show, socket.create_connection(("127.0.0.1", server.port)) as connection:
        for walk in range(_WALKS):
            walks.append(_walk(connection, signer))
            resident.append(_resident_mib(server.process_id))
            show("walks through the list", walk + 1, _WALKS)
    seconds = np.array(walks[_NOT_COUNTED:])
    first, last = seconds[:, :_COMPARED], seconds[:, -_COMPARED:]
    return {
        "page_first_ms": 1e3 * float(np.median(first)),
        "page_last_ms": 1e3 * float(np.median(last)),
        "page_ratio": float(np.median(np.median(last, axis=1) / np.median(first, axis=1))),
        "page_resident_first_mib": resident[_NOT_COUNTED - 1],
        "page_resident_last_mib": resident[-1],
        "page_growth_percent": 100.0 * (resident[-1] / resident[_NOT_COUNTED - 1] - 1.0),
    }


def _walk(connection: socket.socket, signer: Signer) -> list[float]:
    """Seconds of each page, from the request's first byte to the answer's last."""
    seconds: list[float] = []
    params: dict[str, object] = {"MaxResults": _PAGE}
    seen = 0
    while True:
        request = signer.request(VOICE, "ListVoiceProfileDomains", params)
        started = perf_counter()
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        body = response.read()
        seconds.append(perf_counter() - started)
        page = json.loads(body)
        if response.status != 200:
            raise RuntimeError(f"a page was answered with {response.status}: {page}")
        seen += len(page["VoiceProfileDomains"])
        if "NextToken" not in page:
            break
        params["NextToken"] = page["NextToken"]
    if seen != DOMAINS:
        raise RuntimeError(f"the pages hold {seen} domains of {DOMAINS}")
    return seconds


def _resident_mib(process_id: int) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say how much memory is resident")
