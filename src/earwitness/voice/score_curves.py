"""ScoreCurves: how a domain's scores lie, as its calibration has it. Plain numbers, for pages and programs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePoint:
    """What the calibration says of one score."""

    score: float
    #: Density of the scores of pairs of different persons, per unit of score.
    strangers: float
    #: The same of one and the same person, which follows from the density of strangers and the likelihood ratio.
    own: float
    #: Share of pairs of different persons that score at least so high.
    strangers_reaching: float
    #: Natural logarithm of how much likelier the score is of one person than of two.
    log_likelihood_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurves:
    """Scores of strangers and of the same persons, for one duration of speech."""

    calibration_id: str
    net_seconds: float
    persons: int
    #: Pairs of persons that were counted; None where a former calibration counts recordings.
    person_pairs: int | None
    trials: int
    #: Calibrations begin with this score, the median of strangers: half of them lie below.
    measured_from: float
    #: Up to this score strangers were measured; what lies above is extrapolated.
    measured_to: float
    points: tuple[ScorePoint, ...]
