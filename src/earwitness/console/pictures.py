"""Pictures that the server draws: the paths of SVGs. What they show stands beside them in words or in a table."""

from collections.abc import Callable
from dataclasses import dataclass

from earwitness.rest.models import HeardAnswer
from earwitness.tasks.heard import LEVEL_MIN_DBFS, STEP_SECONDS, STEPS_MAX
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.score_curves import ScoreCurves, ScorePoint

STRIP_WIDTH, STRIP_HEIGHT = 2 * STEPS_MAX, 40
"""Of the picture of a minute of audio: two units for each step."""

_BAR_MIN = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The latest minute of a call, now at the right."""

    #: Paths of strokes: where speech was found, and the rest.
    speech: str
    rest: str
    speech_seconds: float
    shown_seconds: float


def strip(heard: HeardAnswer) -> Strip:
    """Return the picture of what a task hears: a stroke for each half second, as high as its peak."""
    speech, rest = list[str](), list[str]()
    stretches = iter(heard.speech)  # one after the other, as the levels are
    stretch = next(stretches, None)
    for index, level in enumerate(heard.levels):
        begins = heard.levels_start_seconds + index * STEP_SECONDS
        middle = begins + STEP_SECONDS / 2
        while stretch is not None and stretch.end_seconds <= middle:
            stretch = next(stretches, None)
        spoken = stretch is not None and stretch.start_seconds <= middle
        x = STRIP_WIDTH - 2 * (len(heard.levels) - index) + 1
        height = max(_BAR_MIN, STRIP_HEIGHT * (level - LEVEL_MIN_DBFS) / -LEVEL_MIN_DBFS)
        (speech if spoken else rest).append(f"M{x} {(STRIP_HEIGHT - height) / 2:.1f}v{height:.1f}")
    return Strip(
        speech="".join(speech),
        rest="".join(rest),
        speech_seconds=len(speech) * STEP_SECONDS,
        shown_seconds=len(heard.levels) * STEP_SECONDS,
    )


def progress_width(net_speech_seconds: float) -> float:
    """Return how much of 100 the speech is of what a voiceprint needs."""
    return round(100 * min(net_speech_seconds / SPEECH_SECONDS_MAX, 1.0), 1)


CURVES_WIDTH, CURVES_HEIGHT = 720, 200
"""Of the picture of scores, without the words below its axis."""

_LOWEST, _HIGHEST = 0.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesPicture:
    """Scores of strangers and of the same persons as areas over one axis of scores."""

    #: Closed paths.
    strangers: str
    own: str
    #: Where strangers are extrapolated from.
    measured_to: float


def score_x(score: float) -> float:
    """Return where a score lies on the axis, from 0 to CURVES_WIDTH; lower ones than 0 at its beginning."""
    return round(CURVES_WIDTH * (min(max(score, _LOWEST), _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST), 1)


def curves(found: ScoreCurves) -> CurvesPicture:
    """Return the picture of scores; both areas are to one scale."""
    shown = [point for point in found.points if point.score >= _LOWEST]
    highest = max(max(point.strangers, point.own) for point in shown)

    def area(height: Callable[[ScorePoint], float]) -> str:
        line = "L".join(
            f"{score_x(point.score)} {CURVES_HEIGHT * (1 - 0.92 * height(point) / highest):.1f}" for point in shown
        )
        return f"M{score_x(shown[0].score)} {CURVES_HEIGHT}L{line}L{score_x(shown[-1].score)} {CURVES_HEIGHT}z"

    return CurvesPicture(
        strangers=area(lambda point: point.strangers),
        own=area(lambda point: point.own),
        measured_to=score_x(found.measured_to),
    )
