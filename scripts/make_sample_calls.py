#!/usr/bin/env python3
"""Make the sample calls under src/earwitness/samples with free speech synthesis.

Every voice makes two calls with different words: a longer first call, to enrol it, and a shorter
second call, to search for. Nobody's recordings are used; the texts below were written for this
project and name no real person, number or company.

Needs two Debian programs (Debian 12: flite 2.2, espeak-ng 1.51):

    apt-get install flite espeak-ng

and the Python packages numpy, scipy, soxr and soundfile. The same versions of these make the same
samples every time: pauses and line noise come from a fixed seed for each file.

    python scripts/make_sample_calls.py             # writes into src/earwitness/samples
    python scripts/make_sample_calls.py --out DIR   # writes elsewhere
"""

from __future__ import annotations

import argparse
import inspect
import shutil
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

Samples = NDArray[np.float64]

SAMPLES_DIR = Path(__file__).resolve().parents[1] / "src" / "earwitness" / "samples"
RATE = 8000  # samples per second, as on a telephone line
BAND_HZ = (300.0, 3400.0)  # telephone band
SPEECH_DBFS = -23.0  # rms of the speech itself, pauses left out
NOISE_DBFS = -70.0  # rms of the line noise after the band-pass; low, so that FLAC stays small
PAUSE_S = (0.4, 0.9)  # shortest and longest pause between sentences
STEP = 4  # round to this many 16-bit steps: 14 bits are plenty for a telephone, and FLAC saves the other two
EDGE_S = 0.3  # line noise before the first and after the last sentence
TRIM_DB = -45.0  # below this, relative to a sentence's peak, its ends count as silence
TRIM_MARGIN_S = 0.02  # kept around the trimmed sentence, so that soft onsets are not cut

CMU_LICENCE = "Carnegie Mellon University (c) 1999-2001; free software under the Flite terms"
ESPEAK_LICENCE = "Jonathan Duddington (c) 2005-2014, Reece H. Dunn (c) 2013-2016 and others; GPL-3.0-or-later"


@dataclass(frozen=True)
class Voice:
    """A synthetic caller: what it is called here, and which engine and voice speak for it."""

    name: str
    engine: str  # "flite" or "espeak-ng"
    voice: str  # as the engine calls it
    licence: str  # who made the engine with this voice, and on which terms


VOICES = (
    Voice("angus", "flite", "awb", CMU_LICENCE),
    Voice("kal", "flite", "kal16", CMU_LICENCE),
    Voice("russell", "flite", "rms", CMU_LICENCE),
    Voice("sally", "flite", "slt", CMU_LICENCE),
    Voice("marvin", "espeak-ng", "en-us+m7", ESPEAK_LICENCE),
    Voice("fiona", "espeak-ng", "en+f4", ESPEAK_LICENCE),
)

# What each caller says in each kind of call, one sentence per line.
TEXTS = {
    "first-calls/angus": """
        Good morning, I hope you can help me, because my bank card has stopped working.
        I tried to pay for my groceries yesterday evening, and the machine refused it twice.
        There should be plenty of money in the account, since my wages arrived on Monday.
        Perhaps I typed the wrong code too often, although I do not remember it.
        Could you look at the account and tell me whether the card has been blocked?
        If it has, I would like you to open it again, or send a new one to my home.
        I am leaving for the mountains on Friday, so it is rather urgent.
    """,
    "second-calls/angus": """
        Hello, I am calling to ask about my monthly statement.
        It used to come by post, and since the summer I have only had an electronic letter.
        My eyes are not what they were, and I prefer to read on paper.
        Can you change that for me, and is there a charge for it?
    """,
    "first-calls/kal": """
        Hi, we booked a week by the sea with you, and I need to change the hotel.
        My mother is coming with us now, and she cannot climb stairs any more.
        The place we chose is lovely, but every bedroom is on the upper floors.
        Is there something near the harbor with a lift, or with rooms on the ground floor?
        We would be happy to pay a little extra for a quiet room with a view of the water.
        Please keep the same flights if you can, because the children have school.
        Let me know what the change will cost before you confirm anything.
    """,
    "second-calls/kal": """
        Hi there, one of our bags did not arrive with the plane this afternoon.
        It is a large green suitcase with a yellow ribbon around the handle.
        The people at the desk told us to wait, and then they closed for the night.
        What should we buy in the meantime, and will somebody bring it here?
    """,
    "first-calls/russell": """
        Good afternoon, I would like to renew the books that I borrowed last month.
        There are four of them, all about gardening, and one is a very thick guide to roses.
        Your website tells me that somebody has reserved that one, so I will return it.
        The others I need until the end of spring, because we are planting a new orchard.
        Last week I also put a film in the box beside the front door, when you were closed.
        Would you please check the shelf and remove the fine from my record?
    """,
    "second-calls/russell": """
        Hello, do I need to reserve a desk in the reading room for tomorrow?
        I want to look through old newspapers about the flood in our valley.
        A friend of mine said that they are kept in the basement on film.
        Will somebody be there to show me the machine?
    """,
    "first-calls/sally": """
        Hello, I sent money to my landlord last week, and he says that it never arrived.
        It was my rent for the whole month, so we are both becoming quite worried.
        I can see on the screen that the amount has left my savings account.
        Nobody has written to me or explained what the problem might be.
        Was there a mistake in the details, or is it a technical fault?
        I would be grateful if you could follow it and call me back before the weekend.
        Otherwise, please return the money, and I will pay him in some other way.
        You can reach me at home every evening after dinner.
    """,
    "second-calls/sally": """
        Good evening, my husband and I are thinking about buying a small house.
        We would like to know how much we could borrow, and for how many years.
        He works for himself, so his income is different every month.
        Could we visit a branch and talk to somebody about it?
        Early mornings are best for us.
    """,
    "first-calls/marvin": """
        Hello, I am calling about the train tickets that I ordered through your agency.
        The outward journey is fine, but the return has been planned for the wrong morning.
        I asked for a seat beside the window, in the quiet part of the train.
        What I received is a folding seat next to the bicycles, which is not very comfortable.
        My knee was operated on in the winter, and I have to stretch my leg from time to time.
        Please look for another connection, even if it takes longer or leaves before sunrise.
        When everything is ready, please send a message, because I rarely hear the telephone.
    """,
    "second-calls/marvin": """
        Good day, I am planning a walking tour along the river with a few old friends.
        We are looking for simple rooms in villages, about a day apart from each other.
        Somebody would have to carry our luggage from one inn to the next.
        Do you offer something like that in early autumn, when the weather is cooler?
    """,
    "first-calls/fiona": """
        Hello, I think that I left my library card on the counter when I visited you today.
        It was in a thin purple wallet, together with a bus ticket and a shopping list.
        Would you be so kind as to ask your colleagues whether anybody has found it?
        If it does not turn up, please block the card, so that no stranger can use it.
        My daughter has some picture books on the same card, and they are due quite soon.
        How long does it take to make a new card, and should I bring a photograph?
        I could come by on Thursday after work, shortly before you close.
    """,
    "second-calls/fiona": """
        Good morning, I read on your notice board that there is a story hour for children.
        Is it necessary to register, or may we simply come along and find a cushion?
        My son is very shy, so I would prefer to sit beside him for the first few times.
        Please tell me which door we should use.
    """,
}


def require_programs() -> None:
    """Stop with one line if a speech program is not installed."""
    missing = sorted({voice.engine for voice in VOICES if shutil.which(voice.engine) is None})
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}; install with: apt-get install {' '.join(missing)}")


def synthesise(voice: Voice, sentence: str) -> Samples:
    """Speak one sentence and return it at RATE with the silence at both ends cut off."""
    with tempfile.TemporaryDirectory() as folder:
        wav = str(Path(folder) / "sentence.wav")
        if voice.engine == "flite":
            command = ["flite", "-voice", voice.voice, "-t", sentence, "-o", wav]
        else:
            command = ["espeak-ng", "-v", voice.voice, "-w", wav, sentence]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{voice.engine} failed for voice {voice.voice}: {done.stderr.strip()}")
        spoken, rate = soundfile.read(wav, dtype="float64")
    audio: Samples = soxr.resample(spoken, rate, RATE, quality="HQ")
    loud = np.flatnonzero(np.abs(audio) > np.abs(audio).max() * 10 ** (TRIM_DB / 20))
    margin = round(TRIM_MARGIN_S * RATE)
    return audio[max(0, loud[0] - margin) : loud[-1] + 1 + margin]


def rms(audio: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def make_call(voice: Voice, sentences: list[str], seed: int) -> NDArray[np.int16]:
    """Join the sentences with pauses and pass them through a quiet telephone line."""
    random = np.random.default_rng(seed)
    edge = round(EDGE_S * RATE)
    parts: list[Samples] = []
    is_speech: list[NDArray[np.bool_]] = []
    for number, sentence in enumerate(sentences):
        spoken = synthesise(voice, sentence)
        before = round(random.uniform(*PAUSE_S) * RATE) if number else edge
        parts += [np.zeros(before), spoken]
        is_speech += [np.zeros(before, bool), np.ones(spoken.size, bool)]
    parts.append(np.zeros(edge))
    is_speech.append(np.zeros(edge, bool))

    line = butter(4, BAND_HZ, btype="bandpass", fs=RATE, output="sos")
    speech = sosfilt(line, np.concatenate(parts))
    speech *= 10 ** (SPEECH_DBFS / 20) / rms(speech[np.concatenate(is_speech)])
    noise = sosfilt(line, random.standard_normal(speech.size))
    noise *= 10 ** (NOISE_DBFS / 20) / rms(noise)
    steps: Samples = np.round((speech + noise) * (32768 / STEP))
    return (steps.clip(-32768 // STEP, 32767 // STEP) * STEP).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample calls with free speech synthesis.")
    parser.add_argument("--out", type=Path, default=SAMPLES_DIR, help="folder to write into")
    out: Path = parser.parse_args().out
    require_programs()
    # Highest compression where this soundfile can ask for it; the samples are the same either way.
    can_choose = "compression_level" in inspect.signature(soundfile.write).parameters
    options = {"compression_level": 1.0} if can_choose else {}
    total = 0
    for voice in VOICES:
        for kind in ("first-calls", "second-calls"):
            call_name = f"{kind}/{voice.name}"
            path = out / f"{call_name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            sentences = [line.strip() for line in TEXTS[call_name].strip().splitlines()]
            call = make_call(voice, sentences, seed=zlib.crc32(call_name.encode()))
            soundfile.write(path, call, RATE, format="FLAC", subtype="PCM_16", **options)
            size = path.stat().st_size
            total += size
            print(f"{path.relative_to(out)}  {call.size / RATE:.1f} s  {size} bytes")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
