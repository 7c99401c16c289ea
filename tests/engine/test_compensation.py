"""What is taken out of embeddings, and that raw rows are compared as if they were kept compensated."""

import json
from pathlib import Path

import numpy as np
import pytest

from earwitness.engine.compensation import (
    Compensation,
    no_compensation,
    shipped_compensation,
    unit_length,
    write_compensation,
)
from earwitness.errors import ModelDamaged
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band


def test_compensation_takes_out_the_mean_and_the_directions() -> None:
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.standard_normal((8, 2)))[0].T.astype(np.float32)
    compensation = Compensation(np.full(8, 0.2, np.float32), directions)
    vectors = compensation.apply(random.standard_normal((5, 8)).astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(vectors @ directions.T, 0.0, atol=1e-6)


def test_compensation_survives_being_written(tmp_path: Path) -> None:
    shipped = shipped_compensation(ENCODER_MODEL, Band.TELEPHONE)
    write_compensation(tmp_path / "x.json", shipped, made_from="a test")
    written = json.loads((tmp_path / "x.json").read_text())
    read = Compensation(np.array(written["mean"], np.float32), np.array(written["directions"], np.float32))
    assert read.id == shipped.id
    with pytest.raises(ModelDamaged, match="no channel compensation"):
        shipped_compensation("unheard-of", Band.TELEPHONE)


def test_unit_length() -> None:
    np.testing.assert_allclose(unit_length(np.array([[3.0, 4.0]])), [[0.6, 0.8]], atol=1e-7)


def test_no_compensation_takes_nothing_out() -> None:
    vectors = unit_length(np.random.default_rng(1).standard_normal((4, 6)))
    np.testing.assert_allclose(no_compensation(6).apply(vectors), vectors, atol=1e-6)
    np.testing.assert_allclose(no_compensation(6).lengths(vectors), 1.0, atol=1e-6)


def test_the_id_changes_with_every_number() -> None:
    shipped = shipped_compensation(ENCODER_MODEL, Band.TELEPHONE)
    moved = Compensation(shipped.mean + np.float32(1e-3), shipped.directions)
    turned = Compensation(shipped.mean, shipped.directions[:-1])
    assert len({one.id for one in (shipped, moved, turned)}) == 3


def test_a_raw_row_with_its_length_gives_the_compensated_cosine() -> None:
    compensation = shipped_compensation(ENCODER_MODEL, Band.TELEPHONE)
    raw = unit_length(np.random.default_rng(2).standard_normal((20, 192)) + 8 * compensation.mean)
    probe, *rows = compensation.apply(raw)
    scores = (raw[1:] @ probe - probe @ compensation.mean) / compensation.lengths(raw[1:])
    np.testing.assert_allclose(scores, np.array(rows) @ probe, atol=1e-6)
