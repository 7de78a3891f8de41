"""agent.pole_page.request_guard: Host and Origin."""

import pytest
from starlette.datastructures import Headers

from agent.pole_page.request_guard import ApiError, check_request

OWN = "192.168.4.1"


def outcome(method: str, address: str, *headers: tuple[str, str], scheme: str = "https") -> str:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    try:
        check_request(method, Headers(raw=raw), scheme, address, 8443)
    except ApiError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("address", "host", "code"),
    [
        (OWN, "192.168.4.1:8443", ""),
        ("::ffff:192.168.4.1", "192.168.4.1:8443", ""),
        ("fd00::1", "[fd00::1]:8443", ""),
        ("fd00::1", "[FD00::1]:8443", ""),
        ("127.0.0.1", "localhost:8443", ""),
        ("::1", "localhost:8443", ""),
        (OWN, "localhost:8443", "host"),
        (OWN, "192.168.4.1", "host"),
        (OWN, "192.168.4.1:443", "host"),
        (OWN, "192.168.4.2:8443", "host"),
        (OWN, "rebound.example:8443", "host"),
        (OWN, "192.168.4.1:8443.rebound.example", "host"),
        (OWN, "user@192.168.4.1:8443", "host"),
        (OWN, "192.168.004.001:8443", "host"),
        (OWN, "", "host"),
    ],
)
def test_the_host_is_the_address_at_which_the_connection_has_arrived(
    address: str, host: str, code: str
) -> None:
    assert outcome("GET", address, ("host", host)) == code


def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    own = ("host", f"{OWN}:8443")
    assert outcome("GET", OWN) == "host"
    assert outcome("GET", OWN, own, own) == "host"
    assert outcome("GET", OWN, own, ("host", "rebound.example")) == "host"


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "x"])
@pytest.mark.parametrize(
    ("origins", "code"),
    [
        (["https://192.168.4.1:8443"], ""),
        ([], "origin"),
        (["null"], "origin"),
        (["http://192.168.4.1:8443"], "origin"),
        (["https://192.168.4.1"], "origin"),
        (["https://192.168.4.1:8443/"], "origin"),
        (["https://elsewhere.example"], "origin"),
        (["https://192.168.4.1:8443", "https://elsewhere.example"], "origin"),
    ],
)
def test_a_change_needs_the_pages_own_origin(method: str, origins: list[str], code: str) -> None:
    headers = [("origin", origin) for origin in origins]
    assert outcome(method, OWN, ("host", f"{OWN}:8443"), *headers) == code


@pytest.mark.parametrize(
    ("origin", "code"), [("http://127.0.0.1:8443", ""), ("https://127.0.0.1:8443", "origin")]
)
def test_the_origin_of_a_page_without_tls_is_one_without_tls(origin: str, code: str) -> None:
    headers = (("host", "127.0.0.1:8443"), ("origin", origin))
    assert outcome("POST", "127.0.0.1", *headers, scheme="http") == code
