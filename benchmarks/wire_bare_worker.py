"""What `wire` compares with: a route of Starlette that answers JSON and does nothing else.

`limited` serves it as earwitness is served, with limits against slow and huge clients; `plain` on uvicorn as it comes.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from earwitness.server import run

ANSWER = {
    "VoiceProfileDomain": {
        "VoiceProfileDomainId": "vpd-00000000-0000-4000-8000-000000005000",
        "VoiceProfileDomainArn": "arn:aws:chime:us-east-1:000000000000:voice-profile-domain/vpd-00000000-0000-4000",
        "Name": "Callers 5000",
        "Description": "People who call the office",
        "CreatedTimestamp": "2026-11-24T12:00:00.000Z",
        "UpdatedTimestamp": "2026-11-24T12:00:00.000Z",
        "ServerSideEncryptionConfiguration": {"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/3e1f8c2e"},
    }
}
"""The size of the answers of earwitness that are compared with it."""


async def answer(_request: Request) -> JSONResponse:
    """The same to everybody."""
    return JSONResponse(ANSWER)


def main() -> None:
    """Arguments: limited or plain, and the port."""
    kind, port = sys.argv[1], int(sys.argv[2])
    application = Starlette(routes=[Route("/voice-profile-domains/{domain_id:path}", answer)])
    if kind == "plain":
        uvicorn.run(
            application,
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
        )
        return
    listening = run.Listening(
        host="127.0.0.1",
        port=port,
        certificate=None,
        head_seconds_max=30.0,
        stop_seconds_max=5.0,
    )
    with run.open_socket(listening) as socket:
        run.prepare(application, listening, on_stopping=lambda: None).run([socket])


if __name__ == "__main__":
    main()
