"""Voiceprints of other encoders, and their change into those that the present encoder makes of the kept speech.

A voiceprint is changed where it is: id, consent, speech and expiry stay, so a search finds the one of before until it
finds the new one, and nothing that was deleted meanwhile comes back.
"""

from dataclasses import dataclass, field

from sqlalchemy import select

from earwitness.store.columns import JsonObject
from earwitness.store.domains import DomainWriter
from earwitness.store.records import NewVoiceprint, Scope
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, select_in_scope
from earwitness.store.schema import profile_voiceprints
from earwitness.store.session import Writing

_COLUMNS = profile_voiceprints.c


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceprintName:
    """Which voiceprint of a domain is meant."""

    profile_id: str
    voiceprint_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptSpeech:
    """What is kept of the speech that a voiceprint was made of."""

    #: Of the voiceprint as it is now.
    encoder_id: str
    #: What was measured of the speech.
    quality: JsonObject
    #: 16-bit samples at 16 kHz in the domain's band; None where they are not kept.
    audio: bytes | None = field(repr=False)


class ReembeddingReader(Reader):
    """What can be read of voiceprints that are to be made again."""

    def of_other_encoders(
        self, scope: Scope, domain_id: str, *, encoder_id: str, limit: int
    ) -> tuple[VoiceprintName, ...]:
        """Return voiceprints of a domain that this encoder did not make, at most `limit`; first those with speech."""
        order = _COLUMNS.audio_ciphertext.is_(None), _COLUMNS.profile_id, _COLUMNS.voiceprint_id
        theirs = in_scope(profile_voiceprints, scope, domain_id=domain_id), _COLUMNS.encoder_id != encoder_id
        chosen = select(_COLUMNS.profile_id, _COLUMNS.voiceprint_id).where(*theirs).order_by(*order).limit(limit)
        return tuple(record(VoiceprintName, row) for row in self._session.rows(chosen))

    def speech(self, scope: Scope, domain_id: str, name: VoiceprintName) -> KeptSpeech | None:
        """Return what is kept of the speech of a voiceprint; None when the voiceprint is not there any more.

        Raise NotFound without the domain, CiphertextRefused for damaged speech.
        """
        row = self._session.row(
            select_in_scope(profile_voiceprints, scope, domain_id=domain_id, **_ids(name)),
        )
        if row is None:
            return None
        seal = RowSeal(self._require_domain_key(scope, domain_id), profile_voiceprints, scope, *_ids(name).values())
        return record(KeptSpeech, row, audio=seal.open_optional(row, "audio_ciphertext"))


class ReembeddingWriter(Writer, ReembeddingReader):
    """What changes voiceprints."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._domains = DomainWriter(writing)

    def replace(
        self, scope: Scope, domain_id: str, name: VoiceprintName, *, former_encoder_id: str, made: NewVoiceprint
    ) -> bool:
        """Change a voiceprint that is still the former encoder's, and remove its former vector from the files as well.

        False when it is gone, or was changed meanwhile. Raise NotFound without the domain.
        """
        self._domains.lock(scope, domain_id)
        key = self._require_domain_key(scope, domain_id)
        chosen = in_scope(profile_voiceprints, scope, domain_id=domain_id, **_ids(name), encoder_id=former_encoder_id)
        sealed = RowSeal(key, profile_voiceprints, scope, *_ids(name).values()).seal(vector_ciphertext=made.vector)
        values = {"encoder_id": made.encoder_id, "net_speech_seconds": made.net_speech_seconds, **sealed}
        if not self._update(profile_voiceprints, chosen, **values):
            return False
        self._domains.note_change(scope, domain_id, name.profile_id)
        self._writing.session.scrub()
        return True


def _ids(name: VoiceprintName) -> dict[str, str]:
    return {"profile_id": name.profile_id, "voiceprint_id": name.voiceprint_id}
