"""drivers.camera.v4l2, as far as it can be tested without a device."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.camera import v4l2
from drivers.errors import DriverError

from .conftest import open_driver


def test_options_become_libav_options() -> None:
    options = v4l2.Options(width_px=1920, height_px=1080, fps=12.5, format="h264")
    assert v4l2.libav_options(options) == {
        "video_size": "1920x1080",
        "framerate": "12.5",
        "input_format": "h264",
    }


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("/dev/video-of-nobody", "absent"),
        ("/dev/null", "unsupported"),
        ("/dev/pts", "unsupported"),
    ],
)
def test_a_device_that_is_not_a_camera_is_refused(device: str, kind: str) -> None:
    with pytest.raises(DriverError) as caught:
        open_driver("v4l2", {"device": device})
    assert caught.value.kind == kind
    assert device in str(caught.value)


def test_a_regular_file_is_refused(tmp_path: Path) -> None:
    options = v4l2.Options(device="/dev/" + "../" * 9 + str(tmp_path / "video").lstrip("/"))
    (tmp_path / "video").write_bytes(b"no device")
    with pytest.raises(DriverError, match="is no device") as caught:
        open_driver("v4l2", msgspec.to_builtins(options))
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize(
    "options",
    [{"device": "video0"}, {"width_px": 1}, {"fps": 0}, {"format": "png"}, {"size": 3}],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, v4l2.Options)
