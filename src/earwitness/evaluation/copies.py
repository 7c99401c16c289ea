"""Recordings of a manifest that are the same audio, whatever their names and containers.

A copy that is enrolled and tested makes rates look better than they are; one under two ids makes them look worse.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from earwitness.audio.files import open_recording
from earwitness.errors import AudioError
from earwitness.evaluation.manifest import Utterance


def copies(utterances: Iterable[Utterance]) -> list[tuple[Utterance, Utterance]]:
    """Each utterance whose samples, at 16 bits, were there before, behind the first one of them.

    A recording that cannot be read is no copy: whoever listens to it says what is wrong.
    """
    first: dict[bytes, Utterance] = {}
    found: list[tuple[Utterance, Utterance]] = []
    for utterance in utterances:
        content = _content(utterance)
        if content is not None and (earlier := first.setdefault(content, utterance)) is not utterance:
            found.append((earlier, utterance))
    return found


def _content(utterance: Utterance) -> bytes | None:
    digest, count = hashlib.sha256(), 0
    try:
        for block in open_recording(utterance.path, channel=utterance.channel).blocks():
            digest.update(np.round(block * 32_768).astype("<i4").tobytes())
            count += len(block)
    except AudioError:
        return None
    return digest.digest() if count else None
