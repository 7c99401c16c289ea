"""What AWS's own variables say, which serve our commands and the programs beside them."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.config import load
from earwitness.errors import ConfigurationError

_CA_BUNDLE = "AWS_CA_BUNDLE"
"""Names a file of certificates to trust, for boto3, the AWS CLI and us."""


@dataclass(frozen=True, kw_only=True)
class AwsVariables:
    """What AWS's own variables say; empty where one is not set."""

    key_id: str
    """AWS_ACCESS_KEY_ID."""

    secret: str = field(repr=False)
    """AWS_SECRET_ACCESS_KEY."""

    region: str
    """AWS_REGION or AWS_DEFAULT_REGION."""


def aws_variables(environment: Mapping[str, str] | None = None) -> AwsVariables:
    """Read them as AWS's tools do."""
    environment = os.environ if environment is None else environment
    return AwsVariables(
        key_id=environment.get("AWS_ACCESS_KEY_ID", ""),
        secret=environment.get("AWS_SECRET_ACCESS_KEY", ""),
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "",
    )


def aws_region() -> str:
    """Return the Region of AWS's own services that are called; where none is set, that of most tools' defaults."""
    return aws_variables().region or "us-east-1"


def trusted(environment: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """A context for connections to a service, with the certificate of the settings, where there is one.

    Raise ConfigurationError when a file that AWS_CA_BUNDLE or the settings name cannot be used.
    """
    environment = os.environ if environment is None else environment
    context = ssl.create_default_context()
    if bundle := environment.get(_CA_BUNDLE):
        try:
            context.load_verify_locations(cafile=bundle)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"{_CA_BUNDLE} names {bundle}, which holds no certificates to trust") from error
    if (own := shown_certificate(environment)) is not None:
        try:
            context.load_cert_chain(*own)
        except OSError as error:
            raise ConfigurationError(
                f"client_certificate {own[0]} and its key {own[1] or 'in the same file'} cannot be used: "
                f"{error.strerror or 'they are not of each other, or not PEM'}"
            ) from error
    return context


def shown_certificate(environment: Mapping[str, str] | None = None) -> tuple[Path, Path | None] | None:
    """Return the files of the certificate that commands show to a service, and of its key; None without one."""
    settings = load(environment)
    if settings.client_certificate is None:
        return None
    return settings.client_certificate, settings.client_key


def certificate_fault(error: BaseException | None) -> str | None:
    """What is wrong with a service's certificate and what to do, when that is the cause of an error; else None."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    why = error.verify_message
    if "ostname" in why or "IP address" in why:
        return f"its certificate is of another name ({why}); call it by the name in the certificate"
    return (
        f"its certificate is not trusted here ({why}); export {_CA_BUNDLE} with the PEM file of the authority that "
        "signed it: all commands, boto3 and the AWS CLI read that variable"
    )
