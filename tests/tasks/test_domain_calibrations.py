"""The calibration of a domain in what goes on without a request: calls, and galleries in memory of every process."""

import gc
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from calibration_examples import SHIPPED, document, moved
from following import RATE, Line, Office, fragments_of, run
from store_examples import MINE, add_domain, opened

from earwitness.engine.calibration import Calibration
from earwitness.engine.engine import Engine
from earwitness.store.store import Store
from earwitness.tasks.galleries import Galleries
from earwitness.tasks.lines import LineName
from earwitness.tasks.voting import Lines
from earwitness.voice.line import Codec, LineLearning

SECONDS = [second * RATE for second in range(1, 36)]
HIGHER, HIGHEST = moved(0.05), moved(0.1)


def install(store: Store, domain_id: str, calibration: Calibration) -> None:
    store.write(
        lambda unit: unit.calibrations.install(
            MINE,
            domain_id,
            calibration_id=calibration.id,
            encoder_id=calibration.encoder_id,
            document=document(calibration),
            key_id="KEY",
        )
    )


@pytest.mark.slow
def test_the_next_call_rests_on_what_was_installed(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        async def heard(domain_id: str = "") -> Any:
            office.line = Line(fragments_of(call, SECONDS))
            task = office.new_task(domain_id)
            await office.follow(task)
            return office.now(task)

        first = await heard()
        install(office.store, first.domain_id, HIGHER)
        second = await heard(first.domain_id)
        office.store.write(lambda unit: unit.calibrations.use_service(MINE, first.domain_id, key_id="KEY"))
        third = await heard(first.domain_id)
        found = [one.identification for one in (first, second, third)]
        assert [one["basis"]["calibration_id"] for one in found] == [SHIPPED.id, HIGHER.id, SHIPPED.id]
        thresholds = [one["threshold"]["score"] for one in found]
        assert thresholds[1] == pytest.approx(thresholds[0] + 0.05)
        assert thresholds[2] == thresholds[0]

    run(tmp_path, engine, play)


@pytest.mark.slow
def test_another_process_searches_by_it_at_once(tmp_path: Path, engine: Engine) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    here, there = opened(url), opened(url)
    try:
        domain_id = here.write(add_domain).domain_id
        lines = Lines(there, default=LineLearning.ON)
        line = LineName(MINE, domain_id, Codec.PCM)

        def found() -> str:
            return lines.gallery(line, engine).space.calibration.id

        assert found() == SHIPPED.id
        for calibration in (HIGHER, HIGHEST):
            install(here, domain_id, calibration)
            assert found() == calibration.id
        assert lines.gallery(line, engine) is lines.gallery(line, engine)
        here.write(lambda unit: unit.calibrations.use_again(MINE, domain_id, HIGHER.id, key_id="KEY"))
        assert found() == HIGHER.id
        here.write(lambda unit: unit.calibrations.use_service(MINE, domain_id, key_id="KEY"))
        assert found() == SHIPPED.id
    finally:
        here.close()
        there.close()


@pytest.mark.slow
def test_copies_of_a_former_calibration_do_not_stay_in_memory(tmp_path: Path, engine: Engine) -> None:
    store = opened(f"sqlite:///{tmp_path / 'records.db'}")
    try:
        domain_id = store.write(add_domain).domain_id
        galleries = Galleries(store)
        made = [
            ref(galleries.get(MINE, domain_id, space=engine.space.calibrated(moved(0.01 * number))))
            for number in range(1, 6)
        ]
        gc.collect()
        assert [one() is not None for one in made] == [False, False, False, False, True]
    finally:
        store.close()
