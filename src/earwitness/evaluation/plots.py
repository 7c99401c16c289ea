"""Plots as PNG: DET curves, score histograms, misses against gallery size; and the waveform of a recording.

Matplotlib lives here. It comes with the extra `plots`; importing this module without it is a ConfigurationError.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from earwitness.audio.quality import Outline
from earwitness.engine.engine import Engine
from earwitness.errors import ConfigurationError, EvaluationError
from earwitness.evaluation.evaluate import FPIR, ConditionResult
from earwitness.evaluation.labels import APART
from earwitness.voice.band import Band
from earwitness.voice.decision import Threshold
from earwitness.voice.speech import NetSpeech

try:
    import matplotlib as mpl

    mpl.use("Agg")  # no screen needed

    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise ConfigurationError("plots need matplotlib; install it with `pip install 'earwitness[plots]'`") from error

_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
_DET_LOW, _DET_HIGH = 0.00005, 0.5


def write_plots(
    folder: Path,
    results: Sequence[ConditionResult],
    engines: Mapping[Band, Engine],
) -> None:
    """Write det.png, galleries.png and one scores-CONDITION.png each into `folder`."""
    figures = {"det": _det(results), "galleries": _galleries(results)}
    for result in results:
        engine = engines[result.condition.band]
        threshold = engine.calibration.threshold(  # everybody enrolled, tests of the usual length
            gallery_size=len(result.table.enrolled),
            strangers_named_percent=engine.strangers_named_percent,
            net_seconds=float(np.nanmedian(result.table.net_seconds)),
            line_unknown=result.table.line_unknown,
        )
        figures[f"scores-{result.condition.name.replace('>', '-to-')}"] = _scores(result, threshold)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png", dpi=110)
    except OSError as error:
        raise EvaluationError(f"the plots cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        plt.close("all")


def _curves(results: Sequence[ConditionResult]) -> Iterator[tuple[str, ConditionResult]]:
    """Yield what has a curve of its own, with its title: each condition, and the same with ids in doubt apart."""
    for result in results:
        yield result.condition.name, result
        if result.doubted_apart is not None:
            yield f"{result.condition.name}, {APART}", result.doubted_apart


def _det(results: Sequence[ConditionResult]) -> Figure:
    """Draw the detection error trade-off.

    Both axes are normal deviates, on which normally distributed scores give straight lines.
    """
    figure, axes = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    most_trials = max(max(result.counts.targets, result.counts.nontargets) for result in results)
    low = max(min(_DET_HIGH, 1 / most_trials) / 2, _DET_LOW)
    for name, result in _curves(results):
        # These axes have no place for a rate of zero: it is drawn on their edge, below the least that can be measured.
        alarms, misses = np.maximum(result.curve.false_alarms, low), np.maximum(result.curve.misses, low)
        drawn = (alarms <= _DET_HIGH) & (misses <= _DET_HIGH)
        least, most = result.intervals["eer_percent"]
        label = f"{name}: EER {result.rates.eer_percent:.2g} % [{least:.2g}, {most:.2g}]"
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
    """Draw how same-speaker and different-speaker pairs score, and where the engine draws the line."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    trials = result.table.trial_set()
    scores = np.concatenate([trials.targets, trials.nontargets])
    bins = np.linspace(min(float(scores.min()), threshold.score) - 0.02, max(float(scores.max()), threshold.score), 91)
    for pairs, colour, name in ((trials.nontargets, "gray", "different"), (trials.targets, "green", "same speaker")):
        label = f"{name} ({len(pairs)})"
        axes.hist(pairs, bins=bins.tolist(), density=True, alpha=0.6, color=f"tab:{colour}", label=label)
    label = f"threshold for {threshold.gallery_size} enrolled, {threshold.strangers_named_percent:g} % of strangers"
    axes.axvline(threshold.score, color="tab:red", linestyle="--", label=label)
    axes.set(xlabel="score", ylabel="density", title=f"Scores: {result.condition.name}")
    axes.legend(loc="upper left", fontsize="small")
    return figure


def _galleries(results: Sequence[ConditionResult]) -> Figure:
    """Draw misses at a fixed share of strangers let through, as the gallery grows."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, result in _curves(results):
        sizes = [size.gallery for size in result.growing]
        rates = [size.fnir_percent for size in result.growing]
        low, high = zip(*(size.interval for size in result.growing), strict=True)
        (line,) = axes.plot(sizes, rates, marker="o", label=name, clip_on=False)
        axes.vlines(sizes, low, high, alpha=0.3, color=line.get_color())  # one size makes no band
        axes.fill_between(sizes, low, high, alpha=0.12, color=line.get_color())
    axes.set(xlabel="enrolled", ylabel="not found, %", xscale="log")
    axes.set_ylim(bottom=0)  # every interval is in sight: matplotlib chooses the top
    all_sizes = sorted({size.gallery for result in results for size in result.growing})
    axes.xaxis.set_ticks(all_sizes, [str(size) for size in all_sizes])
    axes.xaxis.set_ticks([], minor=True)
    axes.set_title(f"Not found when {100 * FPIR:g} % of strangers are let through (band: 95 % by speaker)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def draw_waveform(outline: Outline, speech: NetSpeech, path: Path, *, title: str) -> None:
    """Draw the waveform of a recording with the speech marked."""
    count = 1600
    peaks = outline.columns(count)
    figure, axes = plt.subplots(figsize=(12, 3), layout="constrained")
    axes.fill_between(np.linspace(0, outline.seconds, count), -peaks, peaks, color="0.6", linewidth=0)
    for number, segment in enumerate(speech.segments):
        label = "speech" if number == 0 else None
        axes.axvspan(
            segment.start_seconds, segment.end_seconds, color="tab:green", alpha=0.25, label=label, linewidth=0
        )
    axes.set(
        xlim=(0, outline.seconds),
        xlabel="seconds",
        ylabel="sample",
        title=f"{title}: {speech.seconds:.1f} s of net speech",
    )
    if speech.segments:
        axes.legend(loc="upper right")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the picture {path} cannot be written: {error}") from error
    finally:
        plt.close(figure)
