"""drivers.addresses: invalid addresses are refused in one line, and hostile device answers do no harm."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drivers.camera import rtsp
from drivers.errors import DriverError
from drivers.onvif.camera_info import strip_credentials
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.discovery import best_url
from drivers.serial_port import SerialSettings

WORD = "hunter2"
NONE: Mapping[str, Callable[[], Any]] = {
    "a bracket that is never closed": lambda: rtsp.Options(url="rtsp://[fd00::1/main"),
    "one that was never opened": lambda: rtsp.Options(url=f"rtsp://u:{WORD}@fd00::1]/main"),
    "a port that is no number": lambda: rtsp.Options(url=f"rtsp://u:{WORD}@host:main/x"),
    "a port beyond the last": lambda: OnvifAccess(url="http://10.0.0.3:99999"),
    "the same of a head": lambda: OnvifAccess(url="http://[fd00::1"),
    "the same of a line": lambda: SerialSettings(port="socket://[::1:5000"),
}


@pytest.mark.parametrize("what", NONE)
def test_an_invalid_address_is_refused_without_its_password(what: str) -> None:
    with pytest.raises(ValueError, match=r"^url: .*; allowed: ") as refused:
        NONE[what]()
    assert WORD not in str(refused.value)


def test_an_ipv6_address_in_brackets_is_valid() -> None:
    assert OnvifAccess(url="http://[fd00::1]:8080").port == 8080
    assert rtsp.Options(url="rtsp://[fd00::1]:554/main").url.endswith("/main")


def test_a_device_with_invalid_answers_is_skipped_or_named() -> None:
    assert best_url(["http://[fd00::1", "http://10.0.0.3/onvif"]) == "http://10.0.0.3"
    with pytest.raises(DriverError, match="an invalid URL"):
        strip_credentials("rtsp://[fd00::1/main")
