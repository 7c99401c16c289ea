"""Secrets of other systems that somebody exported for one command. They are no settings of the service."""

import os
from collections.abc import Mapping


def exported(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a variable of the environment; empty when it is not there. `environment`: of the process."""
    return (os.environ if environment is None else environment).get(variable, "")
