"""What is true of the log on disk only; the examples are the contract's."""

from pathlib import Path

import pytest
from fragments_examples import MEDIA, OpenLog, identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fragments"


@pytest.fixture
def open_log(tmp_path: Path) -> OpenLog:
    return MEDIA["disk"](tmp_path)


@pytest.fixture
def files(folder: Path) -> Path:
    """The folder of stream `a`."""
    return folder / identity("a").digest
