"""Benchmarks: how fast, how small and how accurate earwitness is, each number beside its target.

    python -m benchmarks [NAME ...]

Speed is judged by ratios measured within one run, so that a verdict does not depend on whose machine it was. Every run
writes results/NAME.json and, from all of these files, results/README.md.
"""
