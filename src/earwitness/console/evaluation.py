"""*Evaluate*: labelled calls are sent, measured in the background, and shown: error curves, what a threshold costs, a
calibration that is fitted on them, before and after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.errors import NotFound
from earwitness.evaluation.background import AskedEvaluation, BackgroundEvaluation, Evaluations
from earwitness.rest.evaluation_parameters import EndEvaluation, ShowEvaluation, StartEvaluation

RATES = {
    "found_percent": ("Enrolled callers who are named", "%"),
    "false_alarm_percent": ("Strangers who are named", "%"),
    "eer_percent": ("Equal error rate", "%"),
    "top1_percent": ("First in the list", "%"),
    "cllr": ("Cllr, how good probabilities are", "bits"),
    "min_dcf": ("minDCF(0.01)", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCosts:
    """What thresholds cost, and the best of them."""

    scores: Sequence[float]
    #: In the mean over pairs that are compared, at each score.
    costs: Sequence[float]
    best: float
    #: 95 % of the best thresholds, when speakers are drawn again.
    best_low: float
    best_high: float
    best_cost: float
    misses: float
    false_alarms: float
    #: Of strangers, how many a search of the gallery would name at the best threshold, by the calibration in use.
    strangers_named_percent: float


def _evaluations(call: ConsoleCall[Any]) -> Evaluations:
    if call.evaluations is None:
        raise NotFound("this service evaluates nothing; use `earwitness evaluate`")
    return call.evaluations


# `Any`: JSON, from the process of the evaluation.
def _results(call: ConsoleCall[Any]) -> Mapping[str, Any] | None:
    """Return what came of the evaluation of an account; None while, and where, there is nothing."""
    found = _evaluations(call).get(call.scope.account_id)
    return None if found is None else found.results


def fitted_calibration(call: ConsoleCall[Any]) -> Mapping[str, Any] | None:
    """Return the calibration that the last evaluation of an account has fitted; None where there is none."""
    found = _results(call)
    return None if found is None else found["calibration"]


def evaluation_page(call: ConsoleCall[ShowEvaluation]) -> Content:
    """Show the form, and how far the evaluation of this account is in this process."""
    found = _evaluations(call).get(call.scope.account_id)
    return {"evaluation": None if found is None else _shown(found)}


def _shown(found: BackgroundEvaluation) -> Content:
    return {
        "state": found.state,
        "doing": found.doing,
        "done": found.done,
        "total": found.total,
        "reason": found.reason,
        "beganAt": found.began_at,
        "endedAt": found.ended_at,
    }


def result_page(call: ConsoleCall[ShowEvaluation]) -> Content:
    """Show what an evaluation measured, and what thresholds cost."""
    found = _results(call)
    if found is None:
        return {"results": None}
    costs = expected_costs(found, call.params)
    misses, false_alarms = found["costs"]["misses"][0], found["costs"]["falseAlarms"][0]
    return {
        "results": {name: value for name, value in found.items() if name not in ("costs", "calibration")},
        "rates": RATES,
        "costs": costs,
        "errors": {"misses": misses, "falseAlarms": false_alarms},
        "costRows": [
            {"score": score, "cost": cost, "misses": missed, "falseAlarms": alarms}
            for score, cost, missed, alarms in zip(costs.scores, costs.costs, misses, false_alarms, strict=True)
            if round(score * 100) % 10 == 0 or score == costs.best
        ],
        "detRows": _det_rows(found["det"]),
    }


def _det_rows(points: Sequence[tuple[float, float]]) -> Sequence[Mapping[str, float]]:
    """Return how many are missed where so many false alarms are let through."""
    return [
        {"falseAlarms": alarms, "misses": min((miss for alarm, miss in points if alarm <= alarms), default=1.0)}
        for alarms in (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
    ]


def expected_costs(found: Mapping[str, Any], asked: ShowEvaluation) -> ExpectedCosts:
    """Return the expected cost of each threshold: P·miss cost·misses + (1 - P)·false-alarm cost·false alarms.

    NIST's detection cost function (speaker recognition evaluation plans), with the costs and the prior P as asked.
    """
    prior = asked.known_of_thousand / 1_000
    scores: list[float] = found["costs"]["scores"]
    drawn = [
        [
            prior * asked.miss_cost * miss + (1 - prior) * asked.false_alarm_cost * alarm
            for miss, alarm in zip(misses, alarms, strict=True)
        ]
        for misses, alarms in zip(found["costs"]["misses"], found["costs"]["falseAlarms"], strict=True)
    ]
    best = [_lowest(costs) for costs in drawn]
    place, redrawn = best[0], sorted(best[1:])
    return ExpectedCosts(
        scores=scores,
        costs=drawn[0],
        best=scores[place],
        best_low=scores[redrawn[round(0.025 * (len(redrawn) - 1))]],
        best_high=scores[redrawn[round(0.975 * (len(redrawn) - 1))]],
        best_cost=drawn[0][place],
        misses=found["costs"]["misses"][0][place],
        false_alarms=found["costs"]["falseAlarms"][0][place],
        strangers_named_percent=min(100.0, 100.0 * asked.gallery * found["falseMatch"][place]),
    )


def _lowest(costs: Sequence[float]) -> int:
    """Return the place of the lowest cost; the middle of several."""
    lowest = min(costs)
    places = [place for place, cost in enumerate(costs) if cost <= lowest + 1e-12]
    return places[len(places) // 2]


def calibration_page(call: ConsoleCall[ShowEvaluation]) -> Content:
    """Show how to put the fitted calibration in force; its JSON is the calibration file itself."""
    return fitted_calibration(call) or {}


def start_upload(call: ConsoleCall[StartEvaluation]) -> Done:
    """Begin to evaluate what was sent."""
    if call.calls is None:
        raise NotFound("nothing was sent")
    call.calls.complete()
    params = call.params
    asked = AskedEvaluation(
        condition=params.condition, enrol_seconds=params.enrol_seconds, test_seconds=params.test_seconds
    )
    _evaluations(call).start(call.scope.account_id, call.calls, asked)
    call.store.write(lambda unit: call.caller.record(unit, ""))
    return Done(message="The evaluation has begun. You may leave this page, and come back.", path="/evaluate")


def end_action(call: ConsoleCall[EndEvaluation]) -> Done:
    """End the evaluation, or forget its results."""
    was_running = _evaluations(call).end(call.scope.account_id)
    call.store.write(lambda unit: call.caller.record(unit, ""))
    told = "The evaluation is ended, and what was sent is deleted." if was_running else "The results are forgotten."
    return Done(message=told, path="/evaluate")
