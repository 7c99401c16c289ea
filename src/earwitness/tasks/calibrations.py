"""Calibrations of domains: what a domain is searched by, and what an admin would install.

What belongs here: which calibration counts, and documents that are judged. What must never: HTTP, and writing.
"""

from dataclasses import dataclass
from functools import lru_cache

from earwitness.engine.calibration import Calibration, calibration_bytes, parse_calibration
from earwitness.errors import BadRequest, BodyTooLarge, ConfigurationError, Unprocessable
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX, CalibrationVersion

_PARSED_MAX = 256
"""Calibrations in memory: of so many domains, searches do not read theirs again. Some 10 KB each."""

_REASON_MAX = 300
"""Characters of what is wrong with a document, which may quote it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchBasis:
    """What thresholds of a domain depend on, beside its calibration."""

    #: The service's own: that of its settings, else the shipped.
    own: Calibration
    strangers_named_percent: float
    #: Of the domain, that can be compared.
    voiceprints: int


def calibration_of(version: CalibrationVersion | None, own: Calibration) -> Calibration:
    """Return the calibration that a domain's present version says; `own` is the service's.

    One of another encoder says nothing of the scores of this one: then the service's own counts.
    """
    if version is None or version.document is None or is_of_other_encoder(version, own):
        return own
    return parsed(version.document)


def is_of_other_encoder(version: CalibrationVersion | None, own: Calibration) -> bool:
    """Whether a version holds a calibration that cannot count, because it was fitted for another encoder or band."""
    return version is not None and version.encoder_id not in (None, own.encoder_id)


@lru_cache(maxsize=_PARSED_MAX)
def parsed(document: bytes) -> Calibration:
    """Return the calibration of a document that was installed."""
    return parse_calibration(document.decode(), name="the calibration of the domain")


def judged(document: bytes, own: Calibration) -> tuple[Calibration, bytes]:
    """Return the calibration in a document that somebody sends, and the bytes to keep of it.

    Raise BadRequest when it is none, BodyTooLarge for one of more than DOCUMENT_BYTES_MAX bytes as it is kept, and
    Unprocessable when it was fitted for another encoder or band than `own`.
    """
    try:
        calibration = parse_calibration(document.decode(), name="the document")
        kept = calibration_bytes(calibration)
        calibration = parsed(kept)  # rounded, as it is kept
    except (ConfigurationError, UnicodeDecodeError) as error:
        raise BadRequest(str(error)[:_REASON_MAX]) from None
    if len(kept) > DOCUMENT_BYTES_MAX:
        raise BodyTooLarge(
            f"the calibration has {len(kept):,} bytes without its spaces, and may have {DOCUMENT_BYTES_MAX:,}; leave "
            "out points of its curves"
        )
    if calibration.encoder_id != own.encoder_id:
        raise Unprocessable(
            f"the calibration was fitted for {calibration.encoder_id[:_REASON_MAX]}, and searches of this domain are "
            f"made with {own.encoder_id}; fit one on recordings of this band, with this version"
        )
    return calibration, kept
