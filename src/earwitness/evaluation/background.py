"""Evaluations beside a running service: one for an account at a time, in a process of its own that is nice to calls.

What was sent is deleted when the evaluation ends, however it ends; a service that is killed leaves a folder for nobody
else, which the next one deletes. Results have rates and the ids of labels, no voices; they are in memory for an hour.
"""

import fcntl
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from earwitness.config.exported import environment_without
from earwitness.errors import Conflict, NotFound, Unavailable
from earwitness.evaluation.incoming import LOCK, PREFIX, IncomingCalls

AT_ONCE_MAX = 2
"""Of all accounts."""

SECONDS_MAX = 7_200.0
RESULTS_KEPT = timedelta(hours=1)

_log = logging.getLogger("earwitness.evaluation")

_FAILED = "the evaluation ended before its time: out of memory, perhaps; send fewer or shorter recordings"
_TOO_LONG = f"the evaluation took more than {SECONDS_MAX / 3_600:g} h and was ended; send fewer recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What the process of an evaluation needs to know of the service."""

    models_dir: Path
    calibration_file: Path | None
    prior_known: float
    strangers_named_percent: float
    workers: int
    #: Of one recording, at most.
    decoded_seconds_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedEvaluation:
    """How calls are evaluated."""

    condition: str
    #: Net speech.
    enrol_seconds: float
    test_seconds: float


# `Any`: JSON.
@dataclass(slots=True, kw_only=True)
class BackgroundEvaluation:
    """One evaluation: how far it is, or what came of it."""

    began_at: datetime
    asked: AskedEvaluation
    state: str = "running"
    doing: str = "starting"
    done: int = 0
    total: int = 0
    reason: str = ""
    ended_at: datetime | None = None
    results: Mapping[str, Any] | None = None
    is_cancelled: bool = False
    process: "subprocess.Popen[str] | None" = None
    #: None when what was sent is deleted.
    calls: IncomingCalls | None = None


class Evaluations:
    """All evaluations of this process. Safe to use from several threads."""

    def __init__(self, settings: EvaluationSettings, *, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._of: dict[str, BackgroundEvaluation] = {}
        weakref.finalize(self, _stop, self._of)
        threading.Thread(target=remove_leftovers, name="evaluation leftovers", daemon=True).start()

    def get(self, account_id: str) -> BackgroundEvaluation | None:
        """Return the evaluation of an account; None without one, and an hour after its end."""
        with self._lock:
            found = self._of.get(account_id)
            if found is not None and found.ended_at is not None and self._clock() - found.ended_at >= RESULTS_KEPT:
                del self._of[account_id]
                return None
            return found

    def require_place(self, account_id: str) -> None:
        """Raise Conflict while an evaluation of the account runs, Unavailable while as many run as may."""
        with self._lock:
            self._require_place(account_id)

    def _require_place(self, account_id: str) -> None:
        running = [account for account, one in self._of.items() if one.state == "running"]
        if account_id in running:
            raise Conflict("an evaluation of this account runs; wait for its end, or end it")
        if len(running) >= AT_ONCE_MAX:
            raise Unavailable("as many evaluations run as may; wait and try again")

    def start(self, account_id: str, calls: IncomingCalls, asked: AskedEvaluation) -> None:
        """Begin an evaluation of what was sent, which is this object's from now on."""
        evaluation = BackgroundEvaluation(began_at=self._clock(), asked=asked, calls=calls)
        with self._lock:
            self._require_place(account_id)
            self._of[account_id] = evaluation
            calls.keep()
        work = threading.Thread(target=self._run, args=(evaluation, calls), name="evaluation", daemon=True)
        work.start()

    def end(self, account_id: str) -> bool:
        """End an evaluation, or forget its results. Raise NotFound without one; return whether one was running."""
        with self._lock:
            found = self._of.get(account_id)
            if found is None:
                raise NotFound("there is no evaluation; start one")
            if found.state != "running":
                del self._of[account_id]
                return False
            found.is_cancelled = True
            if found.process is not None:
                found.process.kill()
            return True

    def _run(self, evaluation: BackgroundEvaluation, calls: IncomingCalls) -> None:
        try:
            process = self._begun(evaluation, calls.folder)
            timer = threading.Timer(SECONDS_MAX, process.kill)
            timer.daemon = True
            timer.start()
            with process:
                if process.stdout is not None:
                    for line in process.stdout:
                        self._told(evaluation, json.loads(line))
            timed_out = not timer.is_alive()
            timer.cancel()
            if evaluation.results is None and not evaluation.reason:
                evaluation.reason = _TOO_LONG if timed_out else _FAILED
                _log.warning("an evaluation failed", extra={"code": process.returncode})
        except (OSError, ValueError) as error:
            evaluation.reason = _FAILED
            _log.warning("an evaluation failed", extra={"reason": type(error).__name__})
        finally:
            calls.remove()
            self._ended(evaluation)

    def _begun(self, evaluation: BackgroundEvaluation, folder: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "earwitness.evaluation.uploaded"],
            stdin=subprocess.PIPE,  # it ends when this closes, also when this process is killed
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment_without("EARWITNESS_", "AWS_"),
        )
        with self._lock:
            evaluation.process = process
            if evaluation.is_cancelled:
                process.kill()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                asked = {"folder": str(folder), **_document(evaluation.asked, self._settings)}
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
        return process

    def _told(self, evaluation: BackgroundEvaluation, told: Mapping[str, Any]) -> None:
        if "results" in told:
            evaluation.results = told["results"]
        elif "failed" in told:
            evaluation.reason = str(told["failed"])
        else:
            evaluation.doing, evaluation.done, evaluation.total = told["doing"], told["done"], told["total"]

    def _ended(self, evaluation: BackgroundEvaluation) -> None:
        with self._lock:
            evaluation.ended_at = self._clock()
            evaluation.process = evaluation.calls = None
            if evaluation.is_cancelled:
                evaluation.state, evaluation.results = "cancelled", None
            else:
                evaluation.state = "failed" if evaluation.results is None else "done"


def _stop(running: Mapping[str, BackgroundEvaluation]) -> None:
    """Delete what was sent, when this process ends."""
    for one in running.values():
        if one.process is not None:
            one.process.kill()
        if one.calls is not None:
            one.calls.remove()


def _document(asked: AskedEvaluation, settings: EvaluationSettings) -> dict[str, Any]:
    return {
        "condition": asked.condition,
        "enrolSeconds": asked.enrol_seconds,
        "testSeconds": asked.test_seconds,
        "modelsDir": str(settings.models_dir),
        "calibrationFile": None if settings.calibration_file is None else str(settings.calibration_file),
        "priorKnown": settings.prior_known,
        "strangersNamedPercent": settings.strangers_named_percent,
        "workers": settings.workers,
        "decodedSecondsMax": settings.decoded_seconds_max,
    }


def remove_leftovers(where: Path | None = None) -> int:
    """Delete folders of evaluations whose process was killed; return how many there were."""
    count = 0
    for folder in (where or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open("rb") as lock:  # somebody else's, still in use, or gone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count
