"""`earwitness identify`: who speaks in a recording, or in each of many."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from earwitness import config
from earwitness.cli.file_line import keep_learnt_line
from earwitness.cli.options import ChannelOption, GalleryOption, JsonOption, KnownBand, Raw, parse_raw
from earwitness.cli.output import (
    Exit,
    exit_for,
    exit_of,
    out,
    percent,
    print_decision,
    print_json,
    print_table,
    progress_of,
    remark,
    reporting,
    warn,
    write_csv,
)
from earwitness.cli.voices import engine_for, gallery_path
from earwitness.errors import AudioError, SpeechError
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome, decision_document
from earwitness.voice.limits import measured_limits

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine, Identified
    from earwitness.engine.enrol import NotEnrolled
    from earwitness.engine.gallery import Gallery

    _Answer = Identified | AudioError | SpeechError

CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write a row for each recording; - prints them."),
]
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
    csv_file: CsvOption = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Listen to the end, and name everybody who speaks; else the first voice."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say who of the enrolled voices speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little
    speech, 10: a match with a probability under 50 %, or several voices, with an answer for each.

    The first 20 s of speech are searched with. When nobody is found for sure, it goes on, up to a minute of speech: a
    stranger takes three times the computing of a match. With --channel of a stereo call, speech of the other channel
    that leaks into this one is left out.

    With several recordings, a folder or --csv there is a row for each. From ten of different voices on, the line that
    they come from is learnt, and kept in the gallery file for later searches (`earwitness line`); with --known it is
    for this run alone. With --json their answers are the list `recordings`, the files of --known that could not be used
    the list `leftOut`, and what is known of the line is `line`. A recording that cannot be used does not stop the
    others. Exit code 0: every recording was searched with, whoever it was; 4: one cannot be read; 3: one has too little
    speech. Several voices and weak matches are told in the row and do not change the exit code.
    """
    from earwitness.audio.files import open_recording
    from earwitness.engine.engine import identify_recording, open_named

    if known is not None and gallery is not None:
        raise typer.BadParameter("give either a folder of known people or a gallery", param_hint="--known")
    if known is None and band is not None:
        raise typer.BadParameter("a gallery has its band; --band goes with --known", param_hint="--band")
    if as_json and str(csv_file) == "-":
        raise typer.BadParameter("standard output holds one of the two; give --csv a file", param_hint="--csv")
    with reporting(as_json=as_json):
        raw_format = parse_raw(raw)
        recordings = _recordings(files)
        many = len(files) > 1 or files[0].is_dir() or csv_file is not None
        # A single one is opened before models are fetched.
        single = None if many else open_recording(recordings[0], channel=channel, raw=raw_format)
        path = None if known is not None else gallery_path(gallery)
        engine, voices, left_out = _voices(path, known, recordings, band=band or Band.TELEPHONE)
        if single is not None:
            _print_one(identify_recording(engine, voices, single, whole=whole), left_out, as_json=as_json)

        def search(file: Path) -> "Identified":
            recording = open_named(file, channel=channel, raw=raw_format)
            return _without_speech(identify_recording(engine, voices, recording, whole=whole))

        answers, line = _on_their_line(engine, voices, _all(search, recordings), path)
    documents = [{"file": file, **_document(answer)} for file, answer in zip(recordings, answers, strict=True)]
    with reporting(as_json=False):
        _print_all(documents, left_out, line, csv_file=csv_file, as_json=as_json)
    raise typer.Exit(_exit_of_all(answers))


def _recordings(given: Sequence[Path]) -> list[Path]:
    """Return the recordings that are meant, each once: files as they are given, folders as what they hold."""
    from earwitness.engine.enrol import recordings_in

    found = [file for path in given for file in (recordings_in(path) if path.is_dir() else [path])]
    return list(dict.fromkeys(found))


def _voices(
    path: Path | None, known: Path | None, recordings: Sequence[Path], *, band: Band
) -> "tuple[Engine, Gallery, Sequence[NotEnrolled]]":
    """Return whom to search among: the gallery file, or a folder of people that is enrolled for this once."""
    from earwitness.engine.enrol import gallery_of
    from earwitness.engine.gallery_file import read_gallery

    if known is None or path is not None:
        stored = read_gallery(gallery_path(path))
        engine = engine_for(stored.band)
        return engine, engine.gallery_of(stored), ()
    engine = engine_for(band)
    with progress_of() as show:
        voices = gallery_of(engine, known, probes=recordings, progress=show)
    for one in voices.left_out:
        remark("[yellow]left out[/yellow] {}, {}: {}", one.profile_id, one.file, one.reason)
    return engine, voices.gallery, voices.left_out


def _all(search: "Callable[[Path], Identified]", recordings: Sequence[Path]) -> "list[_Answer]":
    """Return the answers in the order of the recordings, searched on as many threads as the settings say."""

    def answer_of(file: Path) -> "_Answer":
        try:
            return search(file)
        except (AudioError, SpeechError) as error:
            return error

    answers: list[_Answer] = []
    pool = ThreadPoolExecutor(config.load().workers)
    try:
        with progress_of() as show:
            for answer in pool.map(answer_of, recordings):
                answers.append(answer)
                show("searching", len(answers), len(recordings))
    finally:
        pool.shutdown(cancel_futures=True)
    return answers


def _without_speech(found: "Identified") -> "Identified":
    """Return the same without the samples: those of a thousand recordings would be a gigabyte."""
    return replace(found, speech=replace(found.speech, samples=found.speech.samples[:0].copy()))


def _on_their_line(
    engine: "Engine", gallery: "Gallery", answers: "Sequence[_Answer]", path: Path | None
) -> "tuple[list[_Answer], dict[str, Any]]":
    """Return the answers on the line of the recordings, where that can be learnt from them, and what is known of it.

    `path` is of the gallery file, if there is one, which keeps what was learnt.
    """
    from earwitness.engine import batch
    from earwitness.engine.file_line import FileLine
    from earwitness.engine.gallery_file import read_gallery

    found = [answer for answer in answers if not isinstance(answer, AudioError | SpeechError)]
    kept = FileLine() if path is None else read_gallery(path).line
    line, learnt = gallery.space.line, batch.line_of(engine, found)
    if learnt is not None and kept.takes(learnt):
        line = learnt if path is None else keep_learnt_line(path, learnt)
    watched = batch.watched(gallery.under(engine.space.on(line)), found)
    again = iter(batch.answers_on(engine, gallery, watched.line, found))
    told = {
        "state": line.state,
        "voices": line.voices,
        "version": line.version,
        "learntNow": line is not gallery.space.line,
        "health": watched.health,
        "searches": watched.strangers.searches,
        "voiceprintsMean": watched.strangers.mean if watched.strangers.searches else None,
        "voiceprintsSpread": watched.strangers.spread if watched.strangers.searches else None,
        "callersMean": watched.callers_mean,
        "advice": batch.advice_for(watched, kept.learning),
    }
    return [answer if isinstance(answer, AudioError | SpeechError) else next(again) for answer in answers], told


# `Any`: JSON, here and below.
def _document(answer: "_Answer") -> dict[str, Any]:
    if isinstance(answer, AudioError | SpeechError):
        error = {"type": type(answer).__name__, "message": str(answer)}
        return {"decision": None, "quality": None, "heardSeconds": None, "heardToTheEnd": None, "error": error}
    return {
        "decision": decision_document(asdict(answer.decision)),
        "quality": answer.quality,
        "heardSeconds": answer.heard_seconds,
        "heardToTheEnd": answer.to_the_end,
        "error": None,
    }


def _print_one(found: "Identified", left_out: "Sequence[NotEnrolled]", *, as_json: bool) -> NoReturn:
    document = _document(found)
    if as_json:
        del document["error"]
        print_json({**document, "leftOut": left_out})
    else:
        print_decision(document["decision"])
        if found.decision.outcome is Outcome.MATCH:
            remark("{}", measured_limits().of_a_name)
        used = found.decision.net_speech_seconds
        end = "" if found.to_the_end else ", not to the end of the recording (--whole goes on)"
        out.print(f"{used:.1f} s of net speech used, {found.heard_seconds:.1f} s heard{end}", soft_wrap=True)
    raise typer.Exit(exit_of(document["decision"]))


def _print_all(
    documents: Sequence[dict[str, Any]],
    left_out: "Sequence[NotEnrolled]",
    line: dict[str, Any],
    *,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    if csv_file is not None:
        write_csv(csv_file, _CSV_COLUMNS, map(_cells, documents))
    if as_json:
        print_json({"recordings": documents, "leftOut": left_out, "line": line})
    elif str(csv_file) != "-":
        titles = ("file", "answer", "profile", "probability", "speech")
        print_table(titles, [_row(document) for document in documents], folds={"file", "profile"})
        for document in documents:
            if document["error"] is not None:
                remark("[red]not searched with[/red] {}: {}", document["file"], document["error"]["message"])
    _remark_on(line)


def _remark_on(line: dict[str, Any]) -> None:
    of = f", from {line['voices']} voices" if line["voices"] else ""
    now = ", learnt from these recordings" if line["learntNow"] else ""
    remark("[dim]line {}{}{}[/dim]", line["state"], of, now)
    if line["advice"] is not None:
        warn("{}", line["advice"])


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
    """Return a recording as a row of the CSV: the profile that was named, or nothing; several with semicolons."""
    decision, error = document["decision"], document["error"]
    if decision is None:
        return {"file": document["file"], "outcome": "error", "error": error["message"]}
    named = [voice["candidates"][0] for voice in [decision, *decision["voices"]] if voice["outcome"] == Outcome.MATCH]
    nobody = decision["nobodyProbability"]
    return {
        "file": document["file"],
        "outcome": decision["outcome"],
        "weak": "yes" if decision["weak"] else "",
        "profileId": ";".join(one["profileId"] for one in named),
        "probability": ";".join(str(one["probability"]) for one in named),
        "nobodyProbability": "" if nobody is None else nobody,
        "score": decision["candidates"][0]["score"] if decision["candidates"] else "",
        "netSpeechSeconds": decision["netSpeechSeconds"],
        "error": "",
    }


def _exit_of_all(answers: "Sequence[_Answer]") -> Exit:
    """Return 0 when all were searched with; 4 when one cannot be read, else 3 when one has too little speech."""
    codes = {Exit.OK}
    for answer in answers:
        if isinstance(answer, AudioError | SpeechError):
            codes.add(exit_for(answer))
        elif answer.decision.outcome is Outcome.NOT_ENOUGH_SPEECH:
            codes.add(Exit.SPEECH)
    return max(codes)
