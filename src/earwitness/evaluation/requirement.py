"""`--require 'eer_percent<=0.5'`: a bound on a measured rate, so that an evaluation can gate somebody's CI."""

import operator
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from earwitness.errors import RequirementInvalid
from earwitness.evaluation.evaluate import ConditionResult
from earwitness.evaluation.scores import RATE_NAMES

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(
    r"\s*(?:(?P<condition>[a-z0-9>]+)\s*:)?\s*(?P<rate>\w+)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[0-9.]+)\s*"
)


@dataclass(frozen=True)
class Requirement:
    """A bound on one rate, under one condition or under all."""

    text: str
    condition: str | None
    rate: str
    sign: str
    bound: float

    def failures(self, results: list[ConditionResult]) -> list[str]:
        """What does not meet it, in words. A rate that could not be measured does not."""
        failed: list[str] = []
        for result in results:
            if self.condition not in (None, result.condition.name):
                continue
            measured = asdict(result.rates)[self.rate]
            if not _OPERATORS[self.sign](measured, self.bound):
                failed.append(
                    f"{result.condition.name}: {self.rate} is {measured:.4g}, required {self.sign} {self.bound:g}"
                )
        return failed


def parse_requirement(text: str, conditions: list[str]) -> Requirement:
    """`[CONDITION:]RATE<=BOUND`; RequirementInvalid says which rates and conditions there are."""
    rates = RATE_NAMES
    match = _FORM.fullmatch(text)
    if match is None or match["rate"] not in rates:
        raise RequirementInvalid(f"{text!r} is not RATE<=BOUND; the rates are {', '.join(rates)}")
    if match["condition"] not in (None, *conditions):
        raise RequirementInvalid(f"{text!r} names a condition that is not evaluated; there are {', '.join(conditions)}")
    try:
        bound = float(match["bound"])
    except ValueError:
        raise RequirementInvalid(f"{text!r}: {match['bound']} is not a number") from None
    return Requirement(text, match["condition"], match["rate"], match["sign"], bound)
