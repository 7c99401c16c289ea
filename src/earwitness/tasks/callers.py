"""The last callers of each line, in memory and nowhere else, for the monitor of the line.

Different voices alone are kept, so that one person who calls again and again does not look like a line that is off.
Each is remembered with whom it was heard for, so that it goes when that person withdraws the consent.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

import numpy as np

from earwitness.engine.monitor import CALLERS_MAX, mean_between
from earwitness.engine.space import Space
from earwitness.tasks.lines import LineName
from earwitness.voice.embedding import Embedding

KEPT = timedelta(hours=24)

WRITTEN_WITHIN = timedelta(minutes=1)
"""How long a caller stays whose search was not written: nobody knows then whom it was heard for."""

LINES_MAX = 1_000
"""Lines whose callers are in memory; 15 kB each. Those that were called longest ago go first."""


@dataclass(frozen=True, slots=True)
class _Caller:
    voice: Embedding
    #: Whom the search named, if anyone.
    profile_id: str | None
    at: datetime
    #: Whether the search was written, so that it is known who the subject is.
    is_written: bool = False
    #: What the subject is found by that the voice was heard for, if one was named.
    subject_digest: bytes | None = None


class RecentCallers:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lines: OrderedDict[LineName, tuple[_Caller, ...]] = OrderedDict()
        self._lock = Lock()

    def hear(
        self,
        name: LineName,
        voice: Embedding,
        *,
        space: Space,
        profile_id: str | None,
        enrolled: Container[str],
        at: datetime,
    ) -> float | None:
        """Take the voice of a caller; return the mean score between the last different ones, None for too few.

        `space` is the line's, `profile_id` whom the search named. Callers whom a search had named go when their profile
        is not among the `enrolled` any more.
        """
        with self._lock:
            kept = tuple(
                one
                for one in self._lines.pop(name, ())
                if one.at > at - KEPT
                and one.voice.encoder_id == voice.encoder_id
                and (one.profile_id is None or one.profile_id in enrolled)
            )
            if not any(space.llr(voice, one.voice) > 0.0 for one in kept):
                kept = (*kept, _Caller(voice, profile_id, at))[-CALLERS_MAX:]
            self._lines[name] = kept
            while len(self._lines) > LINES_MAX:
                self._lines.popitem(last=False)
        return mean_between(space.compensation.apply(np.stack([one.voice.vector for one in kept])))

    def written(self, name: LineName, voice: Embedding, *, subject_digest: bytes | None) -> None:
        """Say for whom a voice was heard; None for nobody in particular. The search for it is being written."""
        with self._lock:
            if name in self._lines:
                self._lines[name] = tuple(
                    replace(one, is_written=True, subject_digest=subject_digest) if one.voice is voice else one
                    for one in self._lines[name]
                )

    def forget_unwritten(self, *, before: datetime) -> None:
        """Drop the callers of this time and earlier ones whose search was not written."""
        for name in self.lines():
            self._keep(name, lambda one: one.is_written or one.at > before)

    def forget_withdrawn(self, withdrawn: Callable[[LineName, Collection[bytes]], Container[bytes]]) -> None:
        """Drop the callers that were heard for somebody who has withdrawn the consent.

        `withdrawn` returns which of these subjects ever did; a newer consent does not bring a voice back.
        """
        for name in self.lines():
            subjects = {one.subject_digest for one in self._lines.get(name, ()) if one.subject_digest is not None}
            if subjects:
                gone = withdrawn(name, subjects)
                self._keep(name, lambda one, gone=gone: one.subject_digest is None or one.subject_digest not in gone)

    def forget(self, *, before: datetime, line: LineName | None = None) -> None:
        """Drop the callers of this time and earlier ones, of one line or of all."""
        for name in self.lines() if line is None else [line]:
            self._keep(name, lambda one: one.at > before)

    def forget_deleted(self, enrolled: Callable[[LineName, Collection[str]], Container[str] | None]) -> None:
        """Drop the callers of deleted domains and profiles.

        `enrolled` returns which of these profiles still have a voiceprint; None when the domain is deleted.
        """
        for name in self.lines():
            named = {one.profile_id for one in self._lines.get(name, ()) if one.profile_id is not None}
            still = enrolled(name, named)
            gone = named if still is None else {profile_id for profile_id in named if profile_id not in still}
            self._keep(name, lambda one, still=still, gone=gone: still is not None and one.profile_id not in gone)

    def lines(self) -> list[LineName]:
        """Return the lines that have callers."""
        with self._lock:
            return list(self._lines)

    def _keep(self, name: LineName, stays: "Callable[[_Caller], bool]") -> None:
        with self._lock:
            kept = tuple(filter(stays, self._lines.get(name, ())))
            if kept:
                self._lines[name] = kept
            else:
                self._lines.pop(name, None)
