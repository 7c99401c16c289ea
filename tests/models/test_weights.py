"""The checkpoint reader, against files written the way PyTorch writes them, and against hostile ones."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from earwitness.errors import ModelDamaged, ModelError, WeightsRefused
from earwitness.models.weights import read_state_dict


class _Storage:
    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class _TensorPickler(pickle.Pickler):
    """Writes storages by reference, as torch.save does."""

    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, _Storage):
            return ("storage", sys.modules["torch"].FloatStorage, obj.key, "cpu", obj.array.size)
        return None


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments = (storage, offset, shape, stride, False, collections.OrderedDict())

    def __reduce__(self) -> tuple[object, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Just enough of a module called torch for pickle to write its names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_: object) -> None:
        raise AssertionError("only its name is used")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(utils).update(_rebuild_tensor_v2=_rebuild_tensor_v2)
    vars(torch).update(FloatStorage=type("FloatStorage", (), {"__module__": "torch"}), _utils=utils)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def checkpoint(state: object, buffers: dict[str, bytes]) -> bytes:
    pickled = io.BytesIO()
    _TensorPickler(pickled, protocol=2).dump(state)
    return zipped(pickled.getvalue(), buffers)


def zipped(pickled: bytes, buffers: dict[str, bytes] | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights/data.pkl", pickled)
        for key, content in (buffers or {}).items():
            archive.writestr(f"weights/data/{key}", content)
    return file.getvalue()


def test_reads_tensors_with_offsets(torch_names: None) -> None:
    numbers = np.arange(10, dtype=np.float32)
    storage = _Storage("0", numbers)
    state = collections.OrderedDict(a=_Tensor(storage, 0, (2, 3), (3, 1)), b=_Tensor(storage, 6, (4,), (1,)))
    read = read_state_dict(checkpoint(state, {"0": numbers.tobytes()}))
    assert list(read) == ["a", "b"]
    np.testing.assert_array_equal(read["a"], numbers[:6].reshape(2, 3))
    np.testing.assert_array_equal(read["b"], numbers[6:])


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "stored"),
    [((2, 3), (1, 2), 0, 6), ((4,), (1,), 8, 10), ((4,), (1,), -1, 10), ((3,), (1,), 0, 2)],
    ids=["transposed", "past the end", "before the start", "short buffer"],
)
def test_tensors_that_do_not_fit_are_damaged(
    torch_names: None, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, stored: int
) -> None:
    storage = _Storage("0", np.zeros(10 if stored != 2 else 3, np.float32))
    state = {"a": _Tensor(storage, offset, shape, stride)}
    buffer = np.zeros(stored if stored != 6 else 10, np.float32).tobytes()
    with pytest.raises(ModelDamaged):
        read_state_dict(checkpoint(state, {"0": buffer}))


class _RunsCode:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch should-not-exist",)


class _Evaluates:
    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("hostile", [_RunsCode(), _Evaluates(), {"a": _RunsCode()}, collections.deque([1])])
def test_a_pickle_that_wants_anything_else_is_refused(
    hostile: object, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(WeightsRefused, match="not a tensor"):
        read_state_dict(zipped(pickle.dumps(hostile, protocol=2)))
    assert not os.path.exists("should-not-exist")  # noqa: PTH110


@pytest.mark.parametrize("content", [[1, 2], {"a": "text"}, {1: 2}, "text"])
def test_what_is_no_table_of_tensors_is_refused(content: object) -> None:
    with pytest.raises(WeightsRefused):
        read_state_dict(zipped(pickle.dumps(content, protocol=2)))


@pytest.mark.parametrize("file", [b"", b"not a zip", zipped(b""), zipped(b"\x80\x02."), zipped(b"\x80\xff")])
def test_other_files_are_damaged(file: bytes) -> None:
    with pytest.raises(ModelDamaged):
        read_state_dict(file)


def test_every_flipped_byte_of_a_checkpoint_is_an_error_of_ours_or_harmless(torch_names: None) -> None:
    numbers = np.arange(4, dtype=np.float32)
    whole = checkpoint({"a": _Tensor(_Storage("0", numbers), 0, (4,), (1,))}, {"0": numbers.tobytes()})
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        try:
            read_state_dict(bytes(damaged))
        except ModelError:
            continue
