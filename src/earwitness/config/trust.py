"""Whose certificates our clients trust: those of the machine, and of the file that AWS_CA_BUNDLE names.

AWS_CA_BUNDLE is the variable of boto3 and the AWS CLI, so it serves our commands and the programs beside them.
"""

import os
import ssl
from collections.abc import Mapping

from earwitness.errors import ConfigurationError

_BUNDLE = "AWS_CA_BUNDLE"


def trusted(environment: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """A context for connections to a service. ConfigurationError when the file of AWS_CA_BUNDLE cannot be used."""
    environment = os.environ if environment is None else environment
    context = ssl.create_default_context()
    if bundle := environment.get(_BUNDLE):
        try:
            context.load_verify_locations(cafile=bundle)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"{_BUNDLE} names {bundle}, which holds no certificates to trust") from error
    return context


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
        f"its certificate is not trusted here ({why}); export {_BUNDLE} with the PEM file of the authority that signed "
        "it: all commands, boto3 and the AWS CLI read that variable"
    )
