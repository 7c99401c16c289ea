"""The least an upload can cost: the service's own HTTP server, and behind it an application that throws bodies away."""

import sys

from starlette.types import Receive, Scope, Send

from earwitness.server import run


async def sink(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, read all, and end the answer."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    if scope["path"] == "/putMedia":
        await send({"type": "http.response.body", "body": b'{"EventType":"IDLE"}\n', "more_body": True})
        while (await receive()).get("more_body", False):
            continue
    await send({"type": "http.response.body", "body": b""})


def main(port: int) -> None:
    """Listen until SIGTERM."""
    listening = run.Listening(
        host="127.0.0.1",
        port=port,
        certificate=None,
        head_seconds_max=30.0,
        stop_seconds_max=1.0,
    )
    with run.open_socket(listening) as listener:
        run.prepare(sink, listening, on_stopping=lambda: None).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
