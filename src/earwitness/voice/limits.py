"""What speaker search cannot do, in measured numbers, for wherever results are read.

The numbers are in limits.json, which scripts/write_docs.py makes of the benchmarks' results; docs/accuracy.md has them
with their intervals.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("limits.json")


@dataclass(frozen=True, kw_only=True)
class MeasuredLimits:
    """Shares in per cent of people and calls that nothing was fitted on."""

    #: Strangers who were given a name, 10 s of speech, over lines that were learnt.
    strangers_named: float
    #: The same in the worst tenth of the sets of people.
    strangers_named_worst: float
    #: Recordings played again that were not noticed, through the codecs of the benchmark.
    repeats_missed: float
    #: Pairs of other words of one person that were taken for a repeat; of how many, and the upper bound.
    repeats_mistaken: int
    repeats_mistaken_of: int
    repeats_mistaken_most: float

    @property
    def of_a_name(self) -> str:
        """Return the sentence that belongs to every answer with a name."""
        return (
            f"A name is no proof of who it is: {self.strangers_named:.2g} % of strangers were named in tests "
            f"({self.strangers_named_worst:.2g} % in the worst tenth), and a recording or an imitation of a voice is "
            f"named as its owner."
        )

    @property
    def of_a_repeat(self) -> str:
        """Return the sentence that belongs to every repeat."""
        mistaken = f"{self.repeats_mistaken} of {self.repeats_mistaken_of}"
        return (
            f"An earlier call had the same recording: this one may be played back. In tests {self.repeats_missed:.1g} "
            f"% of replays were missed, and {mistaken} pairs of other words of one person were taken for one (at most "
            f"{self.repeats_mistaken_most:.3g} %). Announcements and music repeat too."
        )


@cache
def measured_limits() -> MeasuredLimits:
    """Return what was measured of this version."""
    return MeasuredLimits(**json.loads(_FILE.read_text(encoding="utf-8")))
