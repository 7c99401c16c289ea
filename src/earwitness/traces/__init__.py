"""Traces: a task from its first fragment to the delivery of its events."""
