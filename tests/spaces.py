"""Spaces for tests that need no voice model."""

from earwitness.engine.calibration import Calibration, DurationFit, FalseMatchCurve
from earwitness.engine.compensation import no_compensation
from earwitness.engine.space import Space

_FIT = DurationFit(
    net_seconds=10.0, slope=28.0, offset=-14.0, false_match=FalseMatchCurve(((0.0, 0.5), (0.3, 0.1), (0.6, 0.001)))
)


def plain_space(encoder_id: str, dimension: int) -> Space:
    """A space in which embeddings are compared as they are."""
    calibration = Calibration(
        encoder_id=encoder_id, made_from="a test", persons=10, person_pairs=45, trials=1000, fits=(_FIT,)
    )
    return Space(encoder_id=encoder_id, shipped=no_compensation(dimension), calibration=calibration)
