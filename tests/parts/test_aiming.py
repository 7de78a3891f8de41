"""agent.console.acts.aiming: readings of a camera, and what is measured and what is estimated."""

import random
from pathlib import Path

import msgspec
import pytest

from agent.base.health_model import HeadHealth, HealthReport
from agent.capture.focus_search import FocusSearch
from agent.console.acts.aiming import CameraReading, read_camera, read_level
from agent.console.acts.live_view import IDLE_NS, LiveViews
from agent.health import health_file
from tests.conftest import ManualClock
from tests.ground_camera import GroundCamera
from tests.parts.console_peers import RecordedPreview, make_picture
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig, make_health_report

FOV = "[head.fov_deg]\nwide = 60\ntele = 6\n"


def report(tilt_deg: float | None, error_deg: float = 0.1) -> HealthReport:
    head = HeadHealth(
        name="mast",
        open=True,
        pan_deg=None if tilt_deg is None else 0.0,
        tilt_deg=tilt_deg,
        zoom=0.0,
        error_deg=error_deg,
        moving=False,
        preset="gate",
        holder=None,
        tour=None,
        reconnects=0,
        moved_pan_deg=0,
        moved_tilt_deg=0,
        starts=0,
        reversals=0,
        moving_h=0,
        last_error=None,
    )
    return msgspec.structs.replace(make_health_report(), heads=(head,))


def read(rig: ConsoleRig, health: HealthReport | None) -> CameraReading:
    if health is not None:
        health_file.write(rig.state_dir / "run", health_file.make_live(health, rig.clock, rig.boot))
    picture = RecordedPreview(rig.clock, [make_picture(1, 360, 640)]).read(1.0)
    assert picture is not None
    return read_camera(rig.context, "north", "the agent", picture, FocusSearch())


@pytest.mark.parametrize(
    ("tilt_deg", "y"), [(0.0, 0.5), (-10.0, 0.2284), (10.0, 0.7716), (-40.0, -0.7919)]
)
def test_the_horizon_is_estimated_by_the_tilt_of_the_head(
    clock: ManualClock, tmp_path: Path, tilt_deg: float, y: float
) -> None:
    reading = read(ConsoleRig(clock, tmp_path, config_text=CONFIG_TEXT + FOV), report(tilt_deg))
    assert reading.horizon.basis == "head"
    assert reading.horizon.left_y == pytest.approx(y, abs=0.001)
    assert reading.horizon.right_y == reading.horizon.left_y
    assert str(reading.horizon.text) == (
        f"estimated from the head's tilt of {tilt_deg:.1f} degrees, not measured in the picture"
    )
    assert reading.preset == "gate"


@pytest.mark.parametrize(
    ("config", "health", "text"),
    [
        (CONFIG_TEXT, report(0.0), "unknown: head.mast.fov_deg is not configured"),
        (CONFIG_TEXT + FOV, report(None), "unknown: the head does not know its tilt"),
        (CONFIG_TEXT + FOV, report(0.0, 180), "unknown: the head does not know its tilt"),
        (CONFIG_TEXT + FOV, None, "unknown: the head does not know its tilt"),
        (
            CONFIG_TEXT.replace('camera = "north"\n', ""),
            report(0.0),
            "unknown: the camera has no head that reports its tilt",
        ),
    ],
)
def test_a_horizon_without_evidence_is_unknown(
    clock: ManualClock, tmp_path: Path, config: str, health: HealthReport | None, text: str
) -> None:
    horizon = read(ConsoleRig(clock, tmp_path, config_text=config), health).horizon
    assert (horizon.left_y, horizon.basis, str(horizon.text)) == (None, None, text)


def test_a_level_is_measured_or_unknown() -> None:
    assert read_level(None).is_level is None
    assert read_level(0.9).is_level is True
    assert read_level(-1.5).is_level is False
    assert read_level(None).basis is None
    assert read_level(2.0).basis == "picture"


def test_a_live_view_has_one_receipt_until_it_is_idle_and_keeps_its_peak(
    clock: ManualClock, tmp_path: Path
) -> None:
    rig = ConsoleRig(clock, tmp_path)
    rig.run_agent()
    views = LiveViews("looked", clock.boottime_ns)
    for _ in range(3):
        live = views.read(rig.context, "north", 1.0, 60_000)
        assert live is not None
        assert live.jpeg.startswith(b"\xff\xd8")
    assert rig.purposes == ["looked"]
    views.close_idle()
    assert not rig.previews[0].closed
    clock.advance_s(IDLE_NS / 1e9 + 1)
    views.close_idle()
    assert rig.previews[0].closed
    live = views.read(rig.context, "north", 1.0, 60_000)
    assert live is not None
    assert live.reading.focus.percent == 100
    assert rig.purposes == ["looked", "looked"]


@pytest.mark.parametrize("roll_deg", [0.0, -2.0, 3.0])
def test_the_horizon_of_a_fixed_camera_is_that_of_its_ground(
    clock: ManualClock, tmp_path: Path, roll_deg: float
) -> None:
    camera = GroundCamera(tilt_deg=20, focal=1.1, roll_deg=roll_deg)
    marks = camera.mark(camera.visible_places(random.Random(4), 8))
    points = "".join(
        f"{{ at = [{one.at.x}, {one.at.y}], metres = [{one.metres.x_m}, {one.metres.y_m}] }},\n"
        for one in marks.point
        if one.metres is not None
    )
    (tmp_path / "north.toml").write_text(f"[ground]\npoint = [\n{points}]\n")
    config = CONFIG_TEXT.replace('camera = "north"\n', "").replace(
        "enabled = false", 'enabled = false\nscene = "north.toml"'
    )
    rig = ConsoleRig(clock, tmp_path, config_text=config)
    horizon = read(rig, None).horizon
    assert horizon.basis == "ground"
    assert str(horizon.text) == (
        "estimated from the ground calibration, not measured in the picture"
    )
    assert horizon.left_y is not None
    assert horizon.right_y is not None
    for far_m in (-1e8, 1e8):
        seen = camera.see(far_m, 1e9)
        assert seen is not None
        far = seen[0]
        y = horizon.left_y + (horizon.right_y - horizon.left_y) * far.x
        assert y == pytest.approx(far.y, abs=0.001)
    # A scene that was put in force since then counts for the next picture.
    (tmp_path / "north.toml").write_text("")
    assert read(rig, None).horizon.basis is None
