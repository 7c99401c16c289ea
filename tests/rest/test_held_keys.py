"""Connections by their keys: one query for all of them, an end at once or after a grace; time is passed in."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from rest_examples import MINE, Rest, key_id, run, token

from earwitness.access.access import Access
from earwitness.access.held_keys import LOOK_SECONDS, ROTATED_SECONDS, HeldKey, HeldKeys
from earwitness.errors import StoreUnavailable, Unauthorized
from earwitness.store.store import Store
from earwitness.wire.exchange import Principal


class World:
    """Held keys over real records, a clock that stands still, and a count of looks at the records."""

    def __init__(self, store: Store) -> None:
        self.store, self.now, self.reads = store, 0.0, 0
        self.access = Access(
            store,
            in_background=lambda work: work(),
            clock=store._clock,
            skew_seconds_max=300.0,
            monotonic=lambda: self.now,
        )
        self.keys: HeldKeys = self.access.held_keys

    def principal(self, role: str) -> Principal:
        return self.access.find_key(key_id(role)).principal

    async def look(self) -> None:
        async def counted(work: Callable[[], Any]) -> Any:
            self.reads += 1
            return await run(work)

        await self.keys.look(counted)


@pytest.fixture
def world(rest: Rest) -> World:
    return World(rest.store)


def test_one_query_asks_for_a_thousand_connections_and_none_where_there_are_none(world: World) -> None:
    async def scene() -> None:
        await world.look()
        assert world.reads == 0
        with ExitStack() as held:
            keys = [held.enter_context(world.keys.holding(world.principal("producer"))) for _ in range(1_000)]
            reader = held.enter_context(world.keys.holding(world.principal("reader")))
            await world.look()
            assert (world.reads, any(key.has_ended for key in [*keys, reader])) == (1, False)
            disable = world.principal("producer").key_id
            world.store.write(lambda unit: unit.access_keys.disable(MINE.account_id, disable))
            await world.look()
            assert all(key.has_ended for key in keys) and not reader.has_ended
        await world.look()
        assert world.reads == 2

    asyncio.run(scene())


def test_a_deleted_key_and_a_revoked_token_end_what_they_hold(world: World) -> None:
    async def scene() -> None:
        shown = world.store.bearer_tokens.find(token("reader"))
        assert shown is not None
        token_of = Principal(key_id=shown.token_id, account_id=MINE.account_id, role="reader")
        with world.keys.holding(world.principal("admin")) as key, world.keys.holding(token_of) as bearer:
            await world.look()
            key.require()
            bearer.require()
            world.store.write(lambda unit: unit.access_keys.delete(MINE.account_id, key_id("admin")))
            world.store.write(lambda unit: unit.bearer_tokens.revoke(MINE.account_id, shown.token_id))
            await world.look()
            for one in (key, bearer):
                with pytest.raises(Unauthorized, match="was disabled"):
                    one.require()

    asyncio.run(scene())


def test_a_rotated_key_goes_on_for_its_grace(world: World) -> None:
    async def scene() -> None:
        with world.keys.holding(world.principal("operator")) as before:
            made = world.store.write(
                lambda unit: unit.access_keys.rotate(MINE.account_id, key_id("operator"), secret="another")  # noqa: S106
            )
            assert made is not None
            with world.keys.holding(world.principal("operator")) as after:
                for seconds in (0.0, ROTATED_SECONDS - 1):
                    world.now = seconds
                    await world.look()
                    assert not before.has_ended
                world.now = ROTATED_SECONDS
                await world.look()
                assert before.has_ended and not after.has_ended
                with pytest.raises(Unauthorized, match="new secret for 300 s"):
                    before.require()

    asyncio.run(scene())


def test_what_is_waited_for_is_given_up_with_the_key(world: World) -> None:
    async def scene() -> None:
        held = HeldKey(world.principal("admin"))
        waiting = asyncio.create_task(held.unless_it_ends(asyncio.Event().wait))
        await asyncio.sleep(0)
        held.end("the reason")
        assert await waiting is None
        assert await held.unless_it_ends(asyncio.Event().wait) is None  # at once

        async def too_slow() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):  # somebody else's is not taken for the end
            await HeldKey(world.principal("admin")).unless_it_ends(too_slow)

    asyncio.run(scene())


@pytest.mark.parametrize("failure", [StoreUnavailable("the database is away"), RuntimeError("can't start new thread")])
def test_connections_go_on_while_keys_cannot_be_looked_up(
    world: World, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    async def scene() -> None:
        slept: list[float] = []

        async def away(work: Callable[[], Any]) -> Any:
            raise failure

        async def twice(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 2:
                raise asyncio.CancelledError

        with world.keys.holding(world.principal("admin")) as held:
            with pytest.raises(asyncio.CancelledError):
                await world.keys.look_again_and_again(away, sleep=twice)
            assert slept == [LOOK_SECONDS, LOOK_SECONDS]
            assert not held.has_ended

    asyncio.run(scene())
    assert caplog.text.count("cannot be looked up now") == 1  # that is once a minute
