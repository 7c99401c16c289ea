"""What the media may take: a bound on all of them, and what is deleted makes room again."""

from pathlib import Path

import pytest

from earwitness.errors import FragmentLogUnavailable
from earwitness.fragments.budget import Budget


def test_all_media_together_are_bounded(tmp_path: Path) -> None:
    now = [0.0]
    budget = Budget(tmp_path, bytes_max=1_000, monotonic=lambda: now[0])
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream" / "1.segment").write_bytes(bytes(600))
    budget.require(400)
    with pytest.raises(FragmentLogUnavailable, match=r"bound \(media_bytes\): media are refused"):
        budget.require(1)
    assert budget.refusal() is None  # nothing more is no more
    (tmp_path / "stream" / "1.segment").unlink()
    now[0] += 6.0
    budget.require(1_000)
    assert budget.refusal(1) is not None


def test_no_bound_refuses_nothing(tmp_path: Path) -> None:
    Budget(tmp_path).require(2**60)


def test_a_reserve_is_at_most_a_twentieth_of_the_disk(tmp_path: Path) -> None:
    assert Budget(tmp_path, reserve_bytes=2**60).refusal() is None
    assert "are kept for the records" in (Budget(tmp_path, reserve_bytes=2**60).refusal(2**60) or "")
