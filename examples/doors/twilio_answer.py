"""What Twilio asks when a call comes in, answered: fork both parties' audio to a Voice Connector, then ring somebody.

    python twilio_answer.py wss://calls.example.com/doors/CONNECTOR/twilio +15550002 8080

Give the address of this program to a number of yours as its webhook, "a call comes in". Twilio signs the WebSocket that
it opens; earwitness checks that with the connector's secret `twilioAuthToken`.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape, quoteattr

BODY_BYTES_MAX = 65_536


def answer(door: str, ring: str, asked: dict[str, list[str]]) -> str:
    """Return TwiML. The caller's number travels along: a stream says nothing of it by itself."""
    numbers = {name: "".join(asked.get(name.title(), [])) for name in ("from", "to")}
    parameters = "".join(f'<Parameter name="{name}" value={quoteattr(value)}/>' for name, value in numbers.items())
    stream = f'<Stream url={quoteattr(door)} track="both_tracks">{parameters}</Stream>'
    return f"<Response><Start>{stream}</Start><Dial>{escape(ring)}</Dial></Response>"


def main(door: str, ring: str, port: int) -> None:
    """Answer until somebody stops it."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), BODY_BYTES_MAX)
            twiml = answer(door, ring, parse_qs(self.rfile.read(length).decode())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(twiml)))
            self.end_headers()
            self.wfile.write(twiml)

    with ThreadingHTTPServer(("127.0.0.1", port), Answering) as server:
        print(f"answers at http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
