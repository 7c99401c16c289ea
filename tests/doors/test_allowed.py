"""Which addresses may call."""

import pytest

from earwitness.doors.allowed import may_call_from


@pytest.mark.parametrize(
    ("address", "networks", "may"),
    [
        ("127.0.0.1", (), True),
        ("::1", (), True),
        ("::ffff:127.0.0.1", (), True),
        ("10.0.0.7", (), False),
        ("10.0.0.7", ("10.0.0.7",), True),
        ("::ffff:10.0.0.7", ("10.0.0.0/24",), True),
        ("10.0.1.7", ("10.0.0.0/24", "2001:db8::/32"), False),
        ("2001:db8::7%eth0", ("2001:db8::/32",), True),
        ("10.0.0.7", ("rubbish",), False),
        ("", ("0.0.0.0/0",), False),
    ],
)
def test_loopback_and_the_list(address: str, networks: tuple[str, ...], may: bool) -> None:
    assert may_call_from(address, networks) == may
