"""drivers.pelco_position: a head's positions, and the detection of its arrival."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.angles import wrap_deg
from drivers.contracts import Pose
from drivers.pelco_codec import STOP_MOTION, PelcoMotion
from drivers.pelco_options import PelcoOptions
from drivers.pelco_position import PelcoArrivalDetector, clamp_pose, to_counts, to_pose
from drivers.ptz.pelco_d import Options as OptionsD
from drivers.ptz.pelco_p import Options as OptionsP

S = 1_000_000_000
TABLE: dict[str, Any] = {
    "port": "/dev/ttyUSB0",
    "pan_deg": {"low": -170, "high": 170},
    "tilt_deg": {"low": -90, "high": 30},
    "pan_max_deg_s": 40,
    "tilt_max_deg_s": 20,
    "position": "query",
    "zoom_ratio": 10,
    "zoom_counts": {"low": 0, "high": 16384},
}


def options(**changes: Any) -> OptionsD:
    table = {name: value for name, value in (TABLE | changes).items() if value is not None}
    return msgspec.convert(table, OptionsD)


@pytest.mark.parametrize(
    ("counts", "counting", "pose"),
    [
        # Three public programs for such heads agree: 0 to 9000 is down, 27000 to 35999 up.
        ({"pan": 0, "tilt": 0}, "down", Pose(pan_deg=0, tilt_deg=0)),
        ({"pan": 9000, "tilt": 9000}, "down", Pose(pan_deg=90, tilt_deg=-90)),
        ({"pan": 18000, "tilt": 35000}, "down", Pose(pan_deg=180, tilt_deg=10)),
        ({"pan": 35999, "tilt": 27000}, "down", Pose(pan_deg=-0.01, tilt_deg=90)),
        ({"pan": 36000, "tilt": 36000}, "down", Pose(pan_deg=0, tilt_deg=0)),
        # Others of the same tests count up.
        ({"pan": 29999, "tilt": 4500}, "up", Pose(pan_deg=-60.01, tilt_deg=45)),
        ({"pan": 0, "tilt": 0, "zoom": 8192}, "down", Pose(pan_deg=0, tilt_deg=0, zoom=0.5)),
        ({"pan": 0, "tilt": 0, "zoom": 60000}, "down", Pose(pan_deg=0, tilt_deg=0, zoom=1)),
    ],
)
def test_an_answer_is_a_pose(counts: Any, counting: str, pose: Pose) -> None:
    reported = to_pose(counts, options(tilt_direction=counting))
    assert reported.pan_deg == pytest.approx(pose.pan_deg)
    assert reported.tilt_deg == pytest.approx(pose.tilt_deg)
    assert reported.zoom == pose.zoom


@given(
    pan=st.floats(-180, 180, exclude_min=True),
    tilt=st.floats(-90, 90),
    zoom=st.floats(0, 1),
    counting=st.sampled_from(("up", "down")),
)
def test_a_pose_is_encoded_as_the_nearest_reachable_position(
    pan: float, tilt: float, zoom: float, counting: str
) -> None:
    head = options(tilt_direction=counting)
    requested = Pose(pan_deg=pan, tilt_deg=tilt, zoom=zoom)
    counts = to_counts(requested, head)
    assert all(0 <= counts[axis] < 36000 for axis in ("pan", "tilt"))
    reported = to_pose(counts, head)
    assert reported.tilt_deg == pytest.approx(min(max(tilt, -90), 30), abs=0.006)
    assert abs(wrap_deg(reported.pan_deg - min(max(pan, -170), 170))) <= 0.006
    assert reported.zoom == pytest.approx(zoom, abs=1e-4)


def test_a_range_across_180_degrees_is_not_a_limit() -> None:
    head = options(pan_deg={"low": 0, "high": 355})
    assert clamp_pose(Pose(pan_deg=-90, tilt_deg=0), head).pan_deg == -90
    assert clamp_pose(Pose(pan_deg=-2, tilt_deg=0), head).pan_deg == 0
    assert clamp_pose(Pose(pan_deg=-3, tilt_deg=0), head).pan_deg == -5
    assert to_counts(Pose(pan_deg=-90, tilt_deg=0), head)["pan"] == 27000
    endless = options(pan_deg=None)
    assert to_counts(Pose(pan_deg=-2, tilt_deg=0), endless)["pan"] == 35800


@pytest.mark.parametrize("end_deg", [0, 355])
def test_a_motion_across_180_degrees_lasts_until_its_end_stop(end_deg: int) -> None:
    pursuit = PelcoArrivalDetector(options(pan_deg={"low": 0, "high": 355}))
    pursuit.on_move(PelcoMotion(pan=5 if end_deg else -5), 0)
    for pan_deg in (-178, 178, 355 - end_deg):
        assert pursuit.is_moving(Pose(pan_deg=wrap_deg(pan_deg), tilt_deg=0), S)
    assert not pursuit.is_moving(Pose(pan_deg=wrap_deg(end_deg), tilt_deg=0), 2 * S)


HERE, THERE = Pose(pan_deg=0, tilt_deg=0), Pose(pan_deg=20, tilt_deg=0)


def test_a_head_without_an_order_does_not_move() -> None:
    assert not PelcoArrivalDetector(options()).is_moving(HERE, 0)


def test_a_move_to_a_pose_lasts_until_arrival() -> None:
    pursuit = PelcoArrivalDetector(options())
    pursuit.on_goto(THERE, 0)
    assert pursuit.is_moving(HERE, S)
    assert pursuit.is_moving(Pose(pan_deg=19, tilt_deg=0), 2 * S)
    assert not pursuit.is_moving(Pose(pan_deg=20.3, tilt_deg=0.1), 3 * S)
    # There it may creep by itself: it has arrived.
    assert not pursuit.is_moving(HERE, 4 * S)


def test_a_motion_lasts_until_its_stop_or_the_end_stops() -> None:
    pursuit = PelcoArrivalDetector(options())
    pursuit.on_move(PelcoMotion(pan=5, tilt=-5), 0)
    assert pursuit.is_moving(THERE, 60 * S)
    assert pursuit.is_moving(Pose(pan_deg=170, tilt_deg=0), 61 * S)
    assert not pursuit.is_moving(Pose(pan_deg=170, tilt_deg=-90), 62 * S)
    pursuit.on_move(PelcoMotion(zoom=1), 63 * S)
    assert pursuit.is_moving(HERE, 64 * S)
    pursuit.on_move(STOP_MOTION, 65 * S)
    assert pursuit.is_moving(HERE, 65 * S)
    assert not pursuit.is_moving(HERE, 66 * S)


def test_a_preset_is_reached_when_two_answers_are_equal() -> None:
    pursuit = PelcoArrivalDetector(options())
    pursuit.on_goto_preset(0)
    for t_ns, pan in ((0, 0), (S, 5), (2 * S, 9), (2 * S + 1, 9)):
        assert pursuit.is_moving(Pose(pan_deg=pan, tilt_deg=0), t_ns)
    assert not pursuit.is_moving(Pose(pan_deg=9, tilt_deg=0), 3 * S)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zoom_counts": None}, "zoom_counts is missing"),
        ({"position": "estimated"}, "zoom_travel_s is missing"),
        ({"position": "estimated", "zoom_travel_s": 3, "presets": 8}, "preset_deg_s is missing"),
        ({"pan_deg": {"low": 5, "high": 5}}, "pan_deg: low 5.0 is not below high 5.0"),
        ({"rs485": "gpio"}, "rs485_pin go together"),
        ({"rs485_pin": 18}, "rs485_pin go together"),
        ({"port": "socket://host:4001", "rs485": "kernel"}, "rs485 is 'off' on a socket"),
        (
            {"presets": 2, "reference_presets": [{"preset": 3, "pan_deg": 0, "tilt_deg": 0}]},
            "above presets",
        ),
        ({"pan_max_deg_s": None}, "missing required field `pan_max_deg_s`"),
        ({"tilt_deg": None}, "missing required field `tilt_deg`"),
        ({"address": 0}, "`int` >= 1"),
        ({"port": "ttyUSB0"}, "matching regex"),
        ({"bauds": 2400}, "unknown field `bauds`"),
        ({"aux": {"horn": 1}}, "Invalid enum value 'horn'"),
    ],
)
def test_invalid_options_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        options(**changes)


def test_options_common_to_both_protocols_are_equal() -> None:
    table = TABLE | {"baud": 9600, "address": 5}
    for kind in (OptionsD, OptionsP):
        made: PelcoOptions = msgspec.convert(table, kind)
        assert (made.line_settings.baud, made.address) == (9600, 5)
