"""Media insights pipeline configurations."""

from collections.abc import Callable, Mapping

from earwitness.access.caller import Caller, Handler
from earwitness.access.once import once
from earwitness.access.paging import Pages
from earwitness.api.elements import require_elements
from earwitness.api.resource_tags import named_tags
from earwitness.config.settings import Quotas
from earwitness.errors import Conflict, NotFound
from earwitness.store.records import Configuration
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_BODY = ("ResourceAccessRoleArn", "RealTimeAlertConfiguration", "Elements")


class Configurations:
    """The five operations on configurations."""

    def __init__(self, *, store: Store, pages: Pages, quotas: Quotas, new_id: Callable[[], str]) -> None:
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateMediaInsightsPipelineConfiguration": self.create,
            "GetMediaInsightsPipelineConfiguration": self.get,
            "UpdateMediaInsightsPipelineConfiguration": self.update,
            "DeleteMediaInsightsPipelineConfiguration": self.delete,
            "ListMediaInsightsPipelineConfigurations": self.list,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a configuration; its name is taken for the account and Region."""
        tags = named_tags(params)
        require_elements(params["Elements"], caller.scope)
        configuration_id = self._new_id()

        def create(unit: Unit) -> Configuration:
            name: str = params["MediaInsightsPipelineConfigurationName"]
            arn = caller.arn("chime", f"media-insights-pipeline-configuration/{name}")
            created = unit.configurations.create(
                caller.scope,
                configuration_id=configuration_id,
                name=name,
                arn=arn,
                body=_body(params),
                limit=self._quotas.configurations,
            )
            unit.tags.set(caller.scope, arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)
            return created

        def work(unit: Unit) -> Configuration:
            return once(
                unit,
                caller,
                params,
                reference=configuration_id,
                create=lambda: create(unit),
                find=lambda made: unit.configurations.get_by_id(caller.scope, made),
            )

        return _described(self._store.write(work))

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a configuration."""
        return _described(_there(self._store.configurations.get(caller.scope, params["Identifier"])))

    def update(self, caller: Caller, params: Params) -> Result:
        """Replace all but the name and tags; pipelines that exist keep what they were made from."""
        require_elements(params["Elements"], caller.scope)

        def work(unit: Unit) -> Configuration:
            updated = unit.configurations.update(caller.scope, params["Identifier"], body=_body(params))
            configuration = _there(updated)
            caller.record(unit, configuration.arn)
            return configuration

        return _described(self._store.write(work))

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a configuration that no active pipeline was made from."""

        def work(unit: Unit) -> None:
            configuration = _there(unit.configurations.get(caller.scope, params["Identifier"]))
            active = unit.pipelines.count_active(caller.scope, configuration_arn=configuration.arn)
            if active:
                raise Conflict(f"{active} pipelines made from the configuration are active; delete them first")
            unit.configurations.delete(caller.scope, configuration.name)
            caller.record(unit, configuration.arn)

        self._store.write(work)
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """By name."""
        configurations, following = self._pages.read(
            caller, params, lambda after, limit: self._store.configurations.list(caller.scope, after=after, limit=limit)
        )
        return {"MediaInsightsPipelineConfigurations": [_summary(one) for one in configurations], **following}


def _body(params: Params) -> dict[str, object]:
    return {name: params[name] for name in _BODY if params.get(name) is not None}


def _there(configuration: Configuration | None) -> Configuration:
    if configuration is None:
        raise NotFound("the configuration does not exist; look at its name or ARN")
    return configuration


def _summary(configuration: Configuration) -> dict[str, object]:
    return {
        "MediaInsightsPipelineConfigurationName": configuration.name,
        "MediaInsightsPipelineConfigurationId": configuration.configuration_id,
        "MediaInsightsPipelineConfigurationArn": configuration.arn,
    }


def _described(configuration: Configuration) -> dict[str, object]:
    described = {
        **_summary(configuration),
        **configuration.body,
        "CreatedTimestamp": configuration.created_at,
        "UpdatedTimestamp": configuration.updated_at,
    }
    return {"MediaInsightsPipelineConfiguration": described}
