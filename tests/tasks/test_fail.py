"""Which failures end a task at once, with its record and events telling why, and which are left to be tried again."""

from pathlib import Path
from typing import Any

import pytest
from following import Line, Office, run
from sqlalchemy import update
from store_examples import MINE

from earwitness import errors
from earwitness.store.schema import pipelines
from earwitness.tasks.attempt import give_up, is_final
from earwitness.tasks.runner import WorkItem
from earwitness.voice.task_status import TaskStatus, VoiceprintStatus

pytestmark = pytest.mark.slow

REASON = "the file is damaged; do something"
TOLD = ["IdentificationFailure", "VoiceprintGenerationFailure"]


class NoEngine:
    """Stands for an engine that is not needed: nothing is heard before the task fails."""


def kinds() -> list[type[errors.EarwitnessError]]:
    """Every class of error that is made with a message alone."""
    own_messages = (errors.NotEnoughSpeech, errors.ServiceRefused)
    known = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in known if not issubclass(kind, own_messages)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_of_failure_is_retryable_a_race_or_the_end(tmp_path: Path, kind: Any) -> None:
    async def play(office: Office) -> None:
        office.line = Line([], then=kind(REASON))
        task = office.new_task()
        if kind is errors.AttemptSuperseded:
            await office.follow(task)  # another worker has it
        elif kind.retryable or issubclass(kind, errors.Conflict):
            with pytest.raises(kind):
                await office.follow(task)
        else:
            assert is_final(kind(REASON))
            await office.follow(task)
        now = office.now(task)
        if kind.retryable or issubclass(kind, errors.AttemptSuperseded | errors.Conflict):
            assert (now.ended_at, office.details(task)) == (None, [])
            return
        assert (now.status, now.status_message) == (TaskStatus.FAILED, REASON)
        assert now.voiceprint_status is None
        assert [one["detailStatus"] for one in office.details(task)] == TOLD
        assert {one["statusMessage"] for one in office.details(task)} == {REASON}

    run(tmp_path, NoEngine(), play)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [errors.ModelMissing, errors.ModelDamaged])
def test_models_that_cannot_be_opened_end_a_task(tmp_path: Path, kind: Any) -> None:
    async def play(office: Office) -> None:
        def no_engine(*_: object) -> Any:
            raise kind(REASON)

        office.engine_of = no_engine
        task = office.new_task()
        await office.follow(task)
        assert (office.now(task).status, office.now(task).status_message) == (TaskStatus.FAILED, REASON)
        assert [one["detailStatus"] for one in office.details(task)] == TOLD

    run(tmp_path, NoEngine(), play)  # type: ignore[arg-type]


def item_of(task: Any) -> WorkItem:
    return WorkItem(scope=MINE, pipeline_id=task.pipeline_id, task_id=task.task_id)


def test_a_task_that_is_given_up_tells_what_it_owed(tmp_path: Path) -> None:
    async def play(office: Office) -> None:
        task = office.new_task()
        await give_up(office.context(), item_of(task), "the database was away (tried 20 times)")
        now = office.now(task)
        assert (now.status, now.status_message) == (TaskStatus.FAILED, "the database was away (tried 20 times)")
        assert [one["detailStatus"] for one in office.details(task)] == TOLD
        await give_up(office.context(), item_of(task), "again")  # over: nothing more is told
        assert len(office.details(task)) == 2

    run(tmp_path, NoEngine(), play)  # type: ignore[arg-type]


@pytest.mark.parametrize("given_up", [False, True])
def test_a_pipeline_whose_record_cannot_be_opened_ends_its_task(tmp_path: Path, given_up: bool) -> None:
    async def play(office: Office) -> None:
        task = office.new_task(metadata={"transactionId": "1"})
        damage = update(pipelines).values(runtime_metadata_ciphertext=b"damaged")
        office.store.write(lambda unit: unit.pipelines._writing.session.change(damage))
        if given_up:
            await give_up(office.context(), item_of(task), "it failed")
        else:
            await office.follow(task)
        now = office.now(task)
        assert now.status is TaskStatus.FAILED
        assert now.status_message and now.voiceprint_status is not VoiceprintStatus.SUCCESS

    run(tmp_path, NoEngine(), play)  # type: ignore[arg-type]
