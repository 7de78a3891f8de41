"""agent.ptz.odometer: travel, starts and reversals from positions, across restarts."""

from pathlib import Path

import pytest

from agent.config.heads import RatedLife
from agent.ptz.odometer import SAVE_INTERVAL_S, Odometer
from drivers.contracts import Pose, PtzPosition

SAMPLE_NS = 100_000_000


class Walk:
    """An odometer, and positions a tenth of a second apart."""

    def __init__(self, path: Path, rated_life: RatedLife | None = None) -> None:
        self.odometer = Odometer(path, rated_life or RatedLife())
        self.t_ns = 0

    def to(self, pan_deg: float, tilt_deg: float = 0.0, error_deg: float = 0.1) -> None:
        self.t_ns += SAMPLE_NS
        pose = Pose(pan_deg=pan_deg, tilt_deg=tilt_deg)
        self.odometer.update(
            PtzPosition(pose=pose, error_deg=error_deg, moving=True, t_ns=self.t_ns)
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "odometer.json"


def test_travel_counts_in_both_directions_and_across_180_degrees(path: Path) -> None:
    walk = Walk(path)
    for pan_deg in (170, 178, -174, 178):
        walk.to(pan_deg)
    assert walk.odometer.wear.pan_deg == pytest.approx(8 + 8 + 8)
    assert (walk.odometer.wear.starts, walk.odometer.wear.reversals) == (2, 1)
    assert walk.odometer.wear.moving_s == pytest.approx(0.3)


def test_a_slow_tilt_is_counted_while_the_pan_moves(path: Path) -> None:
    walk = Walk(path)
    for step in range(101):
        walk.to(step * 1.0, step * 0.02)
    assert walk.odometer.wear.pan_deg == pytest.approx(100)
    assert walk.odometer.wear.tilt_deg == pytest.approx(2, abs=0.06)


def test_noise_and_a_first_position_are_not_travel(path: Path) -> None:
    walk = Walk(path)
    for step in range(50):
        walk.to(0.02 * (step % 2))
    walk.to(90, error_deg=180)
    walk.to(45)
    walk.odometer.update(None)
    walk.to(-45)
    assert walk.odometer.wear.pan_deg == 0


def test_travel_is_saved_at_intervals_and_at_the_end(path: Path) -> None:
    walk = Walk(path, RatedLife(degrees=25))
    walk.to(0)
    walk.to(10)
    walk.odometer.save(walk.t_ns)
    walk.to(20)
    walk.odometer.save(walk.t_ns)
    assert Odometer(path, RatedLife()).wear.pan_deg == 10
    walk.odometer.save(walk.t_ns + int(SAVE_INTERVAL_S * 1e9))
    assert Odometer(path, RatedLife()).wear.pan_deg == 20
    walk.to(30)
    walk.odometer.save(walk.t_ns, force=True)
    assert str(Odometer(path, RatedLife(degrees=25)).exceeded_rating()) == "30 degrees of 25"
