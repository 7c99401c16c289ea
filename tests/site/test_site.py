"""The docs site: what is staged, what is refused, and that a browser asks nobody else for anything."""

import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import build_site
import pytest

ROOT = Path(__file__).parents[2]
ZENSICAL = ROOT / ".venv-site" / "bin" / "zensical"
CHROMIUM = os.environ.get("EARWITNESS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not ZENSICAL.exists():
        pytest.skip("Zensical is not installed; `make site` installs it")
    folder = tmp_path_factory.mktemp("site")
    assert build_site.build(str(ZENSICAL), folder) == []
    return folder / "html"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a page that links to everything that a page may link to."""
    for name in ("docs/decisions", "deploy", "examples/offline", "site"):
        (tmp_path / name).mkdir(parents=True)
    for name in build_site.OWN_PAGES:
        (tmp_path / name).write_text("# Own\n\n[a](docs/a.md#here)\n", encoding="utf-8")
    (tmp_path / "deploy" / "alerts.yaml").write_text("groups: []\n", encoding="utf-8")
    (tmp_path / "examples" / "offline" / "README.md").write_text("[code](code.py)\n", encoding="utf-8")
    (tmp_path / "examples" / "offline" / "code.py").write_text("print()\n", encoding="utf-8")
    (tmp_path / "docs" / "decisions" / "2026-11-27-x.md").write_text("# X\n\n[a](../a.md)\n", encoding="utf-8")
    links = "[1](../deploy/alerts.yaml) [2](../examples/offline/README.md) [3](../ARCHITECTURE.md) "
    links += "[4](https://x.example) [5](#here)"
    (tmp_path / "docs" / "a.md").write_text(f"# A\n\n{links}\n", encoding="utf-8")
    return tmp_path


def test_links_out_of_the_pages_lead_to_copies(repository: Path) -> None:
    staged = repository / "staged"
    assert build_site.stage(staged, repository) == []
    page = (staged / "a.md").read_text(encoding="utf-8")
    assert "[1](files/deploy/alerts.yaml) [2](files/examples/offline/README.md) [3](architecture.md)" in page
    assert "[4](https://x.example) [5](#here)" in page
    assert "[a](a.md#here)" in (staged / "architecture.md").read_text(encoding="utf-8")
    assert (staged / "files" / "examples" / "offline" / "code.py").read_text(encoding="utf-8") == "print()\n"
    assert "- 2026-11-27: [X](2026-11-27-x.md)" in (staged / "decisions" / "index.md").read_text(encoding="utf-8")


def test_a_link_to_no_file_is_named(repository: Path) -> None:
    (repository / "docs" / "b.md").write_text("[gone](gone.md) [a folder](../deploy)", encoding="utf-8")
    said = build_site.stage(repository / "staged", repository)
    assert [line.replace(str(repository), "") for line in said] == [
        "docs/b.md links to /docs/gone.md",
        "docs/b.md links to /deploy",
    ]


def test_a_page_that_the_navigation_forgot_is_in_it_all_the_same(tmp_path: Path) -> None:
    settings = (ROOT / "site" / "zensical.toml").read_text(encoding="utf-8")
    (tmp_path / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")
    (tmp_path / "index.md").write_text("# Known\n", encoding="utf-8")
    assert '"More" = [\n    "forgotten.md",\n' in build_site.with_all_pages(settings, tmp_path)
    (tmp_path / "forgotten.md").unlink()
    assert build_site.with_all_pages(settings, tmp_path) == settings


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "a.html fetches https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "a.html fetches //fonts.example/x.css"),
        ('<link rel="preconnect" href="https://fonts.example">', "a.html fetches https://fonts.example"),
        ('<img src="http://x.example/x.png">', "a.html fetches http://x.example/x.png"),
        ('<p style="background:url(https://x.example/y)">', "a.html fetches https://x.example/y"),
        ('<a href="b.html">', "a.html links to b.html, which is nowhere"),
        ('<a href="#b">', "a.html links to #b; there is no such place"),
        ('<a href="https://x.example">link</a><a href="#a" id="a">', None),
    ],
)
def test_what_is_wrong_with_a_page_is_told(tmp_path: Path, html: str, said: str | None) -> None:
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    assert list(build_site.complaints(tmp_path)) == ([] if said is None else [said])


def test_a_style_that_fetches_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('@import "https://x.example/a.css"; p{background:url(a.png)}', encoding="utf-8")
    assert list(build_site.complaints(tmp_path)) == ["a.css fetches https://x.example/a.css"]


@pytest.mark.slow
def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}


@pytest.mark.slow
def test_a_browser_asks_nobody_else(site: Path) -> None:
    """Every page, with script: what is loaded late counts too."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; EARWITNESS_CHROMIUM names one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with _Served(site) as address, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for path in sorted(site.glob("*.html")):
            page.goto(f"{address}/{path.name}", wait_until="load")
        browser.close()
    assert len(asked) > 100
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
    assert errors == []


class _Served:
    """A folder, served on loopback while the block runs."""

    def __init__(self, folder: Path) -> None:
        handler = partial(_Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing; `Any` as in the base class."""
