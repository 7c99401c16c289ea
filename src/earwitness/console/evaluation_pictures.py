"""Pictures of an evaluation, drawn by the server: the detection error trade-off, and what thresholds cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from earwitness.console.evaluation import ExpectedCosts

DET_SIZE = 320
"""Of the square picture, without the words at its axes."""

COST_WIDTH, COST_HEIGHT = 720, 200

_RATES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
_LOWEST, _HIGHEST = 0.0005, 0.5
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetPicture:
    """Misses against false alarms; both axes are normal deviates, as DET plots have them (Martin et al., 1997)."""

    path: str
    #: (place on an axis, words).
    ticks: Sequence[tuple[float, str]]


def _place(rate: float) -> float:
    """Return where a rate lies on an axis, from 0 to DET_SIZE; one that is too rare to be drawn on its edge."""
    low, high = _NORMAL.inv_cdf(_LOWEST), _NORMAL.inv_cdf(_HIGHEST)
    return round(DET_SIZE * (_NORMAL.inv_cdf(min(max(rate, _LOWEST), _HIGHEST)) - low) / (high - low), 1)


def det_curve(points: Sequence[tuple[float, float]]) -> DetPicture:
    """Return the picture of (false alarms, misses) of thresholds."""
    shown = [(alarm, miss) for alarm, miss in points if alarm <= _HIGHEST and miss <= _HIGHEST]
    places = [f"{_place(alarm)} {round(DET_SIZE - _place(miss), 1)}" for alarm, miss in shown]
    return DetPicture(
        path="M" + "L".join(places) if places else "",
        ticks=[(_place(rate), f"{100 * rate:g}") for rate in _RATES],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPicture:
    """What thresholds cost, over one axis of scores."""

    path: str
    best: float
    best_low: float
    best_high: float
    best_y: float
    #: The highest cost that is shown; what is above it is drawn at the edge.
    top: float
    ticks: Sequence[tuple[float, str]]


def cost_curve(costs: ExpectedCosts) -> CostPicture:
    """Return the picture of expected costs, up to four times the cost of knowing nothing or of the dearest end."""
    first, last = costs.scores[0], costs.scores[-1]
    top = max(min(max(costs.costs), 4 * max(costs.costs[-1], 1e-9)), costs.best_cost * 1.5, 1e-9)

    def x(score: float) -> float:
        return round(COST_WIDTH * (score - first) / (last - first), 1)

    def y(cost: float) -> float:
        return round(COST_HEIGHT * (1 - min(cost, top) / top), 1)

    return CostPicture(
        path="M" + "L".join(f"{x(score)} {y(cost)}" for score, cost in zip(costs.scores, costs.costs, strict=True)),
        best=x(costs.best),
        best_low=x(costs.best_low),
        best_high=x(costs.best_high),
        best_y=y(costs.best_cost),
        top=top,
        ticks=[(x(tick / 10), f"{tick / 10:.1f}") for tick in range(-2, 11, 2)],
    )
