"""Settings of the voice engine and its command line."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from earwitness.config.rows import LOG_LEVELS, row


def _models_dir() -> Path:
    return platformdirs.user_cache_path("earwitness") / "models"


def _gallery_file() -> Path:
    return platformdirs.user_data_path("earwitness") / "gallery.json"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What hearing, searching and measuring need."""

    models_dir: Path = row(_models_dir, unit="folder", text="Where verified voice models are kept.")
    gallery_file: Path = row(_gallery_file, unit="file", text="The gallery that enroll and identify use.")
    strangers_named_percent: float = row(
        1.0,
        unit="%",
        low=0.0001,
        high=50.0,
        text="The threshold is set so that at most this share of strangers is given a name, whatever the "
        "number of enrolled voices.",
    )
    prior_known: float = row(
        0.5,
        unit="probability",
        low=0.001,
        high=0.999,
        text="How likely it is, before hearing anything, that the caller is enrolled at all.",
    )
    calibration_file: Path | None = row(
        None, unit="file", text="A calibration fitted on your own calls; the shipped one is used when empty."
    )
    workers: int = row(
        lambda: os.cpu_count() or 1,
        unit="threads",
        low=1,
        high=1024,
        text="How many recordings are worked on at once in long runs; each uses one native thread.",
    )
    log_level: str = row("warning", unit="level", text="debug, info, warning, error or critical.", choices=LOG_LEVELS)
