"""Plots of an evaluation as PNG: DET curves, score histograms, misses against gallery size."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.special import ndtri

from earwitness.engine.calibration import Calibration
from earwitness.errors import EvaluationError
from earwitness.evaluation.evaluate import FPIR, ConditionResult
from earwitness.voice.band import Band
from earwitness.voice.decision import Threshold

mpl.use("Agg")  # no screen needed

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
_DET_LOW, _DET_HIGH = 0.00005, 0.5


def write_plots(
    folder: Path,
    results: Sequence[ConditionResult],
    calibrations: Mapping[Band, Calibration],
    *,
    strangers_named_percent: float,
) -> list[Path]:
    """det.png, galleries.png and one scores-CONDITION.png each, in `folder`; what was written."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written.append(_save(_det(results), folder / "det.png"))
        written.append(_save(_galleries(results), folder / "galleries.png"))
        for result in results:
            name = result.condition.name.replace(">", "-to-")
            threshold = _threshold(result, calibrations[result.condition.band], strangers_named_percent)
            written.append(_save(_scores(result, threshold), folder / f"scores-{name}.png"))
    except OSError as error:
        raise EvaluationError(f"the plots cannot be written to {folder}: {error.strerror or error}") from error
    return written


def _det(results: Sequence[ConditionResult]) -> Figure:
    """Detection error trade-off: both axes are normal deviates, on which normally distributed scores give straight
    lines.
    """
    figure, axes = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    low = _DET_HIGH
    for result in results:
        low = min(low, 1 / result.nontargets, 1 / result.targets)
    low = max(low / 2, _DET_LOW)
    for result in results:
        # These axes have no place for a rate of zero: it is drawn on their edge, below the least that can be measured.
        alarms, misses = np.maximum(result.curve.false_alarms, low), np.maximum(result.curve.misses, low)
        drawn = (alarms <= _DET_HIGH) & (misses <= _DET_HIGH)
        least, most = result.intervals["eer_percent"]
        label = f"{result.condition.name}: EER {result.rates.eer_percent:.2g} % [{least:.2g}, {most:.2g}]"
        points = ndtri(alarms[drawn]), ndtri(misses[drawn])
        axes.plot(*points, drawstyle="steps-post", marker=".", label=label, clip_on=False)
    ticks = [tick for tick in _TICKS if tick >= 2 * low]
    for axis, name in ((axes.xaxis, "false alarms"), (axes.yaxis, "misses")):
        axis.set_ticks(ndtri(np.array([low, *ticks])).tolist(), ["none", *(f"{100 * tick:g} %" for tick in ticks)])
        axis.set_label_text(name)
    limits = ndtri(np.array([low, _DET_HIGH])).tolist()
    axes.set(xlim=limits, ylim=limits, title="Detection error trade-off")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper right", fontsize="small")
    return figure


def _scores(result: ConditionResult, threshold: Threshold) -> Figure:
    """How same-speaker and different-speaker pairs score, and where the engine draws the line."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    trials = result.table.trial_set()
    scores = np.concatenate([trials.targets, trials.nontargets])
    bins = np.linspace(min(float(scores.min()), threshold.score) - 0.02, max(float(scores.max()), threshold.score), 91)
    axes.hist(
        trials.nontargets,
        bins=bins.tolist(),
        density=True,
        alpha=0.6,
        color="tab:gray",
        label=f"different ({result.nontargets})",
    )
    axes.hist(
        trials.targets,
        bins=bins.tolist(),
        density=True,
        alpha=0.6,
        color="tab:green",
        label=f"same speaker ({result.targets})",
    )
    label = f"threshold for {threshold.gallery_size} enrolled, {threshold.strangers_named_percent:g} % of strangers"
    axes.axvline(threshold.score, color="tab:red", linestyle="--", label=label)
    axes.set(xlabel="score", ylabel="density", title=f"Scores: {result.condition.name}")
    axes.legend(loc="upper left", fontsize="small")
    return figure


def _threshold(result: ConditionResult, calibration: Calibration, strangers_named_percent: float) -> Threshold:
    """The engine's threshold for everybody enrolled and tests of the usual length."""
    return calibration.threshold(
        gallery_size=len(result.table.enrolled),
        strangers_named_percent=strangers_named_percent,
        net_seconds=float(np.nanmedian(result.table.net_seconds)),
    )


def _galleries(results: Sequence[ConditionResult]) -> Figure:
    """Misses at a fixed share of strangers let through, as the gallery grows."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for result in results:
        sizes = [size.gallery for size in result.growing]
        rates = [size.fnir_percent for size in result.growing]
        bounds = [size.interval for size in result.growing]
        (line,) = axes.plot(sizes, rates, marker="o", label=result.condition.name, clip_on=False)
        axes.vlines(sizes, *zip(*bounds, strict=True), alpha=0.3, color=line.get_color())  # one size makes no band
        axes.fill_between(
            sizes,
            [low for low, _ in bounds],
            [high for _, high in bounds],
            alpha=0.12,
            color=line.get_color(),
        )
    axes.set(xlabel="enrolled", ylabel="not found, %", xscale="log")
    axes.set_ylim(bottom=0)  # every interval is in sight: matplotlib chooses the top
    all_sizes = sorted({size.gallery for result in results for size in result.growing})
    axes.xaxis.set_ticks(all_sizes, [str(size) for size in all_sizes])
    axes.xaxis.set_ticks([], minor=True)
    axes.set_title(f"Not found when {100 * FPIR:g} % of strangers are let through (band: 95 % by speaker)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
