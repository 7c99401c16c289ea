"""A mutator of Matroska streams: many cases a second, each known by two numbers. `python -m tests.fuzz --help`."""
