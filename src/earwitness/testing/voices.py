"""Ready voices: a service that hears calls as in production, with the sample voices enrolled.

The voices are synthetic and no person's; `earwitness.samples` says what made them.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness import samples
from earwitness.testing.service import EarwitnessService, start_service

_KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
"""AWS's API asks for one; earwitness encrypts with its own."""


@dataclass(frozen=True, kw_only=True)
class Voices:
    """A service, a domain in it, and who is enrolled there."""

    service: EarwitnessService
    domain_id: str
    domain_arn: str
    #: Profile ids by the names of the voices.
    profiles: dict[str, str]

    def call_of(self, name: str) -> Path:
        """Return a recording of one of them, or of a stranger (`earwitness.samples.STRANGERS`): 8 kHz, 17 s or more."""
        return samples.second_call(name)


@contextmanager
def start_voices(**options: Any) -> Generator[Voices]:  # `Any`: arguments of start_service
    """Start a service with voice models and enrol four voices, which takes a few seconds. Raise as `start_service`."""
    with start_service(models=True, **options) as service:
        voice = service.client("chime-sdk-voice")
        made = voice.create_voice_profile_domain(
            Name="ready-voices", ServerSideEncryptionConfiguration={"KmsKeyArn": _KEY}
        )["VoiceProfileDomain"]
        domain_id: str = made["VoiceProfileDomainId"]
        profiles = {name: service.enrol(samples.first_call(name), domain_id=domain_id) for name in samples.KNOWN}
        yield Voices(service=service, domain_id=domain_id, domain_arn=made["VoiceProfileDomainArn"], profiles=profiles)
