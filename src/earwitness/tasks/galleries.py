"""Domains' voices in memory: loaded when they are first searched, and changed as the records change.

They are loaded raw, once for all lines of a domain: under a line that is learnt anew they are compared as they lie.
Every change of a domain moves its version and notes whose voiceprints it was (`store/domains.py`). A search asks for
the version first and reads again what changed since, so it never finds what was deleted before it began.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

import numpy as np

from earwitness.engine.gallery import Gallery
from earwitness.engine.space import Space
from earwitness.engine.voiceprint_rows import RowOwner
from earwitness.errors import KeyServiceUnavailable, NotFound
from earwitness.metrics.reported import TaskMetrics
from earwitness.store.records import GalleryEntry, Scope, VoiceProfileDomain
from earwitness.store.store import Store

VOICEPRINTS_MAX = 1_000_000
"""Voiceprints in memory, of all domains together: 1.2 GB. Those searched longest ago go first."""

_PAGE = 2_000

_CopyName: TypeAlias = tuple[str, str, int, bool]


def _copy_name(space: Space) -> _CopyName:
    """Return what tells a copy: its calibration, and its line, whose mean may be of another version, or off by now."""
    return space.calibration.id, space.id, space.line.version, space.line.is_off


@dataclass(slots=True)
class _Slot:
    """The voices of one domain and encoder."""

    lock: Lock = field(default_factory=Lock)
    """Held while they are loaded or changed, so that many searches at once do it once."""

    #: The version of the domain that they are as new as.
    version: int = -1
    #: Changes with the domain; None until it is loaded.
    gallery: Gallery | None = None
    #: Voiceprints in it.
    size: int = 0
    #: Copies that searches get, by line, of the calibration that was asked for last; these never change.
    copies: dict[_CopyName, Gallery] = field(default_factory=dict[_CopyName, Gallery])


class Galleries:
    """Galleries by domain, encoder and line. Safe to use from several threads; a gallery handed out never changes."""

    def __init__(
        self, store: Store, *, voiceprints_max: int = VOICEPRINTS_MAX, metrics: TaskMetrics | None = None
    ) -> None:
        self._store = store
        self._metrics = metrics or TaskMetrics()
        self._metrics.loaded = self.size
        self._voiceprints_max = voiceprints_max
        self._slots: OrderedDict[tuple[Scope, str, str], _Slot] = OrderedDict()
        self._lock = Lock()

    def get(self, scope: Scope, domain_id: str, *, space: Space) -> Gallery:
        """Return the domain's voices that can be compared in a space, as they are now.

        Raise NotFound when the domain is deleted, KeyServiceUnavailable when its key cannot be used.
        """
        domain = self._store.domains.get(scope, domain_id)
        if domain is None:
            self._drop(scope, domain_id)
            raise _deleted()
        self._require_key(scope, domain)
        slot = self._slot(scope, domain_id, space.encoder_id)
        with slot.lock:
            gallery = self._renewed(slot, scope, domain, space)
            slot.size = len(gallery)
            name = _copy_name(space)
            copy = slot.copies.get(name)
            if copy is None:
                for other in [other for other in slot.copies if other[0] != name[0]]:
                    del slot.copies[other]
                copy = slot.copies[name] = gallery.under(space)
        self._make_room()
        return copy

    def size(self) -> int:
        """Return how many voiceprints are in memory."""
        with self._lock:
            return sum(slot.size for slot in self._slots.values())

    def renew(self) -> None:
        """Change all galleries as their domains have changed: what was deleted leaves memory without a search."""
        with self._lock:
            slots = list(self._slots.items())
        for (scope, domain_id, _), slot in slots:
            try:
                self._renew(slot, scope, domain_id)
            except (NotFound, KeyServiceUnavailable):
                self._drop(scope, domain_id)

    def _require_key(self, scope: Scope, domain: VoiceProfileDomain) -> None:
        """Let nothing be in memory that could not be read."""
        try:
            self._store.require_domain_key(scope, domain)
        except KeyServiceUnavailable:
            self._drop(scope, domain.domain_id)
            raise

    def _renew(self, slot: _Slot, scope: Scope, domain_id: str) -> None:
        """Change the gallery of a slot. Raise NotFound when the domain is deleted, also while it is read."""
        domain = self._store.domains.get(scope, domain_id)
        if domain is None:
            raise _deleted()
        self._require_key(scope, domain)
        with slot.lock:
            if slot.gallery is not None:
                slot.size = len(self._renewed(slot, scope, domain, slot.gallery.space))

    def _renewed(self, slot: _Slot, scope: Scope, domain: VoiceProfileDomain, space: Space) -> Gallery:
        """Return the gallery of a slot, at least as new as the domain."""
        gallery = slot.gallery
        if gallery is None or domain.version - slot.version > len(gallery):  # then to load it is less
            return self._load(slot, scope, domain.domain_id, space)
        while slot.version < domain.version:
            slot.copies.clear()
            changes = self._store.profile_voiceprints.gallery_changes(
                scope, domain.domain_id, since=slot.version, limit=_PAGE
            )
            if changes is None:
                return self._load(slot, scope, domain.domain_id, space)
            for profile_id in changes.profile_ids:
                gallery.discard(profile_id)
            _add(gallery, changes.entries)
            slot.version = gallery.version = changes.version
        return gallery

    def _load(self, slot: _Slot, scope: Scope, domain_id: str, space: Space) -> Gallery:
        slot.gallery = None
        slot.copies.clear()
        with self._metrics.gallery_load.time():
            return self._loaded(slot, scope, domain_id, space)

    def _loaded(self, slot: _Slot, scope: Scope, domain_id: str, space: Space) -> Gallery:
        gallery = Gallery(space)
        version, after = None, None
        while True:
            part = self._store.profile_voiceprints.gallery_page(scope, domain_id, after=after, limit=_PAGE)
            if part is None:
                raise _deleted()
            version = part.domain_version if version is None else version
            _add(gallery, part.page.items)
            after = part.page.next_key
            if after is None:
                slot.version = gallery.version = version
                slot.gallery = gallery
                return gallery

    def _slot(self, scope: Scope, domain_id: str, encoder_id: str) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault((scope, domain_id, encoder_id), _Slot())
            self._slots.move_to_end((scope, domain_id, encoder_id))
            return slot

    def _drop(self, scope: Scope, domain_id: str) -> None:
        with self._lock:
            for name in [name for name in self._slots if name[:2] == (scope, domain_id)]:
                del self._slots[name]

    def _make_room(self) -> None:
        """Drop what was searched longest ago. The latest stays, however large."""
        with self._lock:
            # Not of the galleries themselves: other threads change them.
            total = sum(slot.size for slot in self._slots.values())
            while total > self._voiceprints_max and len(self._slots) > 1:
                _, slot = self._slots.popitem(last=False)
                total -= slot.size


def _add(gallery: Gallery, entries: Iterable[GalleryEntry]) -> None:
    """Enrol what can be compared in the gallery's space."""
    by_encoder: dict[str, list[GalleryEntry]] = {}
    for entry in entries:
        by_encoder.setdefault(entry.encoder_id, []).append(entry)
    for encoder_id, theirs in by_encoder.items():
        if gallery.space.takes(encoder_id):
            owners = [RowOwner(entry.profile_id, entry.voiceprint_id) for entry in theirs]
            vectors = np.frombuffer(b"".join(entry.vector for entry in theirs), "<f4").reshape(len(theirs), -1)
            gallery.add_rows(owners, vectors, encoder_id=encoder_id)


def _deleted() -> NotFound:
    return NotFound("the voice profile domain was deleted")
