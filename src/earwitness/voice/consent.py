"""What a person agreed to: who, to which text, when, by which medium, where it is recorded, for what.

AWS's API has no field for it. On its operations a consent comes in `MediaInsightsRuntimeMetadata` of a pipeline, under
keys of ours; the tag of a domain says whether one is required.

What belongs here: the values, their limits, how they are read from metadata. What must never: what is kept where.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from earwitness.errors import BadRequest

SUBJECT_CHARACTERS_MAX = 256
WORDS_CHARACTERS_MAX = 64
"""Of a version of a text, and of a medium."""

TEXT_CHARACTERS_MAX = 256
"""Of an evidence reference, and of a purpose: a document's number or address, not the document."""

PREFIX = "earwitness:consent:"
REQUIRED_TAG = "earwitness:consent:required"
"""The tag of a domain that says, when the domain is made, what needs a consent in it."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the future a consent may have been given: clocks differ."""

ID_NAME = "id"
"""Of a key that names a recorded consent. It says nothing of a person, so a tag may carry it."""

_KEY = re.compile(r"earwitness:consent:(?:channel-(?P<channel>[0-9]{1,2}):)?(?P<name>[a-z-]+)")
_NAMES = {
    "subject": "subject",
    "text-version": "text_version",
    "given-at": "given_at",
    "medium": "medium",
    "evidence": "evidence",
    "purpose": "purpose",
}
"""Names of metadata and of the fields below."""


class ConsentRequirement(StrEnum):
    """What needs a consent in a domain."""

    NONE = "none"
    """Nothing. A subject that is named and has withdrawn its consent is refused all the same."""

    ENROLMENT = "enrolment"
    """Whatever keeps a voiceprint of a person."""

    SEARCH = "search"
    """Searches too."""


class ConsentUse(StrEnum):
    """What a consent is asked for."""

    SEARCH = "search"
    ENROLMENT = "enrolment"


def needs_consent(requirement: ConsentRequirement, use: ConsentUse) -> bool:
    """Return whether a domain that requires this needs a consent for that."""
    return requirement is ConsentRequirement.SEARCH or requirement.value == use.value


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentTerms:
    """What was agreed to. All but one of its fields may be missing: enrolments of before had an evidence reference."""

    #: Whoever keeps the consents calls the person so: a number of a customer, not a name.
    subject: str | None = field(default=None, repr=False)
    #: Which text was agreed to.
    text_version: str | None = None
    given_at: datetime | None = None
    #: How it came: phone, web, paper.
    medium: str | None = None
    #: Where it can be seen.
    evidence: str | None = field(default=None, repr=False)
    purpose: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the names of what is not given, as metadata have them; nothing for a complete consent."""
        return tuple(name for name, attribute in _NAMES.items() if getattr(self, attribute) is None)

    @property
    def is_complete(self) -> bool:
        """Return whether it is a consent: of a subject, with everything that can be asked of one."""
        return not self.missing

    def checked(self, *, now: datetime) -> "ConsentTerms":
        """Return it when all that is given is within its limits. Raise BadRequest, which names what is not."""
        for name, most in _LENGTHS.items():
            _require_text(name, getattr(self, _NAMES[name]), most)
        if self.given_at is not None and self.given_at > now + CLOCK_SKEW:
            raise BadRequest("the consent is dated in the future (given-at); give the time when it was given, in UTC")
        return self

    def as_document(self) -> dict[str, str | None]:
        """Return it as JSON keeps it."""
        return {**asdict(self), "given_at": None if self.given_at is None else self.given_at.isoformat()}

    @classmethod
    def of_document(cls, document: Mapping[str, str | None]) -> "ConsentTerms":
        """Return what `as_document` made a document of."""
        given_at = document["given_at"]
        time = None if given_at is None else datetime.fromisoformat(given_at)
        words = {name: text for name, text in document.items() if name != "given_at"}
        return replace(cls.of_words(words), given_at=time)

    @classmethod
    def of_words(cls, words: Mapping[str, str | None]) -> "ConsentTerms":
        """Return it of the fields that are text, by their names."""
        return cls(
            subject=words.get("subject"),
            text_version=words.get("text_version"),
            medium=words.get("medium"),
            evidence=words.get("evidence"),
            purpose=words.get("purpose"),
        )


_LENGTHS = {
    "subject": SUBJECT_CHARACTERS_MAX,
    "text-version": WORDS_CHARACTERS_MAX,
    "medium": WORDS_CHARACTERS_MAX,
    "evidence": TEXT_CHARACTERS_MAX,
    "purpose": TEXT_CHARACTERS_MAX,
}

NO_CONSENT = ConsentTerms()


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedConsent:
    """What comes with a request: a consent, the subject of one that is recorded, or the id of one."""

    terms: ConsentTerms = NO_CONSENT
    #: Of a consent that is recorded in the domain; counts before the terms.
    consent_id: str | None = None


NOTHING_CARRIED = CarriedConsent()


def consent_of(metadata: Mapping[str, object] | None, tags: Mapping[str, str], channel_id: int) -> CarriedConsent:
    """Return what a pipeline's metadata, or else its tags, say of the person on a channel.

    What is said of the channel counts before what is said of all. Raise BadRequest for a key that begins as ours and is
    none, and for what is no time.
    """
    carried = _carried(metadata, channel_id)
    return _carried(tags, channel_id) if carried == NOTHING_CARRIED else carried


def _carried(metadata: Mapping[str, object] | None, channel_id: int) -> CarriedConsent:
    of_all, of_channel = dict[str, str](), dict[str, str]()
    for key, value in (metadata or {}).items():
        if not key.startswith(PREFIX):
            continue
        found = _KEY.fullmatch(key)
        if found is None or found["name"] not in (*_NAMES, ID_NAME):
            names = ", ".join((*_NAMES, ID_NAME))
            raise BadRequest(
                f"MediaInsightsRuntimeMetadata has a key of a consent that is not known; {PREFIX} is followed by one "
                f"of {names}, or by channel-0: and one of them"
            )
        if found["channel"] is None:
            of_all[found["name"]] = str(value)
        elif int(found["channel"]) == channel_id:
            of_channel[found["name"]] = str(value)
    given = of_channel if of_channel.keys() & {"subject", ID_NAME} else {**of_all, **of_channel}
    consent_id = given.pop(ID_NAME, None)
    terms = ConsentTerms.of_words({_NAMES[name]: value for name, value in given.items() if name != "given-at"})
    if "given-at" in given:
        terms = replace(terms, given_at=_time(given["given-at"]))
    return CarriedConsent(terms=terms, consent_id=consent_id)


def require_consents_readable(metadata: Mapping[str, object] | None, *, now: datetime) -> None:
    """Raise BadRequest when what metadata say of consents would be refused later, for any channel."""
    for key in metadata or ():
        found = _KEY.fullmatch(key)
        _carried(metadata, int(found["channel"] or 0) if found else 0).terms.checked(now=now)


def require_clear_tags(tags: Mapping[str, str]) -> None:
    """Raise BadRequest when a tag would say whose consent it is: tags lie in clear."""
    for key in tags:
        found = _KEY.fullmatch(key)
        if key.startswith(PREFIX) and key != REQUIRED_TAG and (found is None or found["name"] != ID_NAME):
            raise BadRequest(
                f"tags lie in clear, so of a consent they carry its id alone ({PREFIX}{ID_NAME}, which `earwitness "
                "consent record` answers); give the rest in MediaInsightsRuntimeMetadata"
            )


def without_consents(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return metadata without what they say of consents."""
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}


def carried_for(metadata: Mapping[str, object], *, but: str) -> dict[str, object]:
    """Return what metadata say of the consents of other people than one."""
    theirs = {key: value for key, value in metadata.items() if key.startswith(PREFIX)}
    channels = {found["channel"] for key in theirs if (found := _KEY.fullmatch(key)) is not None}
    kept = {channel for channel in channels if theirs.get(f"{_prefix(channel)}subject", but) != but}
    return {
        key: value
        for key, value in theirs.items()
        if (found := _KEY.fullmatch(key)) is not None and found["channel"] in kept
    }


def _prefix(channel: str | None) -> str:
    return PREFIX if channel is None else f"{PREFIX}channel-{channel}:"


def requirement_of(tags: Mapping[str, str]) -> ConsentRequirement:
    """Return what the tags of a new domain require. Raise BadRequest for a word that is none."""
    try:
        return ConsentRequirement(tags.get(REQUIRED_TAG, ConsentRequirement.NONE))
    except ValueError:
        raise BadRequest(f"the tag {REQUIRED_TAG} must be {', '.join(ConsentRequirement)}") from None


def _require_text(name: str, text: str | None, most: int) -> None:
    if text is None:
        return
    if not 1 <= len(text) <= most or not text.isprintable() or text.isspace():
        raise BadRequest(f"the {name} of a consent has 1 to {most} printable characters; give such a one")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise BadRequest("given-at of a consent is a time with its zone, as in 2026-01-31T08:00:00Z")
    return time
