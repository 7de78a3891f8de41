"""drivers.csi, the pure modules: controls, day and night, pictures."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.child.frame_memory import planar_views
from drivers.child.messages import frame_bytes
from drivers.contracts import CameraReadings
from drivers.csi import controls, encoders
from drivers.csi.camera_runner import nv12_views, write_planar
from drivers.csi.options import Night, Options
from drivers.csi.readings import NightDetector, read_lux, to_readings
from drivers.errors import DriverError

WHAT = "camera 'north'"


def options(**given: Any) -> Options:
    return msgspec.convert(given, Options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"exposure_us": 5000, "analogue_gain": 2.5}, {"ExposureTime": 5000, "AnalogueGain": 2.5}),
        ({"exposure_value": -0.5}, {"ExposureValue": -0.5}),
        # The period of the light is half that of the mains: 10 ms and 8.3 ms.
        ({"flicker_hz": 50}, {"AeFlickerMode": 1, "AeFlickerPeriod": 10_000}),
        ({"flicker_hz": 60}, {"AeFlickerMode": 1, "AeFlickerPeriod": 8_333}),
        ({"white_balance": "daylight"}, {"AwbEnable": True, "AwbMode": 5}),
        (
            {"white_balance": {"red": 1.8, "blue": 1.5}},
            {"AwbEnable": False, "ColourGains": (1.8, 1.5)},
        ),
        ({"focus": "continuous"}, {"AfMode": 2}),
        ({"focus": 0.5}, {"AfMode": 0, "LensPosition": 0.5}),
    ],
)
def test_options_become_libcameras_controls(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert controls.initial_controls(options(**given)) == expected


@pytest.mark.parametrize(
    ("night", "day_controls", "night_controls"),
    [
        ({}, {"FrameDurationLimits": (50_000, 50_000)}, {"FrameDurationLimits": (50_000, 50_000)}),
        (
            {"mode": "auto"},
            {"FrameDurationLimits": (50_000, 50_000), "Saturation": 1.0},
            {"FrameDurationLimits": (50_000, 50_000), "Saturation": 0.0},
        ),
        (
            {"mode": "schedule", "min_fps": 4, "saturation": 0.3},
            {"FrameDurationLimits": (50_000, 50_000), "Saturation": 1.0, "AeExposureMode": 0},
            {"FrameDurationLimits": (50_000, 250_000), "Saturation": 0.3, "AeExposureMode": 2},
        ),
    ],
)
def test_night_mode_removes_colour_and_lengthens_exposure(
    night: dict[str, Any], day_controls: dict[str, Any], night_controls: dict[str, Any]
) -> None:
    given = options(fps=20, night=night)
    assert controls.light_controls(given, night=False) == day_controls
    assert controls.light_controls(given, night=True) == night_controls


def test_a_raised_frame_rate_holds_by_day_and_at_night_and_lowers_none() -> None:
    given = options(fps=20, night={"mode": "auto", "min_fps": 4})
    for night in (False, True):
        raised = controls.light_controls(given, night=night, min_fps=40)
        assert raised["FrameDurationLimits"] == (25_000, 25_000)
        lower = controls.light_controls(given, night=night, min_fps=5)
        assert lower["FrameDurationLimits"] == (50_000, 50_000)


def test_only_advertised_controls_are_set_within_their_limits() -> None:
    fitted = controls.supported_controls(
        {
            "FrameDurationLimits": (50_000, 250_000),
            "LensPosition": 40.0,
            "AwbEnable": False,
            "AfMode": 2,
            "Saturation": 0.0,
        },
        {
            "FrameDurationLimits": (33_333, 66_666, None),
            "LensPosition": (0.0, 15.0, 1.0),
            "AwbEnable": (False, True, None),
            "AfMode": (0, 0, 0),
        },
    )
    assert fitted.controls == {
        "FrameDurationLimits": (50_000, 66_666),
        "LensPosition": 15.0,
        "AwbEnable": False,
        "AfMode": 2,
    }
    assert fitted.missing == ("Saturation",)


def nights(rule: NightDetector, lights: list[float | None], step_s: float = 1.0) -> str:
    """Return the detector's answers to a reading per second: `n` (night) and `d` (day)."""
    reported = [rule.update(round(at * step_s * 1e9), lux, 0) for at, lux in enumerate(lights)]
    return "".join("n" if night else "d" for night in reported)


@pytest.mark.parametrize(
    ("lights", "reported"),
    [
        ([100, 100, 100], "ddd"),
        ([1, 1, 100], "nnn"),  # the first reading decides at once
        ([100, 1, 1, 1, 1], "ddddn"),
        ([100, 1, 1, 10, 1, 1, 1, 1], "dddddddn"),  # a break begins the count again
        ([10, 10, 10], "ddd"),  # between both nothing changes
        ([1, 10, 10, 10, 10], "nnnnn"),
        ([1, 30, 30, 30, 10, 30], "nnnnnn"),
        ([1, 30, 30, 30, 30, 30], "nnnndd"),
        ([None, None, 1], "ddn"),
        ([100, 1, 1, None, 1, 1], "ddddnn"),  # no word is no break
    ],
)
def test_night_mode_follows_the_light_after_the_hold_time(
    lights: list[float | None], reported: str
) -> None:
    rule = NightDetector(Night(mode="auto", lux_below=5, lux_above=20, dwell_s=3))
    assert nights(rule, lights) == reported


@given(lights=st.lists(st.floats(0, 100), min_size=2, max_size=200), dwell_s=st.integers(1, 20))
def test_night_mode_never_changes_twice_within_its_dwell_time(
    lights: list[float], dwell_s: int
) -> None:
    reported = nights(NightDetector(Night(mode="auto", dwell_s=dwell_s)), list(lights))
    changes = [at for at in range(1, len(reported)) if reported[at] != reported[at - 1]]
    assert all(later - earlier >= dwell_s for earlier, later in pairwise(changes))


@pytest.mark.parametrize(
    ("begin", "end", "minute", "night"),
    [
        ("20:00", "06:00", 20 * 60, True),
        ("20:00", "06:00", 23 * 60 + 59, True),
        ("20:00", "06:00", 5 * 60 + 59, True),
        ("20:00", "06:00", 6 * 60, False),
        ("20:00", "06:00", 19 * 60 + 59, False),
        ("01:00", "04:30", 4 * 60 + 29, True),
        ("01:00", "04:30", 4 * 60 + 30, False),
        ("01:00", "04:30", 0, False),
    ],
)
def test_night_mode_by_the_clock_lasts_between_its_times(
    begin: str, end: str, minute: int, night: bool
) -> None:
    rule = NightDetector(Night(mode="schedule", begin=begin, end=end))
    assert rule.update(0, None, minute) is night


@pytest.mark.parametrize("mode", ["day", "night"])
def test_a_fixed_night_mode_does_not_change(mode: Any) -> None:
    assert set(nights(NightDetector(Night(mode=mode)), [0.0, 1000.0, None])) == {mode[0]}


@pytest.mark.parametrize(
    "given",
    [
        {"width_px": 641},
        {"detect_width_px": 1922},
        {"fps": 0},
        {"focus": "auto"},
        {"white_balance": {"red": 1}},
        {"night": {"mode": "dusk"}},
        {"night": {"lux_below": 20, "lux_above": 20}},
        {"night": {"from": "7:00"}},
        {"night": {"from": "24:00"}},
        {"night": {"from": "06:00", "to": "06:00"}},
        {"night": {"min_fps": 16}},
        {"encoder": "x265"},
        {"device": "/dev/video0"},
    ],
)
def test_wrong_options_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        options(**given)


def test_metadata_becomes_readings_and_missing_values_are_unknown() -> None:
    assert to_readings({}, night=False) == CameraReadings(night=False)
    metadata = {
        "SensorTimestamp": 1,
        "ExposureTime": 8321,
        "AnalogueGain": 1.12312,
        "Lux": 401.23456,
        "ColourTemperature": 4321,
        "LensPosition": 0.5,
        "FocusFoM": 1234,
        "ScalerCrop": (0, 0, 1, 1),
    }
    assert to_readings(metadata, night=True, dropped_frames=3) == CameraReadings(
        night=True,
        exposure_us=8321,
        analogue_gain=1.123,
        lux=401.235,
        colour_temperature_k=4321,
        lens_dioptres=0.5,
        focus_score=1234,
        dropped_frames=3,
    )
    assert read_lux(metadata) == pytest.approx(401.23456)
    assert read_lux({}) is None


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda s: (2 * s[0], 2 * s[1])),
    padding=st.integers(0, 8).map(lambda pairs: 2 * pairs),
)
def test_nv12_with_padded_rows_becomes_three_planes(size: tuple[int, int], padding: int) -> None:
    width, height = size
    stride = width + padding
    buffer = np.random.default_rng(1).integers(0, 256, stride * height * 3 // 2 + 7, np.uint8)
    luma, chroma = nv12_views(buffer, width, height, stride)
    planes = planar_views(np.zeros(frame_bytes(width, height), np.uint8), width, height)
    write_planar(luma, chroma, planes)
    for row in range(height):
        assert planes[0][row].tolist() == buffer[row * stride :][:width].tolist()
    for row in range(height // 2):
        pairs = buffer[(height + row) * stride :][:width].tolist()
        assert planes[1][row].tolist() == pairs[0::2]
        assert planes[2][row].tolist() == pairs[1::2]


@pytest.mark.parametrize(
    ("encoder", "size_px", "hardware", "kind"),
    [
        ("auto", (1920, 1080), True, "hardware"),
        ("auto", (2304, 1296), True, "libav"),
        ("auto", (1920, 1080), False, "libav"),
        ("libav", (640, 360), True, "libav"),
        ("hardware", (640, 360), True, "hardware"),
    ],
)
def test_the_boards_encoder_is_used_if_it_exists_and_fits(
    encoder: str, size_px: tuple[int, int], hardware: bool, kind: str
) -> None:
    given = options(encoder=encoder)
    assert encoders.choose_encoder(given, size_px, has_hardware=hardware, display_name=WHAT) == kind


@pytest.mark.parametrize(("size_px", "hardware"), [((640, 360), False), ((2304, 1296), True)])
def test_a_requested_encoder_that_does_not_fit_is_refused(
    size_px: tuple[int, int], hardware: bool
) -> None:
    with pytest.raises(DriverError, match="hardware") as caught:
        encoders.choose_encoder(
            options(encoder="hardware"), size_px, has_hardware=hardware, display_name=WHAT
        )
    assert caught.value.kind == "unsupported"


def test_a_file_that_is_not_an_encoder_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for device in (Path("/dev/null"), tmp_path / "file", tmp_path / "nothing"):
        assert not encoders.has_hardware_encoder(device)
