"""A webhook's URL is read once, and one that means something else than it says is refused."""

import pytest

from earwitness.errors import ConfigurationError
from earwitness.sinks.http_post import read_webhook_url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "https:///path",
        "ftp://host/",
        "//host/",
        "http://host:99999/",
        "http://host:x/",
        "http://[::1/",
        "http://user:pass@host/",
        "http://host/#fragment",
        "http://host/a b",
        "http://host/\r\nx: y",
        "http://hóst/",
        "http://a..b/",
        "http://" + "a" * 64 + "/",
    ],
)
def test_a_url_must_be_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="webhook") as raised:
        read_webhook_url(url)
    assert "pass" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "header"),
    [
        ("http://host", "host", 80, "/", "host"),
        ("https://Host.example/a?b=c", "host.example", 443, "/a?b=c", "host.example"),
        ("https://host:80?b", "host", 80, "/?b", "host:80"),
        ("http://[::1]:8080/", "::1", 8080, "/", "[::1]:8080"),
    ],
)
def test_a_urls_parts(url: str, host: str, port: int, target: str, header: str) -> None:
    read = read_webhook_url(url)
    assert (read.host, read.port, read.request_target, read.host_header) == (host, port, target, header)
