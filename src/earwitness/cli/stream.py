"""`earwitness stream`: send audio to a Kinesis video stream, here or at AWS."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import JsonOption
from earwitness.cli.output import print_json, progress_of, remark, reporting
from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from earwitness.producer.connection import Ack


def stream(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="A recording; several are the channels of one stream; - reads raw 16-bit PCM from stdin.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--stream", metavar="NAME", help="The stream's name.")] = None,
    arn: Annotated[str | None, typer.Option("--stream-arn", metavar="ARN", help="Or its ARN.")] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="URL", help="Of Kinesis Video Streams; default: as boto3 finds it."),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the stream when it is not there; kept for 24 h.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as it goes instead of in real time.")] = False,
    rate: Annotated[int, typer.Option("--rate", min=8_000, max=48_000, help="Of raw PCM, in Hz.")] = 8_000,
    channels: Annotated[int, typer.Option("--channels", min=1, max=2, help="Of raw PCM.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Send audio to a Kinesis video stream, with AWS credentials from the environment or the files boto3 reads."""
    from earwitness.producer.put_media import create_stream, put_media

    with reporting(as_json=as_json):
        if (name is None) == (arn is None):
            raise ConfigurationError("give --stream NAME or --stream-arn ARN")
        if Path("-") in files and len(files) > 1:
            raise ConfigurationError("standard input is one stream; give files instead to send several channels")
        if create and name is not None and not create_stream(name, endpoint_url=endpoint):
            remark("the stream {} is there already", name)
        with progress_of() as show:
            total = _total(files)

            def shown(ack: "Ack") -> None:
                counted[ack.type.value] = counted.get(ack.type.value, 0) + 1
                show(f"{ack.type.value.lower():9}", counted[ack.type.value], total)

            counted: dict[str, int] = {}
            sent = put_media(
                sys.stdin.buffer if files == [Path("-")] else files,
                stream_name=name,
                stream_arn=arn,
                endpoint_url=endpoint,
                real_time=not fast,
                rate=rate,
                channels=channels,
                on_ack=shown,
            )
    if as_json:
        print_json(sent)
        return
    remark(
        "sent {:.1f} s in {} fragments, {} to {}; {} reconnects",
        sent.seconds,
        sent.fragments,
        sent.first_fragment_number,
        sent.last_fragment_number,
        sent.reconnects,
    )


def _total(files: list[Path]) -> int:
    from earwitness.audio.files import open_recording

    if files == [Path("-")]:
        return 0
    return max(1, round(max(open_recording(file, channel=0).seconds for file in files)))
