"""Exports of labels, as `earwitness labels export` writes them."""

import json
from pathlib import Path
from typing import Any

from calibration_examples import SHIPPED


def labelled(
    number: int, *, outcome: str = "match", spoke: str = "profile", score: float = 0.9, at: str = "2026"
) -> Any:
    return {
        "taskId": f"task-{number}",
        "outcome": outcome,
        "candidates": [{"profileId": "vp-1", "score": score}],
        "probability": 0.97,
        "threshold": 0.6,
        "lineMargin": 0.0,
        "strangersNamedPercent": 1.0,
        "gallerySize": 50,
        "netSpeechSeconds": 10.0,
        "calibrationId": SHIPPED.id,
        "label": {
            "spoke": spoke,
            "profileId": "vp-1" if spoke in ("profile", "not") else None,
            "picked": "queue",
            "updatedAt": at,
        },
    }


def write(path: Path, calls: list[Any], *, domain_id: str = "d", matches: int = 10, no_matches: int = 90) -> Path:
    document = {"format": "earwitness labels 1", "domainId": domain_id, "matches": matches, "noMatches": no_matches}
    path.write_text(json.dumps({**document, "calls": calls}))
    return path
