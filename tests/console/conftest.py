"""A running service with records to look at, and browsers without a window."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from console_examples import fill, name_hostile
from console_visit import SCOPE, Visit
from live import ACCOUNT, Live
from rest_examples import ROLES, token

from earwitness.models.cache import ModelCache


@pytest.fixture
def start(tmp_path: Path, model_cache: ModelCache) -> Iterator[Callable[..., Live]]:
    """Starts services with records of every kind, and tokens of every role."""
    with ExitStack() as running:

        def start_one(**settings: Any) -> Live:
            live = running.enter_context(Live(tmp_path / "service", **settings))
            for role in ROLES:
                _give_token(live, role)
            fill(live.store, SCOPE, expires_at=datetime.now(UTC) + timedelta(days=1_000))
            name_hostile(live.store, SCOPE)
            return live

        yield start_one


@pytest.fixture
def live(start: Callable[..., Live]) -> Live:
    return start()


@pytest.fixture
def visit(live: Live) -> Iterator[Callable[[str], Visit]]:
    """Opens a browser, signed in with a role; with none for ""."""
    with ExitStack() as opened:

        def open_one(role: str = "admin") -> Visit:
            visit = Visit(opened.enter_context(httpx.Client(base_url=live.url)), live.url)
            if role:
                assert visit.sign_in(token(role, SCOPE)).status_code == 303
            return visit

        yield open_one


def _give_token(live: Live, role: str) -> None:
    live.store.write(
        lambda unit: unit.bearer_tokens.create(
            token=token(role, SCOPE), token_id=f"tok-{role}", account_id=ACCOUNT, role=role, name=role
        )
    )
