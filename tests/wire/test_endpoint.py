"""Where clients are told to send media: with the port that they left out of Host, where it can only be ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.wire.exchange import endpoint_of

C_PRODUCER = "AWS-SDK-KVS/1.5.0 GCC/12.2.0 Linux/6.1 x86_64"


@pytest.mark.parametrize(
    ("host", "server", "told"),
    [
        ("127.0.0.1", ("127.0.0.1", 8123), "http://127.0.0.1:8123"),
        ("localhost", ("127.0.0.1", 8123), "http://localhost:8123"),
        ("LOCALHOST", ("::1", 8123), "http://LOCALHOST:8123"),
        ("[::1]", ("::1", 8123), "http://[::1]:8123"),
        ("[fe80::1]", ("fe80::1%eth0", 8123), "http://[fe80::1]:8123"),
        ("10.0.0.5", ("10.0.0.5", 8123), "http://10.0.0.5:8123"),
        # What somebody stands before is not for us to say.
        ("media.example.net", ("10.0.0.5", 8123), "http://media.example.net"),
        ("10.0.0.6", ("10.0.0.5", 8123), "http://10.0.0.6"),
        ("localhost", ("172.17.0.2", 8123), "http://localhost"),
        # Said by the client, or not needed.
        ("127.0.0.1:9000", ("127.0.0.1", 8123), "http://127.0.0.1:9000"),
        ("[::1]:9000", ("::1", 8123), "http://[::1]:9000"),
        ("127.0.0.1", ("127.0.0.1", 80), "http://127.0.0.1"),
        ("127.0.0.1", ("/run/earwitness.sock", None), "http://127.0.0.1"),
        ("127.0.0.1", None, "http://127.0.0.1"),
    ],
)
def test_a_port_that_was_left_out(host: str, server: tuple[str, int | None] | None, told: str) -> None:
    assert endpoint_of(scheme="http", host=host, server=server) == told


def test_a_client_that_is_known_to_leave_ports_out() -> None:
    server = ("10.0.0.5", 8123)
    named = {"host": "media.example.net", "user_agent": C_PRODUCER}
    assert endpoint_of(scheme="https", server=server, **named) == "https://media.example.net:8123"
    assert endpoint_of(scheme="https", server=("10.0.0.5", 443), **named) == "https://media.example.net"
    assert endpoint_of(scheme="https", host="media.example.net:8443", user_agent=C_PRODUCER, server=server).endswith(
        ":8443"
    )


@given(host=st.text(max_size=30), address=st.text(max_size=20), agent=st.text(max_size=20))
def test_any_host_is_told_back(host: str, address: str, agent: str) -> None:
    told = endpoint_of(scheme="http", host=host, user_agent=agent, server=(address, 8123))
    assert told.startswith("http://" + host.removeprefix("https://"))
