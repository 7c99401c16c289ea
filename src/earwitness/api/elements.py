"""The elements of a configuration: what AWS documents of them beyond its service model."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from earwitness.errors import BadRequest
from earwitness.sinks.targets import SINK_SERVICES, fault_of_form, fault_of_place, read_arn
from earwitness.store.records import Scope

_Structure: TypeAlias = Mapping[str, Any]
"""A structure as parsed. `Any`: its members differ by element type."""

_log = logging.getLogger("earwitness.api")

_TRANSCRIBE = ("AmazonTranscribeProcessor", "AmazonTranscribeCallAnalyticsProcessor")


def require_elements(elements: Sequence[_Structure], scope: Scope) -> None:
    """BadRequest when the elements of a configuration in this account and Region do not go together."""
    types = [element["Type"] for element in elements]
    for kind in types:
        if types.count(kind) > 1:
            raise BadRequest(f"there are several elements of type {kind}; give each type once")
    if all(kind in types for kind in _TRANSCRIBE):
        raise BadRequest(f"{' and '.join(_TRANSCRIBE)} exclude each other; leave one out")
    if "VoiceEnhancementSink" in types and "S3RecordingSink" not in types:
        raise BadRequest("VoiceEnhancementSink works on recordings; add an S3RecordingSink, or leave it out")
    for index, element in enumerate(elements):
        _require_own_member(index, element)
        _require_one_redaction(index, element)
        _require_target(index, element, scope)


def _require_own_member(index: int, element: _Structure) -> None:
    own = f"{element['Type']}Configuration"
    if any(name not in ("Type", own) and value is not None for name, value in element.items()):
        raise BadRequest(f"Elements[{index}] holds the member of another type; give {own} or none")


def _require_one_redaction(index: int, element: _Structure) -> None:
    if element["Type"] in _TRANSCRIBE:
        member: _Structure = element.get(f"{element['Type']}Configuration") or {}
        if member.get("ContentIdentificationType") and member.get("ContentRedactionType"):
            raise BadRequest(
                f"Elements[{index}] has ContentIdentificationType and ContentRedactionType; give one of them"
            )


def _require_target(index: int, element: _Structure, scope: Scope) -> None:
    service = SINK_SERVICES.get(element["Type"])
    if service is None:
        return
    member: _Structure = element.get(f"{element['Type']}Configuration") or {}
    target: str | None = member.get("InsightsTarget")
    if target is None:
        raise BadRequest(f"Elements[{index}] is a {element['Type']} without InsightsTarget; say where it sends")
    arn, fault = read_arn(target), fault_of_form(target)
    if arn is None or fault is not None:
        # AWS's model takes any ARN, and programs rely on it; the reason comes again with each event.
        _log.warning("events to a sink will fail", extra={"element": index, "reason": f"its target {fault}"})
        return
    fault = fault_of_place(arn, account_id=scope.account_id, region=scope.region, service=service)
    if fault is not None:
        raise BadRequest(f"InsightsTarget of Elements[{index}] {fault}")
