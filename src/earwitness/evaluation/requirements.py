"""What an evaluation is required to come to, so that it can gate somebody's CI: `gsm:found_percent>=90`."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from earwitness.errors import RequirementInvalid
from earwitness.evaluation.scores import RATE_NAMES, Rates

_OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<condition>[a-z0-9.>-]+)\s*:)?\s*(?P<rate>\w+)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>\d+\.?\d*|\.\d+)\s*"
)


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A bound on one rate, under one condition or under all."""

    condition: str | None
    rate: str
    sign: str
    bound: float

    def failures(self, measured: Mapping[str, Rates]) -> list[str]:
        """Return what does not meet it, in words, of rates by condition. One that could not be measured does not."""
        failed: list[str] = []
        for condition, of_condition in measured.items():
            rate = asdict(of_condition)[self.rate]
            if self.condition in (None, condition) and not _OPERATORS[self.sign](rate, self.bound):
                failed.append(f"{condition}: {self.rate} is {rate:.4g}, required {self.sign} {self.bound:g}")
        return failed


def parse_requirement(text: str, conditions: Sequence[str]) -> Requirement:
    """Parse `[CONDITION:]RATE<=BOUND`; RequirementInvalid says which rates and conditions there are."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None or match["rate"] not in RATE_NAMES:
        raise RequirementInvalid(f"{text!r} is not RATE<=BOUND; the rates are {', '.join(RATE_NAMES)}")
    if match["condition"] not in (None, *conditions):
        raise RequirementInvalid(f"{text!r} names a condition that is not evaluated; there are {', '.join(conditions)}")
    return Requirement(
        condition=match["condition"], rate=match["rate"], sign=match["sign"], bound=float(match["bound"])
    )
