"""Pages with commands are typed in by a test, or the table says who runs what they say."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "acceptance" / "pages.toml"


def test_each_page_with_commands_is_typed_or_says_why_not() -> None:
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if re.search(r"(?m)^\$ ", page.read_text("utf-8"))]
    told = {page["name"] for page in table["page"]} | set(table["not_typed"])
    missing, gone = {*pages, "../README.md"} - told, told - {*pages, "../README.md"}
    assert not missing, (
        f"these pages miss in {TABLE.relative_to(ROOT)}, typed or `not_typed` with who runs them: {missing}"
    )
    assert not gone, f"these pages of {TABLE.relative_to(ROOT)} have no commands any more: {gone}"
