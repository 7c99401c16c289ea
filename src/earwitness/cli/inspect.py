"""`earwitness inspect`: what is in a recording, before anything is concluded from it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.models import model_cache, pull_models
from earwitness.cli.options import AudioFile, BandOption, ChannelOption, JsonOption, Raw, parse_raw
from earwitness.cli.output import out, print_json, progress_of, reporting, say
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.audio.quality import Outline
    from earwitness.voice.speech import NetSpeech

_BARS = " ▁▂▃▄▅▆▇█"
_ROWS = 4


def inspect(
    file: AudioFile,
    band: BandOption = Band.TELEPHONE,
    channel: ChannelOption = None,
    raw: Raw = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="PNG", help="Also draw the waveform into this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show levels, net speech and the waveform of a recording, with the speech marked."""
    from earwitness.audio.files import open_recording
    from earwitness.audio.net_speech import NetSpeechGatherer
    from earwitness.audio.quality import Outline
    from earwitness.models.catalogue import VAD_MODEL
    from earwitness.models.sessions import open_session
    from earwitness.voice.speech import enrolment_fault

    with reporting(as_json=as_json):
        recording = open_recording(file, channel=channel, raw=parse_raw(raw))
        pull_models()
        vad = open_session(model_cache(), VAD_MODEL)
        gatherer = NetSpeechGatherer(vad, band=band, rate=recording.rate, target_seconds=None, keep_samples=False)
        outline = Outline(recording.rate)
        with progress_of() as show:
            for block in recording.blocks(reference=True):
                gatherer.feed(block)
                outline.feed(block[:, 0] if block.ndim == 2 else block)
                show("listening (seconds)", round(outline.seconds), round(recording.seconds))
        speech = gatherer.finish()
        fault = enrolment_fault(speech) if speech.segments else None
        if picture is not None:
            from earwitness.evaluation.plots import draw_waveform

            draw_waveform(outline, speech, picture, title=file.name)
    if as_json:
        segments = [(round(each.start_seconds, 3), round(each.end_seconds, 3)) for each in speech.segments]
        print_json(
            {
                "format": recording.format,
                "rate": recording.rate,
                "channels": recording.channels,
                "channel": recording.channel,
                "seconds": outline.seconds,
                "netSpeechSeconds": speech.seconds,
                "segments": segments,
                "quality": speech.quality,
                "enrolmentFault": fault,
            }
        )
        return
    quality = speech.quality
    which = f", channel {recording.channel} of {recording.channels}" if recording.channels > 1 else ""
    say("{}: {}, {} Hz{}, {:.1f} s", file.name, recording.format, recording.rate, which, outline.seconds)
    _print_waveform(outline, speech)
    snr = "unknown (no pauses)" if quality.snr_db is None else f"{quality.snr_db:.0f} dB"
    if quality.snr_db is not None and quality.snr_db < 0:
        snr = "below 0 dB: the pauses are louder than the speech"
    out.print(f"net speech   {speech.seconds:.1f} s in {len(speech.segments)} stretches ({band} band)")
    out.print(f"level        speech {quality.speech_level_dbfs:.0f} dBFS, peak {quality.peak_dbfs:.1f} dBFS")
    out.print(f"noise        signal to noise {snr}")
    out.print(f"clipping     {quality.clipped_percent:.2g} % of samples")
    out.print(f"bandwidth    {quality.bandwidth_hz:.0f} Hz")
    out.print(f"good for     {_use(speech, fault)}", soft_wrap=True)


def _use(speech: "NetSpeech", fault: str | None) -> str:
    from earwitness.voice.embedding import ENROL_SECONDS_MIN, SEARCH_SECONDS_MIN

    if speech.seconds < SEARCH_SECONDS_MIN:
        return f"[yellow]nothing yet[/yellow]: a search needs {SEARCH_SECONDS_MIN:.0f} s of net speech"
    if fault:
        return f"searching; [yellow]not enrolling[/yellow]: {fault}"
    if speech.seconds < ENROL_SECONDS_MIN:
        return f"searching; enrolling alone needs {ENROL_SECONDS_MIN:.0f} s of net speech"
    return "searching and enrolling"


def _print_waveform(outline: "Outline", speech: "NetSpeech") -> None:
    """Print the waveform, speech green, the rest dim, with a time axis."""
    from earwitness.audio.quality import speech_columns

    width = max(20, min(out.width - 2, 100))
    peaks = outline.columns(width)
    top = max(float(peaks.max()), 1e-6)
    heights = (peaks / top * (_ROWS * (len(_BARS) - 1))).round().astype(int).tolist()
    spoken = speech_columns(speech.segments, seconds=max(outline.seconds, 1e-6), count=width).tolist()
    for row in reversed(range(_ROWS)):
        line = ""
        for height, is_speech in zip(heights, spoken, strict=True):
            bar = _BARS[max(0, min(height - row * (len(_BARS) - 1), len(_BARS) - 1))]
            line += f"[green]{bar}[/green]" if is_speech else f"[dim]{bar}[/dim]"
        out.print(line)
    out.print("".join("[green]━[/green]" if is_speech else " " for is_speech in spoken))
    end = f"{outline.seconds:.1f} s"
    out.print(f"[dim]0 s{end:>{width - 3}}[/dim]")
