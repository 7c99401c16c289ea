"""Look whether a call is an earlier one played again, as far as voiceprints of calls are kept.

What belongs here: which earlier calls are compared, and the answer. How two are compared is `engine/repeats.py`.
"""

import logging
from collections.abc import Mapping

import numpy as np

from earwitness.engine.repeats import REPEAT_LIKENESS_MIN, fingerprint_of, likeness
from earwitness.errors import CiphertextRefused, RecordDamaged
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.repeats import HeardAgain, Repeat
from earwitness.store.store import Store
from earwitness.voice.embedding import Embedding
from earwitness.voice.speech import NetSpeech

COSINE_MIN = 0.6
"""Of raw embeddings. A replay through the worst codec, with its start cut off, had 0.69 at least; other voices mostly
have less, which spares comparing them over time."""


_log = logging.getLogger("earwitness.repeats")


def earlier_fingerprints(store: Store, task: SpeakerSearchTask, embedding: Embedding) -> Mapping[str, bytes]:
    """Return the fingerprints of earlier calls whose voice is as near as that of a replay is, by task.

    This reads the records. Raise NotFound when the domain was deleted. Where something kept of an earlier call cannot
    be opened, there are none: the call's own result counts more.
    """
    try:
        earlier = store.repeats.earlier(task, encoder_id=embedding.encoder_id)
        return store.repeats.fingerprints(task, _near(embedding, earlier))
    except (CiphertextRefused, RecordDamaged) as error:
        _log.error("a call cannot be compared with earlier ones", extra={"reason": str(error)})
        return {}


def heard_again(speech: NetSpeech, earlier: Mapping[str, bytes]) -> HeardAgain:
    """Return the fingerprint of speech, and the earlier task that it is most alike, if it is a repeat.

    This computes, for a second at the worst.
    """
    fingerprint = fingerprint_of(speech)
    scores = {of: likeness(fingerprint, other) for of, other in earlier.items()}
    best = max(scores, key=lambda of: (scores[of], of), default=None)
    if best is None or scores[best] < REPEAT_LIKENESS_MIN:
        return HeardAgain(fingerprint=fingerprint, repeat=None)
    return HeardAgain(fingerprint=fingerprint, repeat=Repeat(of_task_id=best, likeness=scores[best]))


def _near(embedding: Embedding, vectors: Mapping[str, bytes]) -> list[str]:
    """Return the tasks whose voice is as near as that of a replay is."""
    if not vectors:
        return []
    others = np.stack([np.frombuffer(vector, "<f4") for vector in vectors.values()]).astype(np.float64)
    mine = embedding.vector.astype(np.float64)
    cosines = others @ mine / (np.linalg.norm(others, axis=1) * np.linalg.norm(mine) + 1e-12)
    return [task_id for task_id, cosine in zip(vectors, cosines, strict=True) if cosine >= COSINE_MIN]
