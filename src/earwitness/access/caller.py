"""Who calls an operation, and what every operation needs to know of the request."""

from dataclasses import dataclass

from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.wire.exchange import Principal

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One authenticated and authorised request."""

    principal: Principal
    """Who asks."""

    region: str
    """The Region that the request was signed for."""

    operation: str
    """What is asked for, as AWS names it."""

    request_id: str
    """The request, as the logs name it."""

    endpoint: str
    """Scheme, host and port under which the client reached us."""

    @property
    def scope(self) -> Scope:
        """Whose records the call is about; it reaches no others."""
        return Scope(account_id=self.principal.account_id, region=self.region)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and Region."""
        return arn_of(self.scope, service, resource)

    def record(self, unit: Unit, resource_arn: str) -> None:
        """Write into the audit trail that this call did what it asked, in the transaction that does it."""
        unit.audit.append(
            self.scope,
            key_id=self.principal.key_id,
            operation=self.operation,
            resource_arn=resource_arn,
            outcome="done",
            request_id=self.request_id,
        )


def arn_of(scope: Scope, service: str, resource: str) -> str:
    """Return the ARN of a resource: `chime` or `kinesisvideo`, and what stands behind the account."""
    partition = next((name for prefix, name in _PARTITIONS.items() if scope.region.startswith(prefix)), "aws")
    return f"arn:{partition}:{service}:{scope.region}:{scope.account_id}:{resource}"
