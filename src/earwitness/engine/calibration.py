"""What a score means: how often strangers reach it, and how much likelier it makes "the same person".

Both are measured, per duration of net speech, on known speakers over mixed codecs, noise and rooms, and stored as a
calibration file: how often on pairs of persons, how much likelier on trials. The shipped files come from
scripts/fit_engine.py; `earwitness evaluate --fit-calibration` writes one from the user's own labelled calls.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from earwitness.errors import ConfigurationError, GalleryOfAnotherModel
from earwitness.voice.decision import Threshold

_FORMAT = "earwitness calibration 2"
_FORMAT_OF_TRIALS = "earwitness calibration 1"
"""The former format, which is still read: its curve counts trials, so a pair of persons counts many times over."""

_SCORE_MAX = 1.0

_NUMBER_MAX = 1e6
"""Of slopes, offsets, scores and seconds: what is larger measures nothing, and would overflow where it is used."""

_COUNT_MAX = 10**12
_MADE_FROM_MAX = 4_000
"""Bytes."""

_TRIED_GALLERIES = (1, 10**9)
"""The ends of what a domain may hold: where a curve gives thresholds for both, it does for all in between."""

TAIL_PAIRS_MIN = 5
"""Pairs of persons that must lie at or above a score for its false-match rate to count as measured."""


def persons_needed(rate: float) -> int:
    """Return how many persons must be enrolled and tested for this false-match rate to be measured and not guessed."""
    return math.ceil((1.0 + math.sqrt(1.0 + 8.0 * TAIL_PAIRS_MIN / rate)) / 2.0)


@dataclass(frozen=True)
class FalseMatchCurve:
    """Share of pairs of persons that score at least s, as points of (score, share).

    A pair of persons has one score for each line, the highest of its trials over it: counted by trials, two people
    who sound alike would count once for each of their recordings, and the end of the curve would be theirs alone.

    Scores rise, shares fall. It is linear between points on the normal-deviate axis of a DET plot, and beyond the
    last measured point it goes on straight with the slope of the last decade. (Straight on a logarithmic axis would
    leave nobody to be named in a gallery of 20,000; on 125 speakers the deviate line still lay above the measured
    tail.)
    """

    points: tuple[tuple[float, float], ...]

    @property
    def rate_min(self) -> float:
        """The lowest measured share; anything below is extrapolated."""
        return self.points[-1][1]

    def score_at(self, rate: float) -> float:
        """Return the score that this share of pairs reaches; may lie above 1 when extrapolated."""
        wanted = _deviate(rate)
        scores, deviates = self._axes
        if wanted > deviates[-1]:
            return scores[-1] + (wanted - deviates[-1]) / self._tail_slope()
        return float(np.interp(wanted, deviates, scores))

    def rate_at(self, score: float) -> float:
        """Return the share of pairs of persons that reach this score."""
        scores, deviates = self._axes
        if score > scores[-1]:
            return float(ndtr(-(deviates[-1] + (score - scores[-1]) * self._tail_slope())))
        return float(ndtr(-np.interp(score, scores, deviates)))

    @cached_property  # a long curve is asked for each of many calls
    def _axes(self) -> tuple[list[float], list[float]]:
        return [score for score, _ in self.points], [_deviate(rate) for _, rate in self.points]

    def _tail_slope(self) -> float:
        """Return normal deviates per unit of score, by least squares over the last measured decade."""
        tail = [point for point in self.points if point[1] <= 10 * self.rate_min]
        if len(tail) < 2:
            tail = list(self.points[-2:])
        scores, deviates = np.array([(score, _deviate(rate)) for score, rate in tail]).T
        scores, deviates = scores - scores.mean(), deviates - deviates.mean()
        return float(scores @ deviates / (scores @ scores))


def _deviate(rate: float) -> float:
    """Return how many standard deviations above its mean a normal variable lies with this probability."""
    return -float(ndtri(rate))


@dataclass(frozen=True, kw_only=True)
class DurationFit:
    """The fit for one duration of net speech in the probe."""

    net_seconds: float
    #: Natural-log likelihood ratio per unit of score: llr = slope * score + offset.
    slope: float
    offset: float
    false_match: FalseMatchCurve


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fits for rising durations, for one encoder id. Between two durations everything is linear in log duration."""

    encoder_id: str
    made_from: str
    #: Who was enrolled or tested, at the duration that had the fewest pairs of persons.
    persons: int
    #: Unordered pairs of persons that the false-match curve counts, at that duration; None when it counts trials.
    person_pairs: int | None
    #: Pairs of recordings that the likelihood ratio was fitted on, over all durations and conditions.
    trials: int
    #: How many of the persons are of each sex, as their manifest has it; None when nobody noted it.
    sexes: Mapping[str, int] | None = None
    #: What the threshold gains while nothing is known of the line, in units of score.
    unknown_line_margin: float = 0.0
    fits: tuple[DurationFit, ...]

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that change with what it says."""
        return hashlib.sha256(json.dumps(_document(self), sort_keys=True).encode()).hexdigest()[:8]

    def counts(self) -> dict[str, int | None]:
        """Return how many persons, pairs of persons and trials it rests on."""
        return {"persons": self.persons, "person_pairs": self.person_pairs, "trials": self.trials}

    def llr(self, score: float, *, net_seconds: float) -> float:
        """Return the natural-log likelihood ratio of "same person" against "different", uncapped."""
        low, high, weight = self.around(net_seconds)
        slope = low.slope + (high.slope - low.slope) * weight
        offset = low.offset + (high.offset - low.offset) * weight
        return slope * score + offset

    def threshold(
        self, *, gallery_size: int, strangers_named_percent: float, net_seconds: float, line_unknown: float = 0.0
    ) -> Threshold:
        """Return the score that keeps the stated target: N voiceprints times the pair rate f is at most x.

        `line_unknown` is from 0, a line that was learnt, to 1, one of which nothing is known; it scales the margin.
        """
        rate = min(strangers_named_percent / 100.0 / max(gallery_size, 1), 0.5)
        low, high, weight = self.around(net_seconds)
        at_low, at_high = low.false_match.score_at(rate), high.false_match.score_at(rate)
        margin = self.unknown_line_margin * line_unknown
        extrapolated = rate < max(low.false_match.rate_min, high.false_match.rate_min)
        return Threshold(
            score=min(at_low + (at_high - at_low) * weight + margin, _SCORE_MAX),
            strangers_named_percent=strangers_named_percent,
            gallery_size=gallery_size,
            pair_false_match_rate=rate,
            extrapolated=extrapolated,
            persons=self.persons,
            person_pairs=self.person_pairs,
            persons_needed=persons_needed(rate) if extrapolated else None,
            line_margin=margin,
        )

    def false_match_rate(self, score: float, *, net_seconds: float) -> float:
        """Return the share of pairs of persons that score at least this high."""
        low, high, weight = self.around(net_seconds)
        at_low, at_high = low.false_match.rate_at(score), high.false_match.rate_at(score)
        return at_low + (at_high - at_low) * weight

    def require(self, encoder_id: str) -> "Calibration":
        """Return itself; raise GalleryOfAnotherModel when it was fitted for another encoder."""
        if self.encoder_id != encoder_id:
            raise GalleryOfAnotherModel(
                f"the calibration was fitted for {self.encoder_id} and the model is {encoder_id}; fit it again with "
                f"`earwitness evaluate --fit-calibration`"
            )
        return self

    def around(self, net_seconds: float) -> tuple[DurationFit, DurationFit, float]:
        """Return the fits below and above a duration, and how far it is from the first to the second, 0 to 1."""
        if net_seconds <= self.fits[0].net_seconds:
            return self.fits[0], self.fits[0], 0.0
        for low, high in pairwise(self.fits):
            if net_seconds <= high.net_seconds:
                span = math.log(high.net_seconds / low.net_seconds)
                return low, high, math.log(net_seconds / low.net_seconds) / span
        return self.fits[-1], self.fits[-1], 0.0


def calibration_in_use(file: Path | None, *, model_id: str, band: str) -> Calibration:
    """Return the user's own calibration, when a file is named, else the shipped one of an encoder and band."""
    return shipped_calibration(model_id, band) if file is None else read_calibration(file)


def shipped_calibration(model_id: str, band: str) -> Calibration:
    """Return the calibration that comes with earwitness for an encoder and band."""
    file = resources.files("earwitness.engine").joinpath("data", f"calibration-{model_id}-{band}.json")
    return parse_calibration(file.read_text(encoding="utf-8"), name=file.name)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration from a file; raise ConfigurationError when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigurationError(
            f"the calibration file {path} cannot be read: {reason}; name another, or make one with `earwitness "
            "evaluate LIST --fit-calibration FILE`"
        ) from error
    return parse_calibration(text, name=str(path))


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Store a calibration; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(calibration_text(calibration), encoding="utf-8")
    os.replace(partial, path)


def calibration_text(calibration: Calibration) -> str:
    """Return what a file of a calibration holds; the same text for the same calibration."""
    return json.dumps(_document(calibration), indent=1) + "\n"


def calibration_bytes(calibration: Calibration) -> bytes:
    """Return the same as `calibration_text` in as few bytes as JSON can, which are ASCII: for requests and records."""
    return json.dumps(_document(calibration), separators=(",", ":")).encode("ascii")


# `Any`: JSON.
def _document(calibration: Calibration) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "encoder_id": calibration.encoder_id,
        "made_from": calibration.made_from,
        "persons": calibration.persons,
        "sexes": None if calibration.sexes is None else dict(calibration.sexes),
        "person_pairs": calibration.person_pairs,
        "trials": calibration.trials,
        "unknown_line_margin": round(calibration.unknown_line_margin, 5),
        "fits": [
            {
                "net_seconds": fit.net_seconds,
                "slope": round(fit.slope, 4),
                "offset": round(fit.offset, 4),
                "false_match": [[round(s, 5), float(f"{r:.4g}")] for s, r in fit.false_match.points],
            }
            for fit in calibration.fits
        ],
    }


def parse_calibration(text: str, *, name: str) -> Calibration:
    """Return the calibration in the text of a file of this name; raise ConfigurationError when it is none."""
    # `Any`: json; every value is converted or compared below, and what does not fit is one error.
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] not in (_FORMAT, _FORMAT_OF_TRIALS):
            raise ValueError(f"format {document['format']!r}")
        calibration = Calibration(
            encoder_id=str(document["encoder_id"]),
            made_from=str(document["made_from"]),
            fits=tuple(_parse_fit(fit) for fit in document["fits"]),
            **(_parse_counts(document) if document["format"] == _FORMAT else _parse_former_counts(document)),
        )
        _require_usable(calibration)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise ConfigurationError(
            f"{name} is not a calibration of this version: {error}; make one with `earwitness evaluate LIST "
            "--fit-calibration FILE`"
        ) from error
    return calibration


def _require_usable(calibration: Calibration) -> None:
    """Raise ValueError or ArithmeticError for a calibration that no search could compute with."""
    numbers = [
        number
        for fit in calibration.fits
        for number in (fit.net_seconds, fit.slope, fit.offset, *sum(fit.false_match.points, ()))
    ]
    if not all(abs(number) <= _NUMBER_MAX for number in numbers):
        raise ValueError("a number is not finite, or too large")
    durations = [fit.net_seconds for fit in calibration.fits]
    if not durations or durations != sorted(set(durations)) or durations[0] <= 0:
        raise ValueError("durations must be positive and rise")
    sexes = calibration.sexes or {}
    counts = (calibration.persons, calibration.person_pairs or 0, calibration.trials, *sexes.values())
    if not all(0 <= count <= _COUNT_MAX for count in counts):
        raise ValueError("a count is negative, or too large")
    if sum(len(text.encode()) for text in (calibration.made_from, *sexes)) > _MADE_FROM_MAX:
        raise ValueError(f"what it was made from is told in more than {_MADE_FROM_MAX:,} bytes")
    with np.errstate(divide="raise", invalid="raise"):
        for seconds in durations:
            found = [
                calibration.threshold(gallery_size=size, strangers_named_percent=1.0, net_seconds=seconds).score
                for size in _TRIED_GALLERIES
            ]
            found += [calibration.false_match_rate(score, net_seconds=seconds) for score in (-_SCORE_MAX, _SCORE_MAX)]
            if not np.isfinite(found).all():
                raise ValueError("its curve gives no threshold")


# `Any`: as in parse_calibration, here and below.
def _parse_counts(document: dict[str, Any]) -> dict[str, Any]:
    sexes, person_pairs = document["sexes"], document["person_pairs"]
    margin = float(document["unknown_line_margin"])
    if not 0.0 <= margin < _SCORE_MAX:
        raise ValueError("the margin of an unknown line must be from 0 to 1")
    return {
        "persons": int(document["persons"]),
        "person_pairs": None if person_pairs is None else int(person_pairs),
        "trials": int(document["trials"]),
        "sexes": None if sexes is None else {str(sex): int(count) for sex, count in sexes.items()},
        "unknown_line_margin": margin,
    }


def _parse_former_counts(document: dict[str, Any]) -> dict[str, Any]:
    return {"persons": int(document["speakers"]), "person_pairs": None, "trials": int(document["pairs"])}


def _parse_fit(fit: dict[str, Any]) -> DurationFit:
    points = tuple((float(score), float(rate)) for score, rate in fit["false_match"])
    falls = all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))
    if len(points) < 2 or not falls or points[-1][1] <= 0 or points[0][1] >= 1 or not float(fit["slope"]) > 0:
        raise ValueError("a false-match curve must fall and a slope be positive")
    return DurationFit(
        net_seconds=float(fit["net_seconds"]),
        slope=float(fit["slope"]),
        offset=float(fit["offset"]),
        false_match=FalseMatchCurve(points),
    )
