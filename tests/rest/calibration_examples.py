"""Calibrations to install, each of the present encoder unless a test says otherwise."""

import json
from dataclasses import replace
from typing import Any

from earwitness.engine.calibration import Calibration, FalseMatchCurve, calibration_text, shipped_calibration
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band

SHIPPED = shipped_calibration(ENCODER_MODEL, Band.TELEPHONE)


def moved(by: float, *, made_from: str = "our calls") -> Calibration:
    """The shipped calibration, by which every score means what a score lower by so much means there."""
    fits = tuple(
        replace(fit, false_match=FalseMatchCurve(tuple((score + by, rate) for score, rate in fit.false_match.points)))
        for fit in SHIPPED.fits
    )
    return replace(SHIPPED, fits=fits, made_from=made_from)


def long(points: int) -> Calibration:
    """The shipped calibration with curves of so many points each, of some 19 bytes as JSON has them."""
    curve = FalseMatchCurve(
        tuple((round(number / points, 5), float(f"{0.9 * 1e-6 ** (number / points):.4g}")) for number in range(points))
    )
    return replace(SHIPPED, fits=tuple(replace(fit, false_match=curve) for fit in SHIPPED.fits), made_from="many calls")


def document(calibration: Calibration, **changed: Any) -> bytes:  # `Any`: whatever JSON holds
    """What a file of it holds, with members changed."""
    return json.dumps({**json.loads(calibration_text(calibration)), **changed}).encode()
