"""The service models we answer for: found in botocore's data folder, corrected, and read into shapes.

botocore's own loader is passed by on purpose: it costs eight times as much at start as reading the files, and it would
let a model in the user's home folder change what this service speaks.
"""

import gzip
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

import botocore

from earwitness.errors import ConfigurationError
from earwitness.wire.shapes import Json, Service, build_service

SERVICE_NAMES = (
    "chime-sdk-media-pipelines",
    "chime-sdk-voice",
    "kinesisvideo",
    "kinesis-video-media",
    "kinesis-video-archived-media",
)
CORRECTIONS = Path(__file__).with_name("corrections.toml")
_DATA = Path(botocore.__path__[0]) / "data"


def load_services(names: Iterable[str] = SERVICE_NAMES) -> dict[str, Service]:
    """Read and correct the service models, by name.

    Raises ConfigurationError when this botocore has no such model, or one that the corrections do not fit.
    """
    corrections = tomllib.loads(CORRECTIONS.read_text(encoding="utf-8"))["correction"]
    services: dict[str, Service] = {}
    for name in names:
        model = read_model(name)
        for correction in corrections:
            if correction["service"] == name:
                apply_correction(model, correction)
        services[name] = build_service(name, model)
    return services


def read_model(name: str) -> Json:
    """The newest model of a service as botocore ships it, uncorrected."""
    for path in sorted((_DATA / name).glob("*/service-2.json*"), reverse=True):
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    raise ConfigurationError(f"the installed botocore has no model of {name}; install botocore 1.44.5 or later")


def apply_correction(model: Json, correction: Json) -> None:
    """Replace one value of the model, in place.

    `at` is the way to the value, `was` what AWS wrote there (absent for an addition), `becomes` what it should be.
    A model that AWS has corrected to the same value is left alone; any other value raises ConfigurationError.
    """
    *way, last = correction["at"]
    place: Json = model
    for step in way:
        place = place.get(step) if place is not None else None
    present = place.get(last) if place is not None else None
    if present == correction["becomes"]:
        return
    if place is None or present != correction.get("was"):
        raise ConfigurationError(
            f"the correction of {correction['service']} at {'/'.join(correction['at'])} does not fit the model of "
            f"botocore {botocore.__version__}; install the version in requirements.lock or update corrections.toml"
        )
    place[last] = correction["becomes"]
