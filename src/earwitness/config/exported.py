"""What somebody exported that is no setting of the service: secrets of other systems, and what other programs get."""

import os
from collections.abc import Mapping


def exported(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a variable of the environment; empty when it is not there. `environment`: of the process."""
    return (os.environ if environment is None else environment).get(variable, "")


def environment_without(*prefixes: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that begin otherwise, for a process that is to know none of these."""
    variables = os.environ if environment is None else environment
    return {name: value for name, value in variables.items() if not name.startswith(prefixes)}


def aws_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for AWS's command line: credentials of `serve --dev` and a Region where none are set."""
    variables = dict(os.environ if environment is None else environment)
    if not (variables.get("AWS_ACCESS_KEY_ID") or variables.get("AWS_PROFILE")):
        variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    if not (variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")):
        variables |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    return variables
