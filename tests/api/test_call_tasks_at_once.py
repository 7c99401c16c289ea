"""Of tasks that are started on one transaction in the same moment, one is active."""

import threading
from concurrent.futures import ThreadPoolExecutor

from api_calls import make_call, make_resources
from api_world import VOICE, World
from botocore.exceptions import ClientError


def test_one_task_of_a_transaction_is_active(world: World) -> None:
    made = make_resources(world)
    call = make_call(world, made.connector_id, made.configuration, "at once")
    together = threading.Barrier(4)

    def start(number: int) -> str:
        together.wait()
        try:
            world.call(
                VOICE,
                "StartSpeakerSearchTask",
                VoiceConnectorId=made.connector_id,
                TransactionId=call.transaction_id,
                VoiceProfileDomainId=made.domain_id,
                CallLeg=("Caller", "Callee")[number % 2],
            )
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "started"

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(start, range(4)))
    assert answers.count("started") == 1
    assert set(answers) <= {"started", "ResourceLimitExceededException", "ConflictException"}
    assert world.store.connector_calls.count_active_tasks(call) == 1
