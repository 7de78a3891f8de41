"""drivers.camera.v4l2, as far as it can be tested without a device. One that stalls is preloaded: tests/v4l2_capture."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.camera import v4l2
from drivers.errors import DriverError

from .conftest import open_driver

ROOT = Path(__file__).parents[2]


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


def test_a_device_that_stalls_is_stuck_until_its_reading_has_ended(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library, gate = tmp_path / "device.so", tmp_path / "gate"
    source = ROOT / "tests/v4l2_capture/device.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    os.mkfifo(gate)
    done = subprocess.run(
        [sys.executable, "-m", "tests.v4l2_capture.stall", gate],
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "VIGIE_V4L2_PICTURES": "5",
            "VIGIE_V4L2_GATE": str(gate),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    device = "camera 'test': device '/dev/video77'"
    assert done.stdout.splitlines() == [
        f"while it is read: busy: {device}: failed: Device or resource busy",
        f"read: 5 frames, timeout: {device}: sent nothing for 1 s",
        f"after the stall: stuck: {device}: stalls, and its reading cannot be ended",
        "after its end: open, Frame",
    ]
