"""ONNX sessions of installed models: one native thread a call, no memory arena, opened once and shared.

Without an arena every call gives its memory back. With one, each new input length adds a block that is never freed:
users of similar systems saw 310 MB a minute.

`import earwitness` sets ORT_DISABLE_TELEMETRY=1, which opts out of onnxruntime's telemetry. What it kept for sending
before that is removed when a session is opened.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from earwitness.errors import ModelDamaged
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import CatalogueEntry, entry

Array = NDArray[np.float32]

_TELEMETRY_FILES = ("deviceid", "onnxruntime.db", "onnxruntime.db-wal", "onnxruntime.db-shm", "onnxruntime.db-journal")
"""Seen with onnxruntime 1.32.0."""

_TELEMETRY_MARKER = ".no-telemetry"
"""In a models' folder: nothing of an earlier version is left."""


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
        """Return all outputs in the model's order."""
        outputs: Sequence[Any] = self._session.run(None, inputs)
        return [np.asarray(output, np.float32) for output in outputs]


def open_session(cache: ModelCache, model_id: str) -> ModelSession:
    """Open an installed model. Raises ModelMissing when it was not pulled, ModelDamaged when its hash is off."""
    remove_leftovers(cache.folder)
    model = entry(model_id)
    return ModelSession(model, cache.read(model))


def remove_leftovers(models_dir: Path) -> None:
    """Remove the device id and the events that onnxruntime kept for sending.

    The folder is onnxruntime's own, and other programs of the same user may use it: so it is looked at once for each
    models' folder, and only files that onnxruntime is known to make are removed. A program that sends telemetry on
    purpose makes them again and loses nothing else. A folder that cannot be written is left as it is.
    """
    try:
        (models_dir / _TELEMETRY_MARKER).touch(exist_ok=False)
    except OSError:  # it is done, or this user may not write here
        return
    folder = _cache_folder() / "Microsoft" / "DeveloperTools" / ".onnxruntime"
    if any(path.is_symlink() for path in (folder, folder.parent, folder.parent.parent)):
        return
    for name in _TELEMETRY_FILES:
        _unlink(folder / name)
    for empty in (folder, folder.parent, folder.parent.parent):
        try:
            empty.rmdir()
        except OSError:  # it is not there, or something of somebody else is in it
            return


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # not ours to remove
        return


def _cache_folder() -> Path:
    """Return the folder that onnxruntime uses on Linux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
