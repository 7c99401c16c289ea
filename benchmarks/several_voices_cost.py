"""What it costs a call to be judged: CPU time with the second output of the encoder's graph, and without it."""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx.utils import Extractor

from benchmarks.benchmark import Numbers
from benchmarks.speech import write_call
from benchmarks.timing import Progress, Work, median_ratio, rounds
from earwitness import config
from earwitness.engine.compensation import unit_length
from earwitness.engine.encoder import log_mel, without_mean
from earwitness.engine.engine import Engine
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, entry
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.durations import IDENTIFY_SECONDS
from earwitness.voice.embedding import Samples

_REPEATS = 9
_PROBE_SAMPLES = round(IDENTIFY_SECONDS * CANONICAL_RATE)


def measure_cost(engine: Engine, progress: Progress) -> Numbers:
    """CPU milliseconds of the steps of a call of a minute, and how much more a call costs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        write_call(path, rate=8_000, seconds=60.0)
        return _measure(engine, path, progress)


def _measure(engine: Engine, path: Path, progress: Progress) -> Numbers:
    speech = engine.listen(path).samples
    probe = speech[:_PROBE_SAMPLES]
    plain = _without_windows()

    def embed(*passages: Samples) -> None:
        for samples in passages:
            (raw,) = plain.run(features=without_mean(log_mel(samples))[None])
            unit_length(raw)

    def hear(*passages: Samples) -> None:
        for samples in passages:
            engine.encoder.hear(samples)

    work: dict[str, Work] = {
        "listen": lambda: engine.listen(path),
        "unjudged": lambda: embed(probe, speech),
        "judged": lambda: hear(probe, speech),
        "former": lambda: embed(probe, speech[_PROBE_SAMPLES:], speech),
        "unjudged_20s": lambda: embed(speech),
        "judged_20s": lambda: hear(speech),
    }
    taken = rounds(work, repeats=_REPEATS, progress=progress, clock=time.process_time)
    call = {name: taken["listen"] + taken[name] for name in ("unjudged", "judged", "former")}
    (embedding,) = plain.run(features=without_mean(log_mel(speech))[None])
    heard = engine.encoder.embed(speech).vector
    return {
        **{f"cpu.{name}_ms": 1e3 * float(np.median(seconds)) for name, seconds in taken.items()},
        **{f"cpu.call_{name}_ms": 1e3 * float(np.median(seconds)) for name, seconds in call.items()},
        "cpu.call_judged_to_unjudged": median_ratio(call["judged"], call["unjudged"]),
        "cpu.call_judged_to_former": median_ratio(call["judged"], call["former"]),
        "cpu.judged_20s_to_unjudged_20s": median_ratio(taken["judged_20s"], taken["unjudged_20s"]),
        "cpu.same_embedding": float(np.array_equal(unit_length(embedding)[0], heard)),
    }


def _without_windows() -> ModelSession:
    """The encoder's network with the embedding as its one output, as it was before windows were judged."""
    model = entry(ENCODER_MODEL)
    whole = onnx.load_model_from_string(ModelCache(config.load().models_dir).read(model))
    return ModelSession(model, Extractor(whole).extract_model(["features"], ["embedding"]).SerializeToString())
