"""What is answered of the audit trail."""

from typing import Annotated

from earwitness.rest.models import Answer, Moment
from earwitness.rest.parameters import doc


class AuditEntryAnswer(Answer):
    """Who did what, or was refused what."""

    entry_id: Annotated[int, doc("Grows with every entry.")]
    time: Moment
    key_id: Annotated[str, doc("Who asked: a key, a token, a command, or `service` for the service itself.")]
    operation: str
    resource_arn: Annotated[str, doc("Of what; empty where it is about no single resource.")]
    outcome: Annotated[str, doc("`done`, or the class of the fault.")]
    request_id: Annotated[str, doc("The request, as the logs name it; of a search for a call, the task.")]
    node: Annotated[str | None, doc("Whose chain it is in; null from before there were chains.")]
    number: Annotated[int | None, doc("Its place in that chain; null while it has none yet.")]


class AuditAnswer(Answer):
    """Entries of the audit trail."""

    entries: list[AuditEntryAnswer]
    next_token: Annotated[str | None, doc("Where to go on; null on the last page.")]


class CheckpointSignatureAnswer(Answer):
    """Who signed, and the signature."""

    key_id: Annotated[str, doc("The first 16 hexadecimal digits of the public key's SHA-256.")]
    ed25519: Annotated[str, doc("In base64.")]


class SignedCheckpointAnswer(Answer):
    """The last entry of a chain, signed."""

    node: Annotated[str, doc("Whose chain; empty for what no node wrote.")]
    number: Annotated[int, doc("How many entries the chain ever had, of all accounts together.")]
    digest: Annotated[str, doc("SHA-256 of the last one and of all before it, in hexadecimal digits.")]
    time_microseconds: Annotated[int, doc("When, in microseconds since 1970.")]
    signature: CheckpointSignatureAnswer


class CheckpointsAnswer(Answer):
    """A checkpoint of each chain, and the public key that proves them."""

    public_key: Annotated[str, doc("Ed25519, as `earwitness audit key` prints it. Compare it with the one you have.")]
    checkpoints: list[SignedCheckpointAnswer]
