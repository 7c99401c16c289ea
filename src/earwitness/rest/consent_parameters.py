"""What is asked of consents. Who it is about travels in bodies, which no log of a proxy has, and not in addresses."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from earwitness.errors import BadRequest
from earwitness.rest.parameters import DomainId, Identifier, Parameters, doc
from earwitness.voice.consent import (
    SUBJECT_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    WORDS_CHARACTERS_MAX,
    ConsentRequirement,
)

_BodyT = TypeVar("_BodyT", bound=Struct)


class RequireConsent(Parameters, kw_only=True):
    """Say what needs a recorded consent in a domain from now on: nothing, enrolment, or search too."""

    domain_id: DomainId
    required: Annotated[ConsentRequirement, doc("What is refused without a consent.")]


class RecordConsent(Parameters, kw_only=True):
    """Record that a person consented; one that says the same is recorded once."""

    domain_id: DomainId


class RecordedConsent(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A consent: of whom, to what, when."""

    subject: Annotated[
        str,
        Meta(min_length=1, max_length=SUBJECT_CHARACTERS_MAX),
        doc("What you call the person: a reference, not a name."),
    ]
    text_version: Annotated[str, Meta(min_length=1, max_length=WORDS_CHARACTERS_MAX), doc("Which text was agreed to.")]
    given_at: Annotated[datetime, Meta(tz=True), doc("When it was given.")]
    medium: Annotated[str, Meta(min_length=1, max_length=WORDS_CHARACTERS_MAX), doc("How it came: phone, web, paper.")]
    evidence: Annotated[
        str,
        Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX),
        doc("Where it can be seen: a document's number or address."),
    ]
    purpose: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX), doc("What the voice may be used for.")]
    profile_id: Annotated[Identifier | None, doc("A profile of the domain that is this person's.")] = None


class WithdrawConsents(Parameters, kw_only=True):
    """Delete everything that is held of a person, and refuse the person until a new consent is recorded."""


class ReportSubject(Parameters, kw_only=True):
    """Everything that is held of a person; written to the audit trail."""


class GetWithdrawal(Parameters, kw_only=True):
    """How far a withdrawal is, and what it has deleted."""

    withdrawal_id: Annotated[Identifier, doc("The withdrawal's id.")]


class NamedSubject(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A person, by what consents call it."""

    subject: Annotated[
        str, Meta(min_length=1, max_length=SUBJECT_CHARACTERS_MAX), doc("What your consents call the person.")
    ]


# Of the console's forms.

_Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]


class ConsentForm(Parameters, kw_only=True):
    """A consent as a form sends it."""

    domain_id: DomainId
    subject: _Text
    text_version: _Text
    given_at: Annotated[Annotated[datetime, Meta(tz=True)] | None, doc("When it was given; now without it.")] = None
    medium: _Text
    evidence: _Text
    purpose: _Text


class WithdrawalForm(Parameters, kw_only=True):
    """A withdrawal as a form sends it."""

    domain_id: DomainId
    subject: _Text
    sure: Annotated[Literal["yes"], doc("That everything of the person is to be deleted.")]


def written(body: Struct) -> bytes:
    """Return a body as a request has it."""
    return msgspec.json.encode(body)


def body_of(body: bytes, kind: type[_BodyT]) -> _BodyT:
    """Return what a body holds. Raise BadRequest, which repeats nothing of it, for one that is no such object."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise BadRequest(
            f"the body is no JSON object with {names} as /earwitness/v1/openapi.json describes them"
        ) from None
