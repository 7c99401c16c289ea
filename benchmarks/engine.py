"""The product's engine, or the reason why there is none here."""

from benchmarks.benchmark import SkippedError
from earwitness import config
from earwitness.engine.engine import Engine, build_engine
from earwitness.errors import ModelMissing
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import ModelSession, open_session
from earwitness.voice.band import Band


def engine_for(band: Band) -> Engine:
    """An engine with the settings of this machine. SkippedError when a model is missing."""
    try:
        return build_engine(config.load(), band)
    except ModelMissing as error:
        raise SkippedError(str(error)) from error


def network_for(model_id: str) -> ModelSession:
    """A model without what the product puts around it. SkippedError when it is missing."""
    try:
        return open_session(ModelCache(config.load().models_dir), model_id)
    except ModelMissing as error:
        raise SkippedError(str(error)) from error


def require_models() -> None:
    """SkippedError when a model is missing; for benchmarks that need it in another process."""
    for model_id in (ENCODER_MODEL, VAD_MODEL):
        network_for(model_id)
