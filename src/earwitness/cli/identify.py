"""`earwitness identify`: who speaks in a recording, or in each of many."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.answers import exit_of, print_decision
from earwitness.cli.options import ChannelOption, GalleryOption, JsonOption, KnownBand, Raw, parse_raw
from earwitness.cli.output import Exit, exit_for, note, out, percent, print_json, progress_of, reporting, say
from earwitness.cli.table import TableColumn, print_table
from earwitness.cli.voices import engine_for, gallery_path
from earwitness.errors import AudioError, ConfigurationError, SpeechError
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome, decision_document

if TYPE_CHECKING:
    from earwitness.audio.files import RawFormat
    from earwitness.engine.engine import Engine
    from earwitness.engine.enrol import NotEnrolled
    from earwitness.engine.gallery import Gallery
    from earwitness.engine.identify import Identified

_CSV_COLUMNS: tuple[str, ...] = (
    "file",
    "outcome",
    "weak",
    "profileId",
    "probability",
    "nobodyProbability",
    "score",
    "netSpeechSeconds",
    "error",
)


def register(app: typer.Typer) -> None:
    app.command()(identify)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A recording and what a search with it came to: an answer, or the error that prevented one."""

    file: Path
    found: "Identified | None" = None
    error: AudioError | SpeechError | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """Whom recordings are searched among, and how they are read."""

    engine: "Engine"
    gallery: "Gallery"
    left_out: "Sequence[NotEnrolled]"
    channel: int | None
    raw: "RawFormat | None"
    whole: bool

    def one(self, file: Path) -> Searched:
        """The answer for one recording. Raises AudioError when it cannot be used."""
        from earwitness.engine.identify import identify_recording

        found = identify_recording(
            self.engine, self.gallery, file, channel=self.channel, raw=self.raw, whole=self.whole
        )
        return Searched(file=file, found=found)

    def each(self, file: Path) -> Searched:
        """The same, with the error in it."""
        try:
            return self.one(file)
        except (AudioError, SpeechError) as error:
            return Searched(file=file, error=error)


def identify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES…",
            help="Recordings, or folders of them: WAV, FLAC, MP3, OGG, GSM in WAV, Matroska; raw PCM with --raw; more "
            "with the extra `formats`.",
        ),
    ],
    known: Annotated[
        Path | None,
        typer.Option("--known", metavar="DIR", help="Search among these people: one folder or file per person."),
    ] = None,
    gallery: GalleryOption = None,
    band: KnownBand = None,
    channel: ChannelOption = None,
    raw: Raw = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a row for each recording; - prints them."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Listen to the end, and name everybody who speaks. Else the first voice is enough."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say who of the enrolled voices speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little
    speech, 10: a match with a probability under 50 %, or several voices, with an answer for each.

    The first 20 s of speech are searched with. When nobody is found for sure, it goes on, up to a minute of speech: a
    stranger takes three times the computing of a match. With --channel of a stereo call, speech of the other channel
    that leaks into this one is left out.

    With several recordings, a folder or --csv there is a row for each. With --json their answers are the list
    `recordings`, and the files of --known that could not be used are the list `leftOut`. A recording that cannot be
    used does not stop the others. Exit code 0: every recording was searched with, whoever it was; 4: one cannot be
    read; 3: one has too little speech. Several voices and weak matches are told in the row and do not change the exit
    code.
    """
    from earwitness.audio.files import open_recording

    if known is not None and gallery is not None:
        raise typer.BadParameter("give either a folder of known people or a gallery", param_hint="--known")
    if known is None and band is not None:
        raise typer.BadParameter("a gallery has its band; --band goes with --known", param_hint="--band")
    if as_json and str(csv_file) == "-":
        raise typer.BadParameter("standard output holds one of the two; give --csv a file", param_hint="--csv")
    many = len(files) > 1 or files[0].is_dir() or csv_file is not None
    with reporting(as_json=as_json):
        raw_format = parse_raw(raw)
        recordings = _recordings(files)
        if not many:
            open_recording(recordings[0], channel=channel, raw=raw_format)
        engine, voices, left_out = _voices(gallery, known, recordings, band=band or Band.TELEPHONE)
        search = Search(engine=engine, gallery=voices, left_out=left_out, channel=channel, raw=raw_format, whole=whole)
        answers = _all(search, recordings) if many else [search.one(recordings[0])]
    if many:
        with reporting(as_json=False):
            _tell_all(answers, left_out, csv_file=csv_file, as_json=as_json)
        raise typer.Exit(_exit_of_all(answers))
    _tell_one(answers[0], left_out, as_json=as_json)


def _recordings(given: Sequence[Path]) -> list[Path]:
    """The recordings that are meant, each once: files as they are given, folders as what they hold."""
    from earwitness.engine.folders import recordings_in

    found = [file for path in given for file in (recordings_in(path) if path.is_dir() else [path])]
    return list(dict.fromkeys(found))


def _voices(
    gallery: Path | None, known: Path | None, recordings: Sequence[Path], *, band: Band
) -> "tuple[Engine, Gallery, Sequence[NotEnrolled]]":
    """Whom to search among: the gallery file, or a folder of people that is enrolled for this once."""
    if known is None:
        return *stored_voices(gallery), ()
    engine = engine_for(band)
    with progress_of() as show:
        voices = engine.gallery_of(
            known, probes=recordings, progress=lambda done, total: show("enrolling the known", done, total)
        )
    for one in voices.left_out:
        say("[yellow]left out[/yellow] {}, {}: {}", one.profile_id, one.file, one.reason, to=note)
    return engine, voices.gallery, voices.left_out


def stored_voices(gallery: Path | None) -> "tuple[Engine, Gallery]":
    """The engine of a gallery file's band, and its voices."""
    from earwitness.engine.gallery_file import read_gallery

    stored = read_gallery(gallery_path(gallery))
    engine = engine_for(stored.band)
    voices = engine.empty_gallery()
    voices.add_all(stored.require(engine.encoder.encoder_id).voiceprints)
    return engine, voices


def _all(search: Search, recordings: Sequence[Path]) -> list[Searched]:
    """The answers in the order of the recordings, on as many threads as the settings say."""
    from concurrent.futures import ThreadPoolExecutor

    from earwitness import config

    answers: list[Searched] = []
    pool = ThreadPoolExecutor(config.load().workers)
    try:
        with progress_of() as show:
            for answer in pool.map(search.each, recordings):
                answers.append(answer)
                show("searching", len(answers), len(recordings))
    finally:
        pool.shutdown(cancel_futures=True)
    return answers


# `object`: JSON, here and below.
def _document(answer: Searched) -> dict[str, Any]:
    found, error = answer.found, answer.error
    return {
        "decision": None if found is None else decision_document(asdict(found.decision)),
        "quality": None if found is None else found.quality,
        "heardSeconds": None if found is None else found.heard_seconds,
        "heardToTheEnd": None if found is None else found.to_the_end,
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
    }


def _tell_one(answer: Searched, left_out: "Sequence[NotEnrolled]", *, as_json: bool) -> None:
    if (found := answer.found) is None:
        raise RuntimeError("a single recording has an answer or an error")
    document = _document(answer)
    if as_json:
        del document["error"]
        print_json({**document, "leftOut": left_out})
    else:
        print_decision(document["decision"])
        used = found.decision.net_speech_seconds
        end = "" if found.to_the_end else ", not to the end of the recording (--whole goes on)"
        out.print(f"{used:.1f} s of net speech used, {found.heard_seconds:.1f} s heard{end}", soft_wrap=True)
    raise typer.Exit(exit_of(document["decision"]))


def _tell_all(
    answers: Sequence[Searched], left_out: "Sequence[NotEnrolled]", *, csv_file: Path | None, as_json: bool
) -> None:
    documents: list[dict[str, Any]] = [{"file": answer.file, **_document(answer)} for answer in answers]
    if csv_file is not None:
        _write_csv(csv_file, documents)
    if as_json:
        print_json({"recordings": documents, "leftOut": left_out})
    elif str(csv_file) != "-":
        print_table(
            [TableColumn("file", folds=True), "answer", TableColumn("profile", folds=True), "probability", "speech"],
            [_row(document) for document in documents],
        )
        for document in documents:
            if document["error"] is not None:
                say("[red]not searched with[/red] {}: {}", document["file"], document["error"]["message"], to=note)


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    decision = document["decision"]
    if decision is None:
        return (str(document["file"]), "error", "", "", "")
    cells = _cells(document)
    probabilities = str(cells["probability"] or cells["nobodyProbability"])
    shown = "; ".join(percent(float(each)) for each in probabilities.split(";") if each)
    outcome = f"weak {cells['outcome']}" if decision["weak"] else cells["outcome"]
    return (str(document["file"]), outcome, cells["profileId"], shown, f"{decision['netSpeechSeconds']:.1f} s")


def _cells(document: dict[str, Any]) -> dict[str, Any]:
    """A recording as a row of the CSV: the profile that was named, or nothing; several with semicolons."""
    decision, error = document["decision"], document["error"]
    if decision is None:
        return {"file": document["file"], "outcome": "error", "error": error["message"]}
    best: dict[str, Any] = decision["candidates"][0] if decision["candidates"] else {}
    named = [voice["candidates"][0] for voice in [decision, *decision["voices"]] if voice["outcome"] == Outcome.MATCH]
    return {
        "file": document["file"],
        "outcome": decision["outcome"],
        "weak": "yes" if decision["weak"] else "",
        "profileId": ";".join(one["profileId"] for one in named),
        "probability": ";".join(str(one["probability"]) for one in named),
        "nobodyProbability": "" if decision["nobodyProbability"] is None else decision["nobodyProbability"],
        "score": best.get("score", ""),
        "netSpeechSeconds": decision["netSpeechSeconds"],
        "error": "",
    }


def _write_csv(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_cells(document) for document in documents)
    if str(path) == "-":
        out.file.write(text.getvalue())
        return
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    say("wrote {}", path, to=note)


def _exit_of_all(answers: Sequence[Searched]) -> Exit:
    """0 when all were searched with; 4 when one cannot be read, else 3 when one has too little speech."""
    codes = {exit_for(answer.error) for answer in answers if answer.error is not None}
    if any(answer.found and answer.found.decision.outcome is Outcome.NOT_ENOUGH_SPEECH for answer in answers):
        codes.add(Exit.SPEECH)
    return max(codes, default=Exit.OK)
