"""The `awsew` command: AWS's command line, led to a running earwitness.

What belongs here: finding the service and `aws`, and handing over. What must never: understanding AWS's commands.
"""

import os
import shutil
import socket
import sys
from urllib.parse import urlsplit

import typer

from earwitness import config
from earwitness.cli.output import Exit, reporting
from earwitness.config.exported import aws_environment
from earwitness.errors import ConfigurationError, ServiceUnreachable

_CONNECT_SECONDS_MAX = 5.0
_USAGE = """\
awsew: AWS's command line for a running earwitness.

  awsew chime-sdk-voice list-voice-profile-domains
  awsew kinesisvideo create-stream --stream-name line --data-retention-in-hours 1

Everything behind `awsew` goes to `aws`, with --endpoint-url in front. The service is that of the setting url
(EARWITNESS_URL, http://127.0.0.1:4500). Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if they are set,
else those of `earwitness serve --dev`; the Region is AWS_REGION or AWS_DEFAULT_REGION, else us-east-1."""


def main() -> None:
    """Become `aws`; exit code 9 where no service answers, 2 where there is no `aws`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)  # noqa: T201  # a page for a person
        sys.exit(Exit.OK if arguments else Exit.USAGE)
    try:
        with reporting(as_json=False):
            program, url = _found_program(), _found_service()
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    os.execve(program, [program, "--endpoint-url", url, *arguments], aws_environment())  # noqa: S606  # it becomes `aws`


def _found_program() -> str:
    program = shutil.which("aws")
    if program is None:
        raise ConfigurationError(
            "the AWS CLI is not installed: there is no `aws` on the PATH; install it as AWS says, or with "
            "`pipx install awscli`: in an environment of its own, because it pins its own botocore"
        )
    return program


def _found_service() -> str:
    """Return the address of a service that takes connections. Raise ServiceUnreachable."""
    url = config.load().url
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_SECONDS_MAX).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ServiceUnreachable(
            f"no earwitness answers at {url} ({reason}): start one with `earwitness serve --dev`, or name another one "
            "with EARWITNESS_URL"
        ) from error
    return url
