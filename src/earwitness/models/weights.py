"""Read the tensors of a PyTorch checkpoint without PyTorch and without running anything that is in it.

A checkpoint is a zip with a pickle that refers to raw buffers. A pickle may name any callable; this reader knows the
four names a plain state dict needs and refuses every other, so a hostile file is an error and not a program.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import ModelDamaged, ModelError, WeightsRefused

# `Any`: a tensor's element type is known only from the file.
Tensor = NDArray[Any]

_TENSOR_BYTES_MAX = 1 << 30


class _StorageType:
    def __init__(self, dtype: type[np.generic]) -> None:
        self.dtype = dtype


_STORAGE_TYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


def read_state_dict(checkpoint: bytes) -> dict[str, Tensor]:
    """Return name → array of every tensor in a zip checkpoint (float32 and int64).

    Raises WeightsRefused when the pickle names anything but tensors, ModelDamaged when the file is not a
    checkpoint or its tensors do not fit their buffers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(checkpoint)) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ModelDamaged("the weights file is not a PyTorch checkpoint (no single data.pkl inside)")
            loaded = _TensorUnpickler(archive, pickles[0]).load()
    except ModelError:
        raise
    except Exception as error:  # zipfile and pickle raise almost anything on damaged input, and say so in their docs
        raise ModelDamaged(f"the weights file cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise WeightsRefused("the weights file holds something other than a table of tensors")
    tensors: dict[str, Tensor] = {}
    for name, value in loaded.items():  # pyright: ignore[reportUnknownVariableType]  # checked just below
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise WeightsRefused("the weights file holds something other than a table of tensors")
        tensors[name] = value
    return tensors


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, pickle_name: str) -> None:
        super().__init__(io.BytesIO(archive.read(pickle_name)))
        self._archive = archive
        self._root = pickle_name.removesuffix("data.pkl")

    def find_class(self, module_name: str, global_name: str, /) -> object:
        allowed: dict[tuple[str, str], object] = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        if module_name == "torch" and global_name in _STORAGE_TYPES:
            return _StorageType(_STORAGE_TYPES[global_name])
        try:
            return allowed[module_name, global_name]
        except KeyError:
            raise WeightsRefused(
                f"the weights file asks to load {module_name}.{global_name}, which is not a tensor; "
                f"do not use it, pull the model again"
            ) from None

    # `Any`: the persistent id is whatever the pickle says; its form is checked here.
    def persistent_load(self, pid: Any) -> Tensor:
        match pid:
            case ("storage", _StorageType() as kind, str(key), str(), int(length)) if key.isalnum():
                member = self._archive.getinfo(f"{self._root}data/{key}")
            case _:
                raise WeightsRefused("the weights file refers to something other than a tensor's buffer")
        if member.file_size > _TENSOR_BYTES_MAX:
            raise WeightsRefused(f"a tensor of {member.file_size} bytes is larger than any model of ours")
        buffer = np.frombuffer(self._archive.read(member), dtype=kind.dtype)
        if len(buffer) != length:
            raise ModelDamaged(f"a tensor's buffer holds {len(buffer)} numbers instead of {length}")
        return buffer


def _rebuild_tensor(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: object) -> Tensor:
    if not isinstance(storage, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]  # the pickle chose it
        raise WeightsRefused("the weights file builds a tensor from something that is not a buffer")
    count = int(np.prod(size)) if size else 1
    contiguous = np.cumprod([1, *reversed(size)])[:-1][::-1]
    if any(want != have and length != 1 for want, have, length in zip(contiguous, stride, size, strict=True)):
        raise ModelDamaged("the weights file holds a tensor in an order we do not read")
    if offset < 0 or offset + count > len(storage):
        raise ModelDamaged("the weights file holds a tensor that reaches past its buffer")
    return storage[offset : offset + count].reshape(tuple(size))
