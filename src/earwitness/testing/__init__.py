"""Test programs that use Amazon Chime SDK speaker search, offline: a real service, scripted verdicts, a clock to turn.

Public API. A service for tests is the service itself, on loopback, with records of its own; what a test scripts is only
what a task finds. docs/testing.md shows how, and the pytest plug-in `earwitness.testing.plugin` gives it as fixtures.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earwitness.testing import events as events
    from earwitness.testing.service import EarwitnessService as EarwitnessService
    from earwitness.testing.service import start_service as start_service
    from earwitness.testing.verdicts import ScriptedVerdict as ScriptedVerdict
    from earwitness.testing.verdicts import ambiguous as ambiguous
    from earwitness.testing.verdicts import failure as failure
    from earwitness.testing.verdicts import inconclusive as inconclusive
    from earwitness.testing.verdicts import listening as listening
    from earwitness.testing.verdicts import match as match
    from earwitness.testing.verdicts import no_match as no_match
    from earwitness.testing.verdicts import several_voices as several_voices
    from earwitness.testing.voices import Voices as Voices
    from earwitness.testing.voices import start_voices as start_voices

_HOMES = {
    "EarwitnessService": "service",
    "start_service": "service",
    "ScriptedVerdict": "verdicts",
    "ambiguous": "verdicts",
    "failure": "verdicts",
    "inconclusive": "verdicts",
    "listening": "verdicts",
    "match": "verdicts",
    "no_match": "verdicts",
    "several_voices": "verdicts",
    "Voices": "voices",
    "start_voices": "voices",
}

__all__ = [
    "EarwitnessService",
    "ScriptedVerdict",
    "Voices",
    "ambiguous",
    "events",
    "failure",
    "inconclusive",
    "listening",
    "match",
    "no_match",
    "several_voices",
    "start_service",
    "start_voices",
]


def __getattr__(name: str) -> Any:  # `Any`: attributes have the types they are given above
    """Load what somebody wants: pytest imports this package in every run where it is installed."""
    from importlib import import_module

    if name == "events":
        return import_module("earwitness.testing.events")
    if name in _HOMES:
        return getattr(import_module(f"earwitness.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'earwitness.testing' has no attribute {name!r}")
