"""An engine from settings: models opened, compensation and calibration read."""

import threadpoolctl

from earwitness.config.settings import EngineSettings
from earwitness.engine.calibration import read_calibration, shipped_calibration
from earwitness.engine.compensation import shipped_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.engine import Engine
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import open_session
from earwitness.voice.band import Band


def build_engine(settings: EngineSettings, band: Band) -> Engine:
    """Return the engine of a band. Raise ModelMissing when its models were not pulled."""
    # One native thread a call, for NumPy's products too: a second gains nothing on a filter bank or a search, and spins
    # on a core that the next inference wants.
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    cache = ModelCache(settings.models_dir)
    encoder = SpeakerEncoder(
        open_session(cache, ENCODER_MODEL), band=band, compensation=shipped_compensation(ENCODER_MODEL, band)
    )
    if settings.calibration_file is None:
        calibration = shipped_calibration(ENCODER_MODEL, band)
    else:
        calibration = read_calibration(settings.calibration_file)
    return Engine(
        vad=open_session(cache, VAD_MODEL),
        encoder=encoder,
        calibration=calibration.require(encoder.encoder_id),
        prior_known=settings.prior_known,
        strangers_named_percent=settings.strangers_named_percent,
    )
