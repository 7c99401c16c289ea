"""The withdrawal of a consent: its states, and what is left of a result when somebody in it is forgotten."""

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

WITHDRAWN = "the person on this channel has withdrawn the consent; nothing of the task is kept"
"""Why a task failed that was running."""

ITEM_WITHDRAWN = "the person in this recording has withdrawn the consent; nothing of it is kept"
"""Why an item of a job has no result."""


class WithdrawalState(StrEnum):
    """How far a withdrawal is."""

    OPEN = "open"
    """It is in force, profiles and tasks are gone; results that name the person, and media, are still looked for."""

    DONE = "done"
    """Nothing is held of the person."""


# `Any`: a decision as it is kept, whose fields have several types.
def without_profiles(decision: Mapping[str, Any], profile_ids: Collection[str]) -> dict[str, Any] | None:
    """Return a kept decision without the candidates of these profiles; None when it named one of them."""
    candidates: list[Mapping[str, Any]] = list(decision.get("candidates") or ())
    kept = [one for one in candidates if one["profile_id"] not in profile_ids]
    if len(kept) < len(candidates) and candidates[0] not in kept:
        return None
    voices: list[Mapping[str, Any]] = list(decision.get("voices") or ())
    left = [without_profiles(voice, profile_ids) for voice in voices]
    if any(voice is None for voice in left):
        return None
    changed = {**decision, "candidates": kept}
    return {**changed, "voices": left} if "voices" in decision else changed


def json_text(text: str) -> str:
    """Return a text as it stands inside of a string of JSON in ASCII."""
    return json.dumps(text)[1:-1]


def holds_any(body: bytes | None, texts: Collection[str]) -> bool:
    """Return whether one of these texts, as `json_text` writes them, stands in a JSON document."""
    return body is not None and any(text.encode() in body for text in texts)
