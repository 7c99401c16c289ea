"""The pytest plug-in, as a user's test run has it: real runs of pytest in processes of their own."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import started
from earwitness.models.cache import ModelCache
from patience import PATIENCE_SECONDS, until

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

ASKS = """
    import boto3

    def domains():
        return boto3.client("chime-sdk-voice").list_voice_profile_domains()["VoiceProfileDomains"]

    def make_domain():
        voice, key = boto3.client("chime-sdk-voice"), {"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1"}
        voice.create_voice_profile_domain(Name="callers", ServerSideEncryptionConfiguration=key)
"""


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's project. Warnings are errors there, and AWS's settings are the user's own."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAREALREALREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_PROFILE": "production",
    }.items():
        monkeypatch.setenv(name, value)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(asks=ASKS)
    return pytester


def run(user: pytest.Pytester, *options: str) -> pytest.RunResult:
    return user.runpytest_subprocess("-p", "no:cacheprovider", *options, timeout=PATIENCE_SECONDS)


def runs(process_id: int) -> bool:
    """Return whether a process runs; one that has ended and is not waited for does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_each_test_has_records_of_its_own_and_boto3_finds_them(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        from asks import domains, make_domain

        def test_one(earwitness_aws):
            make_domain()
            assert len(domains()) == 1

        def test_two(earwitness_aws):
            assert domains() == []
        """
    )
    run(user).assert_outcomes(passed=2)


def test_one_service_for_the_session_is_reset_between_tests(user: pytest.Pytester) -> None:
    user.makeini("[pytest]\nfilterwarnings = error\nearwitness_scope = session\n")
    user.makepyfile(
        test_it="""
        from asks import domains, make_domain

        def test_one(earwitness_aws):
            make_domain()
            earwitness_aws.fail("ListVoiceProfileDomains", "NotFound")

        def test_two(earwitness_aws):
            assert len(domains()) == 1
        """
    )
    run(user).assert_outcomes(passed=2)


def test_a_scope_that_there_is_not(user: pytest.Pytester) -> None:
    user.makeini("[pytest]\nearwitness_scope = century\n")
    user.makepyfile(test_it="def test_one(earwitness_service): pass")
    result = run(user)
    assert result.ret != 0
    assert "earwitness_scope is one of function, class" in result.stdout.str() + result.stderr.str()


def test_with_xdist_each_process_has_its_own(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        import pytest
        from asks import domains, make_domain

        @pytest.mark.parametrize("number", range(6))
        def test_one(earwitness_aws, number):
            make_domain()
            assert len(domains()) == 1
        """
    )
    run(user, "-n", "2").assert_outcomes(passed=6)


def test_options_and_two_services_at_once(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture(scope="session")
        def earwitness_options():
            return {"region": "eu-central-1", "account_id": "111122223333", "settings": {"quotas": "domains=1"}}

        def test_two(earwitness_service, start_earwitness):
            other = start_earwitness()
            assert other.url != earwitness_service.url
            key = {"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1"}
            voice = earwitness_service.client("chime-sdk-voice")
            made = voice.create_voice_profile_domain(Name="a1", ServerSideEncryptionConfiguration=key)
            assert ":eu-central-1:111122223333:" in made["VoiceProfileDomain"]["VoiceProfileDomainArn"]
            with pytest.raises(voice.exceptions.ResourceLimitExceededException):
                voice.create_voice_profile_domain(Name="a2", ServerSideEncryptionConfiguration=key)
            assert other.client("chime-sdk-voice").list_voice_profile_domains()["VoiceProfileDomains"] == []
        """
    )
    run(user).assert_outcomes(passed=1)


def test_a_port_that_is_taken_and_a_setting_that_there_is_not(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        import pytest
        from earwitness.errors import ConfigurationError

        def test_it(earwitness_service, start_earwitness):
            port = int(earwitness_service.url.rpartition(":")[2])
            with pytest.raises(ConfigurationError, match=f"port {port}"):
                start_earwitness(port=port)
            with pytest.raises(ConfigurationError, match="strangers"):
                start_earwitness(settings={"strangers_named_percent": "many"})
            with pytest.raises(ConfigurationError, match="did you mean EARWITNESS_SINK_ENDPOINT_URL"):
                start_earwitness(settings={"sink_endpoint": "http://127.0.0.1:5000"})
            assert start_earwitness().clock.now()  # the next one starts all the same
        """
    )
    run(user).assert_outcomes(passed=1)


def test_a_run_that_is_killed_in_the_middle_leaves_no_process_and_no_folder(user: pytest.Pytester) -> None:
    file = user.makepyfile(
        test_it="""
        import time
        from earwitness.testing import starting

        def test_it(earwitness_service, capsys):
            service = earwitness_service._line.started
            with capsys.disabled():
                print("started:", starting._template._process.pid, service["pid"], service["folder"], flush=True)
            time.sleep(1000)
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(file)]
    with started.process(command, stdout=subprocess.PIPE, text=True, cwd=user.path) as killed:
        assert killed.stdout
        line = next(line for line in killed.stdout if "started:" in line)
        template, service, folder = line.split("started:")[1].split()
        assert runs(int(template))
        assert runs(int(service))
        assert (Path(folder) / "data" / "records.db").exists()
        os.kill(killed.pid, signal.SIGKILL)
        until(lambda: not runs(int(template)))
        until(lambda: not runs(int(service)))
        assert not Path(folder).exists()


def test_a_service_that_is_killed_says_so_and_the_next_one_starts(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        import os, signal
        import pytest
        from earwitness.errors import ServiceNotStarted

        def test_it(earwitness_service):
            os.kill(earwitness_service._line.started["pid"], signal.SIGKILL)
            with pytest.raises(ServiceNotStarted, match="gone"):
                earwitness_service.clock.forward(hours=1)

        def test_next(earwitness_service):
            assert earwitness_service.clock.now()
        """
    )
    run(user).assert_outcomes(passed=2)


def test_nothing_is_loaded_or_started_where_it_is_not_used(
    user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others load much
    user.makepyfile(
        test_it="""
        import sys

        def test_it():
            ours = sorted(name for name in sys.modules if name.split(".")[0] == "earwitness")
            assert ours == ["earwitness", "earwitness.testing", "earwitness.testing.plugin"]
            assert not {"boto3", "numpy", "sqlalchemy", "starlette"} & set(sys.modules)
        """
    )
    run(user, "-p", "earwitness.testing.plugin").assert_outcomes(passed=1)


def test_what_a_test_prints_and_logs_is_its_own(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_it="""
        def test_it(earwitness_service, caplog, capfd):
            earwitness_service.clock.forward(days=1)
            assert "the clock was set" in earwitness_service.log
            assert caplog.records == []
            assert capfd.readouterr() == ("", "")
        """
    )
    run(user).assert_outcomes(passed=1)


def test_ready_voices_are_heard_by_the_real_engine(
    user: pytest.Pytester, model_cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARWITNESS_MODELS_DIR", str(model_cache.folder))
    user.makepyfile(
        test_it="""
        import earwitness
        from earwitness.testing import match

        def test_it(earwitness_voices):
            service = earwitness_voices.service
            pipelines, streams = service.client("chime-sdk-media-pipelines"), service.client("kinesisvideo")
            stream = streams.create_stream(StreamName="line", DataRetentionInHours=1)["StreamARN"]
            search = {"SpeakerSearchStatus": "Enabled"}
            configuration = pipelines.create_media_insights_pipeline_configuration(
                MediaInsightsPipelineConfigurationName="calls",
                ResourceAccessRoleArn="arn:aws:iam::000000000000:role/earwitness",
                Elements=[{"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": search}],
            )["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
            definition = {"StreamArn": stream, "StreamChannelDefinition": {"NumberOfChannels": 1}}
            pipeline = pipelines.create_media_insights_pipeline(
                MediaInsightsPipelineConfigurationArn=configuration,
                KinesisVideoStreamSourceRuntimeConfiguration={
                    "Streams": [definition], "MediaEncoding": "pcm", "MediaSampleRate": 8000
                },
            )["MediaInsightsPipeline"]["MediaPipelineId"]
            task = pipelines.start_speaker_search_task(
                Identifier=pipeline, VoiceProfileDomainArn=earwitness_voices.domain_arn
            )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
            earwitness.put_media(
                earwitness_voices.call_of("sally"), stream_arn=stream, real_time=False,
                endpoint_url=service.url, session=service.session(),
            )
            found = service.wait_for_event("IdentificationSuccessful", task_id=task, seconds=180)
            (named,) = found["detail"]["speakerSearchDetails"]["results"]
            assert named["voiceProfileId"] == earwitness_voices.profiles["sally"]
            pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
            ended = service.wait_for_task(task, seconds=180)
            assert ended["identification"]["calibration"] != "scripted"
        """
    )
    result = run(user)
    assert not re.search(r"skipped", result.stdout.str()), result.stdout.str()
    result.assert_outcomes(passed=1)
