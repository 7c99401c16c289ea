"""Domains' voices in memory, loaded when they are searched and again when they have changed.

They are loaded raw, once for all lines of a domain: under a line that is learnt anew they are compared as they lie.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

import numpy as np

from earwitness.engine.gallery import Gallery
from earwitness.engine.space import Space
from earwitness.errors import NotFound
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.voice.embedding import Embedding, Voiceprint

VOICEPRINTS_MAX = 1_000_000
"""Voiceprints in memory, of all domains together: 0.8 GB. Those searched longest ago go first."""

LINES_MAX = 16
"""Lines of one domain that its voices are ready for, two versions of each codec; a further one costs a pass over them.
Those searched longest ago go first."""

_PAGE = 2_000


_Name: TypeAlias = tuple[str, int, bool]


def _name(space: Space) -> _Name:
    """Return what tells a line: the same mean may be of another version, or be off by now."""
    return space.id, space.line.version, space.line.is_off


@dataclass(slots=True)
class _Slot:
    lock: Lock = field(default_factory=Lock)
    """Held while it is loaded, so that many searches at once load it once."""

    version: int = -1
    galleries: OrderedDict[_Name, Gallery] = field(default_factory=OrderedDict[_Name, Gallery])
    """The same voiceprints under each line."""

    @property
    def size(self) -> int:
        return max((len(gallery) for gallery in self.galleries.values()), default=0)

    def under(self, space: Space) -> Gallery:
        """Return what is loaded, under a line."""
        name = _name(space)
        gallery = self.galleries.get(name) or next(iter(self.galleries.values())).under(space)
        self.galleries[name] = gallery
        self.galleries.move_to_end(name)
        while len(self.galleries) > LINES_MAX:
            self.galleries.popitem(last=False)
        return gallery


class Galleries:
    """Galleries by domain, encoder and line. Safe to use from several threads; a gallery handed out never changes."""

    def __init__(self, store: Store, *, voiceprints_max: int = VOICEPRINTS_MAX) -> None:
        self._store = store
        self._voiceprints_max = voiceprints_max
        self._slots: OrderedDict[tuple[Scope, str, str], _Slot] = OrderedDict()
        self._lock = Lock()

    def get(self, scope: Scope, domain_id: str, *, space: Space) -> Gallery:
        """Return the domain's voices that can be compared in a space, as they are now.

        Raise NotFound when the domain is deleted.
        """
        domain = self._store.domains.get(scope, domain_id)
        if domain is None:
            self._drop(scope, domain_id)
            raise NotFound("the voice profile domain was deleted")
        slot = self._slot(scope, domain_id, space.encoder_id)
        with slot.lock:
            if not slot.galleries or slot.version < domain.version:
                slot.version, gallery = self._load(scope, domain_id, space)
                slot.galleries = OrderedDict({_name(space): gallery})
            gallery = slot.under(space)
        self._make_room()
        return gallery

    def _load(self, scope: Scope, domain_id: str, space: Space) -> tuple[int, Gallery]:
        gallery = Gallery(space)
        version, after = -1, None
        while True:
            part = self._store.profile_voiceprints.gallery_page(scope, domain_id, after=after, limit=_PAGE)
            if part is None:
                raise NotFound("the voice profile domain was deleted")
            version = part.domain_version if version < 0 else version
            for entry in part.page.items:
                if space.takes(entry.encoder_id):
                    vector = np.frombuffer(entry.vector, "<f4")
                    embedding = Embedding(vector=vector, encoder_id=entry.encoder_id, net_speech_seconds=0.0)
                    gallery.add(
                        Voiceprint(profile_id=entry.profile_id, voiceprint_id=entry.voiceprint_id, embedding=embedding)
                    )
            after = part.page.next_key
            if after is None:
                gallery.version = version
                return version, gallery

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
            total = sum(slot.size for slot in self._slots.values())
            while total > self._voiceprints_max and len(self._slots) > 1:
                _, slot = self._slots.popitem(last=False)
                total -= slot.size
