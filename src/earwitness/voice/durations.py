"""How much net speech an answer takes. Apart from what computes, because pages show it too."""

IDENTIFY_SECONDS = 10.0
"""Net speech of a call after which its speaker is searched for, as in AWS."""

SPEECH_SECONDS_MAX = 20.0
"""Net speech an embedding hears at most; more costs time and no longer helps."""
