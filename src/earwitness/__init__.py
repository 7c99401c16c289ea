"""earwitness answers one question: who is speaking?

Public to Python programs are `put_media`, a producer of Kinesis Video Streams media, and `earwitness.testing`, services
for tests; everything else is reached over the wire, the JSON API and the command line.
"""

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earwitness.producer.put_media import put_media as put_media

if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    warnings.warn(
        "onnxruntime was imported before earwitness and may have sent telemetry; import earwitness first, or set "
        "ORT_DISABLE_TELEMETRY=1 in the environment",
        RuntimeWarning,
        stacklevel=2,
    )
# onnxruntime 1.29 and later makes a device id at the first session and sends events to Microsoft. It reads this
# variable when it is imported; worker processes inherit it. `disable_telemetry_events()` comes too late for the first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    __version__: str

__all__ = ["__version__", "put_media"]


def __getattr__(name: str) -> Any:  # `Any`: attributes have the types they are given above
    """Load what takes time when somebody wants it: `put_media` brings boto3 and numpy, the version email's parser."""
    if name == "put_media":
        from earwitness.producer.put_media import put_media

        return put_media
    if name == "__version__":
        from importlib.metadata import version

        return version("earwitness")
    raise AttributeError(f"module 'earwitness' has no attribute {name!r}")
