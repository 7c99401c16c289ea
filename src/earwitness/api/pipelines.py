"""Media insights pipelines."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from earwitness.access.caller import Caller, Handler
from earwitness.access.once import once
from earwitness.access.paging import Pages
from earwitness.api.pipeline_sources import kept_source, stream_arns, told_source
from earwitness.api.resource_tags import named_tags
from earwitness.config.settings import Quotas
from earwitness.errors import NotFound
from earwitness.store.records import Configuration, Pipeline, Scope
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import PipelineMoves, kept_elements
from earwitness.voice.pipeline_status import first_state
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

StreamExists = Callable[[Scope, str], bool]
"""Whether this account can hear a stream in this Region. It may ask far away, so no unit waits for it."""


class Pipelines:
    """The five operations on pipelines."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        quotas: Quotas,
        new_id: Callable[[], str],
        stream_exists: StreamExists,
        steering: PipelineMoves,
    ) -> None:
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id
        self._stream_exists = stream_exists
        self._steering = steering

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateMediaInsightsPipeline": self.create,
            "GetMediaPipeline": self.get,
            "ListMediaPipelines": self.list,
            "DeleteMediaPipeline": self.delete,
            "UpdateMediaInsightsPipelineStatus": self.update_status,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a pipeline from a configuration as it is now, over streams that are there."""
        tags = named_tags(params)
        missing = [arn for arn in stream_arns(params) if not self._stream_exists(caller.scope, arn)]
        pipeline_id = self._new_id()

        def create(unit: Unit) -> Pipeline:
            configuration = _configuration(unit, caller.scope, params["MediaInsightsPipelineConfigurationArn"])
            if missing:
                raise NotFound("a stream of the source does not exist; create it first, or look at its ARN")
            created = self._create(unit, caller, params, configuration, pipeline_id)
            unit.tags.set(caller.scope, created.arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, created.arn)
            return created

        def work(unit: Unit) -> Pipeline:
            return once(
                unit,
                caller,
                params,
                reference=pipeline_id,
                create=lambda: create(unit),
                find=lambda made: unit.pipelines.get(caller.scope, made),
            )

        return {"MediaInsightsPipeline": described(self._store.write(work))}

    def _create(
        self, unit: Unit, caller: Caller, params: Params, configuration: Configuration, pipeline_id: str
    ) -> Pipeline:
        elements = cast("Sequence[Mapping[str, str]]", configuration.body["Elements"])
        state = first_state([element["Type"] for element in elements])
        return unit.pipelines.create(
            caller.scope,
            pipeline_id=pipeline_id,
            arn=caller.arn("chime", f"media-pipeline/{pipeline_id}"),
            configuration_arn=configuration.arn,
            configuration=configuration.body,
            status=state.status,
            element_statuses=kept_elements(state),
            source=kept_source(params),
            runtime_metadata=params.get("MediaInsightsRuntimeMetadata"),
            active_limit=self._quotas.active_pipelines,
        )

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a pipeline; an ended one too, as long as it is kept."""
        pipeline = _there(self._store.pipelines.get(caller.scope, params["MediaPipelineId"]))
        return {"MediaPipeline": {"MediaInsightsPipeline": described(pipeline)}}

    def list(self, caller: Caller, params: Params) -> Result:
        """The newest first, ended ones too."""
        pipelines, following = self._pages.read(
            caller, params, lambda after, limit: self._store.pipelines.list(caller.scope, after=after, limit=limit)
        )
        listed = [{"MediaPipelineId": one.pipeline_id, "MediaPipelineArn": one.arn} for one in pipelines]
        return {"MediaPipelines": listed, **following}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Stop a pipeline. One that stops, or has, is left alone."""

        def work(unit: Unit) -> Pipeline:
            pipeline = _there(unit.pipelines.get(caller.scope, params["MediaPipelineId"]))
            pipeline = self._steering.stop(unit, caller.scope, pipeline)
            caller.record(unit, pipeline.arn)
            return pipeline

        self._steering.told(self._store.write(work))
        return {}

    def update_status(self, caller: Caller, params: Params) -> Result:
        """Pause or resume a pipeline. A pause stops its tasks; they do not come back."""
        steer = self._steering.pause if params["UpdateStatus"] == "Pause" else self._steering.resume

        def work(unit: Unit) -> Pipeline:
            pipeline = _there(unit.pipelines.get(caller.scope, params["Identifier"]))
            pipeline = steer(unit, caller.scope, pipeline)
            caller.record(unit, pipeline.arn)
            return pipeline

        self._steering.told(self._store.write(work))
        return {}


def described(pipeline: Pipeline) -> dict[str, object]:
    """A pipeline as the wire tells it."""
    return {
        "MediaPipelineId": pipeline.pipeline_id,
        "MediaPipelineArn": pipeline.arn,
        "MediaInsightsPipelineConfigurationArn": pipeline.configuration_arn,
        "Status": pipeline.status,
        **told_source(pipeline.source),
        "MediaInsightsRuntimeMetadata": pipeline.runtime_metadata,
        "CreatedTimestamp": pipeline.created_at,
        "ElementStatuses": pipeline.element_statuses,
    }


def _configuration(unit: Unit, scope: Scope, arn: str) -> Configuration:
    found = unit.configurations.get(scope, arn) if arn.startswith("arn:") else None
    if found is None:
        raise NotFound("the configuration does not exist; look at its ARN")
    return found


def _there(pipeline: Pipeline | None) -> Pipeline:
    if pipeline is None:
        raise NotFound("the pipeline does not exist; look at its id or ARN")
    return pipeline
