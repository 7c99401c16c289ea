"""Measuring accuracy on labelled recordings: trials, error rates with intervals, plots, and fitting a calibration."""
