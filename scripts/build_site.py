"""Build the docs site: stage the pages, let Zensical make HTML of them, and look at what came out.

The pages stay plain Markdown that reads well in the repository too. Their links out of docs/ (to examples, files of
deploy/, ARCHITECTURE.md) are rewritten here, and what they lead to becomes a part of the site. A link that leads
nowhere, and whatever a browser would fetch from another machine, is an error.

python scripts/build_site.py ZENSICAL [FOLDER]: ZENSICAL is its command, FOLDER takes the site (build/site)
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
OWN_PAGES = ("ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the repository's root that are pages of the site."""

_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s#]+)")
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
_FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


def build(zensical: str, folder: Path, root: Path = ROOT) -> list[str]:
    """Build the site into `folder`/html. Return what is wrong with it, a line each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    missing = stage(folder / "stage", root)
    if missing:
        return missing
    settings = (root / "site" / "zensical.toml").read_text(encoding="utf-8")
    (folder / "zensical.toml").write_text(with_all_pages(settings, folder / "stage"), encoding="utf-8")
    command = [zensical, "build", "--clean", "--strict", "--config-file", str(folder / "zensical.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "", "NO_COLOR": "1"})
    if done.returncode:
        return [done.stdout + done.stderr]
    return sorted(set(complaints(folder / "html")))


def stage(folder: Path, root: Path = ROOT) -> list[str]:
    """Copy all pages and what they link to. Return the links that lead to no file."""
    (folder / "decisions").mkdir(parents=True)
    (folder / "decisions" / "index.md").write_text(decisions(root / "docs" / "decisions"), encoding="utf-8")
    waiting = [path for path in sorted((root / "docs").rglob("*")) if path.is_file()]
    waiting += [root / name for name in OWN_PAGES]
    staged: set[Path] = set()
    missing: list[str] = []
    while waiting:
        source = waiting.pop()
        if source in staged:
            continue
        staged.add(source)
        place = folder / place_of(source, root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copyfile(source, place)
            continue
        text, linked = rewritten(source, root)
        place.write_text(text, encoding="utf-8")
        missing += [f"{source.relative_to(root)} links to {path}" for path in linked if not path.is_file()]
        waiting += [path for path in linked if path.is_file()]
    return missing


def with_all_pages(settings: str, staged: Path) -> str:
    """Return the settings with a section of the pages that the navigation does not name, so that none is lost."""
    pages = [path.name for path in sorted(staged.glob("*.md")) if f'"{path.name}"' not in settings]
    if not pages:
        return settings
    section = '  { "More" = [\n' + "".join(f'    "{name}",\n' for name in pages) + "  ] },\n]\n\n[project.theme]"
    return settings.replace("]\n\n[project.theme]", section, 1)


def decisions(folder: Path) -> str:
    """Return a page that lists the decisions, newest first."""
    rows: list[str] = []
    for page in sorted(folder.glob("*.md"), reverse=True):
        title = re.sub(r"^\d{4}-\d\d-\d\d: ", "", page.read_text(encoding="utf-8").splitlines()[0].lstrip("# "))
        rows.append(f"- {page.name[:10]}: [{title}]({page.name})")
    head = "# Decisions\n\nWhat was weighed, and why it is as it is. A page is superseded, not edited.\n\n"
    return head + "\n".join(rows) + "\n"


def place_of(source: Path, root: Path = ROOT) -> Path:
    """Return where a file of the repository lies in the site, relative to its root."""
    relative = source.relative_to(root)
    if relative.parts[0] == "docs":
        return Path(*relative.parts[1:])
    return Path(relative.name.lower()) if str(relative) in OWN_PAGES else Path("files") / relative


def rewritten(page: Path, root: Path = ROOT) -> tuple[str, list[Path]]:
    """Return a page with its links as they are in the site, and the files they lead to."""
    linked: list[Path] = []
    here = place_of(page, root).parent

    def rewrite(found: re.Match[str]) -> str:
        target = (page.parent / found[2]).resolve()
        linked.append(target)
        return found[1] + os.path.relpath(place_of(target, root), here)

    return _LINK.sub(rewrite, page.read_text(encoding="utf-8")), linked


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in _FETCHED:
            self.fetched += [values.get(_FETCHED[tag], ""), values.get("srcset", "")]
        if tag == "link" and _FETCHED_LINKS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        self.fetched += _IN_STYLES.findall(values.get("style", ""))


def complaints(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site: dead links and anchors, and what is fetched from elsewhere."""
    pages: dict[Path, _Page] = {}
    for path in sorted(site.rglob("*.html")):
        page = pages[path.resolve()] = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name} fetches {address}" for address in page.fetched if re.match(r"(https?:)?//", address))
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{name} links to {link}, which is nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids | {"__top"}:
                yield f"{name} links to {link}; there is no such place"
    for path in sorted(site.rglob("*.css")):
        for address in _IN_STYLES.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} fetches {address}"


def main() -> None:
    """Build, and end with 1 where something is wrong."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "build" / "site"
    wrong = build(str(Path(sys.argv[1]).absolute()), folder)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(list((folder / 'html').rglob('*.html')))} pages: {folder / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()
