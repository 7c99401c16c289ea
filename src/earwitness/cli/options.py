"""Options that several commands share, each defined once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.errors import AudioUnreadable
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.audio.files import RawFormat

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BandOption = Annotated[
    Band,
    typer.Option("--band", help="telephone: calls (300 to 3400 Hz). wideband: microphone recordings on both sides."),
]
KnownBand = Annotated[Band | None, typer.Option("--band", help="With --known: telephone (the default) or wideband.")]
ChannelOption = Annotated[
    int | None, typer.Option("--channel", min=0, help="Which channel of a recording with several; from 0.")
]
Raw = Annotated[
    str | None,
    typer.Option(
        "--raw",
        metavar="ENCODING@RATE[xCHANNELS]",
        help="Read headerless PCM: s16le, mulaw or alaw, as in [b]mulaw@8000[/b] or [b]s16le@16000x2[/b].",
    ),
]
GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", metavar="FILE", help="The gallery file; default: setting gallery_file."),
]
SubjectOption = Annotated[
    str | None,
    typer.Option(
        "--subject", metavar="SUBJECT", help="Whose voice it is, as consents call the person; where one is required."
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="The folder of records, media and master key; default: setting data_dir."
    ),
]
UrlOption = Annotated[str | None, typer.Option("--url", metavar="URL", help="The service; default: setting url.")]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="REGION", help="Of the records; default: AWS_REGION or AWS_DEFAULT_REGION, else us-east-1."
    ),
]
AudioFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="WAV, FLAC, MP3, OGG, GSM in WAV, Matroska; raw PCM with --raw; more with the extra `formats`.",
    ),
]


def parse_raw(text: str | None) -> "RawFormat | None":
    """Parse `mulaw@8000` or `s16le@16000x2`. AudioUnreadable says how it is written."""
    from earwitness.audio.files import RawFormat
    from earwitness.audio.pcm import Encoding

    if text is None:
        return None
    encoding, _, rest = text.partition("@")
    rate, _, channels = rest.partition("x")
    try:
        parsed = RawFormat(encoding=Encoding(encoding.lower()), rate=int(rate), channels=int(channels or 1))
    except ValueError:
        parsed = None
    if parsed is None or not 8_000 <= parsed.rate <= 48_000 or not 1 <= parsed.channels <= 64:
        raise AudioUnreadable(
            f"--raw {text} is not ENCODING@RATE, as in mulaw@8000, s16le@16000 or s16le@48000x2 (8,000 to 48,000 Hz)"
        )
    return parsed
