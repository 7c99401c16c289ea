"""ONNX sessions of installed models: one native thread a call, no memory arena, opened once and shared.

Without an arena every call gives its memory back. With one, each new input length adds a block that is never freed:
users of similar systems saw 310 MB a minute.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from earwitness.errors import ModelDamaged
from earwitness.models import telemetry
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import CatalogueEntry, entry

Array = NDArray[np.float32]


class ModelSession:
    """A loaded model; safe to run from several threads at once."""

    def __init__(self, model: CatalogueEntry, onnx_file: bytes) -> None:
        self.model = model
        # `Any`: onnxruntime is a compiled module without types.
        runtime: Any = onnxruntime
        runtime.disable_telemetry_events()  # for programs that imported onnxruntime before earwitness
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            self._session: Any = runtime.InferenceSession(
                onnx_file, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises bare classes of its own binding for every kind of bad file
            raise ModelDamaged(
                f"onnxruntime {onnxruntime.__version__} cannot open the model {model.id}: {error}"
            ) from error

    def run(self, **inputs: Array) -> list[Array]:
        """All outputs in the model's order."""
        outputs: Sequence[Any] = self._session.run(None, inputs)
        return [np.asarray(output, np.float32) for output in outputs]


def open_session(cache: ModelCache, model_id: str) -> ModelSession:
    """Open an installed model. ModelMissing when it was not pulled, ModelDamaged when its hash is off."""
    telemetry.remove_leftovers(cache.folder)
    model = entry(model_id)
    return ModelSession(model, cache.read(model))
