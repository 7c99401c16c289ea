"""What is answered of consents."""

from datetime import datetime
from typing import Annotated

from earwitness.rest.models import Answer
from earwitness.rest.parameters import doc


class ConsentAnswer(Answer):
    """A recorded consent; or the evidence reference of an enrolment, which has no more."""

    consent_id: str
    domain_id: str
    profile_id: Annotated[str | None, doc("The profile that it was given for; null for one recorded by itself.")]
    subject: str | None
    text_version: str | None
    given_at: datetime | None
    medium: str | None
    evidence: str | None
    purpose: str | None
    created_at: datetime
