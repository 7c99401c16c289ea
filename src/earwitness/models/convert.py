"""From a wheel's member to an ONNX file: one named function per kind of source."""

from collections.abc import Callable

from earwitness.models.campplus import campplus_onnx


def _unchanged(onnx_file: bytes) -> bytes:
    return onnx_file


CONVERSIONS: dict[str, Callable[[bytes], bytes]] = {"none": _unchanged, "campplus": campplus_onnx}
"""The values that `conversion` may have in catalogue.toml."""
