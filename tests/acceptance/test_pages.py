"""The pages of docs/, typed in: every command, in the order of the page, against a running service."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from serving import Served
from typed_pages import Page, type_it

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("pages.toml").read_text(encoding="utf-8"))
PAGES = [Page(**(page | {"said": tuple(page["said"])})) for page in TABLE["page"]]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_commands_do_what_it_says(served: Served, tmp_path: Path, page: Page) -> None:
    if any(line.startswith("aws ") for line in page.commands()) and shutil.which("aws") is None:
        pytest.skip("the AWS CLI is not installed; `pip install awscli` in an environment of its own")
    commands, done = type_it(page, served, tmp_path)
    assert len(commands) >= 2
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-4000:]
    for words in page.said:
        assert words in done.stdout + done.stderr, done.stdout + done.stderr
