"""`python -m tests.fuzz`: judge cases until there are enough; exit with 1 when there was a finding."""

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.fuzz.run import run

FINDINGS = Path(__file__).parents[1] / "audio" / "findings"
FINDINGS_MAX = 20
_REPORT_EVERY = 20_000
_MEMORY_BYTES_MAX = 2 << 30


def main(arguments: Sequence[str]) -> int:
    """Run, and write each finding into tests/audio/findings, where a test takes it up."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000, help="how many cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones; the same number gives the same (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    options = parser.parse_args(arguments)
    # A reader that takes too much memory shall fail here, and not take the machine with it.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, resource.RLIM_INFINITY))
    started, done, found = monotonic(), 0, 0
    for finding in run(seed=options.seed, first=options.first, cases=options.cases):
        done += 1
        if finding is not None:
            found += 1
            path = FINDINGS / f"seed-{options.seed}-case-{finding.case}.mkv"
            path.write_bytes(finding.data)
            print(f"case {finding.case}: {finding.says}\n  kept as {path}")
        if done % _REPORT_EVERY == 0:
            print(f"{done:,} cases, {done / (monotonic() - started):,.0f} a second, {found} findings", flush=True)
        if found >= FINDINGS_MAX or monotonic() - started > options.seconds:
            break
    print(f"seed {options.seed}: {done:,} cases in {monotonic() - started:,.0f} s, {found} findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
