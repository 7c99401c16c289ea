"""A call with silences, and a note of what is heard."""

import numpy as np
import pytest
from following import RATE

from earwitness.tasks.hear import ChannelListener
from earwitness.tasks.replay import FragmentSlice


@pytest.fixture
def halting(call: np.ndarray) -> np.ndarray:
    """A call with long silences: 11 s of it, 12 s without a word, 6 s, 22 s, then the rest."""
    silence = np.random.default_rng(1).standard_normal(22 * RATE).astype(np.float32) * 1e-4
    return np.concatenate(
        [call[: 11 * RATE], silence[: 12 * RATE], call[11 * RATE : 17 * RATE], silence, call[17 * RATE :]]
    )


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[FragmentSlice]:
    """What was heard, again or for the first time."""
    seen: list[FragmentSlice] = []
    hear = ChannelListener.hear

    def noting(ear: ChannelListener, piece: FragmentSlice) -> None:
        seen.append(piece)
        hear(ear, piece)

    monkeypatch.setattr(ChannelListener, "hear", noting)
    return seen
