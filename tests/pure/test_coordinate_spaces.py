"""drivers.onvif: coordinate spaces, profiles and notifications. Pure."""

import math
from types import SimpleNamespace as Given
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contracts import Pose, Range, Velocity
from drivers.onvif.camera_info import (
    MediaProfile,
    choose_profiles,
    strip_credentials,
    strip_prefixes,
)
from drivers.onvif.coordinate_spaces import (
    DEGREES_POSITION,
    DEGREES_VELOCITY,
    GENERIC_POSITION,
    GENERIC_VELOCITY,
    from_ptz_vector,
    nearest_pose,
    position_spaces,
    read_node,
    read_vector,
    to_ptz_speed,
    to_ptz_vector,
    velocity_space,
)
from drivers.onvif.discovery import best_url, find_name
from drivers.onvif.operations import PtzNode, PtzVector
from drivers.onvif.subscription import parse_notification

PAN, TILT = Range(low=-170, high=170), Range(low=-30, high=90)
SHARES = Given(Min=-1.0, Max=1.0)


def node(
    positions: tuple[str, ...], velocities: tuple[str, ...], aux: tuple[str, ...] = ()
) -> PtzNode:
    """As the SOAP library gives it, with a range for each space."""
    ranges = {
        GENERIC_POSITION: (SHARES, SHARES),
        GENERIC_VELOCITY: (SHARES, SHARES),
        DEGREES_POSITION: (Given(Min=-180, Max=180), Given(Min=-90, Max=90)),
        DEGREES_VELOCITY: (Given(Min=-100, Max=100), Given(Min=-100, Max=100)),
    }

    def spaces(uris: tuple[str, ...]) -> list[Any]:
        return [Given(URI=uri, XRange=ranges[uri][0], YRange=ranges[uri][1]) for uri in uris]

    return read_node(
        Given(
            SupportedPTZSpaces=Given(
                AbsolutePanTiltPositionSpace=spaces(positions),
                ContinuousPanTiltVelocitySpace=spaces(velocities),
                PanTiltSpeedSpace=None,
                AbsoluteZoomPositionSpace=None,
                ContinuousZoomVelocitySpace=[],
            ),
            MaximumNumberOfPresets=8,
            AuxiliaryCommands=[None, *aux],
        )
    )


def vector(reported: dict[str, Any]) -> PtzVector | None:
    return read_vector(Given(**{name: Given(**value) for name, value in reported.items()}))


@given(
    st.floats(-170, 170),
    st.floats(-30, 90),
    st.sampled_from([(GENERIC_POSITION,), (DEGREES_POSITION, GENERIC_POSITION)]),
    st.booleans(),
)
def test_a_pose_survives_conversion_to_a_coordinate_space(
    pan: float, tilt: float, uris: tuple[str, ...], backwards: bool
) -> None:
    turned = Range(low=TILT.high, high=TILT.low) if backwards else TILT
    known = position_spaces(node(uris, ()), PAN, turned)
    pose = Pose(pan_deg=pan, tilt_deg=tilt)
    back = from_ptz_vector(known, vector(to_ptz_vector(known[0], pose, zoom=False)))
    assert back is not None
    assert math.isclose(back.pan_deg, pan, abs_tol=1e-9)
    assert math.isclose(back.tilt_deg, tilt, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("pan_deg", "tilt_deg", "x", "y"),
    [(0, 30, 0, 0), (170, 90, 1, 1), (-170, -30, -1, -1), (85, 0, 0.5, -0.5), (175, -99, 1, -1)],
)
def test_normalized_positions_scale_to_the_declared_degrees(
    pan_deg: float, tilt_deg: float, x: float, y: float
) -> None:
    (place,) = position_spaces(node((GENERIC_POSITION,), ()), PAN, TILT)
    reported = to_ptz_vector(place, Pose(pan_deg=pan_deg, tilt_deg=tilt_deg), zoom=False)["PanTilt"]
    assert (reported["x"], reported["y"]) == pytest.approx((x, y))
    assert reported["space"] == GENERIC_POSITION


@pytest.mark.parametrize(
    ("low", "high", "pan_deg", "x", "nearest_deg"),
    [
        (0, 360, -90, 0.5, -90),
        (0, 360, 0, -1, 0),
        (0, 360, 180, 0, 180),
        (0, 355, -90, 270 / 355 * 2 - 1, -90),
        (0, 355, -2, -1, 0),
        (0, 355, -4, 1, -5),
        (355, 0, -90, 1 - 270 / 355 * 2, -90),
        (-300, 10, 100, -260 / 310 * 2 + 1 - 20 / 310, 100),
    ],
)
def test_a_range_across_180_degrees_is_no_limit(
    low: float, high: float, pan_deg: float, x: float, nearest_deg: float
) -> None:
    known = position_spaces(node((GENERIC_POSITION,), ()), Range(low=low, high=high), TILT)
    pose = Pose(pan_deg=pan_deg, tilt_deg=0)
    sent = to_ptz_vector(known[0], pose, zoom=False)
    assert sent["PanTilt"]["x"] == pytest.approx(x)
    expected = Pose(pan_deg=pytest.approx(nearest_deg), tilt_deg=pytest.approx(0))  # type: ignore[arg-type]
    assert nearest_pose(known[0], pose) == expected
    assert from_ptz_vector(known, vector(sent)) == expected


def test_degrees_reported_by_the_camera_need_no_declaration() -> None:
    reported = node((GENERIC_POSITION, DEGREES_POSITION), (GENERIC_VELOCITY, DEGREES_VELOCITY))
    first, second = position_spaces(reported, None, None)
    assert (first.uri, second.uri) == (DEGREES_POSITION, GENERIC_POSITION)
    assert from_ptz_vector(
        (first, second), vector({"PanTilt": {"x": 0.5, "y": -1, "space": second.uri}})
    ) == (Pose(pan_deg=90, tilt_deg=-90))
    speeds = velocity_space(reported, None, None)
    assert (speeds.uri, speeds.pan_max_deg_s) == (DEGREES_VELOCITY, 100)
    driven = to_ptz_speed(speeds, Velocity(pan_deg_s=30, tilt_deg_s=-200), zoom=True)
    assert (driven["PanTilt"]["x"], driven["PanTilt"]["y"]) == (30, -100)
    assert driven["Zoom"]["x"] == 0


def test_a_normalized_position_without_a_declared_range_is_never_guessed() -> None:
    reported = node((GENERIC_POSITION,), (GENERIC_VELOCITY,))
    with pytest.raises(ValueError, match="give pan_deg and tilt_deg"):
        position_spaces(reported, PAN, None)
    with pytest.raises(ValueError, match="give pan_max_deg_s and tilt_max_deg_s"):
        velocity_space(reported, 60, None)
    with pytest.raises(ValueError, match="no space of velocities"):
        velocity_space(node((), ()), 60, 40)
    assert position_spaces(node((), (GENERIC_VELOCITY,)), PAN, TILT) == ()


@pytest.mark.parametrize(
    "reported",
    [
        None,
        Given(),
        Given(PanTilt=None, Zoom=None),
        Given(PanTilt=Given(x=None, y=0, space=None)),
        Given(PanTilt=Given(x=0, y=0, space="http://maker.example/steps")),
        Given(PanTilt=Given(x=float("nan"), y=0, space=None)),
        Given(PanTilt=Given(x=0, y=0, space=None), Zoom=Given(x=float("inf"))),
    ],
)
def test_a_position_in_an_unknown_space_is_ignored(reported: Any) -> None:
    assert (
        from_ptz_vector(
            position_spaces(node((GENERIC_POSITION,), ()), PAN, TILT), read_vector(reported)
        )
        is None
    )


def test_a_heads_switches_are_those_listed_with_on_and_off() -> None:
    """The words: ONVIF Core Specification, auxiliary commands."""
    words = ("tt:Wiper|On", "tt:Wiper|Off", "tt:IRLamp|On", "tt:IRLamp|Auto", "tt:Washer|On")
    assert node((), (), words).aux == ("wiper",)


def profile(codec: str, width_px: int, height_px: int) -> MediaProfile:
    return MediaProfile(
        token=f"{width_px}",
        name="",
        codec=codec,
        width_px=width_px,
        height_px=height_px,
        fps=25,
        has_head=False,
    )


@pytest.mark.parametrize(
    ("there", "record", "detect"),
    [
        ([("H264", 1920, 1080), ("H264", 640, 360)], "1920", "640"),
        ([("H264", 640, 360), ("H264", 1280, 720), ("H264", 3840, 2160)], "3840", "640"),
        ([("H264", 1920, 1080), ("H264", 1280, 720), ("H264", 352, 288)], "1920", "1280"),
        ([("H264", 1920, 1080), ("H264", 352, 288), ("H264", 176, 144)], "1920", "352"),
        ([("H264", 1920, 1080), ("JPEG", 640, 360)], "1920", None),
        ([("H264", 1920, 1080), ("H264", 1920, 1080)], "1920", None),
        ([("JPEG", 1920, 1080)], None, None),
        ([], None, None),
    ],
)
def test_the_largest_profile_is_recorded_and_a_small_one_used_for_detection(
    there: list[tuple[str, int, int]], record: str | None, detect: str | None
) -> None:
    chosen = choose_profiles([profile(*one) for one in there])
    assert (chosen and chosen.record.token) == record
    assert (chosen and chosen.detect and chosen.detect.token) == detect


@pytest.mark.parametrize(
    ("topic", "plain"),
    [
        ("tns1:RuleEngine/CellMotionDetector/Motion", "RuleEngine/CellMotionDetector/Motion"),
        ("\n tns1:Device/tnsaxis:Sensor/PIR ", "Device/Sensor/PIR"),
        ("Device", "Device"),
    ],
)
def test_a_topic_is_shown_without_prefixes(topic: str, plain: str) -> None:
    assert strip_prefixes(topic) == plain


def test_addresses_are_shown_and_stored_without_a_password() -> None:
    assert (
        strip_credentials("rtsp://admin:se@cret@10.0.0.3:554/a?b=c") == "rtsp://10.0.0.3:554/a?b=c"
    )


@pytest.mark.parametrize(
    ("addresses", "best"),
    [
        (["http://10.0.0.3/onvif/device_service"], "http://10.0.0.3"),
        (["http://169.254.3.4/x", "https://10.0.0.3:8443/y"], "https://10.0.0.3:8443"),
        (["http://169.254.3.4/x"], "http://169.254.3.4"),
        (["http://a:b@10.0.0.3/x", "soap.udp://10.0.0.3"], None),
        ([], None),
    ],
)
def test_the_reachable_address_is_selected(addresses: list[str], best: str | None) -> None:
    assert best_url(addresses) == best


def test_a_name_is_read_from_the_scopes() -> None:
    scopes = ["onvif://www.onvif.org/type/ptz", "onvif://www.onvif.org/name/Tram%2014"]
    assert find_name(scopes) == "Tram 14"
    assert find_name(scopes[:1]) is None


def message(data: list[tuple[str, str]], operation: str | None = None) -> Any:
    items = [Given(Name=name, Value=value) for name, value in data]
    return Given(
        Topic=Given(_value_1="tns1:Device/Trigger/DigitalInput"),
        Message=Given(
            _value_1=Given(
                Source=Given(SimpleItem=[Given(Name="InputToken", Value="1")]),
                Key=None,
                Data=Given(SimpleItem=items),
                PropertyOperation=operation,
            )
        ),
    )


@pytest.mark.parametrize(
    ("data", "operation", "state"),
    [
        ([("LogicalState", "true")], "Changed", True),
        ([("LogicalState", "0")], "Initialized", False),
        ([("IsMotion", "1")], None, True),
        ([("state", "1")], "Changed", True),  # Kane610/axis, tests/event_fixtures.py, PIR_CHANGE
        ([("Count", "1")], None, None),
        ([("ObjectId", "15"), ("Inside", "FALSE")], None, False),
        ([("ObjectId", "15")], None, None),
        ([], None, None),
        ([("State", "true")], "Deleted", False),
    ],
)
def test_a_state_is_read_if_there_is_one(
    data: list[tuple[str, str]], operation: str | None, state: bool | None
) -> None:
    read = parse_notification(message(data, operation))
    assert read is not None
    assert (read.topic, read.state, read.source) == (
        "Device/Trigger/DigitalInput",
        state,
        "InputToken=1",
    )


@pytest.mark.parametrize(
    "what",
    [
        None,
        Given(),
        Given(Topic=None, Message=None),
        Given(Topic=Given(_value_1=None), Message=Given(_value_1=Given())),
        Given(Topic=Given(_value_1=" "), Message=Given(_value_1=Given())),
        Given(Topic=Given(_value_1="tns1:A"), Message=Given(_value_1=None)),
    ],
)
def test_an_invalid_notification_is_ignored(what: Any) -> None:
    assert parse_notification(what) is None
