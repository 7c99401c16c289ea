"""What searches with recordings answer, beside what searches of calls do; and types of what forms say of recordings."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.models import DecisionAnswer, SpeechQualityAnswer
from earwitness.rest.parameters import doc

ChannelNumber: TypeAlias = Annotated[int, Meta(ge=0, le=63)]

Reference: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
"""Of a consent, or of a person as consents call them."""


class RecordingSearchAnswer(DecisionAnswer):
    """Who speaks in a recording, if anyone who is enrolled."""

    quality: Annotated[SpeechQualityAnswer, doc("Of the first 20 s of its speech.")]
