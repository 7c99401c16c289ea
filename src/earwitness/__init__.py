"""earwitness answers one question: who is speaking?

Public to Python programs is `put_media`, a producer of Kinesis Video Streams media; everything else is reached over the
wire, the JSON API and the command line.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earwitness.producer.put_media import put_media as put_media

__version__ = "0.1.0"
__all__ = ["__version__", "put_media"]


def __getattr__(name: str) -> Any:  # `Any`: attributes have the types they are given above
    """`put_media`, loaded when somebody wants it: it brings boto3 and numpy."""
    if name == "put_media":
        from earwitness.producer.put_media import put_media

        return put_media
    raise AttributeError(f"module 'earwitness' has no attribute {name!r}")
