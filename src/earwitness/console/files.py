"""Styles and scripts, from memory: ours, and those that the build fetched (`hatch_build.py`).

Each has an address with its hash, so that browsers keep it for good and never use an old one.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from earwitness.console.guard import PLAIN_HEADERS

ROOM = Path(__file__).parent
OURS, FETCHED = ROOM / "assets", ROOM / "static"

_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """A file as it is sent."""

    content: bytes
    compressed: bytes
    kind: str
    version: str


class ServedFiles:
    """All of them, read when the first is asked for."""

    def __init__(self, folders: tuple[Path, ...] = (OURS, FETCHED)) -> None:
        self._folders = folders

    @property
    def has_scripts(self) -> bool:
        """Return whether the build had a network to fetch them."""
        return "htmx.min.js" in self._files

    def has(self, name: str) -> bool:
        """Return whether a file is there."""
        return name in self._files

    def address(self, name: str) -> str:
        """Return where a file is. Raise KeyError for one that is not there."""
        return f"/console/static/{self._files[name].version}/{name}"

    def answer(self, request: Request) -> Response:
        """Return a file, or 404."""
        found = self._files.get(request.path_params["name"])
        if found is None or found.version != request.path_params["version"]:
            return Response("there is no such file", 404, PLAIN_HEADERS, "text/plain")
        headers = {**PLAIN_HEADERS, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if takes_gzip(request):
            return Response(found.compressed, 200, {**headers, "Content-Encoding": "gzip"}, found.kind)
        return Response(found.content, 200, headers, found.kind)

    @cached_property
    def _files(self) -> Mapping[str, ServedFile]:
        paths = [path for folder in self._folders if folder.is_dir() for path in folder.iterdir()]
        return {path.name: _read(path) for path in paths if path.suffix in _KINDS}


def takes_gzip(request: Request) -> bool:
    """Return whether a browser takes compressed answers."""
    return "gzip" in request.headers.get("accept-encoding", "")


def _read(path: Path) -> ServedFile:
    content = path.read_bytes()
    return ServedFile(
        content=content,
        compressed=gzip.compress(content, 9, mtime=0),
        kind=_KINDS[path.suffix],
        version=hashlib.sha256(content).hexdigest()[:12],
    )
