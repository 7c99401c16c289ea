"""Pages of the console: how soon the first one is there, and what open ones that change by themselves cost."""

import gzip
import io
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from urllib.parse import urlencode, urlsplit

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.live_calls import RATE, Application, Search, calls_with_pauses, served
from benchmarks.served import Process
from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.engine import Engine, build_engine
from earwitness.tasks.hear import gatherer_of
from earwitness.voice.band import Band

_CALLS, _PAGES = 50, 50
_SPEAKING = 5
"""Calls in which somebody speaks. In the others there is noise: their pages change with every second of audio, too, and
computing voiceprints, which takes a core by itself and comes in bursts, does not hide what pages cost.
"""

_CALL_SECONDS = 60.0
"""Of 40 % speech: a voice is searched for after 25 s of them and known after 50."""

_NOISE_SECONDS = 240.0
_NOISE_DBFS = (-50.0, -25.0)

_ROUNDS, _WINDOW_SECONDS = 4, 7.0
_VISITS = 20
_CONSOLE = "/console/us-east-1"


def measure() -> Numbers:
    """CPU of the service with and without open pages, in turn; milliseconds and bytes of a first visit."""
    engine = build_engine(config.Settings(), Band.TELEPHONE)
    speech, noise = calls_with_pauses(engine, seconds=_CALL_SECONDS), _noise(engine)
    without: list[float] = []
    more: dict[str, list[float]] = {"live": [], "own": []}
    own_bytes: list[int] = []
    with progress_of() as show, served({}) as (application, _, process):
        browser = _Browser(application.url)
        with _ringing(application, [call.pcm for call in speech], noise) as current:
            show("until calls are in all their states", 0, 1)
            time.sleep(_CALL_SECONDS)
            visits = [browser.first_visit() for _ in range(_VISITS)]
            without.append(_cores(process))
            for done in range(2 * _ROUNDS):
                show("pages", done, 2 * _ROUNDS)
                kind = ("live", "own")[done % 2]
                paths = {
                    "live": [f"{_CONSOLE}/live.stream"] * _PAGES,
                    "own": [f"{_CONSOLE}/tasks/{one.task}.stream" for one in current()],
                }
                with browser.watching(paths[kind]) as read:
                    used = _cores(process)
                    if kind == "own":
                        own_bytes.append(read())
                without.append(_cores(process))
                more[kind].append(used - statistics.mean(without[-2:]))
    return {
        "first_page_ms": 1e3 * statistics.median(seconds for seconds, _ in visits),
        "first_page_ms_max": 1e3 * max(seconds for seconds, _ in visits),
        "first_page_kb": visits[0][1] / 1e3,
        **_spread("calls_cores", without),
        **_spread("live_pages_cores", more["live"]),
        **_spread("own_pages_cores", more["own"]),
        "own_page_bytes_a_second": statistics.median(own_bytes) / _PAGES / _WINDOW_SECONDS,
    }


def _spread(name: str, values: Sequence[float]) -> Numbers:
    return {name: statistics.median(values), f"{name}.low": min(values), f"{name}.high": max(values)}


def _noise(engine: Engine) -> bytes:
    """Noise that is another half second by half second how loud, as PCM."""
    random, half = np.random.default_rng(0), RATE // 2
    levels = random.uniform(*_NOISE_DBFS, round(2 * _NOISE_SECONDS))
    loudness = np.repeat(10 ** (levels / 20), half).astype(np.float32)
    samples = (loudness * np.clip(random.normal(0, 0.3, len(loudness)), -1, 1)).astype(np.float32)
    speech = gatherer_of(engine, rate=RATE)
    speech.feed(samples[: round(_CALL_SECONDS * RATE)])
    if speech.seconds:
        raise RuntimeError("the noise is taken for speech")
    return (samples * 32_767).astype("<i2").tobytes()


def _cores(process: Process) -> float:
    """Return how much of a core the service takes for a while."""
    cpu, began = process.cpu_seconds(), time.perf_counter()
    time.sleep(_WINDOW_SECONDS)
    return (process.cpu_seconds() - cpu) / (time.perf_counter() - began)


@contextmanager
def _ringing(application: Application, speech: Sequence[bytes], noise: bytes) -> Generator[Callable[[], list[Search]]]:
    """Have all lines ring and again as soon as a call is over; give the calls of this moment.

    Those with speech begin evenly over the length of one of their calls, those with noise before all of them.
    """
    over = threading.Event()
    current: dict[int, Search] = {}

    def line(index: int) -> None:
        speaks = index < _SPEAKING
        over.wait(index * _CALL_SECONDS / _SPEAKING if speaks else 0.02 * index)
        while not over.is_set():
            stream = application.open_stream(f"line-{index}-{time.monotonic_ns()}")
            current[index] = application.listen(stream)
            audio = _Ending(speech[index % len(speech)] if speaks else noise, over)
            application.send(io.BufferedReader(audio), stream, [], real_time=True)

    with ThreadPoolExecutor(_CALLS) as lines:
        ringing = [lines.submit(line, index) for index in range(_CALLS)]
        try:
            yield lambda: list(current.values())
        finally:
            over.set()
    for each in ringing:
        each.result()


class _Ending(io.RawIOBase):
    """Audio that ends early when the measurement is over."""

    def __init__(self, content: bytes, over: threading.Event) -> None:
        self._content, self._over = io.BytesIO(content), over

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 0 if self._over.is_set() else self._content.readinto(buffer)


class _Browser:
    """Somebody who is signed in to the console."""

    def __init__(self, url: str) -> None:
        self._url, self._address = url, urlsplit(url).netloc
        form = urlencode({"token": "test", "next": ""})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": url}
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            connection.request("POST", "/console/sign-in", form, headers)
            answer = connection.getresponse()
            cookie = answer.headers["Set-Cookie"]
            if answer.status != 303 or not cookie:
                raise RuntimeError(f"the console does not sign in: {answer.status}")
        self._headers = {"Cookie": cookie.partition(";")[0], "Accept-Encoding": "gzip"}

    def first_visit(self) -> tuple[float, int]:
        """Return the seconds until the first page and its files are there, over one connection, and their bytes."""
        began = time.perf_counter()
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            page = self._get(connection, f"{_CONSOLE}/tasks")
            files = re.findall(rb'(?:src|href)="(/console/static/[^"]+)"', gzip.decompress(page))
            size = len(page) + sum(len(self._get(connection, file.decode("ascii"))) for file in files)
        return time.perf_counter() - began, size

    def _get(self, connection: HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} is answered with {answer.status}")
        return content

    @contextmanager
    def watching(self, paths: Sequence[str]) -> Generator[Callable[[], int]]:
        """Have pages open that change by themselves; give how many bytes came since."""
        read = [0] * len(paths)

        def watch(index: int, answer: HTTPResponse) -> None:
            with suppress(IncompleteRead):  # the page is closed
                while content := answer.read1(65_536):
                    read[index] += len(content)

        with ExitStack() as opened:
            for index, path in enumerate(paths):
                connection = opened.enter_context(closing(HTTPConnection(self._address, timeout=60)))
                connection.request("GET", path, headers=self._headers)
                connected = connection.sock
                answer = connection.getresponse()
                if answer.status != 200:
                    raise RuntimeError(f"{path} is answered with {answer.status}")
                thread = threading.Thread(target=watch, args=(index, answer))
                thread.start()
                opened.callback(thread.join)
                opened.callback(connected.shutdown, socket.SHUT_RDWR)
            yield lambda: sum(read)


def tables(numbers: Numbers) -> list[Table]:
    """The first visit and the open pages."""
    first = (
        ("first page with its files, median", f"{number(numbers['first_page_ms'])} ms"),
        ("the slowest", f"{number(numbers['first_page_ms_max'])} ms"),
        ("transferred, compressed", f"{number(numbers['first_page_kb'])} kB"),
    )
    cores = tuple(
        (says, *(f"{number(100 * numbers[name])} %" for name in (of, f"{of}.low", f"{of}.high")))
        for says, of in (
            (f"{_CALLS} calls without pages", "calls_cores"),
            (f"{_PAGES} pages open on all calls (Live), more", "live_pages_cores"),
            (f"{_PAGES} pages open, each on its own call, more", "own_pages_cores"),
        )
    )
    return [
        Table(columns=(f"a visit while {_CALLS} calls go on", ""), rows=first),
        Table(columns=("service", "of a core, median", "lowest", "highest"), rows=cores),
    ]


BENCHMARK = Benchmark(
    name="pages",
    question="How soon is the first page of the console there, and what do open pages cost?",
    method=f"""A real service and {_CALLS} calls, sent by the real producer. In {_SPEAKING} of them, of
{_CALL_SECONDS:.0f} s and begun evenly, each followed by another, somebody speaks for 40 % of the time, so that they are
in all their states and bring results and events. In the others there is noise of a loudness that changes, so that all
{_PAGES} pages show something else every second, and computing voiceprints does not hide what that costs. {_VISITS}
visits: the page of calls and all its files over a new connection. Then {_ROUNDS} times, for {_WINDOW_SECONDS:.0f} s
each: {_PAGES} browsers show all calls, none does, {_PAGES} browsers show a call each, none does. What pages cost is the
CPU of the service above the mean of the times without pages before and after; opening them is not in it. Where that is
less than the calls differ by themselves from time to time, the median may be below nothing.""",
    measure=measure,
    targets=(
        Target(number="first_page_ms", says="first page of the console, ms", sign="<=", bound=300.0),
        Target(number="first_page_kb", says="first page of the console, kB", sign="<=", bound=150.0),
        Target(
            number="live_pages_cores", says=f"{_PAGES} open live pages with {_CALLS} calls, cores", sign="<=", bound=0.1
        ),
        Target(number="own_pages_cores", says=f"{_PAGES} open pages of a call each, cores", sign="<=", bound=0.1),
    ),
    tables=tables,
)
