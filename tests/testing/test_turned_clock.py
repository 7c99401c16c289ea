"""The clock of a service for tests: what is due is done, and nothing goes back."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from telephone import Telephone

from earwitness.errors import ScriptInvalid, ServiceRefused
from earwitness.testing import match, no_match, start_service
from earwitness.testing.turned_clock import TurnedClock


@pytest.mark.slow
def test_a_day_a_week_three_years() -> None:
    with start_service() as service:
        telephone = Telephone(service, "line")
        service.script(no_match())
        task = telephone.ring()
        service.wait_for_task(task)
        profile = telephone.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]
        late = telephone.ring()
        service.wait_for_task(late)

        service.clock.forward(hours=24)
        with pytest.raises(ClientError, match="GoneException"):  # the voiceprint of a task is kept for a day
            telephone.voice.create_voice_profile(SpeakerSearchTaskId=late)
        assert service.task(late)["status"] == "Stopped"

        service.clock.forward(days=6, minutes=1)
        with pytest.raises(ServiceRefused, match="GET /tasks"):
            service.task(late)

        assert voiceprints(telephone, profile) == 1
        service.clock.forward(days=3 * 365 - 7)
        assert voiceprints(telephone, profile) == 0
        service.script(match(profile))
        ended = service.wait_for_task(telephone.ring())
        assert f"{profile}, whose voiceprint has expired" in ended["statusMessage"]


def voiceprints(telephone: Telephone, profile: str) -> int:
    profiles = telephone.service.get(f"/domains/{telephone.domain['VoiceProfileDomainId']}/profiles")["profiles"]
    (found,) = [one for one in profiles if one["profileId"] == profile]
    return len(found["voiceprints"])


@pytest.mark.slow
def test_a_verdict_waits_for_its_time() -> None:
    with start_service() as service:
        telephone = Telephone(service, "line")
        service.script(no_match(after=1_000))
        task = telephone.ring()
        service.clock.forward(seconds=900)
        assert telephone.statuses(task) == []
        service.clock.forward(seconds=100)
        service.wait_for_event("IdentificationNoMatchesFound", task_id=task)
        assert telephone.statuses(task) == ["IdentificationNoMatchesFound"]
        service.clock.forward(seconds=1_000)
        service.wait_for_task(task)
        times = [datetime.fromisoformat(event["time"]) for event in service.events(task_id=task)]
        assert times[1] - times[0] >= timedelta(seconds=1_000)


@pytest.mark.slow
def test_turns_that_make_no_sense() -> None:
    with start_service() as service:
        before = service.clock.now()
        for delta in ({"seconds": -1}, {"days": 60 * 365}, {"seconds": float("nan")}):
            with pytest.raises((ScriptInvalid, ValueError)):
                service.clock.forward(**delta)
        assert timedelta() <= service.clock.now() - before < timedelta(hours=1)


def test_it_goes_on_by_itself_and_wakes_who_waits() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    async def run() -> None:
        clock = TurnedClock(lambda: now[0])
        waiting = asyncio.ensure_future(clock.reached(now[0] + timedelta(hours=2)))
        await asyncio.sleep(0)
        clock.forward(3_600)
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.forward(3_600)
        await waiting
        now[0] += timedelta(seconds=5)
        assert clock() == datetime(2026, 1, 1, 2, 0, 5, tzinfo=UTC)
        with pytest.raises(ScriptInvalid, match="backwards"):
            clock.forward(-0.001)

    asyncio.run(run())
