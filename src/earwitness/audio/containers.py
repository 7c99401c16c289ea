"""Containers that libsndfile does not read, told by their first bytes, and what to do about them.

What belongs here: names for people, and FFmpeg's names for its demultiplexers. What must never: decoding
(`libav_file.py`).
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_HEAD_BYTES = 4096
_WAVE_TAG = re.compile(rb"fmt [\x10-\xff]\x00\x00\x00(..)", re.DOTALL)
_MATROSKA_CODEC = re.compile(rb"\x86([\x83-\x9e])(A_[A-Z0-9/_]{1,28})")
"""The element CodecID: its id, its length and what begins as audio's do."""

_MP4_CODECS = {b"mp4a": "AAC", b"alac": "ALAC", b"samr": "AMR-NB", b"sawb": "AMR-WB", b"ac-3": "AC-3", b"Opus": "Opus"}
_OGG_CODECS = {b"Speex   ": "Speex", b"\x7fFLAC": "FLAC"}
_WAVE_CODECS = {
    0x0022: "TrueSpeech",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0064: "G.726",
    0x0057: "AMR-NB",
    0x0058: "AMR-WB",
    0x0083: "G.729",
    0x0133: "G.729A",
    0x0160: "WMA 1",
    0x0161: "WMA 2",
    0x00FF: "AAC",
    0x028F: "G.722",
    0x1600: "AAC",
}


@dataclass(frozen=True, kw_only=True)
class Container:
    """A kind of file that PyAV can decode."""

    name: str
    """Container and codec in words, as far as the first bytes tell."""

    demuxer: str
    """FFmpeg's name. It is always given, because FFmpeg's own guess also takes playlists, which name other files."""


def container_of(path: Path) -> Container | None:
    """What the file is, if it is one of these. OSError when it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            tail = file.read(64 * 1024)
            codec = next((name for code, name in _MP4_CODECS.items() if code in head or code in tail), None)
            return Container(name=f"MPEG-4 with {codec}" if codec else "MPEG-4", demuxer="mov")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        kind = "WebM" if b"webm" in head[:64] else "Matroska"
        found = _MATROSKA_CODEC.search(head)
        codec = found[2][: found[1][0] & 0x7F].decode() if found else ""
        return Container(name=f"{kind} with {codec}" if codec else kind, demuxer="matroska")
    if head[:4] == b"RIFF" and (tag := _WAVE_TAG.search(head)):
        codec = _WAVE_CODECS.get(int.from_bytes(tag[1], "little"))
        return Container(name=f"WAV with {codec}", demuxer="wav") if codec else None
    if head[:4] == b"OggS" and (name := next((each for mark, each in _OGG_CODECS.items() if mark in head[:64]), None)):
        return Container(name=f"Ogg with {name}", demuxer="ogg")
    if head[:4] == b"caff" and head[28:32] == b"alac":
        return Container(name="CAF with ALAC", demuxer="caf")
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return Container(name="AAC (ADTS)", demuxer="aac")
    for magic, name, demuxer in (
        (b"#!AMR", "AMR", "amr"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media Audio", "asf"),
        (b"wvpk", "WavPack", "wv"),
        (b"\x0b\x77", "AC-3", "ac3"),
    ):
        if head.startswith(magic):
            return Container(name=name, demuxer=demuxer)
    return None


def to_convert(path: Path) -> str:
    """The line that makes a WAV of any file, with all its channels: two participants must not be mixed into one."""
    source, target = (shlex.quote(name) for name in (path.name, f"{path.stem}.converted.wav"))
    return f"convert it with `ffmpeg -i {source} -ar 16000 {target}`"


def how_to_read(path: Path) -> str:
    """What a user can do about a file of one of these formats when PyAV is not there."""
    return f"{to_convert(path)}, or let earwitness read it after `pip install 'earwitness[formats]'`"
