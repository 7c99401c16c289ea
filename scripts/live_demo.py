"""`make demo`: start the service, let three calls ring, stop it again. With a folder: real speech, a folder a person.

python scripts/live_demo.py [FOLDER]
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio.files import open_recording
from earwitness.cli.output import remark
from earwitness.engine.enrol import people_in
from earwitness.samples import first_call, second_call

ROOT = Path(__file__).resolve().parents[1]
FIRST_CALL_SECONDS, SECOND_CALL_SECONDS = 32.0, 16.0
"""Of recordings; 20 s of speech make a voiceprint, 10 s a search."""


def main(arguments: list[str]) -> int:
    """Run the example on sample calls, or on calls made of a folder's recordings."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the service ends as well
    with tempfile.TemporaryDirectory(prefix="earwitness-demo-") as folder:
        calls = _calls_of(Path(arguments[0]), Path(folder)) if arguments else _sample_calls()
        with _Service(Path(folder) / "data") as service:
            command = [sys.executable, str(ROOT / "examples" / "live_call.py"), *map(str, calls)]
            remark("[dim]$ python examples/live_call.py {}[/dim]", " ".join(call.name for call in calls))
            return subprocess.run(command, env=service.environment, check=False).returncode


class _Service:
    """`earwitness serve --dev` on a free port. What it says while it starts is shown."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", "0", "--data", str(data)]
        remark("[dim]$ earwitness serve --dev[/dim]")
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self.url = ""

    def __enter__(self) -> "_Service":
        self._reader.start()
        self._is_ready.wait()
        if self._process.poll() is not None or not self.url:
            self.__exit__()
            raise SystemExit(self._process.returncode or 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        """Read to the end, because a full pipe would stop whoever writes to it; show what is of interest here."""
        for line in self._process.stderr or ():
            if found := re.search(r"answers at (http://\S+) ", line):
                self.url = found[1]
            if line.startswith("ready:"):
                self._is_ready.set()
            if not line.startswith(("In the shell", "  export")):
                remark("[dim]  {}[/dim]", line.rstrip())
        self._process.wait()
        self._is_ready.set()

    @property
    def environment(self) -> dict[str, str]:
        """The shell of a program that uses it."""
        key = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        return os.environ | key | {"AWS_ENDPOINT_URL": self.url}


def _sample_calls() -> list[Path]:
    return [Path(str(call)) for call in (first_call("angus"), second_call("angus"), second_call("russell"))]


def _calls_of(folder: Path, into: Path) -> list[Path]:
    """Two calls of the first person with enough recordings, and one of the next, as telephone audio."""
    made: list[Path] = []
    for person, files in people_in(folder).items():
        spoken = _joined(files)
        first, rest = _cut(spoken, FIRST_CALL_SECONDS if not made else 0.0)
        second, _ = _cut(rest, SECOND_CALL_SECONDS)
        if not made and len(second) >= SECOND_CALL_SECONDS * _RATE * 0.99:
            made = [
                _write(into / f"{person}-first-call.wav", first),
                _write(into / f"{person}-second-call.wav", second),
            ]
        elif made and len(second) >= SECOND_CALL_SECONDS * _RATE * 0.99:
            return [*made, _write(into / f"{person}-call.wav", second)]
    raise SystemExit(f"{folder} needs a person with 50 s of recordings and another with 16 s")


_RATE = 8_000


def _joined(files: list[Path]) -> np.ndarray:
    """A person's recordings of one sample rate, one after the other, at 8 kHz."""
    import soxr

    pieces = []
    for file in files:
        recording = open_recording(file, channel=0)
        samples = np.concatenate(list(recording.blocks()))
        pieces.append(soxr.resample(samples, recording.rate, _RATE))
    return np.concatenate(pieces)


def _cut(samples: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    at = round(seconds * _RATE)
    return samples[:at], samples[at:]


def _write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, _RATE, subtype="PCM_16")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
